"""Each stage alone on all cores, the pipeline whole, and the ratio of the two.

The best possible: with no waiting and no overhead at all, a machine whose cores do everything would take the sum of all
stages' core-seconds divided by the cores. Core-seconds are measured with every core in the same stage at once, so that
they share caches and memory as they must. A GPU works beside the cores: there the best possible is the slower of the
network alone on it and everything else alone on the cores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from archivecolor import files, photo
from archivecolor.bench.memory import peak_megabytes, reset_peak
from archivecolor.errors import PictureError
from archivecolor.imaging.merge import BAND_PIXELS, STRIP_PIXELS, LuminanceMerge, merge_rows
from archivecolor.inference.colorizer import ColorizedImage, Colorizer
from archivecolor.options import BenchOptions, ColorizerOptions, RunOptions
from archivecolor.photo import Photo
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.photo import ColorizedPage, disclosed_photo, is_monochrome
from archivecolor.pipeline.runner import work
from archivecolor.provenance import DONE, Manifest, Record

STAGES = ("decode", "look", "network", "lightness", "paint", "encode", "hash")
"""`look`: is it in colour, and the small copy; `paint`: colours spread onto L* and merged with it; `hash`: SHA-256 of
source and result."""


@dataclass(frozen=True)
class Measured:
    """One model on one group of pictures."""

    model: str
    group: str
    device: str
    precision: str
    cores: int
    pictures: int
    megapixels: float
    """Of all pictures together."""
    stages: dict[str, float]
    """Core-seconds of each stage for all pictures; of the network, on a GPU, the GPU's seconds."""
    whole_s: float
    """The pipeline's own time for all pictures, from the first file opened to the last row written."""
    best_possible_s: float
    peak_megabytes: float
    """Of the process while the pipeline worked; 0 where the system does not tell."""

    @property
    def ratio(self) -> float:
        """1 when the pipeline loses nothing."""
        return self.best_possible_s / self.whole_s

    @property
    def pictures_per_second(self) -> float:
        return self.pictures / self.whole_s


def measure(paths: list[Path], group: str, model: str, asked: BenchOptions, here: Path) -> Measured:
    """Measures one model on some pictures; `here` is an empty folder for the results.

    Raises:
        PictureError: one of the pictures cannot be coloured.
    """
    # all are held in memory, in the stages and in the whole, so that the two do the same work
    options = RunOptions(inputs=tuple(map(str, paths)), out=here, model=model, recolor=True, strips_above=math.inf)
    with Colorizer(
        model, ColorizerOptions(device=asked.device, precision=asked.precision, engine=asked.engine)
    ) as colorizer:
        whole(paths[:1], colorizer, options, here / "warm")
        reset_peak()
        whole_s = whole(paths, colorizer, options, here / "whole")
        peak = peak_megabytes()
        cores = joblib.cpu_count()
        stages, megapixels = alone(paths, colorizer, options, here / "alone", cores)
        seconds = dict.fromkeys(STAGES, 0.0)
        for name, value in stages:
            seconds[name] += value
        on_gpu = colorizer.device.type != "cpu"
        others = sum(value for name, value in seconds.items() if not (on_gpu and name == "network")) / cores
        best = max(others, seconds["network"] if on_gpu else 0.0)
        return Measured(
            colorizer.card.name,
            group,
            str(colorizer.device),
            colorizer.precision,
            cores,
            len(paths),
            megapixels,
            seconds,
            whole_s,
            best,
            peak,
        )


def whole(paths: list[Path], colorizer: Colorizer, options: RunOptions, out: Path) -> float:
    """Seconds of the pipeline for these pictures, weights already loaded."""
    todo = [Job(path, f"{i:06}{path.suffix}", out / f"{i:06}{path.suffix}") for i, path in enumerate(paths)]
    with Manifest(out) as manifest:
        started = time.perf_counter()
        for _, outcome in work(todo, colorizer, replace(options, out=out), manifest, RunObserver()):
            check(outcome)
            if isinstance(outcome, Record):
                manifest.append(outcome)
        return time.perf_counter() - started


def check(outcome: Record | Exception | None) -> None:
    """Raises what a picture that was not coloured has to say: a measurement without it would be wrong."""
    if isinstance(outcome, Exception):
        raise outcome
    if outcome is not None and outcome.status != DONE:
        raise PictureError(f"{outcome.source}: {outcome.reason}")


def alone(
    paths: list[Path], colorizer: Colorizer, options: RunOptions, out: Path, cores: int
) -> tuple[list[tuple[str, float]], float]:
    """(stage, seconds of one thread) of every picture, with `cores` threads in the same stage; and all megapixels."""
    out.mkdir(parents=True)
    threads = joblib.Parallel(cores, backend="threading")
    seconds: list[tuple[str, float]] = []
    megapixels = 0.0
    for at in range(0, len(paths), 2 * cores):  # a few at a time, so that their memory stays bounded
        pictures = [_Picture(path, colorizer, options, out) for path in paths[at : at + 2 * cores]]
        for step in (_Picture.decode, _Picture.look, _Picture.paint, _Picture.encode, _Picture.hash):
            for found in threads(joblib.delayed(step)(picture) for picture in pictures):
                seconds += found
        megapixels += (
            sum(page.samples.shape[0] * page.samples.shape[1] for picture in pictures for page in picture.source.pages)
            / 1e6
        )
    return seconds, megapixels


class _Picture:
    """One picture on its way through the stages, each of which gives (stage, seconds)."""

    def __init__(self, path: Path, colorizer: Colorizer, options: RunOptions, out: Path) -> None:
        self.path, self.colorizer, self.options = path, colorizer, options
        self.target = out / path.name
        self.source: Photo
        self.paintings: list[LuminanceMerge] = []
        self.painted: list[ColorizedPage | None] = []

    def decode(self) -> list[tuple[str, float]]:
        torch.set_num_threads(1)
        seconds, self.source = timed(lambda: photo.read(self.path, self.options.max_megapixels))
        return [("decode", seconds)]

    def look(self) -> list[tuple[str, float]]:
        started = time.thread_time()  # waiting for the network's threads does not count
        for page in self.source.pages:
            is_monochrome(page)
            self.paintings.append(self.colorizer.prepare(page.samples, page.icc, page.orientation))
        look = time.thread_time() - started
        return [("look", look), ("network", sum(painting.network_seconds for painting in self.paintings))]

    def paint(self) -> list[tuple[str, float]]:
        seconds = []
        for page, painting in zip(self.source.pages, self.paintings, strict=True):
            seconds += full_size(page.samples, painting)
            rgb, worst = painting.rows(page.samples, 0)
            self.painted.append(ColorizedImage(rgb, worst))
        return seconds

    def encode(self) -> list[tuple[str, float]]:
        kind = photo.writable_format(self.source, "same")
        seconds, _ = timed(
            lambda: photo.write(
                self.target,
                disclosed_photo(self.source, self.painted, self.colorizer, kind, self.options.disclosure),
                kind,
                self.options.quality,
                TOOL,
            )
        )
        return [("encode", seconds)]

    def hash(self) -> list[tuple[str, float]]:
        seconds, _ = timed(lambda: (files.sha256(self.path), files.sha256(self.target)))
        self.paintings, self.painted = [], []
        self.target.unlink()
        return [("hash", seconds)]


def full_size(samples: Any, painting: LuminanceMerge) -> list[tuple[str, float]]:
    """The two parts of the full-size pass on one thread, in bands and strips as the pass itself goes."""
    seconds = dict.fromkeys(("lightness", "paint"), 0.0)
    tall, step = (max(1, pixels // samples.shape[1]) for pixels in (BAND_PIXELS, STRIP_PIXELS))
    with torch.inference_mode():
        for begin in range(0, len(samples), tall):
            end = min(begin + tall, len(samples))
            band_s, band = timed(partial(painting.spread.band, begin, end - begin))
            seconds["paint"] += band_s
            for top in range(begin, end, step):
                light_s, light = timed(partial(painting.lightness_of, samples[top : min(top + step, end)]))
                paint_s, _ = timed(partial(merge_rows, band, light, top, np.empty((*light.shape, 3), samples.dtype)))
                seconds["lightness"] += light_s
                seconds["paint"] += paint_s
    return list(seconds.items())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of them."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
