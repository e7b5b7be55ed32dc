"""tiles and orient: whatever the shape, every pixel is seen, the pieces make the whole, and the work stays bounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from archivecolor.imaging import tiling
from archivecolor.imaging.orientation import to_stored, to_upright

SIDES = st.one_of(st.integers(1, 300), st.sampled_from([1, 2, 31, 97, 251, 509]))
TILES = st.sampled_from([16, 33, 64, 96])


def field(height: int, width: int) -> np.ndarray:
    """Two channels that differ at every pixel."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([np.sin(x / 7) * 40 + y / 3, np.cos(y / 5) * 40 - x / 9])


def stitched_identity(whole: np.ndarray, tile: int) -> np.ndarray:
    height, width = whole.shape[1:]
    places = tiling.tile_windows(height, width, tile)
    parts = [whole[:, p.top : p.bottom, p.left : p.right] for p in places]
    return tiling.stitch(parts, places, height, width)


# --- windows and stitching --------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(height=SIDES, width=SIDES, tile=TILES)
@example(height=1, width=1, tile=64)
@example(height=97, width=251, tile=64)
@example(height=30, width=20, tile=96)
@example(height=1280, width=32, tile=96)
@example(height=1, width=65537, tile=96)
@example(height=65537, width=1, tile=96)
def test_stitching_the_identity_is_the_identity(height: int, width: int, tile: int) -> None:
    whole = field(height, width)
    np.testing.assert_allclose(stitched_identity(whole, tile), whole, rtol=1e-5, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(height=SIDES, width=SIDES, tile=TILES)
def test_windows_cover_everything_and_stay_small(height: int, width: int, tile: int) -> None:
    seen = np.zeros((height, width), bool)
    for place in tiling.tile_windows(height, width, tile):
        assert 0 <= place.top < place.bottom <= min(height, place.top + tile)
        assert 0 <= place.left < place.right <= min(width, place.left + tile)
        seen[place.top : place.bottom, place.left : place.right] = True
    assert seen.all()


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 70_000), tile=TILES)
def test_neighbouring_windows_share_the_promised_part(length: int, tile: int) -> None:
    begins = tiling.tile_starts(length, tile)
    assert begins[0] == 0
    assert begins[-1] == max(0, length - tile)
    steps = np.diff(begins)
    assert (steps > 0).all()
    assert (tile - steps >= math.floor(tile * tiling.OVERLAP) - 1).all()
    assert len(begins) <= max(0, math.ceil((length - tile) / (tile * (1 - tiling.OVERLAP)))) + 1


def test_stitching_blends_smoothly_between_disagreeing_answers() -> None:
    places = tiling.tile_windows(64, 112, 64)
    assert len(places) == 2
    answers = [np.full((1, 64, 64), value, np.float32) for value in (0.0, 10.0)]
    row = tiling.stitch(answers, places, 64, 112)[0, 32]
    assert (row[0], row[-1]) == (0, 10)
    assert (np.diff(row) >= -1e-5).all()
    assert np.diff(row).max() < 2.5, "a seam"


# --- frames -----------------------------------------------------------------------------------------------------------

SHAPES = st.tuples(st.integers(1, 70_000), st.integers(1, 70_000))


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, size=st.sampled_from([64, 128, 256, 448]), stride=st.sampled_from([32, 256]))
@example(shape=(1, 65537), size=256, stride=32)
@example(shape=(65537, 1), size=64, stride=32)
@example(shape=(1, 1), size=256, stride=32)
def test_frames_suit_the_network_and_are_bounded(shape: tuple[int, int], size: int, stride: int) -> None:
    frame = tiling.network_size(*shape, size, stride)
    assert frame.net_height % stride == 0 < frame.net_height
    assert frame.net_width % stride == 0 < frame.net_width
    assert 1 <= frame.height <= frame.net_height
    assert 1 <= frame.width <= frame.net_width
    # the ideal area, or where a side cannot be less than one stride, a strip of the longest that is still kept
    longest = math.ceil(size * math.sqrt(tiling.NARROWEST) / stride + 1) * stride
    assert frame.net_height * frame.net_width <= max(2.5 * size * size, stride * longest)
    assert frame.height * frame.width >= 0.15 * min(size * size, frame.net_height * frame.net_width)


def sides(frame: tiling.NetworkSize) -> tuple[int, int]:
    return frame.height, frame.width


@settings(max_examples=50, deadline=None)
@given(short=st.integers(64, 9000), aspect=st.floats(1, 15.9), wide=st.booleans())
def test_frames_keep_the_aspect(short: int, aspect: float, wide: bool) -> None:
    shape = (short, int(short * aspect)) if wide else (int(short * aspect), short)
    frame = tiling.network_size(*shape, 256)
    # there is one scale from which both sides are at most half a pixel off
    scales = [((inside - 0.5) / side, (inside + 0.5) / side) for inside, side in zip(sides(frame), shape, strict=True)]
    assert max(least for least, _ in scales) <= min(most for _, most in scales)


def test_many_shapes_share_few_frames() -> None:
    scans = [(1000 + 3 * i, 1500 - 2 * i) for i in range(60)]
    nets = {(f.net_height, f.net_width) for f in (tiling.network_size(*shape, 256) for shape in scans)}
    assert len(nets) <= 5


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, factor=st.floats(1, 2), tile=st.sampled_from([64, 256, 448]))
def test_work_has_a_bound_for_any_shape(shape: tuple[int, int], factor: float, tile: int) -> None:
    height, width = tiling.working_size(*shape, tile * factor, tile)
    assert height >= 1 <= width
    count = len(tiling.tile_windows(height, width, tile))
    assert max(len(tiling.tile_starts(side, tile)) for side in (height, width)) <= tiling.MOST_ALONG + 1
    assert count <= 4 * (tiling.MOST_ALONG + 1)


# --- padding ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 90), st.integers(0, 90))
def test_padding_keeps_the_picture_and_mirrors_it(height: int, width: int, below: int, right: int) -> None:
    picture = field(height, width)[0]
    padded = tiling.pad(picture, height + below, width + right)
    assert padded.shape == (height + below, width + right)
    np.testing.assert_array_equal(padded[:height, :width], picture)
    if below:
        np.testing.assert_array_equal(padded[height, :width], picture[-1])
    if right:
        np.testing.assert_array_equal(padded[:height, width], picture[:, -1])


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 5, 3)])
def test_stored_undoes_upright(orientation: int, shape: tuple[int, ...]) -> None:
    picture = np.arange(math.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(to_stored(to_upright(picture, orientation), orientation), picture)
    np.testing.assert_array_equal(to_upright(to_stored(picture, orientation), orientation), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_shows(orientation: int) -> None:
    picture = np.arange(15, dtype=np.uint8).reshape(5, 3)
    image = Image.fromarray(picture)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(to_upright(picture, orientation), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_an_orientation_that_does_not_exist_is_no_orientation(orientation: int) -> None:
    picture = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(to_upright(picture, orientation), picture)
    np.testing.assert_array_equal(to_stored(picture, orientation), picture)
