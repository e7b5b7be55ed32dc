"""photo.thumbnail: upright, sRGB, of the size asked for, and decoded small where the file allows it."""

from __future__ import annotations

import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.doubles import colourful, grey

from archivecolor import photo
from archivecolor.errors import PictureError
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import read_jpeg

module = importlib.import_module("archivecolor.photo.thumbnail")


def soft(height: int, width: int) -> np.ndarray:
    return cv2.resize(colourful(30, 40), (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_upright_and_small(tmp_path: Path, orientation: int) -> None:
    stored = soft(480, 720)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", quality=95, exif=exif)
    small = photo.thumbnail(tmp_path / "a.jpg", 90)
    seen = to_upright(stored, orientation, (0, 1))
    assert small.shape == ((60, 90, 3) if orientation < 5 else (90, 60, 3))
    wanted = cv2.resize(np.ascontiguousarray(seen), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).mean() < 4


def test_a_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(soft(800, 1200)).save(tmp_path / "a.jpg")
    decoded = []
    whole = read_jpeg.decoded_page
    monkeypatch.setattr(read_jpeg, "decoded_page", lambda image, icc: decoded.append(image.size) or whole(image, icc))
    photo.thumbnail(tmp_path / "a.jpg", 150)
    photo.thumbnail(tmp_path / "a.jpg", 151)
    photo.thumbnail(tmp_path / "a.jpg", 4000)
    assert decoded == [(150, 100), (300, 200), (1200, 800)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_files_and_small_ones(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", grey(200, 300, dtype))
    assert photo.thumbnail(tmp_path / "a.tif", 75).shape == (50, 75, 3)
    assert photo.thumbnail(tmp_path / "a.tif", 500).shape == (200, 300, 3)
    assert photo.thumbnail(tmp_path / "a.tif", 50).dtype == np.uint8


def test_a_large_tiff_is_reduced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", soft(1200, 1800)[..., 0], rowsperstrip=64)
    whole = photo.thumbnail(tmp_path / "a.tif", 150)
    monkeypatch.setattr(module, "HELD_MEGAPIXELS", 1.0)
    held = []
    read = module.read
    monkeypatch.setattr(module, "read", lambda *arguments: held.append(read(*arguments)) or held[-1])
    strips = photo.thumbnail(tmp_path / "a.tif", 150)
    assert held[0].pages[0].scan is not None and held[0].pages[0].samples.size < 1200 * 1800 / 3
    assert strips.shape == whole.shape == (100, 150, 3)
    assert np.abs(strips.astype(int) - whole).mean() < 2


def test_a_damaged_jpeg_says_what_reading_says(tmp_path: Path) -> None:
    Image.fromarray(grey(200, 300)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[:100])
    with pytest.raises(PictureError):
        photo.thumbnail(tmp_path / "a.jpg", 50)


# --- huge pictures, reduced to a side ---------------------------------------------------------------------------------


def huge(folder: Path, kind: str) -> Path:
    """A picture of 1,800 x 1,200 pixels, stored on its side."""
    path, exif = folder / f"a.{kind}", Image.Exif()
    exif[0x0112] = 6
    if kind == "tif":
        tifffile.imwrite(path, soft(1200, 1800).astype(np.uint16) * 257, photometric="rgb", rowsperstrip=64)
    else:
        Image.fromarray(soft(1200, 1800)).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_a_huge_picture_is_reduced_to_a_side_and_any_other_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = huge(tmp_path, kind)
    whole = photo.read(path).pages[0]
    ordinary = photo.read_page_of_side(path, 150)
    assert np.array_equal(ordinary.samples, whole.samples)
    monkeypatch.setattr(module, "WHOLE_MEGAPIXELS", 1.0)
    small = photo.read_page_of_side(path, 150)
    assert (small.samples.shape, small.samples.dtype) == ((150, 225, 3), whole.samples.dtype)
    assert (small.orientation, small.xmp, small.icc) == (whole.orientation, whole.xmp, whole.icc)
    wanted = cv2.resize(whole.samples, (225, 150), interpolation=cv2.INTER_AREA)
    assert np.abs(small.samples.astype(float) - wanted).mean() < 0.01 * np.iinfo(whole.samples.dtype).max
    assert photo.read_page_of_side(path, 4000).samples.shape == (1200, 1800, 3)


def test_a_huge_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = huge(tmp_path, "jpg")
    monkeypatch.setattr(module, "WHOLE_MEGAPIXELS", 1.0)
    decoded = []
    whole = read_jpeg.decoded_page
    monkeypatch.setattr(read_jpeg, "decoded_page", lambda image, icc: decoded.append(image.size) or whole(image, icc))
    photo.read_page_of_side(path, 150)
    photo.read_page_of_side(path, 151)
    assert decoded == [(225, 150), (450, 300)]


def test_one_huge_picture_at_a_time_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [huge(tmp_path, "png"), tmp_path / "b.png"]
    paths[1].write_bytes(paths[0].read_bytes())
    monkeypatch.setattr(module, "WHOLE_MEGAPIXELS", 1.0)
    reading, most = [], []
    read = module.read

    def counted(*arguments):
        reading.append(1)
        most.append(len(reading))
        time.sleep(0.05)
        page = read(*arguments)
        reading.pop()
        return page

    monkeypatch.setattr(module, "read", counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: photo.read_page_of_side(path, 100), paths * 2))
    assert most == [1] * 4


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_a_damaged_huge_jpeg_is_refused_as_when_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float
) -> None:
    """Reduced, libjpeg would fill what is missing with grey, and a training would learn it."""
    path = huge(tmp_path, "jpg")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))] + b"\xff\xd9")
    monkeypatch.setattr(module, "WHOLE_MEGAPIXELS", 1.0)
    with pytest.raises(PictureError) as whole:
        photo.read(path)
    with pytest.raises(PictureError) as reduced:
        photo.read_page_of_side(path, 150)
    assert str(reduced.value) == str(whole.value)
    with pytest.raises(PictureError):
        photo.read_page_of_side(tmp_path / "missing.jpg", 150)
