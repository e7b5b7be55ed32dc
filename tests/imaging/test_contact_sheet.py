"""Contact sheets: every picture unchanged in its cell."""

from __future__ import annotations

import numpy as np
import pytest

from archivecolor.imaging.contact_sheet import contact_sheet, square_contact_sheet


def test_pictures_lie_unchanged_in_their_cells() -> None:
    wide, tall = np.full((10, 30, 3), 90, np.uint8), np.full((20, 15, 3), 200, np.uint8)
    sheet = contact_sheet([[wide, tall], [tall]], gap=4, margin=2, background=(1, 2, 3))
    assert sheet.shape == (2 * 20 + 4 + 2 * 2, 2 * 30 + 4 + 2 * 2, 3)
    assert (sheet[2:12, 2:32] == wide).all()
    assert (sheet[2:22, 36:51] == tall).all()
    assert (sheet[26:46, 2:17] == tall).all()
    drawn = np.zeros(sheet.shape[:2], bool)
    drawn[2:12, 2:32] = drawn[2:22, 36:51] = drawn[26:46, 2:17] = True
    assert (sheet[~drawn] == (1, 2, 3)).all()


@pytest.mark.parametrize("count", range(1, 10))
def test_a_square_sheet_holds_all_pictures_within_its_size(count: int) -> None:
    pictures = [np.full((300, 400, 3), 40 + 20 * i, np.uint8) for i in range(count)]
    sheet = square_contact_sheet(pictures, 500)
    assert max(sheet.shape[:2]) <= 500
    assert {40 + 20 * i for i in range(count)} <= set(np.unique(sheet).tolist())
    tall = square_contact_sheet([np.zeros((900, 100, 3), np.uint8)] * count, 240)
    assert max(tall.shape[:2]) <= 240
