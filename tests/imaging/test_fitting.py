"""Small least squares."""

from __future__ import annotations

import numpy as np

from archivecolor.imaging.fitting import product, weighted_fit


def test_the_fit_finds_the_coefficients_and_heeds_the_weights() -> None:
    draw = np.random.default_rng(0)
    terms, true = draw.normal(size=(200, 4)), draw.normal(size=(4, 2))
    values, weight = terms @ true, np.ones(200)
    values[:20] += 50
    weight[:20] = 0
    assert np.allclose(product(terms, true), terms @ true)
    assert np.allclose(weighted_fit(terms, values, weight, 1e-9), true, atol=1e-6)
    assert not np.allclose(weighted_fit(terms, values, np.ones(200), 1e-9), true, atol=0.5)


def test_terms_that_say_nothing_get_no_part() -> None:
    terms = np.stack([np.ones(50), np.zeros(50)], axis=1)
    assert np.allclose(weighted_fit(terms, np.full((50, 1), 3.0), np.ones(50), 1e-6), [[3], [0]], atol=1e-4)
