"""Measures the colours of a film against the truth: a colour film is coloured from its luma alone, and compared.

Three methods are compared: each frame by itself; every frame a keyframe, smoothed over time; and as `run` does
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from archivecolor import files
from archivecolor.film import encoder
from archivecolor.film.coding import coding_for
from archivecolor.film.header import ContainerFilm, open_film
from archivecolor.film.read import FrameReader
from archivecolor.film.survey import Survey, survey_frames
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import BoolArray, ByteArray, DoubleArray, FloatArray, Samples
from archivecolor.imaging.resize import resize
from archivecolor.imaging.temporal import pixel_grid, warp
from archivecolor.inference.colorizer import Colorizer
from archivecolor.inference.guidance import adjusted
from archivecolor.options import FilmOptions
from archivecolor.pipeline.film.color_film import longest_segment, segment_windows
from archivecolor.pipeline.film.frame_sink import ColoredSegment
from archivecolor.pipeline.film.keyframes import LOOKAHEAD, STEP, FrameSampler, KeyframeColorizer
from archivecolor.pipeline.film.reference_guidance import REFERENCE_LOOKAHEAD, ReferenceGuidance

LINES = 240
"""Height in pixels at which motion and colours are compared."""
CIEDE_EVERY = 4
CDC_STEPS = (1, 2, 4)
RETURN_TOLERANCE = 1.0
"""Pixels by which flow forward and back may disagree; other pixels do not count."""
TRUTH, GREY = "truth", "grey"
METHODS = {
    "frame by frame": FilmOptions(steady=0, every="1"),
    "steady": FilmOptions(every="1"),
    "as run does it": FilmOptions(),
}


@dataclass
class FilmScores:
    """The scores of one method over a film; lists hold one value per frame."""

    psnr: list[float] = field(default_factory=list)
    ciede: list[float] = field(default_factory=list)
    warping: list[float] = field(default_factory=list)
    """Mean |Δab| along the motion of the true film, Lab units."""
    mean_ab: list[tuple[float, float]] = field(default_factory=list)
    histograms: list[DoubleArray] = field(default_factory=list)
    """Of R, G and B, (3, 256), each with sum 1."""
    last_ab: FloatArray | None = None
    keyframes: int = 0
    """Number of frames that the network saw."""

    def numbers(self) -> dict[str, float]:
        """The means, by name."""
        return {
            "PSNR, dB": float(np.mean(self.psnr)),
            "CIEDE2000": float(np.mean(self.ciede)),
            "warping error of ab": float(np.mean(self.warping)),
            "CDC × 1000": 1000 * cdc(self.histograms),
            "frames the network saw": float(self.keyframes),
        }


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
    """The motion of the true film from one frame to the next."""

    sources: FloatArray
    """(h, w, 2): x and y of each pixel in the frame before."""
    reliable: BoolArray
    """(h, w): whether forward and backward flow agree."""


def motion(before: ByteArray, after: ByteArray) -> Motion:
    """The motion between two grey pictures (h, w). Pixels that appear or disappear are not reliable."""
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward, forward = dis.calc(after, before, None), dis.calc(before, after, None)
    sources = pixel_grid(*after.shape) + backward
    returned = warp(forward, sources)
    disagreement = np.hypot(*np.moveaxis(backward + returned, -1, 0))
    inside = (sources >= 0).all(axis=-1) & (sources[..., 0] < after.shape[1]) & (sources[..., 1] < after.shape[0])
    return Motion(sources, inside & (disagreement < RETURN_TOLERANCE))


def add_frame(scores: FilmScores, rgb: ByteArray, true_rgb: ByteArray, moved: Motion | None, index: int) -> None:
    """Compares a frame (h, w, 3) with the true one.

    Args:
        moved: the motion since the frame before; None after a cut.
    """
    picture, truth = rgb.astype(np.float32) / 255, true_rgb.astype(np.float32) / 255
    scores.psnr.append(metrics.psnr(picture, truth))
    if index % CIEDE_EVERY == 0:
        scores.ciede.append(metrics.ciede2000(picture, truth))
    ab = lab.lab_from_srgb(torch.from_numpy(picture).permute(2, 0, 1)).numpy()[1:]
    if moved is not None and scores.last_ab is not None:
        warped = [warp(plane, moved.sources) for plane in scores.last_ab]
        scores.warping.append(float(np.hypot(ab[0] - warped[0], ab[1] - warped[1])[moved.reliable].mean()))
    scores.last_ab = ab
    scores.mean_ab.append((float(ab[0].mean()), float(ab[1].mean())))
    counts = np.stack([np.bincount(c.ravel(), minlength=256) for c in np.moveaxis(rgb, -1, 0)])
    scores.histograms.append(counts / rgb[..., 0].size)


def colored_frames(
    film: ContainerFilm,
    survey: Survey,
    colorizer: Colorizer,
    options: FilmOptions,
    scores: FilmScores,
    guidance: ReferenceGuidance | None = None,
) -> Iterator[ByteArray]:
    """The frames of a film as `run` colours them, before they are encoded, as sRGB (h, w, 3) of `LINES` lines."""
    coding = coding_for(film, "ffv1", True)
    sampler = FrameSampler(film, survey, colorizer)
    keyframes, state = KeyframeColorizer(film, sampler, colorizer, options, guidance), None
    segments = survey.segments(longest_segment(film), STEP)
    lookahead = REFERENCE_LOOKAHEAD if guidance else LOOKAHEAD
    for segment, frames, thumbnails in segment_windows(film, segments, sampler, "repeat", lookahead=lookahead):
        state = state if segment.start > segment.shot_start else None
        chroma, state = keyframes.colorize(segment, thumbnails, state)
        scores.keyframes += keyframes.stats.keyframes
        for _, planes in ColoredSegment(frames, thumbnails, [adjusted(colorizer.color, ab) for ab in chroma]).planes(
            coding
        ):
            yield reduced(encoder.video_frame(coding, planes).to_ndarray(format="rgb24"))


def reduced(rgb: Samples) -> ByteArray:
    """sRGB (h, w, 3), reduced to `LINES` lines at most."""
    height = min(LINES, rgb.shape[0])
    return resize(rgb, height, round(rgb.shape[1] * height / rgb.shape[0]))


def compared_frames(
    film: ContainerFilm,
    survey: Survey,
    colored: Mapping[str, Iterator[ByteArray]],
    progress: Callable[[str, int, int], None],
) -> Iterator[tuple[str, ByteArray, ByteArray, Motion | None, int]]:
    """Each frame of a colour film by each method, as grey, and as it is.

    Args:
        colored: method -> the frames of the film, see `colored_frames`.
        progress: called with what is done, the frame's index, and the number of frames.

    Yields:
        The method, its frame (h, w, 3), the true one, the motion since the frame before (None after a cut), the index.
    """
    starts = {start for start, _ in survey.shots()}
    before: ByteArray | None = None
    for frame in FrameReader(film):
        progress("frames", frame.index, len(survey.pts))
        pictures = {name: next(frames) for name, frames in colored.items()}
        if frame.picture is None:
            continue
        truth = reduced(frame.picture.to_ndarray(format="rgb24"))
        grey = np.asarray(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), np.uint8)
        moved = motion(before, grey) if before is not None and frame.index not in starts else None
        pictures |= {GREY: np.repeat(grey[..., None], 3, axis=2), TRUTH: truth}
        for name, rgb in pictures.items():
            yield name, rgb, truth, moved, frame.index
        before = grey


def evaluate_film(
    path: Path,
    colorizer: Colorizer,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    plot: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Colours a colour film by several methods, and measures each.

    Args:
        progress: called with what is done, the frame's index, and the number of frames.

    Returns:
        The numbers by method and name.

    Raises:
        PictureError: the film cannot be read.
        MissingDependencyError: PyAV or PySceneDetect is not installed.
    """
    film = open_film(path)
    survey = survey_frames(film, None, "repeat")
    assert survey is not None  # nothing stops it
    scores = {name: FilmScores() for name in (GREY, *METHODS, TRUTH)}
    colored = {name: colored_frames(film, survey, colorizer, method, scores[name]) for name, method in METHODS.items()}
    for name, rgb, truth, moved, index in compared_frames(film, survey, colored, progress):
        add_frame(scores[name], rgb, truth, moved, index)
    if plot:
        save_plot(plot, scores, sorted({start for start, _ in survey.shots()}))
    return {name: method.numbers() for name, method in scores.items()}


def save_plot(path: Path, scores: dict[str, FilmScores], starts: list[int]) -> None:
    """Plots mean a and b over time, one line per method, with the cuts.

    Args:
        starts: first frames of shots.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    for channel, (axis, name) in enumerate(zip(figure.subplots(2, 1, sharex=True), ("a", "b"), strict=True)):
        for method, values in scores.items():
            axis.plot([ab[channel] for ab in values.mean_ab], label=method, linewidth=1)
        for start in starts[1:]:
            axis.axvline(start, color="0.7", linewidth=0.7)
        axis.set_ylabel(f"mean {name}*")
        axis.legend(loc="upper right", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=110)


def as_rows(result: dict[str, dict[str, float]]) -> list[list[str]]:
    """A table: the header, then a row per measure."""

    def cell(method: str, name: str) -> str:
        value = result[method][name]
        if name.startswith("frames"):
            return "–" if method in (GREY, TRUTH) else f"{value:.0f}"
        return f"{value:.2f}" if np.isfinite(value) else "–"

    names = list(next(iter(result.values())))
    return [["", *result]] + [[name, *(cell(method, name) for method in result)] for name in names]
