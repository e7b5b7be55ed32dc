"""Colours by likeness: what was seen is found again elsewhere, what was never seen is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archivecolor.imaging import feature_matching
from archivecolor.imaging.feature_matching import CELL, CellDescriptors, attend, describe_cells, newness
from archivecolor.imaging.propagation import ReferenceColors

ROWS, COLUMNS = 6, 10


def described(kinds: Any, seed: int = 0) -> tuple[CellDescriptors, Any]:
    """The descriptors of a picture whose cells are of these kinds (ROWS, COLUMNS), and its L*: a kind has features and
    a lightness of its own."""
    of_kind = np.random.default_rng(seed).normal(size=(16, 48)).astype(np.float32)
    lightness = np.kron(30 + 4.0 * kinds, np.ones((CELL, CELL))).astype(np.float32)
    fine, coarse = (np.moveaxis(part[kinds], -1, 0) for part in (of_kind[:, :24], of_kind[:, 24:]))
    return describe_cells([fine, coarse], lightness), lightness


def colored(kinds: Any, mask: Any = None) -> ReferenceColors:
    """Each kind has a colour of its own."""
    a = np.kron(8.0 * kinds - 40, np.ones((CELL, CELL))).astype(np.float32)
    return ReferenceColors(np.stack([a, -a]), np.ones_like(a) if mask is None else mask)


@pytest.fixture
def kinds() -> Any:
    return np.repeat(np.arange(COLUMNS) % 8, ROWS).reshape(COLUMNS, ROWS).T


def test_things_keep_their_colours_when_they_change_places(kinds: Any) -> None:
    cells, _ = described(kinds)
    turned = kinds[:, ::-1]
    query, lightness = described(turned)
    found = attend(query, lightness, [(cells, colored(kinds))])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(found.ab - colored(turned).ab)[inner].mean() < 3
    assert found.mask.min() > 0.95


def test_what_no_reference_shows_has_no_confidence(kinds: Any) -> None:
    cells, _ = described(kinds)
    new = kinds.copy()
    new[2:4, 4:7] = 12
    query, lightness = described(new)
    found = attend(query, lightness, [(cells, colored(kinds))])
    assert found.mask[2 * CELL + 4 : 4 * CELL - 4, 4 * CELL + 4 : 7 * CELL - 4].max() < 0.2
    assert found.mask[:CELL].min() > 0.9
    assert newness(query, cells).reshape(ROWS, COLUMNS)[2:4, 4:7].min() > 0.8
    assert newness(query, query).max() < 0.01


def test_the_first_of_two_that_look_alike_decides_and_not_their_mean(kinds: Any) -> None:
    cells, lightness = described(kinds)
    one = colored(kinds)
    other = ReferenceColors(-one.ab, one.mask)
    found = attend(cells, lightness, [(cells, one), (cells, other)])
    assert np.abs(found.ab - one.ab).mean() < 0.2 * np.abs(one.ab).mean()


def test_masked_parts_of_a_reference_have_no_say(kinds: Any) -> None:
    cells, lightness = described(kinds)
    none = colored(kinds, np.zeros(lightness.shape, np.float32))
    found = attend(cells, lightness, [(cells, none)])
    assert found.mask.max() == 0
    assert np.isfinite(found.ab).all()


def test_any_size_of_picture_is_described() -> None:
    lightness = np.full((50, 77), 40.0, np.float32)
    maps = [np.random.default_rng(i).normal(size=(8, 64 >> s, 96 >> s)).astype(np.float32) for i, s in ((0, 3), (1, 4))]
    cells = feature_matching.describe_cells(maps, lightness)
    assert (cells.rows, cells.columns) == (7, 10)
    found = attend(
        cells, lightness, [(cells, ReferenceColors(np.ones((2, 50, 77), np.float32), np.ones((50, 77), np.float32)))]
    )
    assert found.ab.shape == (2, 50, 77)
    assert found.ab == pytest.approx(1, abs=1e-4)
