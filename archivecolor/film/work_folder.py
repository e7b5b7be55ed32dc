"""The encoded pieces of a film on their way: each a file of packets, whole or not there, in a hidden work folder.

Packets are kept as the encoder gave them, with exact times, and no container rounds those before the film is joined.
A folder belongs to one source, one set of weights and one set of options; with any other it begins anew.
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
from typing import Any

import numpy as np

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.film.survey import Segment, Survey

FOLDER_SUFFIX = ".archivecolor-film"
_KEY, _SURVEY = "key.json", "survey.json"


@dataclass(frozen=True)
class StoredPacket:
    """One encoded packet. Decoding time stamps are made when all packets are known."""

    pts: int
    key: bool
    data: bytes


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the output's disk has to say into an OutputError: nothing is wrong with the film.

    Raises:
        OutputError: something cannot be written at `path`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); free some space") from error


class WorkFolder:
    """Beside the output, named after the source.

    Args:
        place: the output's folder with the source's name.
        key: what the pieces are made of; with another one the folder begins anew.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, place: Path, key: str) -> None:
        name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:24]
        self.path = place.with_name(f".{name}{FOLDER_SUFFIX}")
        with writing(self.path):
            if self._text(_KEY) != key:
                shutil.rmtree(self.path, ignore_errors=True)
                self.path.mkdir()
                self._write(_KEY, key)

    def _text(self, name: str) -> str:
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _write(self, name: str, text: str) -> None:
        with writing(self.path), files.atomic_write(self.path / name) as part:
            part.write_text(text, encoding="utf-8")

    def remove(self) -> None:
        """When the film is joined."""
        shutil.rmtree(self.path, ignore_errors=True)

    def frames(self) -> Path:
        """A folder in it for frames that become files of their own."""
        place = self.path / "frames"
        with writing(place):
            place.mkdir(exist_ok=True)
        return place

    def survey(self) -> Survey | None:
        """The one that was saved, if any."""
        text = self._text(_SURVEY)
        return Survey(**json.loads(text)) if text else None

    def save_survey(self, found: Survey) -> None:
        self._write(_SURVEY, json.dumps(found.as_json()))

    def finished(self, segment: Segment) -> bool:
        return self._place(segment).is_file()

    def _place(self, segment: Segment, suffix: str = "packets") -> Path:
        return self.path / f"{segment.number:06}.{suffix}"

    def save(
        self, segment: Segment, packets: Sequence[StoredPacket], state: dict[str, Any], notes: dict[str, Any]
    ) -> None:
        """The state that the next segment of the same shot begins with, then the packets, whose presence says that
        the segment is finished."""
        index = json.dumps({"packets": [(p.pts, p.key, len(p.data)) for p in packets], "notes": notes}).encode()
        with writing(self.path):
            with files.atomic_write(self._place(segment, "state.npz")) as part, part.open("wb") as file:
                np.savez(file, **state)
            with files.atomic_write(self._place(segment)) as part, part.open("wb") as file:
                file.write(len(index).to_bytes(8, "little") + index)
                file.writelines(p.data for p in packets)

    def state(self, segment: Segment) -> dict[str, Any]:
        """What `save` was given."""
        with np.load(self._place(segment, "state.npz")) as values:
            return dict(values)

    def index(self, segment: Segment) -> dict[str, Any]:
        """`packets`, as (pts, key, size), and `notes`."""
        with self._place(segment).open("rb") as file:
            return dict(json.loads(file.read(int.from_bytes(file.read(8), "little"))))

    def packets(self, segment: Segment) -> Iterator[StoredPacket]:
        """In decoding order."""
        with self._place(segment).open("rb") as file:
            index = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for pts, key, size in index["packets"]:
                yield StoredPacket(pts, key, file.read(size))
