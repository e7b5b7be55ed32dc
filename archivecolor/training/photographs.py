"""The photographs of a training: read, split into training and validation pictures, and the split written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from archivecolor import photo, provenance
from archivecolor.errors import MachineColoredError, NoInputError
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import LARGEST_VALIDATION, StageOptions
from archivecolor.training import copies, dataset, distributed, photo_cache, split
from archivecolor.training.dataset import PhotoSet

OnRead = Callable[[str, int, int], None]
"""Called while photographs are read, with what is read, how many are done, and of how many."""


def read_rgb(path: Path, short_side: int = 0) -> ByteArray:
    """The first page of a colour picture, upright, as sRGB, uint8 (H, W, 3).

    Args:
        short_side: a huge scan is reduced to this before its colours are converted; 0: it is read whole.

    Raises:
        MachineColoredError: this program has made its colours.
        PictureError: it cannot be read.
    """
    page = photo.read_page_of_side(path, short_side) if short_side else photo.read(path).pages[0]
    if provenance.is_machine_colored(page.xmp):
        raise MachineColoredError(f"{path}: its colours were made by this program")
    rgb = luminance.to_srgb8(page.samples, page.icc)
    return np.ascontiguousarray(to_upright(rgb, page.orientation, axes=(0, 1)))


@dataclass(frozen=True)
class Photographs:
    """The decoded training and validation pictures."""

    folder: str
    """The name of their folder."""
    train: PhotoSet
    validation: PhotoSet
    overlap: int = 0
    """How many photographs are both training and validation pictures. They make validations look too good."""

    def left_out(self) -> dict[str, dict[str, int]]:
        """How many pictures of each set were left out, for each reason."""
        return {"train": self.train.left_out, "val": self.validation.left_out}

    def counts(self) -> dict[str, object]:
        """How many pictures there are, as programs read it."""
        sizes = {"train": len(self.train), "val": len(self.validation), "in_both": self.overlap}
        return {**sizes, "left_out": self.left_out()}


def decoded_side(crop: int) -> int:
    """The short side at which photographs are kept, so that a crop of mean size is not enlarged."""
    return round(crop / dataset.MEAN_CROP)


def load_photographs(
    data: Path,
    val: Path | None,
    crop: int,
    on_read: OnRead = lambda what, done, total: None,
    out: Path | None = None,
    minimum: int = dataset.MIN_VALIDATION,
) -> Photographs:
    """Decodes the photographs of `data`. The validation pictures are those of `val`, or a fixed part of `data`.

    That part is chosen when all are decoded, so what cannot be used does not count, and copies of one photograph are
    on one side.

    Args:
        crop: the side of the largest crops, in pixels.
        out: the folder of the training. One that is resumed keeps its split. Decoded photographs are kept there.
        minimum: see `dataset.split_train_validation`.

    Raises:
        NoInputError: there are no training or no validation pictures.
        WeightsError: the split of the training in `out` is damaged.
    """
    cv2.setNumThreads(1)
    before = None if val else split.previous(out)
    paths = dataset.find(data)

    cache = photo_cache.PhotoCache(out) if out else None
    decode = cache.decode if cache else dataset.decode

    def load(what: str, paths: list[Path], side: int, root: Path) -> PhotoSet:
        return dataset.load(paths, read_rgb, side, root, lambda done: on_read(what, done, len(paths)), decode)

    decoded = load("reading photographs", paths, decoded_side(crop), data)
    if val:
        train, root, validation_paths = decoded, val, dataset.find(val)
    else:
        train, validation_paths = _hold_out(decoded, data, before, minimum)
        root = data
    limit = StageOptions.validation_pictures
    used_paths = [validation_paths[i] for i in dataset.evenly_spaced(len(validation_paths), limit)]
    unused = {dataset.relative_name(path, root) for path in validation_paths} - {
        dataset.relative_name(path, root) for path in used_paths
    }
    validation = load("reading validation photographs", used_paths, LARGEST_VALIDATION, root)
    validation.reasons.update(dict.fromkeys(sorted(unused), f"beyond the {limit} that validations look at"))
    if before:
        validation.reasons.update(before.val.left_out)
    if cache and distributed.is_main_process():
        cache.save()
    overlap = _count_overlap(train, data, validation, root) if val else 0
    return Photographs(data.name, train, validation, overlap)


def _hold_out(decoded: PhotoSet, data: Path, before: split.Split | None, minimum: int) -> tuple[PhotoSet, list[Path]]:
    """Divides decoded photographs into the training pictures, and the paths of those that are held out.

    Raises:
        NoInputError: one side would have no picture.
    """
    usable = dataset.paths_of(decoded, data)
    if len(usable) < 2:
        raise NoInputError(
            f"{data}: one photograph that can teach colour is too few; give more, or name others with --val"
        )
    firsts = copies.first_copies(decoded.fingerprints)
    _, held = dataset.split_train_validation(usable, data, firsts, minimum)
    if before:
        held = _hold_out_as_before(usable, data, firsts, set(held), before)
    elif not held:
        raise NoInputError(
            f"{data}: all {len(usable)} photographs are copies of one; give others, or name some with --val"
        )
    apart = {dataset.relative_name(path, data) for path in held}
    apart |= set(before.val.left_out) if before else set()
    kept = [i for i, name in enumerate(decoded.names) if name not in apart]
    reasons = {name: reason for name, reason in decoded.reasons.items() if name not in apart}
    return PhotoSet([decoded.pictures[i] for i in kept], [decoded.names[i] for i in kept], reasons), held


def _hold_out_as_before(
    usable: list[Path], data: Path, firsts: list[int], held: set[Path], before: split.Split
) -> list[Path]:
    """The photographs held out by a split, and new ones: copies go where their original is, others as chosen now.

    Args:
        firsts: see `copies.first_copies`.
        held: what would be held out without that split.
    """
    names = [dataset.relative_name(path, data) for path in usable]
    trained, validated = set(before.train.pictures), set(before.val.pictures)
    known = trained | validated | set(before.val.left_out)
    copies_of_trained, copies_of_validated = (
        {first for name, first in zip(names, firsts, strict=True) if name in side} for side in (trained, validated)
    )

    def is_held(path: Path, name: str, first: int) -> bool:
        if name in known:
            return name in validated
        return first in copies_of_validated or (first not in copies_of_trained and path in held)

    return [path for path, name, first in zip(usable, names, firsts, strict=True) if is_held(path, name, first)]


def _count_overlap(train: PhotoSet, data: Path, validation: PhotoSet, root: Path) -> int:
    """How many of the validation pictures are training pictures as well, by path or by content."""
    trained = {path.resolve() for path in dataset.paths_of(train, data)}
    same_path = [path.resolve() in trained for path in dataset.paths_of(validation, root)]
    same_content = copies.with_copies_in(validation.fingerprints, train.fingerprints)
    return sum(path or content for path, content in zip(same_path, same_content, strict=True))


def save_split(out: Path, photographs: Photographs, resumed: bool) -> None:
    """Writes to `split.json` which pictures are for training and validation, and why others are for neither.

    Args:
        resumed: whether the folder contains a training that is to be resumed.

    Raises:
        UsageError: that training has other pictures.
        WeightsError: the file is damaged.
    """
    now = split.Split(split.Side.of(photographs.train), split.Side.of(photographs.validation))
    if resumed and (out / dataset.SPLIT).exists():
        split.check_same(out, split.read(out), now)
    if distributed.is_main_process():
        split.save(out, now)
