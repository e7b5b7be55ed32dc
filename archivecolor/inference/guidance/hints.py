"""Colours pinned to places, which spread as far as lightness is even and stop at edges.

After Yatziv and Sapiro (2006), "Fast image and video colorization using chrominance blending": how much of a hint a
pixel gets depends on its geodesic distance, the least change of lightness on any way to it. Their colours come from
hints alone; here the network's answer holds wherever no hint reaches. Steps are squared, so that a soft shadow of 20 L*
over many pixels costs far less than an outline of 20 L* over one or two.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from archivecolor.imaging import lab
from archivecolor.imaging.arrays import DoubleArray, FloatArray

STEP_L = 6.0
"""A step of this many L* between neighbours is a distance of 1, which takes a hint down to 1/e."""
ORDINARY_RANGE = 40.0
"""L* between the 1st and 99th percentile, below which a faded picture's edges count for more."""
REACH = 600.0
"""So many pixels of perfectly even tone do the same, on a map of `MAP_SIDE`²: a sky is coloured whole."""
MAP_SIDE = 256.0
NOTHING = 3.0
"""Beyond this distance a hint counts for nothing (e^-9); the search ends there."""


def ab_of(colour: str) -> tuple[float, float]:
    """`#rrggbb` -> a and b, Lab units. Its lightness does not matter: the picture keeps its own."""
    rgb = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    _, a, b = lab.lab_from_srgb(rgb.view(3, 1, 1)).flatten().tolist()
    return a, b


def pinned(
    lightness: FloatArray, ab: FloatArray, places: Sequence[tuple[int, int]], colours: Sequence[tuple[float, float]]
) -> FloatArray:
    """The map with the colours pinned to their places.

    Args:
        lightness: L* (h, w).
        ab: (2, h, w), Lab units.
        places: (row, column) of each hint.
        colours: (a, b) of each hint.
    """
    away = distances(lightness, places)
    share = 1 / (away + 1e-3) ** 2
    wanted = np.einsum("nc,nhw->chw", np.asarray(colours), share / share.sum(axis=0))
    nearest = away.min(axis=0)
    hold = np.where(nearest < NOTHING, np.exp(-(nearest**2)), 0)  # flat near the hint, steep at an edge
    return np.asarray(ab + hold * (wanted - ab), np.float32)


def distances(lightness: FloatArray, places: Sequence[tuple[int, int]]) -> DoubleArray:
    """Geodesic distance of every pixel from each place: (N, h, w), at most `NOTHING`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    h, w = lightness.shape
    scale = float(np.sqrt(h * w)) / MAP_SIDE  # a finer map spreads the same edge over more steps
    # Grain is no edge; the bilateral filter takes it out and leaves the outlines.
    low, high = np.percentile(lightness, (1, 99))
    step = STEP_L * min(1.0, max(float(high - low), 5.0) / ORDINARY_RANGE)
    even = cv2.bilateralFilter(np.ascontiguousarray(lightness, np.float32), 5, step, 2.0)
    number = np.arange(h * w).reshape(h, w)
    ends, costs = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, h - down), slice(max(0, -right), w - max(0, right)))
        there = (slice(down, h), slice(max(0, right), w - max(0, -right)))
        length = float(np.hypot(down, right))
        steep = (even[there] - even[here]).astype(np.float64) / step
        ends.append(np.stack([number[here].ravel(), number[there].ravel()]))
        costs.append((scale * steep**2 / length + length / (REACH * scale)).ravel())
    (one, other), cost = np.concatenate(ends, axis=1), np.concatenate(costs)
    graph = coo_array((cost, (one, other)), shape=(h * w, h * w)).tocsr()
    found = dijkstra(graph, directed=False, indices=[number[p] for p in places], limit=NOTHING)
    return np.minimum(found, NOTHING).reshape(len(places), h, w)
