"""Aging and damage of training pictures: bounded, seeded, and grey stays grey."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_training import colour_picture, photo_set

from archivecolor.imaging import lab
from archivecolor.training import aging, damage, dataset
from archivecolor.training.aging import age_batch
from archivecolor.training.mounts import lay_on_sheet

# Aging


def linear_batch(count: int = 8) -> torch.Tensor:
    rgb = np.stack([colour_picture(i, 40, 40) for i in range(count)])
    return lab.linear_from_srgb(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255)


def aged(linear: torch.Tensor, *seeds: int) -> torch.Tensor:
    """l of each picture, aged by a generator of its own."""
    light = lab.lab_from_linear(linear)[:, :1] / 100
    return age_batch(linear, light, [np.random.default_rng(seed) for seed in seeds])


def test_aging_keeps_shape_and_range_and_follows_its_seed():
    linear = linear_batch()
    true = age_batch(linear, lab.lab_from_linear(linear)[:, :1] / 100, [None] * 8)
    assert torch.equal(true, lab.lab_from_linear(linear)[:, :1] / 100)
    old, again, other = (aged(linear, *range(first, first + 8)) for first in (5, 5, 50))
    assert old.shape == (8, 1, 40, 40)
    assert old.min() >= 0
    assert old.max() <= 1
    assert torch.isfinite(old).all()
    assert torch.equal(old, again)
    assert not torch.equal(old, other)
    assert (old - true).abs().mean() > 0.03


def test_an_emulsion_sees_between_ortho_and_too_much_red_and_grey_as_grey():
    """Red, green, blue and middle grey: darkest, as the eye sees it, and lightest over many draws."""
    patches = torch.tensor([[1.0, 0, 0, 0.2], [0, 1.0, 0, 0.2], [0, 0, 1.0, 0.2]])[:, None]
    seen = np.stack([aging.emulsion(patches, np.random.default_rng(seed))[0] for seed in range(200)])
    luma = lab.lightness_from_luminance(torch.tensor([*lab.LUMA, 0.2])).numpy() / 100
    low, high = seen.min(axis=0), seen.max(axis=0)
    assert low[0] < 0.3 < luma[0] < 0.7 < high[0], "red is nearly black on an orthochromatic plate"
    assert luma[2] - 1e-3 < low[2] < 0.4
    assert high[2] > 0.65, "and blue nearly white"
    np.testing.assert_allclose(seen[:, 3], luma[3], atol=1e-5)


def test_a_picture_ages_alike_whatever_stands_beside_it():
    linear = linear_batch(3)
    whole = aged(linear, 1, 2, 3)
    assert torch.equal(aged(linear[1:2], 2), whole[1:2])
    photos = photo_set(5)
    batch = dataset.training_batch(photos, 8, 4, 32, 0.5, 0)
    halves = [dataset.training_batch(photos, start, 2, 32, 0.5, 0) for start in (8, 10)]
    for name in ("l_net", "ab_net", "rgb"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(batch, name))


def test_a_half_share_ages_about_half_and_leaves_the_rest_true():
    crop = colour_picture(0, 64, 64)
    drawn = [dataset.draw_aging(crop, 0.5, np.random.default_rng(seed)) for seed in range(200)]
    old = [random is not None for _, random in drawn]
    assert 0.35 < np.mean(old) < 0.65
    assert all(one is crop for (one, _), aged in zip(drawn, old, strict=True) if not aged)


# How much of the picture one kind of damage may change by more than a trace, and by how much on the average.
DAMAGE = {
    "scratches": (0.35, 0.15),
    "dust": (0.35, 0.15),
    "halftone": (1.0, 0.2),
    "jpeg": (1.0, 0.08),
    "grain": (1.0, 0.1),
    "blur": (1.0, 0.1),
    "fade": (1.0, 0.4),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("size", [32, 96])
def test_damage_is_bounded_seeded_and_there(kind: str, size: int):
    step = getattr(damage, kind, None) or getattr(aging, kind)
    light = (lab.lab_from_linear(linear_batch(1))[0, 0] / 100).numpy()
    light = cv2.resize(light, (size, size)).clip(0, 1)
    most, mean = DAMAGE[kind]
    before, touched = light.copy(), 0
    for seed in range(30):
        once, twice = (step(light, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(once, twice)
        assert once.shape == light.shape
        change = np.abs(once - light)
        touched += change.max() > 0.01
        assert (change > 0.01).mean() <= most
        assert change.mean() <= mean
    assert np.array_equal(light, before)
    assert touched > 20


@given(seed=st.integers(0, 2**32), height=st.integers(32, 90), width=st.integers(32, 90))
@settings(max_examples=60, deadline=None)
def test_a_margin_is_neutral_narrow_and_leaves_the_rest(seed: int, height: int, width: int):
    rgb = colour_picture(1, height, width)
    framed = damage.margin(rgb, np.random.default_rng(seed))
    changed = (framed != rgb).any(axis=-1)
    assert np.ptp(framed[changed], axis=-1).max(initial=0) == 0
    side = min(height, width)
    deepest = int(np.ceil(damage.DEEPEST_MARGIN * side))
    assert not changed[deepest:-deepest, deepest:-deepest].any()
    assert np.array_equal(framed[~changed], rgb[~changed])


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (33, 70)])
def test_what_is_laid_beside_a_photograph_is_grey(size: tuple[int, int]):
    rgb = np.full((*size, 3), (40, 90, 160), np.uint8)
    shares, before = [], rgb.copy()
    for seed in range(60):
        sheet, again = (lay_on_sheet(rgb, np.random.default_rng(seed)) for _ in range(2))
        assert sheet.shape == rgb.shape and sheet.dtype == np.uint8 and np.array_equal(sheet, again)
        grey = np.ptp(sheet, axis=2) == 0
        assert (sheet[~grey] == rgb[0, 0]).all(), "the photograph keeps its colours"
        shares.append(grey.mean())
    assert np.array_equal(rgb, before)
    assert min(shares) > 0.03 and max(shares) < 0.8 and np.std(shares) > 0.05


def test_mounts_leave_the_other_draws_of_a_training_as_they_were():
    photos = photo_set(5)
    without = dataset.training_batch(photos, 0, 24, 32, 0.5, 7)
    mixed = dataset.training_batch(photos, 0, 24, 32, 0.5, 7, mounts=0.5)
    same = (without.rgb == mixed.rgb).flatten(1).all(1)
    assert 6 <= same.sum() <= 18
    assert torch.equal(without.l_net[same], mixed.l_net[same])
    on_grey = mixed.ab_net[~same].abs().amax(1) < 1e-5
    assert on_grey.flatten(1).float().mean(1).min() > 0.03


def test_the_target_has_no_colour_in_a_margin_and_the_true_one_elsewhere():
    rgb = colour_picture(2, 64, 64)
    framed = damage.margin(rgb, np.random.default_rng(4))
    inside = torch.from_numpy((framed == rgb).all(axis=-1))
    assert 0.3 < inside.float().mean() < 0.99
    ab = dataset.to_batch([framed], [np.random.default_rng(0)]).ab_net[0]
    true = dataset.to_batch([rgb], [None]).ab_net[0]
    assert torch.equal(ab[:, inside], true[:, inside])
    assert ab[:, ~inside].abs().max() < 1e-5
