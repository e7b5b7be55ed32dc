"""tone: L* of any depth and profile as scikit-image sees it, and which pictures are monochrome."""

from __future__ import annotations

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageCms
from support.doubles import colourful, grey, lightness

from archivecolor.errors import UnreadableError
from archivecolor.imaging import luminance
from archivecolor.photo import SRGB_ICC

DEPTHS = [np.uint8, np.uint16]
GAMMA_22 = imagecodecs.cms_profile("gray", gamma=2.2)


def read(samples: np.ndarray, icc: bytes | None = None) -> np.ndarray:
    return luminance.lightness_function(samples.dtype, samples.ndim == 2, icc)(samples)


def ramp(dtype: type) -> np.ndarray:
    """All codes of a depth, as a picture."""
    return np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)


def random_rgb(dtype: type) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (40, 50, 3), dtype, endpoint=True)


def lightness_of_luminance(y: np.ndarray) -> np.ndarray:
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


# --- lightness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DEPTHS)
def test_grey_lightness(dtype: type) -> None:
    got = read(ramp(dtype))
    assert got.dtype == np.float32
    assert np.abs(got - lightness(ramp(dtype))).max() < 1e-3
    assert (np.diff(got.ravel()) > 0).all(), "every code has its own lightness"


@pytest.mark.parametrize("dtype", DEPTHS)
def test_rgb_lightness(dtype: type) -> None:
    got = read(random_rgb(dtype))
    assert got.shape == (40, 50)
    assert np.abs(got - lightness(random_rgb(dtype))).max() < 1e-3


@pytest.mark.parametrize("dtype", DEPTHS)
def test_grey_as_rgb_has_the_lightness_of_grey(dtype: type) -> None:
    np.testing.assert_allclose(read(np.stack([ramp(dtype)] * 3, axis=-1)), read(ramp(dtype)), atol=1e-4)


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_the_curve_of_a_grey_profile_is_honoured(dtype: type, gamma: float) -> None:
    got = read(ramp(dtype), imagecodecs.cms_profile("gray", gamma=gamma))
    expected = lightness_of_luminance((ramp(dtype) / np.iinfo(dtype).max) ** gamma)
    assert np.abs(got - expected).max() < 0.05
    assert np.abs(got - read(ramp(dtype))).max() > 0.4, "it differs from sRGB's"


@pytest.mark.parametrize("dtype", DEPTHS)
def test_an_rgb_profile_is_honoured(dtype: type) -> None:
    """AdobeRGB: gamma 2.2 and a green that sRGB does not have."""
    adobe = imagecodecs.cms_profile("adobergb")
    neutral = np.stack([ramp(dtype)] * 3, axis=-1)
    expected = lightness_of_luminance((ramp(dtype) / np.iinfo(dtype).max) ** 2.19921875)
    assert np.abs(read(neutral, adobe) - expected).max() < 0.1


@pytest.mark.parametrize("profile", [SRGB_ICC, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_srgb_by_profile_is_srgb_without_one(profile: bytes) -> None:
    np.testing.assert_array_equal(read(random_rgb(np.uint8), profile), read(random_rgb(np.uint8)))


@pytest.mark.parametrize(
    ("icc", "samples"),
    [(b"rubbish", grey()), (SRGB_ICC[:150], colourful()), (GAMMA_22, colourful()), (SRGB_ICC, grey())],
    ids=["no profile", "cut short", "grey for RGB", "RGB for grey"],
)
def test_a_profile_that_cannot_be_used_is_an_error(icc: bytes, samples: np.ndarray) -> None:
    with pytest.raises(UnreadableError, match="ICC profile"):
        read(samples, icc)


# --- monochrome -------------------------------------------------------------------------------------------------------


def toned(light: tuple[int, int, int], dark: tuple[int, int, int], seed: int = 0, grain: float = 1.5) -> np.ndarray:
    """A grey scene printed in one ink on one paper, with the noise of a scanner."""
    scene = grey(120, 160, seed=seed)[..., None] / 255
    noise = np.random.default_rng(seed).normal(0, grain, (120, 160, 3))
    return np.clip(np.array(dark) * (1 - scene) + np.array(light) * scene + noise, 0, 255).astype(np.uint8)


def stained(picture: np.ndarray) -> np.ndarray:
    """Yellowed from one corner, with a pale band below."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    age = np.exp(-((x / picture.shape[1]) ** 2 + (y / picture.shape[0]) ** 2) * 1.5)[..., None]
    return np.clip(picture * (1 - age * np.array([0.02, 0.12, 0.35])), 0, 255).astype(np.uint8)


MONOCHROME = {
    "grey": grey(120, 160),
    "grey as RGB": np.stack([grey(120, 160)] * 3, axis=-1),
    "16 bit": np.stack([grey(120, 160, np.uint16)] * 3, axis=-1),
    "black": np.zeros((30, 40, 3), np.uint8),
    "one pixel": np.full((1, 1, 3), (200, 30, 90), np.uint8),
    "sepia": toned((245, 225, 190), (50, 30, 15)),
    "cyanotype": toned((235, 240, 245), (15, 40, 95)),
    "split-toned": toned((250, 235, 200), (20, 25, 60)),
    "grainy sepia": toned((245, 225, 190), (50, 30, 15), grain=3.2),
    "yellowed unevenly": stained(toned((240, 232, 215), (30, 25, 20))),
}
COLOUR = {
    "colours": colourful(),
    "pale colours": (colourful(120, 160) * 0.35 + 120).astype(np.uint8),
    "the palest colours": (colourful(120, 160) * 0.08 + 120).astype(np.uint8),
    "16 bit": colourful().astype(np.uint16) * 257,
    "a red coat on a grey street": MONOCHROME["grey as RGB"].copy(),
}
cv2.circle(COLOUR["a red coat on a grey street"], (80, 60), 30, (190, 40, 40), -1)


@pytest.mark.parametrize("name", MONOCHROME)
def test_what_holds_one_tint_per_tone_is_monochrome(name: str) -> None:
    assert luminance.residual_chroma(MONOCHROME[name]) < luminance.MONOCHROME_CHROMA


@pytest.mark.parametrize("name", COLOUR)
def test_what_holds_colours_is_not(name: str) -> None:
    assert luminance.residual_chroma(COLOUR[name]) > luminance.MONOCHROME_CHROMA


PROPHOTO = imagecodecs.cms_profile(
    "rgb", whitepoint=(0.3457, 0.3585, 1.0), gamma=1.8,
    primaries=(0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0),
)  # fmt: skip


def in_prophoto(samples: np.ndarray) -> np.ndarray:
    srgb = imagecodecs.cms_profile("srgb")
    return imagecodecs.cms_transform(samples, srgb, PROPHOTO, colorspace="rgb", outcolorspace="rgb", intent=1)


def test_pale_colours_in_a_wide_gamut_profile_are_colours() -> None:
    wide = in_prophoto((colourful() * 0.055 + 120).astype(np.uint8))
    assert luminance.residual_chroma(wide) < luminance.MONOCHROME_CHROMA, "as they would look in sRGB"
    assert luminance.residual_chroma(wide, PROPHOTO) > luminance.MONOCHROME_CHROMA


@pytest.mark.parametrize("name", ["grey as RGB", "sepia", "cyanotype", "yellowed unevenly"])
def test_a_tint_in_a_wide_gamut_profile_stays_monochrome(name: str) -> None:
    assert luminance.residual_chroma(in_prophoto(MONOCHROME[name]), PROPHOTO) < luminance.MONOCHROME_CHROMA


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (2, 2), (3, 97)])
def test_any_shape_can_be_judged(shape: tuple[int, int]) -> None:
    assert luminance.residual_chroma(np.stack([grey(*shape)] * 3, axis=-1)) < 0.5


@settings(max_examples=40, deadline=None)
@given(low=st.floats(0, 98), width=st.floats(0.6, 100), seed=st.integers(0, 99))
def test_every_picture_is_legible_to_the_network(low: float, width: float, seed: int) -> None:
    high = min(low + width, 100.0)
    lightness = np.random.default_rng(seed).uniform(low, high, (40, 50)).astype(np.float32)
    gain, offset = luminance.stretch_contrast(lightness)
    seen = np.percentile(gain * lightness + offset, (1, 99))
    if high - low > 0.6:
        assert seen[1] - seen[0] > luminance.STRETCHED_RANGE - 0.1
    assert gain >= 1
    if gain > 1:
        assert 4.9 < seen[0] < seen[1] < 95.1
    else:
        assert offset == 0


def test_one_flat_tone_is_left_alone() -> None:
    assert luminance.stretch_contrast(np.full((30, 30), 42, np.float32)) == (1.0, 0.0)
