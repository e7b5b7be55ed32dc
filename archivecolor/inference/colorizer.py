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

import cv2
import joblib
import numpy as np
import torch
from torch import nn

from archivecolor import weights
from archivecolor.imaging import guided_filter, lab, luminance, tiling
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.inference import devices
from archivecolor.inference.batching import DTYPES, BatchScheduler
from archivecolor.inference.confidence import confidence_from, median_disagreement, mirror_disagreement
from archivecolor.inference.guidance import apply_guidance, resolves_hints
from archivecolor.inference.openvino import OpenVinoNetwork
from archivecolor.networks import STRIDES
from archivecolor.networks.fused import Fused, fusible
from archivecolor.options import ColorOptions, require

RICH_DETAIL = 0.20
"""Share of a picture's contrast that the network's small copy loses, above which tiles show it more."""


FINER = (2, 4)
"""Hints spread on the network's map, or where that does not show what they point at, on one with so many times its rows
and columns. Not on the finest at once: it shows every seam of a coat, and a hint stops at edges."""


@dataclass(frozen=True)
class ColorizedImage:
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
        with devices.single_thread():
            network, self.card = weights.load(weights.find(str(model)))
            self.stride = STRIDES[self.card.network]
            self.engine = self._computing(network, engine, batch)
        self._confidence, self._ordinary_doubt = confidence, median_disagreement(self.card.numbers)
        self._threads = ThreadPoolExecutor(joblib.cpu_count(), "archivecolor-spread", torch.set_num_threads, (1,))

    def _computing(self, network: nn.Module, engine: str, batch: int) -> BatchScheduler:
        """The network in the form in which it is computed here, at work."""
        if engine == "openvino":
            require(self.device.type == "cpu", "--engine openvino: it computes on CPUs; add --device cpu")
            network = OpenVinoNetwork(network, self.precision, self.stride)
        elif self.device.type == "cpu" and fusible(network):
            network = Fused(network, DTYPES[self.precision])
        return BatchScheduler(network, self.device, self.precision, batch, side=self.options.size)

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

    def paint(self, samples: Samples, icc: bytes | None = None, orientation: int = 1) -> ColorizedImage:
        """`colorize`, with what was measured on the way."""
        started = time.perf_counter()
        painting = self.prepare(samples, icc, orientation)
        looked = time.perf_counter()
        rgb, worst = painting.whole(samples, self._threads)
        network = painting.network_seconds
        wait = max(0.0, looked - started - network)
        return ColorizedImage(rgb, worst, {"network": network, "wait": wait, "spread": time.perf_counter() - looked},
                       painting.confidence)  # fmt: skip

    def prepare(
        self, samples: Samples, icc: bytes | None = None, orientation: int = 1, size: tuple[int, int] | None = None
    ) -> LuminanceMerge:
        """Finds a picture's colours; they are yet to be spread onto its rows.

        Args:
            samples, icc, orientation: as in `colorize`; a reduced copy is enough, of any size that is at least
                `2 * options.size` on its short side (or the picture itself where that is smaller).
            size: (height, width) of the picture itself, as stored; that of `samples` when left out.

        Raises:
            ValueError: not such an array.
        """
        _check(samples)
        lightness_of = luminance.lightness_function(samples.dtype, samples.ndim == 2, icc)
        spent: list[float] = []
        height, width = size or samples.shape[:2]

        def look(height: int, width: int) -> FloatArray:
            """L* of the upright picture at this size."""
            seen = (height, width) if orientation < 5 else (width, height)
            return np.ascontiguousarray(to_upright(lightness_of(_resized(samples, *seen)), orientation))

        tall, wide = samples.shape[:2] if orientation < 5 else samples.shape[1::-1]
        guide, ab, confidence = self._small_colours(tall, wide, look, spent)
        seen = (height, width) if orientation < 5 else (width, height)
        guide, ab = apply_guidance(self.options, guide, ab, *seen, partial(self._finer, guide, look, tall * wide, seen))
        guide, ab = to_stored(guide, orientation), to_stored(ab, orientation)
        spread = guided_filter.upsample_chroma(guide, ab, height, width, device=self.device)
        return LuminanceMerge(lightness_of, spread, sum(spent), confidence)

    def _small_colours(
        self, height: int, width: int, look: Callable[[int, int], FloatArray], spent: list[float]
    ) -> tuple[FloatArray, FloatArray, float | None]:
        """The small L* (h, w) and its ab (2, h, w), Lab units, both upright, and the confidence. Seconds in the network
        go to `spent`."""
        small = tiling.network_size(height, width, self.options.size, self.stride)
        guide = look(small.height, small.width)
        gain, offset = luminance.stretch_contrast(guide)
        ab, confidence = self._whole(guide * gain + offset, small, spent)
        short = self._tiled_short_side(height, width, guide, look)
        if short:
            guide = look(*tiling.working_size(height, width, short, self.options.size))
            ab = self._tiled(guide * gain + offset, ab, spent)
        return guide, ab, confidence

    def _finer(
        self,
        guide: FloatArray,
        look: Callable[[int, int], FloatArray],
        most: int,
        seen: tuple[int, int],
        ab: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """The small L* and colours on the coarsest grid that shows what the hints point at.

        Args:
            most: pixels of the picture that is looked at.
            seen: (height, width) of the picture itself.
        """
        sides = [(guide.shape[0] * times, guide.shape[1] * times) for times in FINER]
        grids = [guide, *(look(h, w) for h, w in sides if h * w <= most)]
        fine = next(grid for grid in grids if resolves_hints(self.options.hints, grid, grids[-1], *seen))
        if fine is guide:
            return guide, ab
        return fine, guided_filter.upsample_chroma(guide, ab, *fine.shape).rows(torch.from_numpy(fine), 0).numpy()

    def _whole(
        self, look: FloatArray, frame: tiling.NetworkSize, spent: list[float]
    ) -> tuple[FloatArray, float | None]:
        """ab (2, h, w) of the one look at the whole, and the confidence where it is wanted."""
        if not self._confidence:
            return self._looked([(look, frame)], spent)[0], None
        [(ab, mirrored)] = self._both_ways([(look, frame)], spent)
        [doubted] = mirror_disagreement(ab[None], mirrored[None], look[None])
        sure = confidence_from(float(doubted), self._ordinary_doubt)
        return _mean(ab, mirrored) if self.options.mirror else ab, sure

    def frame_for(self, height: int, width: int) -> tiling.NetworkSize:
        """How small the network sees an upright picture of these proportions."""
        return tiling.network_size(height, width, self.options.size, self.stride)

    def colours(self, looks: Sequence[FloatArray], small: tiling.NetworkSize, orientation: int = 1) -> list[FloatArray]:
        """Small L* maps, as stored, that are upright `small.height` x `small.width` -> their ab (2, h, w), Lab units,
        without `strength`. They go through the network together, in one look each."""
        upright = [np.ascontiguousarray(to_upright(look, orientation)) for look in looks]
        return [to_stored(ab, orientation) for ab in self._ask([(look, small) for look in upright], [])]

    def _tiled_short_side(
        self, height: int, width: int, guide: FloatArray, look: Callable[[int, int], FloatArray]
    ) -> float | None:
        """The short side of the copy that is to be seen in tiles, or None when one look is enough."""
        size, short = self.options.size, min(height, width)
        if self.options.tiles == "never":
            return None
        if max(height, width) > tiling.TALL_OR_WIDE * short:
            return size
        rich = short >= 2 * size and _lost_detail(guide, look) > RICH_DETAIL
        return size * 1.5 if rich or self.options.tiles == "always" else None

    def _tiled(self, lightness: FloatArray, overall: FloatArray, spent: list[float]) -> FloatArray:
        """ab (2, h, w) of a larger copy, seen in overlapping tiles.

        A tile knows the grain of things but not the scene: its slow part of colour is replaced by that of the one look
        at the whole, so neighbouring tiles cannot disagree.
        """
        height, width = lightness.shape
        places = tiling.tile_windows(height, width, self.options.size)
        parts = [lightness[p.top : p.bottom, p.left : p.right] for p in places]
        frames = [tiling.network_size(*part.shape, self.options.size, self.stride) for part in parts]
        looks = [(_resized(part, f.height, f.width), f) for part, f in zip(parts, frames, strict=True)]
        answers = [_resized_maps(ab, *part.shape) for ab, part in zip(self._looked(looks, spent), parts, strict=True)]
        stitched = tiling.stitch(answers, places, height, width)
        missing = _resized_maps(overall, height, width) - stitched
        return stitched + np.stack([cv2.GaussianBlur(m, (0, 0), self.options.size / 6) for m in missing])

    def _looked(self, looks: list[tuple[FloatArray, tiling.NetworkSize]], spent: list[float]) -> list[FloatArray]:
        """`_ask`, or with `options.mirror` the average of the answers to each look and to its mirror image."""
        if not self.options.mirror:
            return self._ask(looks, spent)
        return [_mean(ab, mirrored) for ab, mirrored in self._both_ways(looks, spent)]

    def _both_ways(
        self, looks: list[tuple[FloatArray, tiling.NetworkSize]], spent: list[float]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """The answers to each look and to its mirror image, the latter turned back."""
        answers = self._ask([*looks, *((look[:, ::-1], frame) for look, frame in looks)], spent)
        pairs = zip(answers[: len(looks)], answers[len(looks) :], strict=True)
        return [(ab, mirrored[..., ::-1]) for ab, mirrored in pairs]

    def _ask(self, looks: list[tuple[FloatArray, tiling.NetworkSize]], spent: list[float]) -> list[FloatArray]:
        """L* (h, w) with their frames -> ab (2, h, w), Lab units; all wait in line together."""
        asked = [
            self.engine.submit(tiling.pad(look.clip(0, 100), f.net_height, f.net_width) / np.float32(lab.L_SCALE) - 1)
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


def _mean(one: FloatArray, other: FloatArray) -> FloatArray:
    return np.asarray((one + other) / 2, np.float32)


def _resized(picture: Samples, height: int, width: int) -> Samples:
    """Area average when it shrinks, linear when it grows: neither rings."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _resized_maps(maps: FloatArray, height: int, width: int) -> FloatArray:
    return np.stack([_resized(m, height, width) for m in maps])


def _lost_detail(guide: FloatArray, look: Callable[[int, int], FloatArray]) -> float:
    """Share of the contrast at twice the network's size that its own size does not show."""
    h, w = guide.shape
    double = look(2 * h, 2 * w)
    contrast = float(double.std())
    return float((double - cv2.resize(guide, (2 * w, 2 * h))).std()) / contrast if contrast > 1 else 0.0
