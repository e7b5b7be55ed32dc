"""Damage inside pictures is noticed, and absurd headers are refused before anything is decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.doubles import grey
from support.fuzz_readers import psd as flat_psd

from archivecolor import photo
from archivecolor.errors import PictureError, TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import Page, Photo, containers, jpeg_data, libjxl

# --- damage -----------------------------------------------------------------------------------------------------------


def jpeg_of(samples: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def hurt(data: bytes, where: float, bytes_hurt: int = 6) -> bytes:
    """The file with a few bytes changed, spread over two hundred."""
    out, at = bytearray(data), int(len(data) * where)
    for step in range(bytes_hurt):
        out[at + 31 * step] ^= 0x5A
    return bytes(out)


@pytest.mark.parametrize("kind", [{}, {"restart_marker_rows": 1}, {"progressive": True}])
@pytest.mark.parametrize("where", [0.3, 0.5])
def test_damage_inside_a_jpeg_is_not_passed_over(tmp_path: Path, kind: dict[str, Any], where: float) -> None:
    """Most of it: what decodes to as many blocks as there should be cannot be told from a picture."""
    (tmp_path / "a.jpg").write_bytes(hurt(jpeg_of(grey(300, 400), **kind), where))
    try:
        page = photo.read(tmp_path / "a.jpg").pages[0]
    except UnreadableError:
        return
    assert "JPEG data damaged in places or unusual: compare it with the source" in page.notes


def test_a_jpeg_with_a_hole_in_the_middle_is_refused(tmp_path: Path) -> None:
    data = jpeg_of(grey(400, 400), restart_marker_rows=1)
    first, last = data.index(b"\xff\xd3", 1000), data.index(b"\xff\xd5", 1000)
    (tmp_path / "a.jpg").write_bytes(data[: first + 40] + data[last:])
    with pytest.raises(UnreadableError, match="parts of the picture are missing"):
        photo.read(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": 2}])
@pytest.mark.parametrize("colour", [True, False])
def test_sound_jpegs_are_not_doubted(tmp_path: Path, kind: dict[str, Any], colour: bool) -> None:
    samples = np.stack([grey(), grey(seed=1), grey(seed=2)], axis=-1) if colour else grey()
    data = jpeg_of(samples, icc_profile=b"not a profile" * 20, exif=b"Exif\0\0junk", comment=b"c", **kind)
    assert jpeg_data.is_sound(data)
    assert jpeg_data.is_sound(data + b"trailing bytes")
    (tmp_path / "a.jpg").write_bytes(data)
    assert not any("damaged in places" in note for note in photo.read(tmp_path / "a.jpg").pages[0].notes)


def test_without_libjxl_jpegs_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libjxl, "load", lambda: None)
    (tmp_path / "a.jpg").write_bytes(hurt(jpeg_of(grey(300, 400)), 0.5, 1))
    assert photo.read(tmp_path / "a.jpg").pages[0].notes == ()


JPEG_KINDS = [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}]


def on_a_mat(colour: bool) -> Any:
    """A picture whose lower part is exactly the grey that libjpeg fills in for missing data."""
    samples = np.vstack([grey(40, 72), np.full((24, 72), 128, np.uint8)])
    return np.stack([samples] * 3, axis=-1) if colour else samples


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("colour", [True, False])
def test_a_whole_jpeg_on_a_grey_mat_is_read(tmp_path: Path, kind: dict[str, Any], colour: bool) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_of(on_a_mat(colour), **kind))
    page = photo.read(tmp_path / "a.jpg").pages[0]
    assert page.samples.shape == on_a_mat(colour).shape and (page.samples[-1] == 128).all()
    assert page.notes == ()


def test_a_whole_cmyk_jpeg_on_a_grey_mat_is_read(tmp_path: Path) -> None:
    ink = np.zeros((64, 64, 4), np.uint8)
    ink[32:, :, 3] = 127  # as sRGB exactly 128
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.jpg", quality=100)
    assert (photo.read(tmp_path / "a.jpg").pages[0].samples[-1] == 128).all()


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("ending", [b"", b"\xff\xd9"])
def test_a_jpeg_on_a_grey_mat_that_is_cut_off_is_refused(tmp_path: Path, kind: dict[str, Any], ending: bytes) -> None:
    """Wherever it is cut, between two scans too."""
    data = jpeg_of(on_a_mat(False), **kind)
    for at in range(data.index(b"\xff\xda") + 14, len(data) - 2, 3 if "progressive" not in kind else 1):
        (tmp_path / "a.jpg").write_bytes(data[:at] + ending)
        with pytest.raises(UnreadableError, match=r"truncated|damaged"):
            photo.read(tmp_path / "a.jpg")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_wrong_sum_in_a_png_is_noticed(tmp_path: Path, bits: int) -> None:
    data = bytearray(imagecodecs.png_encode(grey(40, 56, np.uint16 if bits == 16 else np.uint8)))
    data[data.index(b"IDAT") + 4 + int.from_bytes(data[33:37], "big")] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableError):
        photo.read(tmp_path / "a.png")


def test_damaged_words_do_not_cost_a_png_its_picture(tmp_path: Path) -> None:
    data = bytes(imagecodecs.png_encode(grey()))
    broken = containers.png_chunk(b"zTXt", b"k\0\0no zlib data") + containers.png_chunk(b"iCCP", b"k\0\0neither")
    (tmp_path / "a.png").write_bytes(data[:33] + broken + data[33:])
    page = photo.read(tmp_path / "a.png").pages[0]
    np.testing.assert_array_equal(page.samples, grey())
    assert page.notes == ("damaged colour profile ignored: read as sRGB",)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "jpeg"])
def test_a_tiff_whose_strip_lies_beyond_its_end_is_refused(tmp_path: Path, compression: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", grey(), compression=compression, rowsperstrip=8, metadata=None)
    data = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        at = tif.pages[0].dataoffsets[-1] + 3
    (tmp_path / "a.tif").write_bytes(data[:at])
    with pytest.raises(UnreadableError):
        photo.read(tmp_path / "a.tif")


# --- absurd headers ---------------------------------------------------------------------------------------------------


def be(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def patched(data: bytes, after: bytes, skip: int, new: bytes) -> bytes:
    """The data with `new` lying `skip` bytes after the first occurrence of `after`."""
    at = data.index(after) + skip
    return data[:at] + new + data[at + len(new) :]


def written(tmp_path: Path, format: str) -> bytes:
    page = Page(np.stack([grey()] * 3, axis=-1))
    photo.write(tmp_path / "small", Photo(format, (page,)), format)
    return (tmp_path / "small").read_bytes()


def saved(format: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey()).convert("RGB").save(out, format)
    return out.getvalue()


HUGE: dict[str, Callable[[Path], bytes]] = {
    "jpeg": lambda p: patched(written(p, "jpeg"), b"\xff\xc0", 5, struct.pack(">HH", 65500, 65500)),
    "jp2": lambda p: patched(written(p, "jp2"), b"\xff\x51", 6, be(1 << 31, 1 << 31)),
    "avif": lambda p: patched(written(p, "avif"), b"ispe", 8, be(60_000, 60_000)),
    "bmp": lambda p: patched(written(p, "bmp"), b"BM", 18, struct.pack("<ii", 60_000, 60_000)),
    "psd": lambda p: patched(flat_psd(), b"8BPS", 14, be(60_000, 60_000)),
    "tga": lambda p: patched(saved("TGA"), b"", 12, struct.pack("<HH", 65535, 65535)),
    "pcx": lambda p: patched(saved("PCX"), b"", 8, struct.pack("<HH", 65534, 65534)),
    "sgi": lambda p: patched(saved("SGI"), b"", 6, struct.pack(">HH", 65535, 65535)),
    "pnm": lambda p: b"P3 60000 60000 255\n1 2 3",
}


@pytest.mark.parametrize("kind", HUGE)
def test_sizes_are_refused_before_decoding(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_bytes(HUGE[kind](tmp_path))
    with pytest.raises(TooLargeError, match=r"over the limit of 500; lift the limit with --max-megapixels \d+"):
        photo.read(tmp_path / "x")


def tiff_with(tmp_path: Path, **tags: tuple[int, int, int]) -> Path:
    """A small TIFF whose tags of these numbers have the (type, count, value) given."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, grey(), metadata=None)
    with tifffile.TiffFile(path) as tif:
        places = {name: tif.pages[0].tags[int(name[1:])].offset for name in tags}
    data = bytearray(path.read_bytes())
    for name, at in places.items():
        data[at + 2 : at + 12] = struct.pack("<HII", *tags[name])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "tags",
    [
        {"t256": (4, 1, 1 << 31)},
        {"t257": (4, 1, (1 << 32) - 1)},
        {"t273": (4, (1 << 32) - 1, 8)},
        {"t273": (4, 50_000_000, 8), "t279": (4, 50_000_000, 8)},
        {"t277": (3, 1, 65535)},
        {"t258": (3, 1, 65535)},
        {"t279": (4, 1, (1 << 32) - 1)},
    ],
)
def test_absurd_tiff_tags_are_refused(tmp_path: Path, tags: dict[str, tuple[int, int, int]]) -> None:
    with pytest.raises(PictureError):
        photo.read(tiff_with(tmp_path, **tags))


def test_a_tiff_of_endless_pages_is_refused(tmp_path: Path) -> None:
    tags = ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 16))
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
    step = len(body) + 4
    chain = b"".join(body + struct.pack("<I", 8 + step * (i + 1)) for i in range(20_000))
    (tmp_path / "x.tif").write_bytes(b"II*\0\x08\0\0\0" + chain[:-4] + bytes(4))
    with pytest.raises(UnsupportedError, match="20000 pages, over the limit of 10000"):
        photo.read(tmp_path / "x.tif")


def test_texts_that_swell_are_bounded(tmp_path: Path) -> None:
    data = bytes(imagecodecs.png_encode(grey()))
    bomb = containers.deflated(bytes(60 << 20))
    texts = b"".join(containers.png_chunk(b"zTXt", b"k%d\0\0" % i + bomb) for i in range(4))
    (tmp_path / "x.png").write_bytes(data[:33] + texts + data[33:])
    assert photo.read(tmp_path / "x.png").pages[0].notes == ("PNG: k1, k2, k3 not carried",)
