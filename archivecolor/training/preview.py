"""A sheet that shows what the network sees in training: photographs, and the same photographs aged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray
from archivecolor.options import PreviewOptions
from archivecolor.training import dataset, figures
from archivecolor.training.dataset import ReadRgb


def sheet_rows(crops: list[ByteArray], times: int, seed: int, mounts: float = 0.0) -> list[list[ByteArray]]:
    """Rows of tiles: the true pictures, the grey ones, and `times` rows of aged ones."""
    clean = dataset.to_batch(crops, [None] * len(crops))
    rows = [[*crops], _grey_tiles(clean.l_net)]
    for turn in range(times):
        drawn = [dataset.draw_aging(crop, 1.0, np.random.default_rng((seed, turn, i))) for i, crop in enumerate(crops)]
        laid = [
            dataset.draw_mount(crop, mounts, np.random.default_rng((seed, turn, i, 2)))
            for i, (crop, _) in enumerate(drawn)
        ]
        rows.append(_grey_tiles(dataset.to_batch(laid, [rng for _, rng in drawn]).l_net))
    return rows


def _grey_tiles(l_net: torch.Tensor) -> list[ByteArray]:
    rgb = lab.srgb_from_lab(lab.lab_from_net(l_net, torch.zeros_like(l_net).repeat(1, 2, 1, 1)))
    return [figures.to_uint8(picture) for picture in rgb]


def preview(options: PreviewOptions, read: ReadRgb, on_decoded: Callable[[int], None] = lambda count: None) -> int:
    """Writes the sheet from photographs evenly spaced over the source. Returns how many it shows.

    Raises:
        NoInputError: no photograph can be used.
    """
    paths = dataset.find(options.data)
    # Twice as many as needed, so that a few rejected ones leave no gaps.
    sample = [paths[i] for i in dataset.evenly_spaced(len(paths), 2 * options.count)]
    photos = dataset.load(sample, read, options.size, options.data, on_decoded)
    shown = dataset.evenly_spaced(len(photos), options.count)
    crops = [dataset.centre_crop(photos.pictures[i], options.size) for i in shown]
    figures.write_sheet(options.out, sheet_rows(crops, options.times, options.seed, options.mounts))
    return len(crops)
