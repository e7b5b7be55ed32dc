"""The references of a film, ready for use: their colours on the grid of the network, and what they show.

They lie in the film's work folder. Only a few are in memory at a time, so that a film may have hundreds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from archivecolor import files
from archivecolor.film.work_folder import writing
from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.feature_matching import CellDescriptors, describe_cells
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.imaging.propagation import ReferenceColors
from archivecolor.imaging.tiling import NetworkSize
from archivecolor.inference.colorizer import Colorizer

LOADED = 8
"""References in memory at one time."""
MOST_ATTENDED = 4
"""References whose cells a frame is compared with."""
LEAST_LIKENESS = 0.4
"""Cosine of the mean features of whole frames; below it two frames show different things."""
SAME_SHOT = 0.1
"""Added to the likeness of references of the same shot."""
_INDEX = "references.json"


@dataclass(frozen=True)
class Reference:
    """One reference, as a row of the manifest says it."""

    frame: int
    """Index of its frame."""
    name: str
    by: str
    """How its frame was found: `name`, `luminance` or `hint`."""
    likeness: float
    """Correlation of its lightness with that of the frame, -1 to 1."""
    agrees: float
    """Share of the frame where they agree, 0 to 1; only there its colours count."""


@dataclass(frozen=True)
class LoadedReference:
    """A reference in memory."""

    stored: ReferenceColors
    """As the film is stored."""
    upright: ReferenceColors
    cells: CellDescriptors | None
    """Of the upright frame; None for a network without an encoder."""


class FrameDescriber:
    """Describes what small L* maps show, by the features of the network's encoder."""

    def __init__(self, colorizer: Colorizer, size: NetworkSize) -> None:
        self._colorizer, self._size = colorizer, size

    def describe(self, lightness: FloatArray) -> tuple[CellDescriptors | None, FloatArray]:
        """The cells of an upright L* (h, w), and the unit vector (C,) of the whole; None and an empty one for a network
        without an encoder."""
        maps = self._colorizer.feature_maps(np.ascontiguousarray(lightness), self._size)
        if not maps:
            return None, np.zeros(0, np.float32)
        whole = maps[-1].mean(axis=(1, 2))
        length = float(np.linalg.norm(whole)) + 1e-9
        return describe_cells(maps[:-1], lightness), np.asarray(whole / length, np.float32)


class ReferenceBank:
    """The references of one film.

    Args:
        folder: where they are kept; it is made.
        orientation: EXIF orientation of the film.
    """

    def __init__(self, folder: Path, orientation: int = 1) -> None:
        self.folder, self._orientation = folder, orientation
        self.references: dict[int, Reference] = {}
        """By index of the frame, ascending."""
        self._wholes: dict[int, FloatArray] = {}
        self.load = lru_cache(maxsize=LOADED)(self._load)
        with writing(folder):
            folder.mkdir(exist_ok=True)

    def add(
        self, reference: Reference, colors: ReferenceColors, lightness: FloatArray, describer: FrameDescriber
    ) -> None:
        """Keeps a reference.

        Args:
            colors: on the grid of the frame's thumbnail, as the film is stored.
            lightness: L* (h, w) of the frame as the network sees it, as the film is stored.
        """
        cells, whole = describer.describe(to_upright(lightness, self._orientation))
        vectors = cells.vectors if cells else np.zeros((0, 0), np.float32)
        path = self._path(reference.frame)
        with writing(path), files.atomic_write(path) as part, part.open("wb") as file:
            np.savez(
                file,
                whole=whole,
                grid=np.array([cells.rows, cells.columns] if cells else [0, 0]),
                ab=colors.ab.astype(np.float16),
                mask=colors.mask.astype(np.float16),
                vectors=vectors.astype(np.float16),
            )
        self._wholes[reference.frame] = whole
        self.references = dict(sorted([*self.references.items(), (reference.frame, reference)]))

    def finish(self) -> None:
        """Marks the bank as complete, for a resumed run."""
        path = self.folder / _INDEX
        text = json.dumps([asdict(reference) for reference in self.references.values()])
        with writing(path), files.atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")

    def restore(self) -> bool:
        """Reads what an interrupted run has kept; False if it was not complete."""
        path = self.folder / _INDEX
        if not path.is_file():
            return False
        for values in json.loads(path.read_text(encoding="utf-8")):
            reference = Reference(**values)
            self.references[reference.frame] = reference
            with np.load(self._path(reference.frame)) as arrays:
                self._wholes[reference.frame] = arrays["whole"]
        return True

    @property
    def compares(self) -> bool:
        """Whether frames can be compared by their features."""
        return all(len(whole) for whole in self._wholes.values())

    def _path(self, frame: int) -> Path:
        return self.folder / f"{frame:09}.npz"

    def _load(self, frame: int) -> LoadedReference:
        with np.load(self._path(frame)) as arrays:
            stored = ReferenceColors(arrays["ab"].astype(np.float32), arrays["mask"].astype(np.float32))
            rows, columns = arrays["grid"].tolist()
            cells = CellDescriptors(arrays["vectors"].astype(np.float32), rows, columns) if rows else None
        upright = (np.ascontiguousarray(to_upright(maps, self._orientation)) for maps in (stored.ab, stored.mask))
        return LoadedReference(stored, ReferenceColors(*upright), cells)

    def in_frames(self, start: int, end: int) -> list[int]:
        """The frames from `start` to before `end` that are references."""
        return [frame for frame in self.references if start <= frame < end]

    def most_alike(self, whole: FloatArray, frame: int, shot: tuple[int, int]) -> list[int]:
        """The references that may show the same things as a frame, the most alike first, at most `MOST_ATTENDED`.

        Args:
            whole: (C,), the unit vector of the frame.
            shot: first frame and end of its shot.
        """

        def likeness(number: int) -> float:
            return float(self._wholes[number] @ whole) + SAME_SHOT * (shot[0] <= number < shot[1])

        alike = {number: likeness(number) for number in self.references}
        ranked = sorted(alike, key=lambda number: (-round(alike[number], 2), abs(number - frame)))
        return [number for number in ranked if alike[number] >= LEAST_LIKENESS][:MOST_ATTENDED]


def stored_colors(colors: ReferenceColors, orientation: int) -> ReferenceColors:
    """The colours of an upright frame as the film is stored."""
    ab, mask = (np.ascontiguousarray(to_stored(maps, orientation)) for maps in (colors.ab, colors.mask))
    return ReferenceColors(ab, mask)


def used_shares(notes: Iterable[dict[str, list[float]]]) -> dict[int, list[float]]:
    """Joins what the segments of a film say of their references: index of the frame -> [frames that it reached, sum of
    its shares in them, first of them, last of them]."""
    total: dict[int, list[float]] = {}
    for segment in notes:
        for frame, (count, share, first, last) in segment.items():
            known = total.setdefault(int(frame), [0, 0.0, first, last])
            known[0], known[1], known[3] = known[0] + count, known[1] + share, last
    return total
