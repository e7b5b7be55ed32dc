"""Luminance in memory -> colour in memory. It opens no file.

The full-size L* goes round the network. The network sees a small copy and predicts a small map of ab. That map is
upsampled along the edges of the untouched L* (`imaging/guided_filter.py`) and merged with it (`imaging/merge.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import cv2
import joblib
import numpy as np
import torch
from torch import nn

from archivecolor import weights
from archivecolor.imaging import guided_filter, lab, luminance, stereo, tiling
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.imaging.resize import resize
from archivecolor.imaging.scan_layout import ScanLayout, find_layout
from archivecolor.inference import devices
from archivecolor.inference.batching import DTYPES, BatchScheduler
from archivecolor.inference.confidence import confidence_from, median_disagreement, mirror_disagreement
from archivecolor.inference.features import FeatureExtractor
from archivecolor.inference.guidance import apply_guidance, neutral_windows, resolves_hints
from archivecolor.inference.openvino import OpenVinoNetwork
from archivecolor.networks import STRIDES
from archivecolor.networks.folded import fold_norms
from archivecolor.networks.fused import Fused, fusible
from archivecolor.options import ColorizerOptions, ColorOptions, Engine, Hint, require

RICH_DETAIL = 0.20
"""Tiles are used when the network's small copy loses more than this share of a picture's contrast."""
SHEET_SIDE = 256
"""Mounts and grey scales are looked for in a copy of about the square of this, in pixels."""
HINT_GRID_SCALES = (2, 4)
"""Hints spread on the network's map. If that map does not resolve what they point at, a grid with this many times its
rows and columns is used. The finest grid is not used at once: it shows every seam of a coat, and a hint stops at
edges."""

Thumbnail = Callable[[int, int], FloatArray]
"""(height, width) -> L* of the upright picture, reduced to this size."""
NetworkInput = tuple[FloatArray, tiling.NetworkSize]
"""L* (h, w) and the size at which the network sees it."""


@dataclass(frozen=True)
class ColorizedImage:
    """A coloured picture and its measurements."""

    rgb: Samples
    """sRGB (H, W, 3), uint8 or uint16 as the source."""
    max_delta_l: float
    """Largest |ΔL*| between source and result over all pixels, after rounding to the output's depth."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage: `network` (the picture's share of its batches), `wait` (for the network, and reducing the scan),
    `spread` (upsampling, merging and measuring)."""
    confidence: float | None = None
    """0 to 1 (`confidence.confidence_from`), if requested."""
    notes: tuple[str, ...] = ()
    """What was left without colour, in words."""


@dataclass(frozen=True)
class Prediction:
    """What the network predicts for one picture. `Colorizer.guide` turns it into colours. That is fast, and is
    repeated when a person changes the strength, the palette or the hints."""

    lightness: FloatArray
    """L* (h, w) of the small copy, upright."""
    ab: FloatArray
    """(2, h, w), Lab units, on the same grid."""
    confidence: float | None
    """0 to 1, if requested."""
    network_seconds: float
    to_lightness: Callable[[Samples], FloatArray]
    """Samples of the picture -> their L*."""
    thumbnail_luminance: Thumbnail
    copy_pixels: int
    """Pixels of the copy from which thumbnails are made."""
    size: tuple[int, int]
    """(height, width) of the picture itself, as stored."""
    orientation: int
    layout: ScanLayout | None = None
    """Where the photographs are, on the grid of `lightness`; None where the whole scan is coloured."""


class Colorizer:
    """Colours pictures in memory. Safe to call from several threads; their pictures share the network's batches.

    Args:
        model: a shipped name (`lite`, `resnet18`) or a weights folder.
        options: colours, device, precision, engine and batch; a `RunOptions` will do.

    Raises:
        WeightsError: the weights are missing or damaged.
        UsageError: the device or precision does not exist here.
        MissingDependencyError: the engine is not installed.
    """

    def __init__(
        self, model: str | Path = weights.DEFAULT_MODEL, options: ColorizerOptions = ColorizerOptions()
    ) -> None:
        self.color = options.color
        self.device = devices.choose_device(options.device)
        self.precision = devices.choose_precision(options.precision, self.device)
        devices.activate(self.device)
        with devices.single_thread():
            network, self.card = weights.load(weights.find(str(model)))
            self.stride = STRIDES[self.card.network]
            self._features = FeatureExtractor(network)
            self.engine = self._make_scheduler(network, options)
        self._confidence, self._median_disagreement = options.confidence, median_disagreement(self.card.numbers)
        self._threads = ThreadPoolExecutor(joblib.cpu_count(), "archivecolor-spread", torch.set_num_threads, (1,))

    def _make_scheduler(self, network: nn.Module, options: ColorizerOptions) -> BatchScheduler:
        """Starts the network in the form that is fastest on this device."""
        if options.engine == Engine.OPENVINO:
            require(self.device.type == "cpu", "--engine openvino: it computes on CPUs; add --device cpu")
            network = OpenVinoNetwork(network, self.precision, self.stride)
        elif self.device.type == "cpu" and fusible(network):
            network = Fused(network, DTYPES[self.precision])
        elif self.device.type == "cuda":
            network = fold_norms(network)
        return BatchScheduler(network, self.device, self.precision, options.batch, side=self.color.size)

    def __enter__(self) -> Colorizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the threads."""
        self.engine.close()
        self._threads.shutdown()

    def colorize(self, samples: Samples, icc: bytes | None = None, orientation: int = 1) -> Samples:
        """Grey (H, W) or RGB (H, W, 3), uint8 or uint16 -> sRGB (H, W, 3) of the same depth and the same L*.

        Args:
            icc: the ICC profile of the samples; None means sRGB.
            orientation: EXIF orientation of the samples. The network sees them upright; the result stays as stored.

        Raises:
            ValueError: the array has another shape or type.
            TypeError: it is no array.
        """
        return self.colorize_image(samples, icc, orientation).rgb

    def colorize_image(self, samples: Samples, icc: bytes | None = None, orientation: int = 1) -> ColorizedImage:
        """Like `colorize`, with the measurements."""
        started = time.perf_counter()
        merge = self.predict_colors(samples, icc, orientation)
        predicted = time.perf_counter()
        rgb, max_delta_l = merge.whole(samples, self._threads)
        wait = max(0.0, predicted - started - merge.network_seconds)
        seconds = {"network": merge.network_seconds, "wait": wait, "spread": time.perf_counter() - predicted}
        return ColorizedImage(rgb, max_delta_l, seconds, merge.confidence, merge.notes)

    def predict_colors(
        self, samples: Samples, icc: bytes | None = None, orientation: int = 1, size: tuple[int, int] | None = None
    ) -> LuminanceMerge:
        """Predicts a picture's colours. The result merges them with its rows.

        Args:
            samples, icc, orientation: as in `colorize`. A reduced copy is enough if its short side is at least
                `2 * color.size` (or that of the picture, where that is smaller).
            size: (height, width) of the picture itself, as stored; by default that of `samples`.

        Raises:
            ValueError: the array has another shape or type.
            PictureError: a hint lies outside the picture.
        """
        return self.guide(self.predict(samples, icc, orientation, size), self.color)

    def predict(
        self, samples: Samples, icc: bytes | None = None, orientation: int = 1, size: tuple[int, int] | None = None
    ) -> Prediction:
        """The network's part of `predict_colors`: before strength, palette and hints."""
        _check_samples(samples)
        to_lightness = luminance.lightness_function(samples.dtype, samples.ndim == 2, icc)
        network_seconds: list[float] = []
        turned = orientation >= 5  # rows and columns change places

        def thumbnail_luminance(height: int, width: int) -> FloatArray:
            """L* (height, width) of the upright picture, reduced to this size."""
            stored = (width, height) if turned else (height, width)
            return np.ascontiguousarray(to_upright(to_lightness(resize(samples, *stored)), orientation))

        copy_height, copy_width = samples.shape[1::-1] if turned else samples.shape[:2]
        lightness, ab, confidence = self._predict_small_ab(
            copy_height, copy_width, thumbnail_luminance, network_seconds
        )
        copy_pixels = copy_height * copy_width
        layout = None if self.color.whole_sheet else _layout_of(lightness, thumbnail_luminance, copy_pixels)
        for pair in layout.pairs if layout else ():
            ab = stereo.unify(lightness, ab, pair)
        return Prediction(
            lightness,
            ab,
            confidence,
            sum(network_seconds),
            to_lightness,
            thumbnail_luminance,
            copy_pixels,
            size or samples.shape[:2],
            orientation,
            layout,
        )

    def guide(self, prediction: Prediction, color: ColorOptions) -> LuminanceMerge:
        """Applies strength, palette, hints and neutral regions to a prediction. They may be others than those of this
        colorizer.

        Raises:
            PictureError: a hint or a region lies outside the picture.
        """
        height, width = prediction.size
        upright = (width, height) if prediction.orientation >= 5 else (height, width)
        finer = partial(_ab_for_hints, prediction, color.photo_hints, upright)
        layout = prediction.layout
        photograph = layout.photograph if layout and layout.non_photographs else None
        lightness, ab = apply_guidance(color, prediction.lightness, prediction.ab, *upright, finer, photograph)
        lightness, ab = (to_stored(maps, prediction.orientation) for maps in (lightness, ab))
        chroma = guided_filter.upsample_chroma(lightness, ab, height, width, device=self.device)
        chroma = replace(chroma, neutral=neutral_windows(color.neutral, *upright, prediction.orientation))
        notes = layout.notes() if layout else ()
        return LuminanceMerge(prediction.to_lightness, chroma, prediction.network_seconds, prediction.confidence, notes)

    def _predict_small_ab(
        self, height: int, width: int, thumbnail_luminance: Thumbnail, network_seconds: list[float]
    ) -> tuple[FloatArray, FloatArray, float | None]:
        """Small L* (h, w), its ab (2, h, w) in Lab units, both upright, and the confidence. The seconds spent in the
        network are appended to `network_seconds`."""
        whole = self.network_size_for(height, width)
        guide = thumbnail_luminance(whole.height, whole.width)
        gain, offset = luminance.stretch_contrast(guide)
        ab, confidence = self._predict_whole(guide * gain + offset, whole, network_seconds)
        short_side = self._tiled_short_side(height, width, guide, thumbnail_luminance)
        if short_side:
            guide = thumbnail_luminance(*tiling.working_size(height, width, short_side, self.color.size))
            ab = self._predict_tiles(guide * gain + offset, ab, network_seconds)
        return guide, ab, confidence

    def _predict_whole(
        self, lightness: FloatArray, size: tiling.NetworkSize, network_seconds: list[float]
    ) -> tuple[FloatArray, float | None]:
        """ab (2, h, w) of the whole picture in one prediction, and the confidence if requested."""
        if not self._confidence:
            return self._predict_averaged([(lightness, size)], network_seconds)[0], None
        [(ab, mirrored)] = self._predict_with_mirror([(lightness, size)], network_seconds)
        [disagreement] = mirror_disagreement(ab[None], mirrored[None], lightness[None])
        confidence = confidence_from(float(disagreement), self._median_disagreement)
        return _average(ab, mirrored) if self.color.mirror else ab, confidence

    def network_size_for(self, height: int, width: int) -> tiling.NetworkSize:
        """The size at which the network sees an upright picture of these proportions."""
        return tiling.network_size(height, width, self.color.size, self.stride)

    def predict_ab(
        self, lightnesses: Sequence[FloatArray], size: tiling.NetworkSize, orientation: int = 1
    ) -> list[FloatArray]:
        """Small L* maps, as stored, whose upright size is `size.height` x `size.width` -> their ab (2, h, w) in Lab
        units, without `strength`. They go through the network together, one prediction each."""
        upright = [np.ascontiguousarray(to_upright(lightness, orientation)) for lightness in lightnesses]
        return [to_stored(ab, orientation) for ab in self._predict([(lightness, size) for lightness in upright], [])]

    def feature_maps(self, lightness: FloatArray, size: tiling.NetworkSize) -> list[FloatArray]:
        """What the network's encoder sees in a small upright L* (h, w): feature maps (C, H, W) at 1/8, 1/16 and 1/32 of
        the padded size; [] for a network without an encoder."""
        return self._features.maps(_network_input(lightness, size))

    def _tiled_short_side(
        self, height: int, width: int, guide: FloatArray, thumbnail_luminance: Thumbnail
    ) -> float | None:
        """The short side of the copy that is predicted in tiles; None if one prediction is enough."""
        size, short = self.color.size, min(height, width)
        if self.color.tiles == "never":
            return None
        if max(height, width) > tiling.TALL_OR_WIDE * short:
            return size
        rich = short >= 2 * size and _lost_detail(guide, thumbnail_luminance) > RICH_DETAIL
        return size * 1.5 if rich or self.color.tiles == "always" else None

    def _predict_tiles(self, lightness: FloatArray, whole_ab: FloatArray, network_seconds: list[float]) -> FloatArray:
        """ab (2, h, w) of a larger copy, predicted in overlapping tiles.

        A tile shows detail but not the scene. Its slowly varying colour is replaced by that of `whole_ab`, so that
        neighbouring tiles cannot disagree.
        """
        height, width = lightness.shape
        tiles = tiling.tile_windows(height, width, self.color.size)
        parts = [lightness[tile.top : tile.bottom, tile.left : tile.right] for tile in tiles]
        sizes = [self.network_size_for(*part.shape) for part in parts]
        inputs = [(resize(part, s.height, s.width), s) for part, s in zip(parts, sizes, strict=True)]
        predictions = self._predict_averaged(inputs, network_seconds)
        tile_abs = [_resized_maps(ab, *part.shape) for ab, part in zip(predictions, parts, strict=True)]
        stitched = tiling.stitch(tile_abs, tiles, height, width)
        difference = _resized_maps(whole_ab, height, width) - stitched
        return stitched + np.stack([cv2.GaussianBlur(d, (0, 0), self.color.size / 6) for d in difference])

    def _predict_averaged(self, inputs: list[NetworkInput], network_seconds: list[float]) -> list[FloatArray]:
        """`_predict`; with `color.mirror`, the average of the predictions for each input and its mirror image."""
        if not self.color.mirror:
            return self._predict(inputs, network_seconds)
        return [_average(ab, mirrored) for ab, mirrored in self._predict_with_mirror(inputs, network_seconds)]

    def _predict_with_mirror(
        self, inputs: list[NetworkInput], network_seconds: list[float]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """For each input its ab and the ab of its mirror image, mirrored back."""
        mirrored = [(lightness[:, ::-1], size) for lightness, size in inputs]
        predictions = self._predict([*inputs, *mirrored], network_seconds)
        pairs = zip(predictions[: len(inputs)], predictions[len(inputs) :], strict=True)
        return [(ab, mirrored_ab[..., ::-1]) for ab, mirrored_ab in pairs]

    def _predict(self, inputs: list[NetworkInput], network_seconds: list[float]) -> list[FloatArray]:
        """L* (h, w) with their network sizes -> ab (2, h, w), Lab units. All are submitted at once."""
        futures = [self.engine.submit(_network_input(lightness, size)) for lightness, size in inputs]
        predictions = [future.result() for future in futures]
        network_seconds.extend(future.seconds for future in futures)
        return [
            ab_net[:, : size.height, : size.width] * np.float32(lab.AB_SCALE)
            for ab_net, (_, size) in zip(predictions, inputs, strict=True)
        ]


def _network_input(lightness: FloatArray, size: tiling.NetworkSize) -> FloatArray:
    """L* (h, w) -> L/50 - 1 (H, W), padded."""
    padded = tiling.pad(lightness.clip(0, 100), size.net_height, size.net_width)
    return padded / np.float32(lab.L_SCALE) - 1


def _layout_of(lightness: FloatArray, thumbnail_luminance: Thumbnail, copy_pixels: int) -> ScanLayout:
    """The layout of the scan, on the grid of the small L*. A small grid is too coarse for the patches of a grey
    scale, so a finer one is read."""
    height, width = lightness.shape
    finer = max(1, round(SHEET_SIDE / (height * width) ** 0.5))
    if finer == 1 or height * width * finer**2 > copy_pixels:
        return find_layout(lightness)
    return find_layout(thumbnail_luminance(finer * height, finer * width)).downscaled(finer)


def _ab_for_hints(
    prediction: Prediction, hints: Sequence[Hint], size: tuple[int, int], ab: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Small L* and ab on the coarsest grid that resolves what the hints point at. No grid has more pixels than the copy
    from which thumbnails are made.

    Args:
        size: (height, width) of the picture itself, upright.
        ab: (2, h, w) on the grid of the prediction.
    """
    lightness = prediction.lightness
    sizes = [(lightness.shape[0] * scale, lightness.shape[1] * scale) for scale in HINT_GRID_SCALES]
    grids = [lightness, *(prediction.thumbnail_luminance(h, w) for h, w in sizes if h * w <= prediction.copy_pixels)]
    grid = next(grid for grid in grids if resolves_hints(hints, grid, grids[-1], *size))
    if grid is lightness:
        return lightness, ab
    return grid, guided_filter.upsample_chroma(lightness, ab, *grid.shape).rows(torch.from_numpy(grid), 0).numpy()


def _check_samples(samples: Samples) -> None:
    if isinstance(samples, str | Path):
        raise TypeError(
            f"{samples}: colorize() takes the samples of a picture, not its name; call colorize_file(source, "
            "destination), or archivecolor.run(source, out=folder) for many"
        )
    if not isinstance(samples, np.ndarray):
        raise TypeError(f"colorize() takes a numpy array, not {type(samples).__name__}; try numpy.asarray(image)")
    has_shape = samples.ndim == 2 or (samples.ndim == 3 and samples.shape[2] == 3)
    if not has_shape or samples.dtype not in (np.uint8, np.uint16) or 0 in samples.shape:
        raise ValueError(f"expected uint8 or uint16 of (H, W) or (H, W, 3), got {samples.dtype} of {samples.shape}")


def _average(ab: FloatArray, other: FloatArray) -> FloatArray:
    return np.asarray((ab + other) / 2, np.float32)


def _resized_maps(maps: FloatArray, height: int, width: int) -> FloatArray:
    return np.stack([resize(m, height, width) for m in maps])


def _lost_detail(guide: FloatArray, thumbnail_luminance: Thumbnail) -> float:
    """Share of the contrast at twice the network's size that is lost at its own size."""
    h, w = guide.shape
    double = thumbnail_luminance(2 * h, 2 * w)
    contrast = float(double.std())
    return float((double - cv2.resize(guide, (2 * w, 2 * h))).std()) / contrast if contrast > 1 else 0.0
