"""From a folder of pictures that a person coloured to the reference bank of a film.

A picture's name says its frame, or else its luminance does. Its luminance is registered to that of the frame; where
the two do not agree, its colours do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from archivecolor import photo
from archivecolor.errors import PictureError
from archivecolor.film.header import Film
from archivecolor.film.reference_files import frame_at, frame_of_name
from archivecolor.film.source import read_frames
from archivecolor.film.survey import Survey
from archivecolor.imaging import lab, luminance, propagation, registration
from archivecolor.imaging.arrays import ByteArray, FloatArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.propagation import ReferenceColors
from archivecolor.imaging.registration import Registration
from archivecolor.imaging.resize import resize, resize_to_long_side
from archivecolor.inference.colorizer import Colorizer
from archivecolor.inference.guidance import hint_position, hints
from archivecolor.options import Hint
from archivecolor.pipeline.film.color_film import InterruptedFilmError
from archivecolor.pipeline.film.keyframes import FrameSampler, FrameThumbnail
from archivecolor.pipeline.film.reference_bank import FrameDescriber, Reference, ReferenceBank, stored_colors

LEAST_CORRELATION = 0.8
"""Of the lightness of a reference and its frame."""
LEAST_AGREEMENT = 0.2
"""Share of a frame that must agree with its reference."""
LEAST_CHROMA = 3.0
"""Lab units: a picture has no colour if 99 of 100 of its pixels have less."""
FINGERPRINT = (24, 32)
"""Rows and columns of the copies by which the frame of a reference without a number is searched."""
SEARCHED_CLOSELY = 400
"""Frames with the most alike fingerprints, in which the middle of the reference is searched."""
CROPS = (1.0, 0.9, 0.8)
"""Sizes of a reference on its frame for this search."""
CANDIDATES = 6
"""Frames in which it is found best, to which the reference is registered."""
SEARCHED_SIDE = 768
"""Long side in pixels at which a reference is registered; colours are needed at the network's size only."""


@dataclass(frozen=True)
class ColoredPicture:
    """A reference picture, upright."""

    path: Path
    lightness: FloatArray
    """(H, W): L* of the luma, as a grey film shows it. A coloured film has the luma of the grey one."""
    luminance_lightness: FloatArray
    """(H, W): L* itself, which paint programs and the frames of photographs keep."""
    ab: FloatArray
    """(2, H, W), Lab units."""


def read_reference(path: Path, luma_weights: tuple[float, float]) -> ColoredPicture:
    """Reads a picture that a person coloured.

    Args:
        luma_weights: Kr and Kb of the film.

    Raises:
        PictureError: it cannot be read, or has no colour.
    """
    try:
        page = photo.read(path).pages[0]
    except (PictureError, OSError) as error:
        raise PictureError(f"reference {path.name}: cannot be read ({error})") from error
    rgb = to_upright(luminance.to_srgb8(page.samples, page.icc), page.orientation, (0, 1))
    small = torch.tensor(resize_to_long_side(np.ascontiguousarray(rgb), SEARCHED_SIDE)).permute(2, 0, 1).float() / 255
    values = lab.lab_from_srgb(small).numpy()
    if float(np.quantile(np.hypot(values[1], values[2]), 0.99)) < LEAST_CHROMA:
        raise PictureError(f"reference {path.name}: has no colour; colour it, or take it out of the folder")
    kr, kb = luma_weights
    luma = kr * small[0] + (1 - kr - kb) * small[1] + kb * small[2]
    lightness = lab.lightness_from_luminance(lab.linear_from_srgb(luma)).numpy()
    return ColoredPicture(path, lightness, values[0], values[1:])


@dataclass(frozen=True)
class Fit:
    """How a reference fits a frame."""

    frame: int
    registration: Registration
    even: FloatArray
    """L* (h, w) of the frame as the network sees it, as the film is stored."""

    @property
    def likeness(self) -> float:
        """The correlation of their lightness, -1 to 1."""
        return self.registration.correlation

    @property
    def score(self) -> float:
        """By which the best of several frames is chosen: in a pan, many have a part in common with the reference."""
        return self.likeness + 0.1 * self.registration.agreeing_share

    @property
    def is_good(self) -> bool:
        """Whether it may be the frame's reference."""
        return self.likeness >= LEAST_CORRELATION and self.registration.agreeing_share >= LEAST_AGREEMENT


class ReferenceFinder:
    """Finds the frames of a film's references, and registers these to them.

    Args:
        progress: called with the index and the pts of each frame that is read; it is to stop when it returns True.
    """

    def __init__(
        self,
        film: Film,
        survey: Survey,
        colorizer: Colorizer,
        on_bad_frame: str,
        progress: Callable[[int, int], bool] = lambda index, pts: False,
    ) -> None:
        self._film, self._survey, self._on_bad_frame, self._progress = film, survey, on_bad_frame, progress
        self._sampler = FrameSampler(film, survey, colorizer)
        self._describer = FrameDescriber(colorizer, self._sampler.network_size)

    def fill(self, bank: ReferenceBank, paths: Sequence[Path], pinned: Sequence[Hint] = ()) -> None:
        """Adds the references to a bank.

        Args:
            pinned: hints with times; those of one frame are a reference together.

        Raises:
            PictureError: a reference cannot be read, has no colour, fits no frame, or has the frame of another one.
            InterruptedFilmError: it was to stop.
        """
        named = self._frames_by_name(paths)
        searched = [path for path in paths if path not in named.values()]
        fingerprints = self._add_named(bank, named, bool(searched))
        taken = {frame: path.name for frame, path in named.items()}
        for path, fit in self._best_fits(searched, fingerprints).items():
            if not fit.is_good:
                raise PictureError(self._misfit(path, fit))
            self._check_free(taken, fit.frame, path.name)
            self._add(bank, self._read(path), fit, "luminance")
        self._add_hints(bank, pinned)
        bank.finish()

    def _add_hints(self, bank: ReferenceBank, pinned: Sequence[Hint]) -> None:
        """Adds the hints; on a frame that is a reference already, they win."""
        by_frame: dict[int, list[Hint]] = {}
        for hint in pinned:
            frame = frame_at(hint.seconds or Fraction(0), self._film, self._survey, f"--hint {hint}")
            by_frame.setdefault(frame, []).append(hint)
        for frame, thumbnail in self._thumbnails(max(by_frame)) if by_frame else ():
            if frame not in by_frame:
                continue
            guide = self._upright(thumbnail.guide)
            places = [hint_position(hint, guide.shape, *self._sampler.upright) for hint in by_frame[frame]]
            ab, hold = hints.spread_hints(guide, places, [hints.ab_of(hint.colour) for hint in by_frame[frame]])
            colors = ReferenceColors(np.asarray(ab, np.float32), np.asarray(hold, np.float32))
            colors = stored_colors(colors, self._film.orientation)
            name = " ".join(f"--hint {hint}" for hint in by_frame[frame])
            if frame in bank.references:
                below = bank.load(frame).stored
                mixed = propagation.mix(below.ab, colors.ab, colors.mask)
                colors = ReferenceColors(mixed, np.maximum(below.mask, colors.mask))
                name = f"{bank.references[frame].name} {name}"
                bank.load.cache_clear()
            reference = Reference(frame, name, "hint", 1.0, round(float(colors.mask.mean()), 4))
            bank.add(reference, colors, thumbnail.even, self._describer)

    def _frames_by_name(self, paths: Sequence[Path]) -> dict[int, Path]:
        """The frames that names say; a reference whose name says none is left out."""
        named: dict[int, Path] = {}
        taken: dict[int, str] = {}
        for path in paths:
            frame = frame_of_name(path, self._film, self._survey)
            if frame is not None:
                self._check_free(taken, frame, path.name)
                named[frame] = path
        return named

    def _check_free(self, taken: dict[int, str], frame: int, name: str) -> None:
        if frame in taken:
            raise PictureError(
                f"references {taken[frame]} and {name}: are both of frame {self._number(frame)}; take one of them out"
            )
        taken[frame] = name

    def _number(self, frame: int) -> int:
        return self._film.frame_number(frame, self._survey.pts[frame])

    def _thumbnails(self, last: int | None = None) -> Iterator[tuple[int, FrameThumbnail]]:
        """The index and thumbnail of each frame, up to the last one that is needed."""
        for frame in read_frames(self._film, self._on_bad_frame):
            if self._progress(frame.index, frame.pts):
                raise InterruptedFilmError(
                    "interrupted while its references were looked for; the same command begins it again"
                )
            yield frame.index, self._sampler.thumbnail(frame.index, frame.luma)
            if frame.index == last:
                return

    def _add_named(self, bank: ReferenceBank, named: dict[int, Path], searches: bool) -> list[ByteArray]:
        """Adds the references whose names say their frames. If others are searched, returns the fingerprints of all
        frames."""
        fingerprints: list[ByteArray] = []
        if not named and not searches:
            return fingerprints
        for frame, thumbnail in self._thumbnails(None if searches else max(named)):
            if searches:
                fingerprints.append(self._fingerprint(thumbnail))
            if frame in named:
                picture = self._read(named[frame])
                fit = self._fit(picture, frame, thumbnail)
                if not fit.is_good:
                    nearest = self._best_fits([picture.path], self._fingerprints())[picture.path]
                    raise PictureError(self._misfit(picture.path, fit, nearest))
                self._add(bank, picture, fit, "name")
        return fingerprints

    def _fingerprint(self, thumbnail: FrameThumbnail) -> ByteArray:
        return _fingerprint(self._upright(thumbnail.guide))

    def _fingerprints(self) -> list[ByteArray]:
        return [self._fingerprint(thumbnail) for _, thumbnail in self._thumbnails()]

    def _upright(self, maps: FloatArray) -> FloatArray:
        return np.ascontiguousarray(to_upright(maps, self._film.orientation))

    def _read(self, path: Path) -> ColoredPicture:
        return read_reference(path, self._film.tags.weights)

    def _fit(self, picture: ColoredPicture, frame: int, thumbnail: FrameThumbnail) -> Fit:
        guide = self._upright(thumbnail.guide)
        fit = registration.register(picture.lightness, guide)
        other = registration.compare(picture.luminance_lightness, guide, fit.matrix)
        correlation = max(fit.correlation, other.correlation)
        agreement = np.maximum(fit.agreement, other.agreement)
        return Fit(frame, Registration(fit.matrix, correlation, agreement), thumbnail.even)

    def _best_fits(self, paths: Sequence[Path], fingerprints: Sequence[ByteArray]) -> dict[Path, Fit]:
        """For each reference, the frame whose luminance it has. Frames with alike fingerprints are compared in
        detail."""
        wanted: dict[int, list[ColoredPicture]] = {}
        for path in paths:
            picture = self._read(path)
            for frame in _alike_frames(fingerprints, picture.lightness):
                wanted.setdefault(frame, []).append(picture)
        best: dict[Path, Fit] = {}
        for frame, thumbnail in self._thumbnails(max(wanted)) if wanted else ():
            for picture in wanted.get(frame, ()):
                fit = self._fit(picture, frame, thumbnail)
                if picture.path not in best or fit.score > best[picture.path].score:
                    best[picture.path] = fit
        return dict(sorted(best.items()))

    def _add(self, bank: ReferenceBank, picture: ColoredPicture, fit: Fit, by: str) -> None:
        agreement = fit.registration.agreement
        ab = registration.place_on_frame(picture.ab, fit.registration.matrix, *agreement.shape)
        reference = Reference(
            fit.frame, picture.path.name, by, round(fit.likeness, 4), round(float(agreement.mean()), 4)
        )
        colors = stored_colors(ReferenceColors(ab, agreement), self._film.orientation)
        bank.add(reference, colors, fit.even, self._describer)

    def _misfit(self, path: Path, fit: Fit, nearest: Fit | None = None) -> str:
        """The message for a reference that fits no frame, or not the one that its name says."""
        number = self._number(fit.frame)
        words = f"frame {number} is the nearest"
        if nearest:
            words = (
                f"its name says frame {number}, which it does not show; frame {self._number(nearest.frame)} is the "
                f"nearest ({nearest.likeness:.2f})"
            )
        return (
            f"reference {path.name}: fits no frame: {words}: the correlation of the luminance is {fit.likeness:.2f} "
            f"(needed: {LEAST_CORRELATION:g}), and {fit.registration.agreeing_share:.0%} of the frame agrees (needed: "
            f"{LEAST_AGREEMENT:.0%}). Rename it or take it out; for several films, use subfolders with their names"
        )


def _fingerprint(lightness: FloatArray) -> ByteArray:
    """L* (h, w) -> codes of `FINGERPRINT` rows and columns."""
    return np.rint(resize(lightness, *FINGERPRINT).clip(0, 100) * 2.55).astype(np.uint8)


def _alike_frames(fingerprints: Sequence[ByteArray], lightness: FloatArray) -> list[int]:
    """The frames whose fingerprints are most alike to that of a picture, which may be cropped and moved."""
    own = _fingerprint(lightness)
    whole = np.array([_correlation(own, other) for other in fingerprints])
    likely = np.argsort(-whole, kind="stable")[:SEARCHED_CLOSELY].tolist()
    rows, columns = FINGERPRINT
    centre = own[rows // 6 : -(rows // 6), columns // 6 : -(columns // 6)]
    templates = [resize(centre, round(centre.shape[0] * s), round(centre.shape[1] * s)) for s in CROPS]
    closely = {
        frame: max(
            float(cv2.matchTemplate(fingerprints[frame], template, cv2.TM_CCOEFF_NORMED).max())
            for template in templates
        )
        for frame in likely
    }
    return sorted(sorted(closely, key=lambda frame: (-closely[frame], frame))[:CANDIDATES])


def _correlation(one: ByteArray, other: ByteArray) -> float:
    """Pearson's, of two pictures of one size."""
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])
