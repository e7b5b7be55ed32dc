"""Photographs in a device's memory, and crops of whole batches of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from archivecolor.imaging.arrays import ByteArray
from archivecolor.training.chance import Draws
from archivecolor.training.dataset import MIN_CROP

LARGEST_STRETCH = 0.08
"""A crop's height and width differ from a square's by at most this factor's exponential, either way."""


def packed_bytes(pictures: Sequence[ByteArray]) -> int:
    """The memory that pictures (H, W, 3) take as `PackedPhotos`."""
    return sum(4 * picture.shape[0] * picture.shape[1] for picture in pictures)


class PackedPhotos:
    """uint8 photographs of any sizes on a device: one int32 for each pixel, R + 256 G + 65536 B, one after the other.

    Args:
        pictures: uint8 (H, W, 3) each.
    """

    def __init__(self, pictures: Sequence[ByteArray], device: torch.device) -> None:
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
        counts = sizes.prod(axis=1)
        self._pixels = torch.empty(int(counts.sum()), dtype=torch.int32, device=device)
        starts = np.cumsum(counts) - counts
        for picture, start, count in zip(pictures, starts.tolist(), counts.tolist(), strict=True):
            rgb = torch.from_numpy(np.ascontiguousarray(picture)).to(device).view(-1, 3).int()
            self._pixels[start : start + count] = rgb[:, 0] | (rgb[:, 1] << 8) | (rgb[:, 2] << 16)
        self._starts = torch.from_numpy(starts).to(device)
        self._sizes = torch.from_numpy(sizes).to(device)
        self._longest_crop = math.ceil(int(sizes.min(axis=1).max()) * math.exp(LARGEST_STRETCH))

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def device(self) -> torch.device:
        return self._pixels.device

    def random_crops(self, chosen: Tensor, size: int, draws: Draws) -> Tensor:
        """Crops as `dataset.random_crop` makes them: (N, 3, size, size), sRGB in [0, 1].

        Args:
            chosen: (N,) numbers of photographs, on the device.
        """
        height, width = self._sizes[chosen].float().unbind(1)
        side = draws.between(MIN_CROP, 1.0).flatten() * torch.minimum(height, width)
        stretch = draws.between(-LARGEST_STRETCH, LARGEST_STRETCH).flatten().exp()
        h = torch.minimum(height, (side * stretch).round())
        w = torch.minimum(width, (side / stretch).round())
        top = (draws.between(0, 1).flatten() * (height - h + 1)).floor()
        left = (draws.between(0, 1).flatten() * (width - w + 1)).floor()
        crops = self.crops(chosen, torch.stack([top, left, h, w], dim=1), size)
        return torch.where(draws.chance(0.5), crops.flip(-1), crops)

    def crops(self, chosen: Tensor, boxes: Tensor, size: int) -> Tensor:
        """Rectangles of photographs, resized as `cv2.resize` does it: by area where both sides shrink, else linearly.

        Nothing is rounded to whole levels.

        Args:
            chosen: (N,) numbers of photographs.
            boxes: (N, 4) top, left, height, width in pixels: whole numbers, float32.

        Returns:
            (N, 3, size, size), sRGB in [0, 1].
        """
        taps = max(2, math.ceil(self._longest_crop / size) + 1)
        shrinks = (boxes[:, 2:].amin(dim=1) >= size)[:, None]
        (rows, row_weights), (columns, column_weights) = (
            _resize_taps(boxes[:, 2 + axis, None], size, taps, shrinks) for axis in (0, 1)
        )
        width = self._sizes[chosen, 1][:, None, None]
        rows = (rows + boxes[:, 0].long()[:, None, None]) * width + self._starts[chosen][:, None, None]
        columns = columns + boxes[:, 1].long()[:, None, None]
        shifts = torch.arange(0, 24, 8, dtype=torch.int32, device=boxes.device).view(3, 1, 1)
        total = boxes.new_zeros(len(boxes), 3, size, size)
        for i in range(taps):
            row = torch.zeros_like(total)
            for j in range(taps):
                packed = self._pixels[rows[:, i, :, None] + columns[:, j, None]]
                levels = ((packed[:, None] >> shifts) & 255).float()
                row += levels * column_weights[:, j, None, None]
            total += row * row_weights[:, i, None, :, None]
        return total / 255


def _resize_taps(length: Tensor, size: int, taps: int, shrinks: Tensor) -> tuple[Tensor, Tensor]:
    """The source pixels of each pixel along one axis, and their weights, whose sum is 1: (N, taps, size) each.

    Args:
        length: (N, 1), in source pixels.
        shrinks: (N, 1), bool: each pixel is the mean of the area that it covers, else linear between two pixels.
    """
    pixels = torch.arange(size, dtype=torch.float32, device=length.device)
    scale = length / size
    start = pixels * scale
    centre = (start + 0.5 * scale - 0.5).maximum(torch.zeros_like(start)).minimum(length - 1)
    first = torch.where(shrinks, start, centre).floor()
    places = first[:, None] + torch.arange(taps, dtype=torch.float32, device=length.device)[:, None]
    end = (start + scale)[:, None].minimum(length[:, None])
    area = torch.minimum(places + 1, end) - torch.maximum(places, start[:, None])
    linear = 1 - (places - centre[:, None]).abs()
    weights = torch.where(shrinks[:, None], area, linear).clamp_min(0)
    weights = torch.where(places < length[:, None], weights, 0.0)
    return places.minimum(length[:, None] - 1).long(), weights / weights.sum(dim=1, keepdim=True)
