"""Luminance in memory -> colour in memory. Knows no file.

The full-size L* goes round the network: the network sees a small copy and answers with a small map of ab, which is
spread onto the untouched L* and merged with it (`painting.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from archivecolor import chroma, devices, doubt, lab, orient, tiles, tone, weights
from archivecolor.engine import DTYPES, Engine
from archivecolor.guidance import guided, shows
from archivecolor.networks import STRIDES
from archivecolor.networks.fused import Fused, fusible
from archivecolor.openvino_network import OpenVinoNetwork
from archivecolor.options import ColorOptions, require
from archivecolor.painting import Painting

Samples = NDArray[Any]
Floats = NDArray[np.float32]

RICH_DETAIL = 0.20
"""Share of a picture's contrast that the network's small copy loses, above which tiles show it more."""


FINER = (2, 4)
"""Hints spread on the network's map, or where that does not show what they point at, on one with so many times its rows
and columns. Not on the finest at once: it shows every seam of a coat, and a hint stops at edges."""


@dataclass(frozen=True)
class Painted:
    """A coloured picture: sRGB samples (H, W, 3) of the source's depth, and what was measured while making it."""

    rgb: Samples
    max_delta_l: float
    """Largest |ΔL*| between source and result over all pixels, after rounding to the output's depth."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage: `network` (the picture's share of its batches), `wait` (for its turn there, and reducing the scan),
    `spread` (with merge and measurement)."""
    confidence: float | None = None
    """0 to 1 (`doubt.confidence`), where it was asked for."""


class Colorizer:
    """Colours pictures in memory; safe to call from several threads, whose pictures then share the network's batches.

    Args:
        model: a shipped name (`lite`, `resnet18`) or a weights folder.
        options: what decides the colours.
        device: `auto`, `cpu`, `cuda`, `cuda:n`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        batch: the largest number of pictures that go through the network together, on a GPU; 0: found by its memory.
        engine: `torch`, or `openvino` on a CPU.
        confidence: whether to ask about the mirror image too, to tell how sure the colours are.

    Raises:
        WeightsError: the weights are missing or damaged.
        UsageError: the device or precision does not exist here.
        MissingDependencyError: the engine is not installed.
    """

    def __init__(
        self,
        model: str | Path = weights.DEFAULT_MODEL,
        options: ColorOptions | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch: int = 0,
        engine: str = "torch",
        confidence: bool = False,
    ) -> None:
        self.options = options or ColorOptions()
        self.device = devices.choose_device(device)
        self.precision = devices.choose_precision(precision, self.device)
        with devices.one_thread():
            network, self.card = weights.load(weights.find(str(model)))
            self.stride = STRIDES[self.card.network]
            self.engine = self._computing(network, engine, batch)
        self._confidence, self._ordinary_doubt = confidence, doubt.ordinary(self.card.numbers)
        self._threads = ThreadPoolExecutor(joblib.cpu_count(), "archivecolor-spread", torch.set_num_threads, (1,))

    def _computing(self, network: nn.Module, engine: str, batch: int) -> Engine:
        """The network in the form in which it is computed here, at work."""
        if engine == "openvino":
            require(self.device.type == "cpu", "--engine openvino: it computes on CPUs; add --device cpu")
            network = OpenVinoNetwork(network, self.precision, self.stride)
        elif self.device.type == "cpu" and fusible(network):
            network = Fused(network, DTYPES[self.precision])
        return Engine(network, self.device, self.precision, batch, side=self.options.size)

    def __enter__(self) -> Colorizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads."""
        self.engine.close()
        self._threads.shutdown()

    def colorize(self, samples: Samples, icc: bytes | None = None, orientation: int = 1) -> Samples:
        """Grey (H, W) or RGB (H, W, 3), uint8 or uint16 -> sRGB (H, W, 3) of the same depth and the same L*.

        Args:
            icc: the ICC profile of the samples; None means sRGB.
            orientation: EXIF orientation of the samples; the network sees them upright, the result stays as stored.

        Raises:
            ValueError: not such an array.
        """
        return self.paint(samples, icc, orientation).rgb

    def paint(self, samples: Samples, icc: bytes | None = None, orientation: int = 1) -> Painted:
        """`colorize`, with what was measured on the way."""
        started = time.perf_counter()
        painting = self.prepare(samples, icc, orientation)
        looked = time.perf_counter()
        rgb, worst = painting.whole(samples, self._threads)
        network = painting.network_seconds
        wait = max(0.0, looked - started - network)
        return Painted(rgb, worst, {"network": network, "wait": wait, "spread": time.perf_counter() - looked},
                       painting.confidence)  # fmt: skip

    def prepare(
        self, samples: Samples, icc: bytes | None = None, orientation: int = 1, size: tuple[int, int] | None = None
    ) -> Painting:
        """Finds a picture's colours; they are yet to be spread onto its rows.

        Args:
            samples, icc, orientation: as in `colorize`; a reduced copy is enough, of any size that is at least
                `2 * options.size` on its short side (or the picture itself where that is smaller).
            size: (height, width) of the picture itself, as stored; that of `samples` when left out.

        Raises:
            ValueError: not such an array.
        """
        _check(samples)
        lightness_of = tone.lightness_reader(samples.dtype, samples.ndim == 2, icc)
        spent: list[float] = []
        height, width = size or samples.shape[:2]

        def look(height: int, width: int) -> Floats:
            """L* of the upright picture at this size."""
            seen = (height, width) if orientation < 5 else (width, height)
            return np.ascontiguousarray(orient.upright(lightness_of(_resized(samples, *seen)), orientation))

        tall, wide = samples.shape[:2] if orientation < 5 else samples.shape[1::-1]
        guide, ab, confidence = self._small_colours(tall, wide, look, spent)
        seen = (height, width) if orientation < 5 else (width, height)
        guide, ab = guided(self.options, guide, ab, *seen, partial(self._finer, guide, look, tall * wide, seen))
        guide, ab = orient.stored(guide, orientation), orient.stored(ab, orientation)
        spread = chroma.spread(guide, ab, height, width, device=self.device)
        return Painting(lightness_of, spread, sum(spent), confidence)

    def _small_colours(
        self, height: int, width: int, look: Callable[[int, int], Floats], spent: list[float]
    ) -> tuple[Floats, Floats, float | None]:
        """The small L* (h, w) and its ab (2, h, w), Lab units, both upright, and the confidence. Seconds in the network
        go to `spent`."""
        small = tiles.frame(height, width, self.options.size, self.stride)
        guide = look(small.height, small.width)
        gain, offset = tone.legible(guide)
        ab, confidence = self._whole(guide * gain + offset, small, spent)
        short = self._tiled_short_side(height, width, guide, look)
        if short:
            guide = look(*tiles.work_size(height, width, short, self.options.size))
            ab = self._tiled(guide * gain + offset, ab, spent)
        return guide, ab, confidence

    def _finer(
        self, guide: Floats, look: Callable[[int, int], Floats], most: int, seen: tuple[int, int], ab: Floats
    ) -> tuple[Floats, Floats]:
        """The small L* and colours on the coarsest grid that shows what the hints point at.

        Args:
            most: pixels of the picture that is looked at.
            seen: (height, width) of the picture itself.
        """
        sides = [(guide.shape[0] * times, guide.shape[1] * times) for times in FINER]
        grids = [guide, *(look(h, w) for h, w in sides if h * w <= most)]
        fine = next(grid for grid in grids if shows(self.options.hints, grid, grids[-1], *seen))
        if fine is guide:
            return guide, ab
        return fine, chroma.spread(guide, ab, *fine.shape).rows(torch.from_numpy(fine), 0).numpy()

    def _whole(self, look: Floats, frame: tiles.Frame, spent: list[float]) -> tuple[Floats, float | None]:
        """ab (2, h, w) of the one look at the whole, and the confidence where it is wanted."""
        if not self._confidence:
            return self._looked([(look, frame)], spent)[0], None
        [(ab, mirrored)] = self._both_ways([(look, frame)], spent)
        [doubted] = doubt.doubt(ab[None], mirrored[None], look[None])
        sure = doubt.confidence(float(doubted), self._ordinary_doubt)
        return _mean(ab, mirrored) if self.options.mirror else ab, sure

    def frame_for(self, height: int, width: int) -> tiles.Frame:
        """How small the network sees an upright picture of these proportions."""
        return tiles.frame(height, width, self.options.size, self.stride)

    def colours(self, looks: Sequence[Floats], small: tiles.Frame, orientation: int = 1) -> list[Floats]:
        """Small L* maps, as stored, that are upright `small.height` x `small.width` -> their ab (2, h, w), Lab units,
        without `strength`. They go through the network together, in one look each."""
        upright = [np.ascontiguousarray(orient.upright(look, orientation)) for look in looks]
        return [orient.stored(ab, orientation) for ab in self._ask([(look, small) for look in upright], [])]

    def _tiled_short_side(
        self, height: int, width: int, guide: Floats, look: Callable[[int, int], Floats]
    ) -> float | None:
        """The short side of the copy that is to be seen in tiles, or None when one look is enough."""
        size, short = self.options.size, min(height, width)
        if self.options.tiles == "never":
            return None
        if max(height, width) > tiles.TALL_OR_WIDE * short:
            return size
        rich = short >= 2 * size and _lost_detail(guide, look) > RICH_DETAIL
        return size * 1.5 if rich or self.options.tiles == "always" else None

    def _tiled(self, lightness: Floats, overall: Floats, spent: list[float]) -> Floats:
        """ab (2, h, w) of a larger copy, seen in overlapping tiles.

        A tile knows the grain of things but not the scene: its slow part of colour is replaced by that of the one look
        at the whole, so neighbouring tiles cannot disagree.
        """
        height, width = lightness.shape
        places = tiles.windows(height, width, self.options.size)
        parts = [lightness[p.top : p.bottom, p.left : p.right] for p in places]
        frames = [tiles.frame(*part.shape, self.options.size, self.stride) for part in parts]
        looks = [(_resized(part, f.height, f.width), f) for part, f in zip(parts, frames, strict=True)]
        answers = [_resized_maps(ab, *part.shape) for ab, part in zip(self._looked(looks, spent), parts, strict=True)]
        stitched = tiles.stitch(answers, places, height, width)
        missing = _resized_maps(overall, height, width) - stitched
        return stitched + np.stack([cv2.GaussianBlur(m, (0, 0), self.options.size / 6) for m in missing])

    def _looked(self, looks: list[tuple[Floats, tiles.Frame]], spent: list[float]) -> list[Floats]:
        """`_ask`, or with `options.mirror` the average of the answers to each look and to its mirror image."""
        if not self.options.mirror:
            return self._ask(looks, spent)
        return [_mean(ab, mirrored) for ab, mirrored in self._both_ways(looks, spent)]

    def _both_ways(self, looks: list[tuple[Floats, tiles.Frame]], spent: list[float]) -> list[tuple[Floats, Floats]]:
        """The answers to each look and to its mirror image, the latter turned back."""
        answers = self._ask([*looks, *((look[:, ::-1], frame) for look, frame in looks)], spent)
        pairs = zip(answers[: len(looks)], answers[len(looks) :], strict=True)
        return [(ab, mirrored[..., ::-1]) for ab, mirrored in pairs]

    def _ask(self, looks: list[tuple[Floats, tiles.Frame]], spent: list[float]) -> list[Floats]:
        """L* (h, w) with their frames -> ab (2, h, w), Lab units; all wait in line together."""
        asked = [
            self.engine.submit(tiles.pad(look.clip(0, 100), f.net_height, f.net_width) / np.float32(lab.L_SCALE) - 1)
            for look, f in looks
        ]
        answers = [answer.result() for answer in asked]
        spent.extend(answer.seconds for answer in asked)
        return [
            ab_net[:, : f.height, : f.width] * np.float32(lab.AB_SCALE)
            for ab_net, (_, f) in zip(answers, looks, strict=True)
        ]


def _check(samples: Samples) -> None:
    shaped = samples.ndim == 2 or (samples.ndim == 3 and samples.shape[2] == 3)
    if not shaped or samples.dtype not in (np.uint8, np.uint16) or 0 in samples.shape:
        raise ValueError(f"expected uint8 or uint16 of (H, W) or (H, W, 3), got {samples.dtype} of {samples.shape}")


def _mean(one: Floats, other: Floats) -> Floats:
    return np.asarray((one + other) / 2, np.float32)


def _resized(picture: Samples, height: int, width: int) -> Samples:
    """Area average when it shrinks, linear when it grows: neither rings."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _resized_maps(maps: Floats, height: int, width: int) -> Floats:
    return np.stack([_resized(m, height, width) for m in maps])


def _lost_detail(guide: Floats, look: Callable[[int, int], Floats]) -> float:
    """Share of the contrast at twice the network's size that its own size does not show."""
    h, w = guide.shape
    double = look(2 * h, 2 * w)
    contrast = float(double.std())
    return float((double - cv2.resize(guide, (2 * w, 2 * h))).std()) / contrast if contrast > 1 else 0.0
