"""lab: there and back unchanged, neutral is neutral, L* survives the gamut, and scikit-image agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from archivecolor.imaging import lab

LADDER = torch.linspace(0, 1, 4097)


def cube(steps: int = 33, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """All of sRGB on a grid: (3, steps², steps)."""
    axis = torch.linspace(0, 1, steps, dtype=dtype)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, steps * steps, steps)


def lightness_of(rgb: torch.Tensor) -> torch.Tensor:
    return lab.lab_from_srgb(rgb.double())[..., 0, :, :]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(dtype: torch.dtype) -> None:
    rgb = cube(dtype=dtype)
    back = lab.srgb_from_lab(lab.lab_from_srgb(rgb))
    assert back.dtype == dtype
    assert float((back - rgb).abs().max()) < 1e-4


def test_round_trip_of_the_curves() -> None:
    assert torch.allclose(lab.srgb_from_linear(lab.linear_from_srgb(LADDER)), LADDER, atol=1e-6)
    assert torch.allclose(lab.luminance_from_lightness(lab.lightness_from_luminance(LADDER)), LADDER, atol=1e-6)


def test_neutral_has_no_colour() -> None:
    _, a, b = lab.lab_from_srgb(LADDER.expand(3, 1, -1))
    assert float(a.abs().max()) < 1e-4
    assert float(b.abs().max()) < 1e-4


def test_no_colour_is_neutral() -> None:
    lightness = torch.linspace(0, 100, 1001)
    r, g, b = lab.srgb_from_lab(torch.stack([lightness, 0 * lightness, 0 * lightness])[:, None])
    assert float((r - g).abs().max()) < 1e-5
    assert float((b - g).abs().max()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_scikit_image(dtype: torch.dtype) -> None:
    rgb = cube(dtype=dtype)
    own = lab.lab_from_srgb(rgb).double().permute(1, 2, 0).numpy()
    theirs = rgb2lab(rgb.double().permute(1, 2, 0).numpy())
    assert np.abs(own - theirs)[..., 0].max() < 1e-3
    # in the network's range; in Lab units scikit-image's rounded white puts its own greys up to 0.005 off zero
    assert np.abs(own - theirs)[..., 1:].max() / lab.AB_SCALE < 1e-3


def test_equal_to_scikit_image_on_the_way_back() -> None:
    values = lab.lab_from_srgb(cube(17, torch.float64))
    theirs = lab2rgb(values.permute(1, 2, 0).numpy())
    assert np.abs(lab.srgb_from_lab(values).permute(1, 2, 0).numpy() - theirs).max() < 1e-3


WILD = st.floats(-500, 500, width=32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100, width=32), WILD, WILD), min_size=1, max_size=20))
def test_merging_keeps_lightness_whatever_the_colour(pixels: list[tuple[float, float, float]]) -> None:
    wild = torch.tensor(pixels, dtype=torch.float64).T[:, None]
    rgb = lab.srgb_from_lab(wild)
    assert float(rgb.min()) >= 0
    assert float(rgb.max()) <= 1
    assert float((lightness_of(rgb) - wild[0]).abs().max()) < 1e-3


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 100, width=32), WILD, WILD)
def test_merging_keeps_lightness_in_single_precision(lightness: float, a: float, b: float) -> None:
    rgb = lab.srgb_from_lab(torch.tensor([lightness, a, b]).reshape(3, 1, 1))
    assert float((lightness_of(rgb) - lightness).abs().max()) < 0.01


@settings(max_examples=40, deadline=None)
@given(st.floats(5, 95), st.floats(0, 6.3), st.floats(0, 4))
def test_fitting_the_gamut_keeps_the_hue_and_never_adds_colour(lightness: float, hue: float, factor: float) -> None:
    wild = torch.tensor([lightness, 60 * factor * np.cos(hue), 60 * factor * np.sin(hue)]).double().reshape(3, 1, 1)
    wild_linear = lab.linear_from_lab(wild)
    fitted = lab.fit_gamut(wild_linear)
    y = (wild_linear * torch.tensor(lab.LUMA).double()[:, None, None]).sum()
    away, kept = (wild_linear - y).flatten(), (fitted - y).flatten()
    share = float((away @ kept) / (away @ away).clamp_min(1e-30))
    assert torch.allclose(kept, share * away, atol=1e-6)
    assert -1e-9 <= share <= 1 + 1e-9


def test_colours_inside_the_gamut_stay() -> None:
    linear = lab.linear_from_srgb(cube(17))
    assert torch.allclose(lab.fit_gamut(linear), linear, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 3, 5, 7), (2, 4, 3, 6, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_leading_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    rgb = torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    values = lab.lab_from_srgb(rgb)
    assert values.shape == rgb.shape
    assert values.dtype == dtype
    one = lab.lab_from_srgb(rgb.reshape(-1, 3, *shape[-2:])[0])
    assert torch.allclose(values.reshape(-1, 3, *shape[-2:])[0], one, atol=1e-4)


def test_network_range() -> None:
    values = lab.lab_from_srgb(cube(9)[None])
    l_net, ab_net = lab.net_from_lab(values)
    assert l_net.shape == (1, 1, 81, 9)
    assert ab_net.shape == (1, 2, 81, 9)
    assert (float(l_net.min()), float(l_net.max())) == pytest.approx((-1, 1), abs=1e-5)
    assert float(ab_net.abs().max()) <= 1
    assert torch.allclose(lab.lab_from_net(l_net, ab_net), values, atol=1e-4)


def test_gradients_are_finite_everywhere() -> None:
    rgb = torch.tensor([[0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 1.0, 0.0]])[:, None].requires_grad_()
    lab.srgb_from_lab(lab.lab_from_srgb(rgb) * 1.5).sum().backward()
    assert rgb.grad is not None
    assert bool(torch.isfinite(rgb.grad).all())
