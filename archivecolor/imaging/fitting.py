"""Small least squares on one thread. NumPy's BLAS wakes all cores for products as small as these, and waits for them;
where other pictures keep the cores busy, that took thirty times as long as the product."""

from __future__ import annotations

import cv2
import numpy as np

from archivecolor.imaging.arrays import DoubleArray


def product(a: DoubleArray, b: DoubleArray) -> DoubleArray:
    """The matrix product of (n, k) and (k, m)."""
    return np.asarray(cv2.gemm(a, b, 1, None, 0), np.float64)  # type: ignore[call-overload]


def weighted_fit(terms: DoubleArray, values: DoubleArray, weight: DoubleArray, ridge: float) -> DoubleArray:
    """Coefficients (k, c) for which `terms` (n, k) times them comes nearest to `values` (n, c).

    Args:
        weight: (n,), of each row.
        ridge: added to the diagonal of the normal equations, so that terms that say nothing get coefficients near 0.
    """
    weighted = np.ascontiguousarray((terms * weight[:, None]).T)
    square = product(weighted, terms) + ridge * np.eye(terms.shape[1])
    return np.asarray(np.linalg.solve(square, product(weighted, values)))
