"""Measures each stage alone on all cores, the whole pipeline, and the ratio of the two.

The best possible time has no waiting and no overhead. On a CPU it is the sum of the core-seconds of all stages, divided
by the number of cores. They are measured with all cores in the same stage at once, so that caches and memory are shared
as in a run. A GPU works beside the cores; there the best possible time is the longer of two: the network alone on the
GPU, or everything else on the cores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
import torch

from archivecolor import files, photo
from archivecolor.bench.memory import peak_megabytes, reset_peak
from archivecolor.errors import PictureError
from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.merge import BAND_PIXELS, STRIP_PIXELS, LuminanceMerge, merge_rows
from archivecolor.inference.colorizer import ColorizedImage, Colorizer
from archivecolor.options import AccessForm, BenchOptions, ColorizerOptions, RunOptions
from archivecolor.photo import Page, Photo
from archivecolor.pipeline import access_copies
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.photo import ColorizedPage, access_page, disclosed_photo, is_monochrome
from archivecolor.pipeline.runner import work
from archivecolor.provenance import DONE, Manifest, Record

Result = TypeVar("Result")
STAGES = ("decode", "thumbnail", "network", "lightness", "merge", "encode", "hash")
"""`thumbnail`: whether the picture is in colour, and its small copy; `merge`: chroma is upsampled and merged with L*;
`hash`: SHA-256 of source and output."""
ACCESS, ACCESS_FORM = "access", AccessForm("jpg", 2000)
"""A stage that only a run with --access has, and the copy that it writes here."""


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
    """Core-seconds of each stage for all pictures; for the network on a GPU, the GPU's seconds."""
    whole_s: float
    """The time of the pipeline for all pictures, from the first file opened to the last row written."""
    best_possible_s: float
    peak_megabytes: float
    """Of the process while the pipeline worked; 0 if the system does not report it."""
    access_s: float = 0.0
    """Core-seconds of one access copy of each picture, which `whole_s` is without."""

    @property
    def ratio(self) -> float:
        """1 if the pipeline loses no time."""
        return self.best_possible_s / self.whole_s

    @property
    def access_share(self) -> float:
        """The time that one access copy adds, as a share of the run's."""
        return self.access_s / self.cores / self.whole_s

    @property
    def pictures_per_second(self) -> float:
        return self.pictures / self.whole_s


def measure(paths: list[Path], group: str, model: str, options: BenchOptions, folder: Path) -> Measured:
    """Measures one model on some pictures; `folder` is an empty folder for the results.

    Raises:
        PictureError: a picture cannot be coloured.
    """
    # No picture is worked on in strips, so that the stages and the whole pipeline do the same work.
    run = RunOptions(inputs=tuple(map(str, paths)), out=folder, model=model, recolor=True, strips_above=math.inf)
    compute = ColorizerOptions(device=options.device, precision=options.precision, engine=options.engine)
    with Colorizer(model, compute) as colorizer:
        run_pipeline(paths[:1], colorizer, run, folder / "warm")
        reset_peak()
        whole_s = run_pipeline(paths, colorizer, run, folder / "whole")
        peak = peak_megabytes()
        cores = joblib.cpu_count()
        stages, megapixels = run_stages(paths, colorizer, run, folder / "alone", cores)
        seconds = dict.fromkeys((*STAGES, ACCESS), 0.0)
        for name, value in stages:
            seconds[name] += value
        access_s = seconds.pop(ACCESS)
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
            access_s,
        )


def run_pipeline(paths: list[Path], colorizer: Colorizer, options: RunOptions, out: Path) -> float:
    """The seconds that the whole pipeline takes for these pictures. The weights are already loaded."""
    todo = [Job(path, f"{i:06}{path.suffix}", out / f"{i:06}{path.suffix}") for i, path in enumerate(paths)]
    with Manifest(out) as manifest:
        started = time.perf_counter()
        for _, outcome in work(todo, colorizer, replace(options, out=out), manifest, RunObserver()):
            check(outcome)
            if isinstance(outcome, Record):
                manifest.append(outcome)
        return time.perf_counter() - started


def check(outcome: Record | Exception | None) -> None:
    """Raises an error for a picture that was not coloured: the measurement would be wrong without it."""
    if isinstance(outcome, Exception):
        raise outcome
    if outcome is not None and outcome.status != DONE:
        raise PictureError(f"{outcome.source}: {outcome.reason}")


def run_stages(
    paths: list[Path], colorizer: Colorizer, options: RunOptions, out: Path, cores: int
) -> tuple[list[tuple[str, float]], float]:
    """Runs every stage with `cores` threads in it.

    Returns:
        (stage, seconds of one thread) of every picture, and the megapixels of all pictures.
    """
    out.mkdir(parents=True)
    threads = joblib.Parallel(cores, backend="threading")
    seconds: list[tuple[str, float]] = []
    megapixels = 0.0
    for at in range(0, len(paths), 2 * cores):  # a few at a time, to bound the memory
        pictures = [_Picture(path, colorizer, options, out) for path in paths[at : at + 2 * cores]]
        steps = (_Picture.decode, _Picture.thumbnail, _Picture.merge, _Picture.encode, _Picture.access, _Picture.hash)
        for step in steps:
            for timings in threads(joblib.delayed(step)(picture) for picture in pictures):
                seconds += timings
        megapixels += (
            sum(page.samples.shape[0] * page.samples.shape[1] for picture in pictures for page in picture.source.pages)
            / 1e6
        )
    return seconds, megapixels


class _Picture:
    """One picture. Each method runs a stage and returns (stage, seconds)."""

    def __init__(self, path: Path, colorizer: Colorizer, options: RunOptions, out: Path) -> None:
        self.path, self.colorizer, self.options = path, colorizer, options
        self.target = out / path.name
        self.source: Photo
        self.merges: list[LuminanceMerge] = []
        self.colorized: list[ColorizedPage | None] = []

    def decode(self) -> list[tuple[str, float]]:
        torch.set_num_threads(1)
        seconds, self.source = timed(lambda: photo.read(self.path, self.options.max_megapixels))
        return [("decode", seconds)]

    def thumbnail(self) -> list[tuple[str, float]]:
        started = time.thread_time()  # waiting for the network's threads does not count
        for page in self.source.pages:
            is_monochrome(page)
            self.merges.append(self.colorizer.predict_colors(page.samples, page.icc, page.orientation))
        seconds = time.thread_time() - started
        return [("thumbnail", seconds), ("network", sum(merge.network_seconds for merge in self.merges))]

    def merge(self) -> list[tuple[str, float]]:
        seconds = []
        for page, merge in zip(self.source.pages, self.merges, strict=True):
            seconds += time_merge(page.samples, merge)
            rgb, worst = merge.rows(page.samples, 0)
            self.colorized.append(ColorizedImage(rgb, worst))
        return seconds

    def encode(self) -> list[tuple[str, float]]:
        kind = photo.writable_format(self.source, "same")
        seconds, _ = timed(
            lambda: photo.write(
                self.target,
                disclosed_photo(self.source, self.colorized, self.colorizer, kind, self.options.disclosure),
                kind,
                self.options.quality,
                TOOL,
            )
        )
        return [("encode", seconds)]

    def access(self) -> list[tuple[str, float]]:
        page, coloured = next(
            (page, done) for page, done in zip(self.source.pages, self.colorized, strict=True) if done
        )

        def reduce(form: AccessForm) -> Page:
            rgb = replace(page, samples=coloured.rgb)
            return access_page(rgb, form, self.colorizer, self.source.format, self.options.disclosure)

        name = self.target.relative_to(self.options.out).as_posix()
        seconds, made = timed(lambda: access_copies.write_copies(name, [ACCESS_FORM], reduce, self.options))
        for each in made:
            (self.options.out / each).unlink()
        return [(ACCESS, seconds)]

    def hash(self) -> list[tuple[str, float]]:
        seconds, _ = timed(lambda: (files.sha256(self.path), files.sha256(self.target)))
        self.merges, self.colorized = [], []
        self.target.unlink()
        return [("hash", seconds)]


def time_merge(samples: Samples, merge: LuminanceMerge) -> list[tuple[str, float]]:
    """The two parts of the full-size pass on one thread, in bands and strips as in a run."""
    seconds = dict.fromkeys(("lightness", "merge"), 0.0)
    tall, step = (max(1, pixels // samples.shape[1]) for pixels in (BAND_PIXELS, STRIP_PIXELS))
    with torch.inference_mode():
        for begin in range(0, len(samples), tall):
            end = min(begin + tall, len(samples))
            band_s, band = timed(partial(merge.chroma.band, begin, end - begin))
            seconds["merge"] += band_s
            for top in range(begin, end, step):
                light_s, light = timed(partial(merge.lightness_of, samples[top : min(top + step, end)]))
                merge_s, _ = timed(partial(merge_rows, band, light, top, np.empty((*light.shape, 3), samples.dtype)))
                seconds["lightness"] += light_s
                seconds["merge"] += merge_s
    return list(seconds.items())


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """The seconds that it took, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
