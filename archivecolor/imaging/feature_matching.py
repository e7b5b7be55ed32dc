"""Finds the colours of a picture in reference pictures that show alike things, by attention over feature maps.

Exemplar-based colorization (He et al. 2018, "Deep exemplar-based colorization") without training: each cell of a grid
is described by the feature maps of an encoder, by its lightness and, weakly, by its place. The colour of a cell is the
mean of the cells of the references, weighted by the softmax of minus their squared distance. The distance to the
nearest cell says how far this can be trusted: things that no reference shows are far from everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from archivecolor.imaging import guided_filter
from archivecolor.imaging.arrays import BoolArray, FloatArray
from archivecolor.imaging.propagation import ReferenceColors
from archivecolor.imaging.resize import resize

CELL = 8
"""Side of a cell in pixels of the network's input."""
LIGHTNESS_WEIGHT = 0.05
"""Per L*. The features of a cell have a length of about 1 for each map."""
PLACE_WEIGHT = 0.8
"""For the whole height or width of the picture."""
TEMPERATURE = 0.1
ALIKE, UNLIKE = 1.2, 1.8
"""Squared distance to the nearest cell, up to which its colour is certain, and from which on it says nothing. In one
scene most are below the first; between scenes 99 of 100 are above 1.6."""
LATER_PENALTY = 0.25
"""Added to the distances of each further reference, so that one of several that look alike decides, and not their
mean."""
_SHORTEST = 0.3
"""Feature vectors shorter than this share of the mean are not stretched to unit length: they are noise."""


@dataclass(frozen=True)
class CellDescriptors:
    """The cells of one picture, row by row."""

    vectors: FloatArray
    """(n, D)."""
    rows: int
    columns: int


def describe_cells(maps: Sequence[FloatArray], lightness: FloatArray) -> CellDescriptors:
    """The descriptors of a picture's cells.

    Args:
        maps: (C, h', w') feature maps of the padded picture, of different sizes; the first has a value for each cell.
        lightness: L* (h, w) of the picture, not padded.
    """
    rows, columns = (-(-side // CELL) for side in lightness.shape)
    net_rows, net_columns = maps[0].shape[1:]
    parts = [_normalized(_resized(values, net_rows, net_columns)[:, :rows, :columns]) for values in maps]
    parts.append(LIGHTNESS_WEIGHT * to_cells(lightness[None]))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    parts.append(np.asarray(PLACE_WEIGHT * np.stack([y / rows, x / columns]), np.float32))
    vectors = np.concatenate(parts).reshape(-1, rows * columns).T
    return CellDescriptors(np.ascontiguousarray(vectors, np.float32), rows, columns)


def _resized(maps: FloatArray, height: int, width: int) -> FloatArray:
    if maps.shape[1:] == (height, width):
        return maps
    return np.stack([resize(plane, height, width) for plane in maps])


def _normalized(maps: FloatArray) -> FloatArray:
    """Feature maps (C, h, w) without their means, as vectors of about unit length."""
    centred = maps - maps.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=0))
    root_mean_square = np.sqrt(np.square(length).mean()) + np.float32(1e-6)
    return np.asarray(centred / np.maximum(length, _SHORTEST * root_mean_square), np.float32)


def to_cells(maps: FloatArray) -> FloatArray:
    """(C, h, w) -> the means of the cells (C, rows, columns)."""
    padded = _padded(maps)
    count, height, width = padded.shape
    cells = padded.reshape(count, height // CELL, CELL, width // CELL, CELL)
    return np.asarray(cells.mean(axis=(2, 4)), np.float32)


def _padded(maps: FloatArray) -> FloatArray:
    """(C, h, w), continued to whole cells."""
    down, right = (-side % CELL for side in maps.shape[1:])
    return np.pad(maps, ((0, 0), (0, down), (0, right)), mode="edge")


def attend(
    cells: CellDescriptors,
    lightness: FloatArray,
    references: Sequence[tuple[CellDescriptors, ReferenceColors]],
) -> ReferenceColors:
    """The colours of a picture by likeness, and how sure they are, as the mask.

    Args:
        cells: of the picture.
        lightness: L* (h, w) of the picture.
        references: the descriptors and colours of each, of the same size; the most likely one first.
    """
    keys = np.concatenate([reference.vectors for reference, _ in references])
    values, counted = zip(*(_cell_colors(colors) for _, colors in references), strict=True)
    rank = np.repeat(np.arange(len(references), dtype=np.float32), [len(part) for part in counted])
    excluded = np.where(np.concatenate(counted), np.float32(0), np.float32(np.inf))
    ab, nearest = _softmax_mean(cells.vectors, keys, np.concatenate(values), excluded, LATER_PENALTY * rank)
    shape = cells.rows, cells.columns
    confidence = ((UNLIKE - nearest) / (UNLIKE - ALIKE)).clip(0, 1).reshape(shape).astype(np.float32)
    return ReferenceColors(_to_pixels(ab.T.reshape(2, *shape), lightness), _smooth_to_pixels(confidence, lightness))


def newness(cells: CellDescriptors, other: CellDescriptors) -> FloatArray:
    """How far each cell of a picture (n,) shows what another picture does not: 0 to 1."""
    nothing = np.zeros((len(other.vectors), 2), np.float32)
    _, nearest = _softmax_mean(cells.vectors, other.vectors, nothing, nothing[:, 0], nothing[:, 0])
    return np.asarray(((nearest - ALIKE) / (UNLIKE - ALIKE)).clip(0, 1), np.float32)


def _cell_colors(colors: ReferenceColors) -> tuple[FloatArray, BoolArray]:
    """ab of a reference's cells (n, 2), and whether they count (n,)."""
    weight = to_cells(colors.mask[None])
    ab = to_cells(colors.ab * colors.mask) / np.maximum(weight, 1e-6)
    return ab.reshape(2, -1).T.astype(np.float32), weight.ravel() >= 0.5


@torch.inference_mode()
def _softmax_mean(
    queries: FloatArray, keys: FloatArray, values: FloatArray, excluded: FloatArray, penalty: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The values (n, 2) that the queries (n, D) attend to, and the squared distance (n,) to the nearest key.

    Args:
        keys: (m, D).
        values: (m, 2).
        excluded: (m,): infinite for keys that do not count, else 0.
        penalty: (m,), added to the squared distances; it does not count in the nearest one.
    """
    one, other = torch.from_numpy(queries), torch.from_numpy(keys)
    bias = other.square().sum(dim=1) + torch.from_numpy(excluded)
    distance = torch.addmm(bias[None], one, other.T, alpha=-2)  # without the queries' own squares
    nearest = distance.amin(dim=1) + one.square().sum(dim=1)
    distance += torch.from_numpy(penalty)
    mean = torch.softmax(distance.mul_(-1 / TEMPERATURE), dim=1) @ torch.from_numpy(values)
    finite = torch.isfinite(nearest)
    return torch.where(finite[:, None], mean, 0).numpy(), torch.where(finite, nearest, UNLIKE).numpy()


def _to_pixels(ab: FloatArray, lightness: FloatArray) -> FloatArray:
    """ab of cells -> ab (2, h, w) that stops at the edges of L* (h, w)."""
    height, width = lightness.shape
    padded = _padded(lightness[None])[0]
    upsampled = guided_filter.upsample_chroma(
        to_cells(lightness[None])[0], ab, padded.shape[0], padded.shape[1], radius=1
    )
    return upsampled.rows(torch.from_numpy(padded), 0).numpy()[:, :height, :width]


def _smooth_to_pixels(cells: FloatArray, lightness: FloatArray) -> FloatArray:
    """Values of cells -> (h, w)."""
    height, width = _padded(lightness[None]).shape[1:]
    wide = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32)[: lightness.shape[0], : lightness.shape[1]]
