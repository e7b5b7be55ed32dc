"""Measures a film's colours against the truth: a colour film is coloured from its luma alone and compared.

Side by side: every frame coloured by itself; all frames shown to the network and steadied; and as `run` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from archivecolor import files
from archivecolor.film import write
from archivecolor.film.header import Film, open_film
from archivecolor.film.read import Reader
from archivecolor.film.survey import Survey, survey
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import BoolArray, ByteArray, DoubleArray, FloatArray
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import FilmEvaluationOptions, FilmOptions
from archivecolor.pipeline.film.color_film import longest_segment, segment_windows
from archivecolor.pipeline.film.frame_sink import ColoredSegment
from archivecolor.pipeline.film.keyframes import STEP, FrameSampler, KeyframeColorizer

LINES = 240
"""Height at which motion and colours are compared."""
CIEDE_EVERY = 4
CDC_STEPS = (1, 2, 4)
RETURN_TOLERANCE = 1.0
"""Pixels by which flow there and back may disagree for a pixel to count."""
TRUTH, GREY = "truth", "grey"
WAYS = {"frame by frame": FilmOptions(steady=0, every="1"), "steady": FilmOptions(every="1"), "as run does it": None}


@dataclass
class FilmScores:
    """One way of colouring, over a film."""

    psnr: list[float] = field(default_factory=list)
    ciede: list[float] = field(default_factory=list)
    warping: list[float] = field(default_factory=list)
    """By frame: mean |Δab| along the truth's motion, Lab units."""
    mean_ab: list[tuple[float, float]] = field(default_factory=list)
    histograms: list[DoubleArray] = field(default_factory=list)
    last_ab: FloatArray | None = None
    shown: int = 0

    def numbers(self) -> dict[str, float]:
        """The means, by name."""
        return {
            "PSNR, dB": float(np.mean(self.psnr)), "CIEDE2000": float(np.mean(self.ciede)),
            "warping error of ab": float(np.mean(self.warping)), "CDC × 1000": 1000 * cdc(self.histograms),
            "frames the network saw": float(self.shown),
        }  # fmt: skip


def cdc(histograms: list[DoubleArray]) -> float:
    """Colour distribution consistency index (Liu et al. 2021): the mean Jensen-Shannon divergence (natural logarithm)
    of the histograms (3, 256) of R, G and B between frames 1, 2 and 4 apart; 0 where colours never change."""

    def divergence(one: DoubleArray, other: DoubleArray) -> float:
        middle = (one + other) / 2

        def to_middle(p: DoubleArray) -> float:
            return float(np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / np.maximum(middle, 1e-300)), 0)))

        return (to_middle(one) + to_middle(other)) / 2 / len(one)

    steps = [t for t in CDC_STEPS if t < len(histograms)]
    by_step = [np.mean([divergence(a, b) for a, b in zip(histograms, histograms[t:], strict=False)]) for t in steps]
    return float(np.mean(by_step)) if by_step else 0.0


@dataclass(frozen=True)
class Motion:
    """Where each pixel was in the truth's frame before (h, w, 2), and which of them can be told (h, w)."""

    places: FloatArray
    seen: BoolArray


def motion(before: ByteArray, now: ByteArray) -> Motion:
    """The motion between two grey pictures, pixels that appear or leave marked."""
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back, forth = flow.calc(now, before, None), flow.calc(before, now, None)
    x, y = np.meshgrid(np.arange(now.shape[1], dtype=np.float32), np.arange(now.shape[0], dtype=np.float32))
    places = np.dstack([x, y]) + back
    returned = cv2.remap(forth, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    astray = np.hypot(*np.moveaxis(back + returned, -1, 0))
    inside = (places >= 0).all(axis=-1) & (places[..., 0] < now.shape[1]) & (places[..., 1] < now.shape[0])
    return Motion(places, inside & (astray < RETURN_TOLERANCE))


def note(scores: FilmScores, rgb: ByteArray, truth: ByteArray, moved: Motion | None, index: int) -> None:
    """Compares a frame (H, W, 3) with the true one; `moved` is None after a cut."""
    picture, true = rgb.astype(np.float32) / 255, truth.astype(np.float32) / 255
    scores.psnr.append(metrics.psnr(picture, true))
    if index % CIEDE_EVERY == 0:
        scores.ciede.append(metrics.ciede2000(picture, true))
    ab = lab.lab_from_srgb(torch.from_numpy(picture).permute(2, 0, 1)).numpy()[1:]
    if moved is not None and scores.last_ab is not None:
        x, y = moved.places[..., 0], moved.places[..., 1]
        was = [cv2.remap(c, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for c in scores.last_ab]
        scores.warping.append(float(np.hypot(ab[0] - was[0], ab[1] - was[1])[moved.seen].mean()))
    scores.last_ab = ab
    scores.mean_ab.append((float(ab[0].mean()), float(ab[1].mean())))
    scores.histograms.append(
        np.stack([np.bincount(c.ravel(), minlength=256) for c in np.moveaxis(rgb, -1, 0)]) / rgb[..., 0].size
    )


def coloured(
    film: Film, found: Survey, colorizer: Colorizer, options: FilmOptions, scores: FilmScores
) -> Iterator[ByteArray]:
    """The frames of a film as `run` colours them, before they are encoded, as sRGB (h, w, 3) of `LINES` lines."""
    coding = write.coding_for(film, "ffv1", True)
    eye = FrameSampler(film, found, colorizer)
    tinter, state = KeyframeColorizer(film, eye, colorizer, options), None
    strength = np.float32(colorizer.options.strength)
    for segment, frames, looks in segment_windows(film, found.segments(longest_segment(film), STEP), eye, "repeat"):
        colours, state = tinter.tint(segment, looks, state if segment.start > segment.shot_start else None)
        scores.shown += tinter.effort.shown
        for _, planes in ColoredSegment(frames, looks, [ab * strength for ab in colours]).pictures(coding):
            yield small_rgb(write.picture(coding, planes))


def small_rgb(picture: Any) -> ByteArray:
    """A frame of PyAV as sRGB (h, w, 3), of `LINES` lines at most."""
    rgb = picture.to_ndarray(format="rgb24")
    height = min(LINES, rgb.shape[0])
    return np.asarray(
        cv2.resize(rgb, (round(rgb.shape[1] * height / rgb.shape[0]), height), interpolation=cv2.INTER_AREA)
    )


def evaluate_film(
    asked: FilmEvaluationOptions,
    colorizer: Colorizer,
    seen: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, dict[str, float]]:
    """Colours a colour film in several ways and measures each; by way, the numbers by name.

    Raises:
        PictureError: the film cannot be read.
        MissingDependencyError: PyAV or PySceneDetect is not installed.
    """
    film = open_film(asked.film)
    found = survey(film, None, "repeat")
    assert found is not None  # nobody breaks it off
    ways = {name: FilmScores() for name in (GREY, *WAYS, TRUTH)}
    answers = {
        name: coloured(film, found, colorizer, options or asked.options, ways[name]) for name, options in WAYS.items()
    }
    starts = {start for start, _ in found.shots()}
    before: ByteArray | None = None
    for frame in Reader(film):
        seen("frames", frame.index, len(found.pts))
        truth = small_rgb(frame.picture) if frame.picture is not None else None
        pictures = {name: next(answer) for name, answer in answers.items()}
        if truth is None:
            continue
        grey = np.asarray(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), np.uint8)
        moved = motion(before, grey) if before is not None and frame.index not in starts else None
        pictures |= {GREY: np.repeat(grey[..., None], 3, axis=2), TRUTH: truth}
        for name, rgb in pictures.items():
            note(ways[name], rgb, truth, moved, frame.index)
        before = grey
    if asked.plot:
        save_plot(asked.plot, ways, sorted(starts))
    return {name: scores.numbers() for name, scores in ways.items()}


def save_plot(path: Path, ways: dict[str, FilmScores], starts: list[int]) -> None:
    """Mean a and b over time, one line per way, with the cuts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    for channel, (axis, name) in enumerate(zip(figure.subplots(2, 1, sharex=True), ("a", "b"), strict=True)):
        for way, scores in ways.items():
            axis.plot([ab[channel] for ab in scores.mean_ab], label=way, linewidth=1)
        for start in starts[1:]:
            axis.axvline(start, color="0.7", linewidth=0.7)
        axis.set_ylabel(f"mean {name}*")
        axis.legend(loc="upper right", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=110)


def as_rows(result: dict[str, dict[str, float]]) -> list[list[str]]:
    """A table: the header, then a row per measure."""

    def cell(way: str, name: str) -> str:
        value = result[way][name]
        if name.startswith("frames"):
            return "–" if way in (GREY, TRUTH) else f"{value:.0f}"
        return f"{value:.2f}" if np.isfinite(value) else "–"

    names = list(next(iter(result.values())))
    return [["", *result]] + [[name, *(cell(way, name) for way in result)] for name in names]
