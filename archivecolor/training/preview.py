"""A sheet that shows what the network is given to see: photographs, and the same made to look old."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray
from archivecolor.options import PreviewOptions
from archivecolor.training import dataset, figures
from archivecolor.training.dataset import Read


def rows_of(crops: list[ByteArray], times: int, seed: int) -> list[list[ByteArray]]:
    """Rows of tiles: the true pictures, plain grey, then each of them aged `times` times."""
    plain = dataset.to_batch(crops, [None] * len(crops))
    rows = [[*crops], _grey(plain.l_net)]
    for turn in range(times):
        drawn = [dataset.aged_or_not(crop, 1.0, np.random.default_rng((seed, turn, i))) for i, crop in enumerate(crops)]
        rows.append(_grey(dataset.to_batch([crop for crop, _ in drawn], [random for _, random in drawn]).l_net))
    return rows


def _grey(l_net: torch.Tensor) -> list[ByteArray]:
    rgb = lab.srgb_from_lab(lab.lab_from_net(l_net, torch.zeros_like(l_net).repeat(1, 2, 1, 1)))
    return [figures.to_bytes(picture) for picture in rgb]


def preview(asked: PreviewOptions, read: Read, seen: Callable[[int], None] = lambda n: None) -> int:
    """Writes the sheet from photographs spread evenly over the source; how many it shows.

    Raises:
        NoInputError: none can be used.
    """
    paths = dataset.find(asked.data)
    # Twice as many as wanted, so that a few useless ones leave no gaps.
    wanted = [paths[i] for i in dataset.spread(len(paths), 2 * asked.count)]
    photos = dataset.load(wanted, read, asked.size, asked.data, seen)
    crops = [dataset.centre_crop(photos.pictures[i], asked.size) for i in dataset.spread(len(photos), asked.count)]
    figures.write(asked.sheet, rows_of(crops, asked.times, asked.seed))
    return len(crops)
