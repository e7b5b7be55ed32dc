"""A hidden folder for the finished segments of a film: each is a file of packets, complete or absent.

Packets are kept as the encoder made them, with exact times; no container rounds them before the film is joined. A work
folder belongs to one source, one set of weights and one set of options. With any other, it starts empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import numpy as np

from archivecolor import files
from archivecolor.film.probe import FOLDER_SUFFIX
from archivecolor.film.survey import Segment, Survey
from archivecolor.imaging.arrays import FloatArray

_KEY, _SURVEY = "key.json", "survey.json"


@dataclass(frozen=True)
class StoredPacket:
    """One encoded packet. Decoding time stamps follow when all packets are known."""

    pts: int
    key: bool
    """Whether decoding can start at it."""
    data: bytes


class ShotState(TypedDict):
    """What a segment leaves to the next one of the same shot."""

    seen: FloatArray
    """(h, w): the last frame as the network would see it, L*."""
    colour: FloatArray
    weight: FloatArray
    """See `temporal.Accumulator`."""
    path_frames: NotRequired[FloatArray]
    """(n,): of a film with references, the frames of those whose paths arrive; see `propagation.MotionPath`."""
    path_places: NotRequired[FloatArray]
    """(n, h, w, 2)."""
    path_trust: NotRequired[FloatArray]
    """(n, h, w)."""


class SegmentNotes(TypedDict, total=False):
    """What is noted of a segment's colouring and encoding."""

    shown: int
    """Number of keyframes."""
    errors: list[float]
    """For each gap between keyframes, Lab units between carried colours and the network's own."""
    max_delta_l: float
    """Largest |ΔL*| of frames that are files of their own."""
    said: list[str]
    """Notes for the manifest row."""
    references: dict[str, list[float]]
    """Index of a reference's frame -> number of frames that it reached, sum of its shares in them, first and last."""


class SegmentIndex(TypedDict):
    """The beginning of a segment's file, as JSON."""

    packets: list[tuple[int, bool, int]]
    """pts, key and size of each."""
    notes: SegmentNotes


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError in the block means that something cannot be written at `path`.

    Raises:
        OutputError, PictureError: see `files.write_error`.
    """
    try:
        yield
    except OSError as error:
        raise files.write_error(path, error) from error


class WorkFolder:
    """The work folder of one film, beside its output.

    Args:
        place: the output's folder joined with the source's name.
        key: what decides the content of the segments. A folder with another key is emptied.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, place: Path, key: str) -> None:
        name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:24]
        self.path = place.with_name(f".{name}{FOLDER_SUFFIX}")
        with writing(self.path):
            if self._text(_KEY) != key:
                if os.path.lexists(self.path):
                    shutil.rmtree(self.path)
                self.path.mkdir()
                self._write(_KEY, key)

    def _text(self, name: str) -> str:
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _write(self, name: str, text: str) -> None:
        with writing(self.path), files.atomic_write(self.path / name) as part:
            part.write_text(text, encoding="utf-8")

    def remove(self) -> None:
        """Removes the folder when the film is joined."""
        shutil.rmtree(self.path, ignore_errors=True)

    def frames(self) -> Path:
        """A folder for frames that become files of their own."""
        folder = self.path / "frames"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def references(self) -> Path:
        """The place of the folder for the references of the film."""
        return self.path / "references"

    def survey(self) -> Survey | None:
        """The survey that was saved, if any."""
        text = self._text(_SURVEY)
        return Survey(**json.loads(text)) if text else None

    def save_survey(self, survey: Survey) -> None:
        """Keeps the survey for a resumed run."""
        self._write(_SURVEY, json.dumps(survey.as_json()))

    def finished(self, segment: Segment) -> bool:
        """Whether a segment is complete."""
        return self._file(segment).is_file()

    def _file(self, segment: Segment, suffix: str = "packets") -> Path:
        return self.path / f"{segment.number:06}.{suffix}"

    def save(self, segment: Segment, packets: Sequence[StoredPacket], state: ShotState, notes: SegmentNotes) -> None:
        """Saves the state for the next segment of the same shot, then the packets. Their file marks the segment as
        finished."""
        index = json.dumps({"packets": [(p.pts, p.key, len(p.data)) for p in packets], "notes": notes}).encode()
        with writing(self.path):
            with files.atomic_write(self._file(segment, "state.npz")) as part, part.open("wb") as file:
                np.savez(file, **state)
            with files.atomic_write(self._file(segment)) as part, part.open("wb") as file:
                file.write(len(index).to_bytes(8, "little") + index)
                file.writelines(p.data for p in packets)

    def state(self, segment: Segment) -> ShotState:
        """The state that was saved with a segment."""
        with np.load(self._file(segment, "state.npz")) as values:
            return cast(ShotState, {name: values[name] for name in values.files})

    def index(self, segment: Segment) -> SegmentIndex:
        """The packets and notes of a segment, without its data."""
        with self._file(segment).open("rb") as file:
            index: SegmentIndex = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            return index

    def packets(self, segment: Segment) -> Iterator[StoredPacket]:
        """The packets of a segment in decoding order."""
        with self._file(segment).open("rb") as file:
            index = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for pts, key, size in index["packets"]:
                yield StoredPacket(pts, key, file.read(size))
