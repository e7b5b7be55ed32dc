"""The photographs of a training: read, split into training and validation pictures, and the split written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from archivecolor import files, photo, provenance
from archivecolor.errors import MachineColoredError, UsageError
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import LARGEST_VALIDATION, StageOptions
from archivecolor.training import checkpoint, dataset, distributed
from archivecolor.training.dataset import PhotoSet

OnRead = Callable[[str, int, int], None]
"""Called while photographs are read, with what is read, how many are done, and of how many."""


def read_rgb(path: Path) -> ByteArray:
    """The first page of a colour picture, upright, as sRGB, uint8 (H, W, 3).

    Raises:
        MachineColoredError: this program has made its colours.
        PictureError: it cannot be read.
    """
    page = photo.read(path).pages[0]
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
    data: Path, val: Path | None, crop: int, on_read: OnRead = lambda what, done, total: None
) -> Photographs:
    """Decodes the photographs of `data`. The validation pictures are those of `val`, or a fixed part of `data`.

    Args:
        crop: the side of the largest crops, in pixels.

    Raises:
        NoInputError: there are no training or no validation pictures.
    """
    cv2.setNumThreads(1)
    train_paths = dataset.find(data)
    if val:
        validation_paths = dataset.find(val)
    else:
        train_paths, validation_paths = dataset.split_train_validation(train_paths, data)
    limit, root = StageOptions.validation_pictures, val or data
    used_paths = [validation_paths[i] for i in dataset.evenly_spaced(len(validation_paths), limit)]
    unused_paths = set(validation_paths) - set(used_paths)

    def counter(what: str, total: int) -> Callable[[int], None]:
        return lambda done: on_read(what, done, total)

    train_counter = counter("reading photographs", len(train_paths))
    train = dataset.load(train_paths, read_rgb, decoded_side(crop), data, train_counter)
    validation_counter = counter("reading validation photographs", len(used_paths))
    validation = dataset.load(used_paths, read_rgb, LARGEST_VALIDATION, root, validation_counter)
    reason = f"beyond the {limit} that validations look at"
    validation.reasons.update(
        {dataset.relative_name(path, root): reason for path in validation_paths if path in unused_paths}
    )
    overlap = {path.resolve() for path in train_paths} & {path.resolve() for path in used_paths}
    return Photographs(data.name, train, validation, len(overlap))


def save_split(out: Path, photographs: Photographs, resumed: bool) -> None:
    """Writes to `split.json` which pictures are for training and validation, and why others are for neither.

    Args:
        resumed: whether the folder contains a training that is to be resumed.

    Raises:
        UsageError: that training has other pictures. It cannot be resumed, because the order of its pictures depends on
            all of them.
        WeightsError: the file is damaged.
    """
    sets = {"train": photographs.train, "val": photographs.validation}
    split = {name: {"pictures": photos.names, "left_out": photos.reasons} for name, photos in sets.items()}
    path = out / dataset.SPLIT
    if path.exists() and resumed:
        with checkpoint.damaged_file(path):
            before = json.loads(path.read_text(encoding="utf-8"))
            names_before = {name: set(before[name]["pictures"]) for name in sets}
        for name, photos in sets.items():
            old, new = names_before[name], set(photos.names)
            gone, added = old - new, new - old
            if gone or added:
                example = sorted(gone | added)[0]
                raise UsageError(
                    f"{out}: this training began with other photographs: of those for {name}, {len(gone)} are gone and "
                    f"{len(added)} new ({example}, …); restore them, or choose another --out"
                )
    if distributed.is_main_process():
        out.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as part:
            part.write_text(json.dumps(split, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
