"""Black and white of floats, of wide integers, and of deep samples that use fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.doubles import grey
from support.tiffs import FLOAT, SHORT, grey_tags, write_tiff

from archivecolor import photo
from archivecolor.options import Strips
from archivecolor.photo import Page
from archivecolor.photo.samples import stretch_to_16_bit

SCENE = np.random.default_rng(0).random((120, 160))
"""Values from 0 to 1."""


def with_outliers(values: Any, *outliers: float) -> Any:
    out = values.copy()
    out.ravel()[: len(outliers)] = outliers
    return out


CONVENTIONS = {
    "unit": (SCENE.astype("f4"), 1, "0 to 1"),
    "half floats": (SCENE.astype("f2"), 1, "0 to 1"),
    "a dark unit": ((SCENE * 0.1).astype("f4"), 1, "0 to 1"),
    "codes of 8 bits": ((SCENE * 255).astype("f4"), 255, "0 to 255"),
    "codes of 8 bits, low contrast": ((SCENE * 100 + 80).astype("f8"), 255, "0 to 255"),
    "codes of 8 bits, dark": (np.rint(SCENE * 9).astype("f4"), 255, "0 to 255"),
    "codes of 16 bits": ((SCENE * 65535).astype("f4"), 65535, "0 to 65535"),
    "codes of 16 bits, dark": ((SCENE * 3000 + 400).astype("f4"), 65535, "0 to 65535"),
    "16 bits in unsigned 32": ((SCENE * 50_000 + 5000).astype("u4"), 65535, "0 to 65535"),
    "16 bits in signed 32": ((SCENE * 50_000).astype("i4"), 65535, "0 to 65535"),
    "16 bits in unsigned 64": ((SCENE * 50_000).astype("u8"), 65535, "0 to 65535"),
    "8 bits in unsigned 32": ((SCENE * 200).astype("u4"), 255, "0 to 255"),
    "8 bits in signed 16": ((SCENE * 200).astype("i2"), 255, "0 to 255"),
    "32 bits": ((SCENE * 0.9 * (2**32 - 1)).astype("u4"), 2**32 - 1, "its full range"),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_values_on_a_usual_scale_are_what_they_seem(name: str) -> None:
    values, white, words = CONVENTIONS[name]
    samples, notes = stretch_to_16_bit(values)
    assert samples.dtype == np.uint16
    assert np.abs(samples - values.astype("f8") * (65535 / white)).max() <= 0.5
    assert notes == (f"{values.dtype} read as 16 bit from {words}",)


@pytest.mark.parametrize(
    ("values", "white", "clipped"),
    [
        (with_outliers(SCENE.astype("f4"), 3.0), 1, 1),
        (with_outliers(SCENE.astype("f4"), -7.0, 1e6), 1, 2),
        (with_outliers((SCENE * 255).astype("f4"), *[4000.0] * 40), 255, 40),
        (with_outliers((SCENE * 60_000).astype("u4"), 2**32 - 1), 65535, 1),
    ],
    ids=["hot", "both ends", "a hot spot", "an integer"],
)
def test_a_few_values_far_off_do_not_stretch_the_rest(values: Any, white: float, clipped: int) -> None:
    samples, notes = stretch_to_16_bit(values)
    expected = values.astype("f8").clip(0, white) * (65535 / white)
    assert np.abs(samples - expected).max() <= 0.5
    assert notes[1:] == (f"values outside 0 to {white} clipped: {clipped}",)


def test_an_overshoot_is_clipped_and_what_is_no_number_is_black_or_white() -> None:
    values = (SCENE * 1.09 - 0.03).astype("f4")
    samples, notes = stretch_to_16_bit(values)
    np.testing.assert_array_equal(samples, np.rint(values.astype("f8").clip(0, 1) * 65535))
    assert notes[1].startswith("values outside 0 to 1 clipped: ")
    samples, _ = stretch_to_16_bit(with_outliers(SCENE.astype("f4"), np.nan, np.inf, -np.inf))
    assert samples.ravel()[:3].tolist() == [0, 65535, 0]
    assert not stretch_to_16_bit(np.full((2, 2), np.nan, "f4"))[0].any()


@pytest.mark.parametrize("scale", [5.0, 1e6])
def test_light_on_a_scale_of_its_own_is_stretched(scale: float) -> None:
    samples, notes = stretch_to_16_bit((SCENE * scale).astype("f4"))
    assert (samples.min(), samples.max()) == (0, 65535)
    assert len(notes) == 1


def read(tmp_path: Path, samples: Any, form: int, **tags: Any) -> Page:
    every = grey_tags(samples) | {339: (SHORT, (form,))} | {int(name[1:]): tag for name, tag in tags.items()}
    path = write_tiff(tmp_path / "a.tif", every, samples.tobytes())
    [page] = photo.read(path).pages
    [large] = photo.read(path, strips=Strips(0.0001, 16)).pages
    rows = np.concatenate([rows for rows, _ in large.scan.bands()]) if large.scan else large.samples
    np.testing.assert_array_equal(rows, page.samples)
    assert large.notes == page.notes
    return page


def test_a_range_that_the_file_states_is_heeded(tmp_path: Path) -> None:
    values = (SCENE * 900 + 50).astype("f4")
    page = read(tmp_path, values, 3, t340=(FLOAT, (0.0,)), t341=(FLOAT, (1000.0,)))
    assert np.abs(page.samples - values.astype("f8") * 65.535).max() <= 0.5
    assert page.notes == ("float32 read as 16 bit from 0 to 1000",)
    page = read(tmp_path, values, 3, t340=(FLOAT, (0.0,)), t341=(FLOAT, (10.0,)))
    assert page.notes == ("float32 read as 16 bit from 0 to 65535",), "what is stated cannot be true"
    wide = (SCENE * 4000).astype("u4")
    assert read(tmp_path, wide, 1, t281=(SHORT, (4095,))).notes == ("uint32 read as 16 bit from 0 to 4095",)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint16, 4095), (np.uint16, 1023), (np.uint16, 255), (np.uint8, 15)])
@pytest.mark.parametrize("code", [281, 341])
def test_fewer_bits_than_the_samples_have_are_spread_if_the_file_states_them(
    tmp_path: Path, dtype: Any, top: int, code: int
) -> None:
    samples, full = np.rint(SCENE * top).astype(dtype), np.iinfo(dtype).max
    page = read(tmp_path, samples, 1, **{f"t{code}": (SHORT, (top,))})
    np.testing.assert_array_equal(page.samples, np.rint(samples * (full / top)))
    assert page.notes == (f"values of 0 to {top} spread over 0 to {full}",)
    reverse = read(tmp_path, samples, 1, t262=(SHORT, (0,)), **{f"t{code}": (SHORT, (top,))})
    np.testing.assert_array_equal(reverse.samples, full - page.samples)


@pytest.mark.parametrize(("samples", "top"), [(grey(), 200), (grey(), 127), (grey(dtype=np.uint16), 4095)])
def test_a_statistic_or_a_stale_number_changes_nothing(tmp_path: Path, samples: Any, top: int) -> None:
    page = read(tmp_path, samples, 1, t280=(SHORT, (3,)), t281=(SHORT, (top,)))
    np.testing.assert_array_equal(page.samples, samples)
    assert page.notes == ()
