"""Planes of films: colours beside any luma, chroma at its own size, luma at other depths."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archivecolor.film import coding, planes
from archivecolor.imaging import lab

# --- planes -----------------------------------------------------------------------------------------------------------


@given(
    st.floats(0, 100),
    st.floats(-110, 110),
    st.floats(-110, 110),
    st.floats(0, 1),
    st.sampled_from([(0.299, 0.114), (0.2126, 0.0722)]),
)
def test_every_colour_fits_beside_every_luma(
    lightness: float, a: float, b: float, luma: float, weights: tuple[float, float]
) -> None:
    cb, cr = planes.colour_differences(
        torch.tensor([[lightness]]), torch.tensor([[[a]], [[b]]]), torch.tensor([[luma]]), weights
    )
    kr, kb = weights
    red, blue = luma + float(cr) * 2 * (1 - kr), luma + float(cb) * 2 * (1 - kb)
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    assert all(-1e-4 <= value <= 1 + 1e-4 for value in (red, green, blue))
    assert abs(kr * red + (1 - kr - kb) * green + kb * blue - luma) < 1e-5


def test_grey_has_no_chroma_and_its_codes_have_the_lightness_of_srgb() -> None:
    tags = planes.Tags(1, False, 1, 1)
    table = planes.lightness_table(tags, 8)
    assert (np.abs(table[:17]) < 1e-5).all()
    assert (np.diff(table[16:236]) > 0).all()
    assert table[235] == pytest.approx(100, abs=1e-4)
    grey = torch.full((3, 1, 1), 0.5)
    assert table[126] == pytest.approx(float(lab.lab_from_srgb(grey)[0]), abs=0.3)
    cb, cr = planes.colour_differences(torch.rand(4, 4) * 100, torch.zeros(2, 4, 4), torch.rand(4, 4), tags.weights)
    assert torch.equal(cb.abs() < 1e-5, torch.ones_like(cb, dtype=torch.bool))
    assert torch.equal(cr.abs() < 1e-5, torch.ones_like(cr, dtype=torch.bool))


@pytest.mark.parametrize("layout", ["420", "422", "444"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_luma_at_chroma_of_an_even_picture_is_even_and_has_the_planes_size(layout: str, interlaced: bool) -> None:
    across, down = planes.LAYOUTS[layout]
    flat = planes.luma_at_chroma(np.full((11, 13), 77, np.uint8), layout, interlaced)
    assert flat.shape == (-(-11 // down), -(-13 // across))
    assert (flat == 77).all()
    ramp = planes.luma_at_chroma(np.tile(np.arange(0, 64, dtype=np.uint8), (8, 1)), layout, interlaced)
    assert np.abs(ramp[:, 1:-1].astype(int) - np.arange(0, 64, across)[1:-1]).max() <= 1


def test_fields_are_not_mixed() -> None:
    rows = np.zeros((8, 8), np.uint8)
    rows[1::2] = 200
    apart = planes.luma_at_chroma(rows, "420", interlaced=True)
    assert apart[:, 3].tolist() == [0, 200, 0, 200]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16 - 1), st.sampled_from([(8, 10), (10, 10), (12, 10), (16, 16), (8, 8)]))
def test_luma_goes_deeper_without_loss(code: int, depths: tuple[int, int]) -> None:
    depth, wanted = depths
    code %= 1 << depth
    luma = np.full((2, 2), code, np.uint8 if depth == 8 else np.uint16)
    made = coding.luma_at_depth(luma, depth, wanted)
    assert (
        int(made[0, 0]) == code << (wanted - depth)
        if wanted >= depth
        else abs(int(made[0, 0]) - min(code / 4, 1023)) <= 0.5
    )
    assert cv2.countNonZero(np.asarray(made != made[0, 0], np.uint8)) == 0
