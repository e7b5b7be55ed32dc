"""The visible mark: legible, in its corner, and nothing outside it changes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont
from support.doubles import grey, lightness

from archivecolor.errors import UsageError
from archivecolor.imaging import watermark

# --- the visible mark -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_nothing_outside_the_mark_changes(dtype: type, orientation: int) -> None:
    rgb = np.stack([grey(200, 300, dtype)] * 3, axis=-1)
    marked, fits = watermark.burn_in(rgb, "auto", orientation=orientation)
    free = watermark.outside_mark(200, 300, "auto", orientation=orientation)
    assert fits
    assert marked.dtype == dtype
    np.testing.assert_array_equal(marked[free], rgb[free])
    assert (marked[~free] != rgb[~free]).any(axis=-1).mean() > 0.5
    assert 0.002 < (~free).mean() < 0.1, "small"


def test_the_mark_stands_below_on_the_right_and_upright() -> None:
    """Turned by 180 degrees it would be a mark of its own somewhere else."""
    rgb = np.full((400, 600, 3), 128, np.uint8)
    straight, _ = watermark.burn_in(rgb, "HOLA")
    turned, _ = watermark.burn_in(rgb, "HOLA", orientation=3)
    np.testing.assert_array_equal(turned[::-1, ::-1], straight)
    changed = np.argwhere((straight != rgb).any(axis=-1))
    assert changed.min(axis=0)[0] > 350
    assert changed.min(axis=0)[1] > 400
    assert tuple(changed.max(axis=0)) == (399, 599)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_the_mark_is_legible_on_black_and_on_white(shade: int) -> None:
    rgb = np.full((1000, 1500, 3), shade, np.uint8)
    marked, _ = watermark.burn_in(rgb, "Colour added by AI")
    strip = lightness(marked)[~watermark.outside_mark(1000, 1500, "Colour added by AI")]
    assert np.percentile(strip, 99) - np.percentile(strip, 30) > 35


def test_letters_that_the_font_lacks_are_refused_and_another_font_may_have_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mark-font"):
        watermark.check_font("Farbe hinzugefügt 彩", None)
    with pytest.raises(UsageError, match="--mark-font"):
        watermark.check_font("auto", tmp_path / "nowhere.ttf")
    built_in = ImageFont.load_default(10)
    assert isinstance(built_in.path, io.BytesIO)
    (tmp_path / "own.ttf").write_bytes(built_in.path.getvalue())
    watermark.check_font("Colour, 1911", tmp_path / "own.ttf")
