"""How far colours are from the truth and how colourful they are: pure numbers from arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from archivecolor.imaging.arrays import AnyFloatArray


def psnr(one: AnyFloatArray, other: AnyFloatArray) -> float:
    """Peak signal-to-noise ratio in dB of two arrays in [0, 1]; infinite when they are equal."""
    error = float(np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ratio(part: float, whole: float) -> float:
    """`part` / `whole`; NaN if the whole is 0."""
    return part / whole if whole else math.nan


def colourfulness(rgb: AnyFloatArray) -> float:
    """Hasler and Süsstrunk (2003), M3, of an sRGB picture (H, W, 3) in [0, 1], on their scale of 0 to 255."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64) * 255, -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def ciede2000(one: AnyFloatArray, other: AnyFloatArray) -> float:
    """Mean CIEDE2000 difference of two sRGB pictures (H, W, 3) in [0, 1]."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(np.mean(deltaE_ciede2000(rgb2lab(one), rgb2lab(other))))  # type: ignore[no-untyped-call]


def ciede2000_from_lab(one: AnyFloatArray, other: AnyFloatArray) -> AnyFloatArray:
    """Mean CIEDE2000 difference of each of N pairs of Lab pictures (N, 3, H, W): (N,). In float32: twice as fast."""
    from skimage.color import deltaE_ciede2000

    difference = deltaE_ciede2000(  # type: ignore[no-untyped-call]
        np.asarray(one, np.float32), np.asarray(other, np.float32), channel_axis=1
    )
    return np.asarray(difference.mean(axis=(1, 2), dtype=np.float64))


FINE_SIGMA_PX = 5.0
"""Standard deviation of the blur that separates small things from large areas, at 256 px."""
WILD_CHROMA, WILD_ERROR = 20.0, 25.0
"""Lab units: a pixel is wild if its chroma is over the first and its ab is further than the second from the truth."""


def fine_chroma_contrast(ab: AnyFloatArray) -> float:
    """Root mean square, in Lab units, of ab (2, H, W) minus its Gaussian blur: the colour of small things."""
    from scipy.ndimage import gaussian_filter  # type: ignore[attr-defined]

    values = np.asarray(ab, np.float64)
    detail = values - gaussian_filter(values, (0, FINE_SIGMA_PX, FINE_SIGMA_PX))
    return float(np.sqrt(np.square(detail).sum(axis=0).mean()))


def wild_share(ab: AnyFloatArray, true_ab: AnyFloatArray) -> float:
    """Share of the pixels of ab (2, H, W), Lab units, that are strongly coloured and far from the truth: red faces,
    blue walls. 0 is best."""
    strong = np.hypot(*ab) > WILD_CHROMA
    return float((strong & (np.hypot(*(np.asarray(ab) - true_ab)) > WILD_ERROR)).mean())


@dataclass(frozen=True)
class PairedDifference:
    """How two measurements of the same pictures differ: the second minus the first."""

    pictures: int
    mean: float
    error: float
    """Standard error of the mean; NaN for a single picture."""
    increased: int
    """Pictures whose second value is the larger one."""

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> PairedDifference:
        """Compares two lists of one value per picture."""
        gains = [b - a for a, b in zip(first, second, strict=True)]
        error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        return cls(len(gains), fmean(gains), error, sum(gain > 0 for gain in gains))

    @property
    def may_be_chance(self) -> bool:
        """Whether the mean is less than two standard errors from 0, so that it may be chance."""
        return not abs(self.mean) >= 2 * self.error


class Gaussian:
    """Mean and scatter of features that come in parts, N of D numbers in all; about 2 D rows are held at most.

    With centred features A, the R of A = QR has R'R = A'A and at most D rows, so R can stand for A. Parts with other
    means are joined after Chan, Golub and LeVeque (1983).
    """

    def __init__(self, features: AnyFloatArray | None = None) -> None:
        self.count = 0
        self.mean: AnyFloatArray = np.zeros(0)
        self.rows: list[AnyFloatArray] = []
        if features is not None:
            self.add(features)

    def add(self, features: AnyFloatArray) -> None:
        """Takes features (n, D) in."""
        x = np.asarray(features, np.float64)
        n, mean = len(x), x.mean(axis=0)
        self.rows.append(x - mean)
        if self.count:
            total = self.count + n
            self.rows.append(np.sqrt(self.count * n / total) * (mean - self.mean)[None])
            mean = (self.count * self.mean + n * mean) / total
        self.count, self.mean = self.count + n, mean
        if sum(map(len, self.rows)) > 2 * x.shape[1]:
            self.rows = [self.root()]

    def root(self) -> AnyFloatArray:
        """A matrix whose R'R is the scatter, with at most D rows."""
        rows = np.concatenate(self.rows)
        return np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features, each of at least 2.

    Dowson and Landau (1982): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With centred features A and B, scaled so
    that C1 = A'A and C2 = B'B, the eigenvalues of (C1 C2)^(1/2) are the singular values of A B': no root of a nearly
    singular matrix is taken, and fewer pictures than features do no harm to the arithmetic.
    """
    gap = one.mean - other.mean
    a, b = (part.root() / np.sqrt(part.count - 1) for part in (one, other))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * cross))
