"""Registers a picture to another of the same scene by their lightness: size, crop, and a slight turn.

The enhanced correlation coefficient (Evangelidis and Psarakis 2008) finds the affine map, from coarse to fine; phase
correlation gives its start. Brightness and contrast may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.propagation import resample
from archivecolor.imaging.resize import resize

SCALES = (1.0, 0.92, 0.84, 0.76)
"""Sides of the picture, as shares of the frame's, at which its place is searched: it may be cropped."""
COARSE_SIDE = 96
"""Long side of the copies on which the search begins."""
LIGHT_TOLERANCE = 8.0
"""L* by which a place may differ from the frame and still agree with it."""
_ALIKE = 0.985
"""Correlation from which on a picture needs no registration."""


@dataclass(frozen=True)
class Registration:
    """How a picture lies on a frame."""

    matrix: FloatArray
    """(2, 3): x, y in the frame -> x, y in the picture."""
    correlation: float
    """Of their lightness, -1 to 1, over what they have in common."""
    agreement: FloatArray
    """(h, w), 0 to 1: where they show the same."""

    @property
    def agreeing_share(self) -> float:
        """Share of the frame that shows the same, 0 to 1."""
        return float((self.agreement > 0.5).mean())


def register(picture: FloatArray, frame: FloatArray) -> Registration:
    """Finds the place of a picture on a frame.

    Args:
        picture: L* (H, W), of any size and nearly the frame's proportions.
        frame: L* (h, w).
    """
    height, width = frame.shape
    whole = np.array([[picture.shape[1] / width, 0, 0], [0, picture.shape[0] / height, 0]], np.float32)
    whole[:, 2] = (whole[0, 0] - 1) / 2, (whole[1, 1] - 1) / 2  # centres of pixels
    best = compare(picture, frame, whole)
    if best.correlation > _ALIKE:
        return best
    for start in _starts(picture, frame):
        refined = _refine(picture, frame, start)
        result = compare(picture, frame, refined)
        if result.correlation > best.correlation + 1e-4:
            best = result
        if best.correlation > _ALIKE:
            break
    return best


def compare(picture: FloatArray, frame: FloatArray, matrix: FloatArray) -> Registration:
    """How far a picture agrees with a frame when it lies on it like this."""
    height, width = frame.shape
    inside = _inside(picture.shape, matrix, height, width)
    moved = resample(_reduced(picture, matrix), _after_reduction(picture, matrix), height, width)[0]
    if inside.mean() < 0.2:
        return Registration(matrix, -1.0, np.zeros_like(frame))
    one, other = moved[inside > 0], frame[inside > 0]
    gain, offset = _tone(one, other)
    difference = cv2.blur(np.asarray(gain * moved + offset - frame, np.float32), (5, 5)) / LIGHT_TOLERANCE
    agreement = np.where(np.abs(difference) < 1, 1, np.exp(1 - np.square(difference))) * inside
    return Registration(matrix, _correlation(one, other), np.asarray(agreement, np.float32))


def _inside(shape: tuple[int, ...], matrix: FloatArray, height: int, width: int) -> FloatArray:
    """(height, width): 1 where a pixel of the frame lies in the picture."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there_x, there_y = (row[0] * x + row[1] * y + row[2] for row in matrix)
    slack_x, slack_y = max(1.0, float(matrix[0, 0])), max(1.0, float(matrix[1, 1]))
    inside = (there_x > -slack_x) & (there_x < shape[1] - 1 + slack_x)
    inside &= (there_y > -slack_y) & (there_y < shape[0] - 1 + slack_y)
    return inside.astype(np.float32)


def _scale(matrix: FloatArray) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2].astype(np.float64)))))


def _reduced_shape(picture: FloatArray, matrix: FloatArray) -> tuple[int, int]:
    """(height, width) of the picture at the frame's scale; never larger than it is."""
    scale = max(1.0, _scale(matrix))
    return max(1, round(picture.shape[0] / scale)), max(1, round(picture.shape[1] / scale))


def _reduced(picture: FloatArray, matrix: FloatArray) -> FloatArray:
    """The picture (1, H, W), averaged down to the frame's scale, so that looking it up does not alias."""
    return resize(picture, *_reduced_shape(picture, matrix))[None]


def _after_reduction(picture: FloatArray, matrix: FloatArray) -> FloatArray:
    """The matrix into the reduced picture."""
    height, width = _reduced_shape(picture, matrix)
    return scaled(matrix, width / picture.shape[1], height / picture.shape[0])


def scaled(matrix: FloatArray, x: float, y: float) -> FloatArray:
    """An affine map (2, 3) into a picture, after the picture was resized by these factors."""
    result = matrix.astype(np.float64) * np.array([[x], [y]])
    result[:, 2] += np.array([x - 1, y - 1]) / 2
    return result.astype(np.float32)


def place_on_frame(maps: FloatArray, matrix: FloatArray, height: int, width: int) -> FloatArray:
    """Maps of a picture (C, H, W) -> on the frame's grid (C, height, width)."""
    reduced = np.stack([_reduced(plane, matrix)[0] for plane in maps])
    return resample(reduced, _after_reduction(maps[0], matrix), height, width)


def _tone(one: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Gain and offset that bring the first values (n,) nearest to the others; the gain stays near 1."""
    deviation = max(float(one.std()), 1e-3)
    gain = float(np.clip(float(other.std()) / deviation, 0.7, 1.4))
    return gain, float(other.mean() - gain * one.mean())


def _correlation(one: FloatArray, other: FloatArray) -> float:
    """Pearson's, of values (n,); two even pictures are alike when their means are."""
    a, b = one - one.mean(), other - other.mean()
    energy = float(np.sqrt(np.square(a).mean() * np.square(b).mean()))
    if energy < 0.05:
        return 1.0 if abs(float(one.mean() - other.mean())) < LIGHT_TOLERANCE else 0.0
    return float((a * b).mean()) / energy


def _starts(picture: FloatArray, frame: FloatArray) -> Iterator[FloatArray]:
    """First guesses of the matrix: the picture as a crop of the frame, or the frame as one of the picture, of several
    sizes, each where phase correlation puts it. The most alike first."""
    height, width = frame.shape
    shrink = COARSE_SIDE / max(height, width)
    rows, columns = max(8, round(height * shrink)), max(8, round(width * shrink))
    small = resize(frame, rows, columns)
    window = cv2.createHanningWindow((columns, rows), cv2.CV_32F)
    found = []
    for scale in dict.fromkeys((*SCALES, *(1 / scale for scale in SCALES))):
        step = picture.shape[1] / (columns * scale), picture.shape[0] / (rows * scale)
        middle = [(side - 1) / 2 for side in (picture.shape[1], picture.shape[0])]
        matrix = np.array([[step[0], 0, 0], [0, step[1], 0]], np.float32)
        matrix[:, 2] = middle[0] - step[0] * (columns - 1) / 2, middle[1] - step[1] * (rows - 1) / 2
        moved = resample(_reduced(picture, matrix), _after_reduction(picture, matrix), rows, columns)[0]
        (dx, dy), _ = cv2.phaseCorrelate(moved - moved.mean(), small - small.mean(), window)
        shifted = matrix.copy()
        shifted[:, 2] -= matrix[:, 0] * dx + matrix[:, 1] * dy
        full = scaled_grid(shifted, width / columns, height / rows)
        found.append((compare(picture, frame, full).correlation, full))
    found.sort(key=lambda item: -item[0])
    for _, matrix in found[:3]:
        yield matrix


def scaled_grid(matrix: FloatArray, x: float, y: float) -> FloatArray:
    """An affine map (2, 3) from a grid, after the grid got `x` times the columns and `y` times the rows."""
    result = matrix.astype(np.float64).copy()
    result[:, 0] /= x
    result[:, 1] /= y
    result[:, 2] += result[:, 0] * (1 - x) / 2 + result[:, 1] * (1 - y) / 2
    return result.astype(np.float32)


def _refine(picture: FloatArray, frame: FloatArray, start: FloatArray) -> FloatArray:
    """The affine map that the enhanced correlation coefficient finds from here; the start where it finds none."""
    reduced = _reduced(picture, start)[0]
    matrix = _after_reduction(picture, start)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    for blur in (15, 5):
        try:
            inside = np.full(reduced.shape, 255, np.uint8)
            _, refined = cv2.findTransformECC(
                frame.astype(np.float32), reduced, matrix.copy(), cv2.MOTION_AFFINE, criteria, inside, blur
            )
            matrix = np.asarray(refined, np.float32)
        except cv2.error:  # it did not converge
            break
    size = picture.shape[1] / reduced.shape[1], picture.shape[0] / reduced.shape[0]
    return scaled(matrix, *size)
