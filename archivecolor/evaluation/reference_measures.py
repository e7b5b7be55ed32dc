"""Measures how well a film keeps to reference frames: every Nth true frame is one, and the others are compared.

Beside it, as floors: the grey film, the film without references, and references that are carried along the motion
alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from archivecolor.evaluation.film_measures import (
    GREY,
    TRUTH,
    FilmScores,
    Motion,
    add_frame,
    colored_frames,
    compared_frames,
)
from archivecolor.film.header import ContainerFilm, open_film
from archivecolor.film.read import FrameReader
from archivecolor.film.survey import Survey, survey_frames
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples
from archivecolor.imaging.propagation import ReferenceColors
from archivecolor.imaging.resize import resize
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import FilmOptions
from archivecolor.pipeline.film.keyframes import FrameSampler
from archivecolor.pipeline.film.reference_bank import FrameDescriber, Reference, ReferenceBank
from archivecolor.pipeline.film.reference_guidance import ReferenceGuidance

WITHOUT, ALONG_MOTION, WITH = "without references", "along the motion alone", "with references"
DISTANCES = (("1 to 4", 1, 4), ("5 to 8", 5, 8), ("9 to 16", 9, 16), ("17 and more", 17, 10**9))
"""Classes of frames by their distance from the nearest reference: words, least and most frames."""


@dataclass
class ReferenceScores:
    """The scores of one method over a film; lists hold one value per frame."""

    frames: FilmScores = field(default_factory=FilmScores)
    distances: list[int] = field(default_factory=list)
    """In frames from the nearest reference; 0 for a reference, which does not count in the means of the errors."""
    ciede_distances: list[int] = field(default_factory=list)
    """The same for the values of `frames.ciede`."""
    colourfulness: list[float] = field(default_factory=list)

    def add(self, rgb: ByteArray, truth: ByteArray, moved: Motion | None, index: int, distance: int) -> None:
        """Compares a frame (h, w, 3) with the true one; see `film_measures.add_frame`."""
        count = len(self.frames.ciede)
        add_frame(self.frames, rgb, truth, moved, index)
        self.distances.append(distance)
        self.ciede_distances += [distance] * (len(self.frames.ciede) - count)
        self.colourfulness.append(metrics.colourfulness(rgb / 255))

    def numbers(self) -> dict[str, float]:
        """The means, by name."""
        away = np.array(self.distances) > 0
        distances = np.array(self.ciede_distances)
        ciede = np.array(self.frames.ciede)[distances > 0]
        distances = distances[distances > 0]
        by_distance = {
            f"CIEDE2000, {words} away": float(ciede[(distances >= first) & (distances <= last)].mean())
            for words, first, last in DISTANCES
            if ((distances >= first) & (distances <= last)).any()
        }
        return {
            "PSNR, dB": float(np.array(self.frames.psnr)[away].mean()),
            "CIEDE2000": float(ciede.mean()),
            **by_distance,
            "CIEDE2000, nine tenths under": float(np.quantile(ciede, 0.9)),
            "colourfulness": float(np.array(self.colourfulness)[away].mean()),
            "warping error of ab": float(np.mean(self.frames.warping)),
            "largest warping error": max(self.frames.warping),
        }


def true_colors(rgb: Samples, height: int, width: int) -> FloatArray:
    """sRGB (H, W, 3) -> ab (2, height, width)."""
    small = torch.from_numpy(resize(rgb, height, width)).permute(2, 0, 1).float() / 255
    return lab.lab_from_srgb(small).numpy()[1:]


def bank_of_true_frames(
    film: ContainerFilm, survey: Survey, colorizer: Colorizer, every: int, folder: Path
) -> ReferenceBank:
    """A bank whose references are every Nth frame of a colour film."""
    bank = ReferenceBank(folder, film.orientation)
    sampler = FrameSampler(film, survey, colorizer)
    describer = FrameDescriber(colorizer, sampler.network_size)
    for frame in FrameReader(film):
        if frame.index % every or frame.picture is None:
            continue
        ab = true_colors(frame.picture.to_ndarray(format="rgb24"), *sampler.size)
        colors = ReferenceColors(ab, np.ones(sampler.size, np.float32))
        reference = Reference(frame.index, f"{frame.index:06d}", "name", 1.0, 1.0)
        bank.add(reference, colors, sampler.thumbnail(frame.index, frame.luma).even, describer)
    return bank


def evaluate_references(
    path: Path,
    colorizer: Colorizer,
    every: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, dict[str, float]]:
    """Colours a colour film with every Nth true frame as a reference, and measures the other frames.

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
    with tempfile.TemporaryDirectory() as folder:
        bank = bank_of_true_frames(film, survey, colorizer, every, Path(folder) / "references")
        return _measure(film, survey, colorizer, bank, progress)


def _measure(
    film: ContainerFilm,
    survey: Survey,
    colorizer: Colorizer,
    bank: ReferenceBank,
    progress: Callable[[str, int, int], None],
) -> dict[str, dict[str, float]]:
    describer = FrameDescriber(colorizer, FrameSampler(film, survey, colorizer).network_size)

    def guidance(by_likeness: bool) -> ReferenceGuidance:
        return ReferenceGuidance(bank, describer, film.orientation, lambda ab: ab, by_likeness=by_likeness)

    guidances = {WITHOUT: None, ALONG_MOTION: guidance(False), WITH: guidance(True)}
    colored = {
        name: colored_frames(film, survey, colorizer, FilmOptions(), FilmScores(), guide)
        for name, guide in guidances.items()
    }
    scores = {name: ReferenceScores() for name in (GREY, *colored, TRUTH)}
    for name, rgb, truth, moved, index in compared_frames(film, survey, colored, progress):
        distance = min(abs(index - number) for number in bank.references)
        scores[name].add(rgb, truth, moved, index, distance)
    return {name: method.numbers() for name, method in scores.items()}
