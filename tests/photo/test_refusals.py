"""What cannot be read says why, before it costs memory."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pages import exif_of, photo_chunk, ramp, smooth

from archivecolor import photo
from archivecolor.errors import PictureError, SourceReadError, TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import Page, Photo

# --- refusals of the reader -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "jp2", "bmp", "avif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, format: str, bits: int, kept: float) -> None:
    noise = ramp((48, 48, 3), np.uint8 if bits == 8 else np.uint16)
    photo.write(tmp_path / "x", Photo(format, (Page(noise),)), format)
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UnreadableError, match=r"truncated|damaged"):
        photo.read(tmp_path / "x")


def test_jpeg_whose_end_was_made_up_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(ramp((64, 64), np.uint8)).save(out, "JPEG")
    (tmp_path / "x.jpg").write_bytes(out.getvalue()[: out.tell() // 2] + b"\xff\xd9")
    with pytest.raises(UnreadableError, match="lower part"):
        photo.read(tmp_path / "x.jpg")


def test_one_flipped_byte_in_a_16_bit_png_is_noticed(tmp_path: Path) -> None:
    data = bytearray(imagecodecs.png_encode(ramp((20, 20, 3), np.uint16)))
    data[len(data) // 2] ^= 0x10
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UnreadableError):
        photo.read(tmp_path / "x.png")


def png_header(width: int, height: int) -> bytes:
    header = photo_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + photo_chunk(b"IEND", b"")


def gif_of_size(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (2, 2)).save(out, "GIF")
    return b"GIF89a" + struct.pack("<HH", width, height) + out.getvalue()[10:]


@pytest.mark.parametrize(
    "content",
    [png_header(100_000, 100_000), b"P6 99999 99999 255\n", gif_of_size(65535, 65535)],
)
def test_bombs_are_refused_by_their_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TooLargeError, match=r"--max-megapixels \d"):
        photo.read(tmp_path / "x")


def test_the_limit_is_the_limit_and_counts_all_pages(tmp_path: Path) -> None:
    page = Page(smooth(100, 100))
    for format in ("jpeg", "png", "tiff", "bmp", "jp2", "webp"):
        photo.write(tmp_path / format, Photo(format, (page,)), format)
        assert photo.read(tmp_path / format, max_megapixels=0.01).pages[0].samples.shape == (100, 100, 3)
        with pytest.raises(TooLargeError):
            photo.read(tmp_path / format, max_megapixels=0.0099)
    photo.write(tmp_path / "two", Photo("tiff", (page, page)), "tiff")
    with pytest.raises(TooLargeError, match="2 pages together"):
        photo.read(tmp_path / "two", max_megapixels=0.015)


@pytest.mark.parametrize(
    "content, error, reason",
    [
        (b"", UnreadableError, "empty"),
        (b"just some text", UnreadableError, "not a picture"),
        (b"%PDF-1.4", UnsupportedError, "pdfimages"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", UnsupportedError, "render it"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", UnsupportedError, "film"),
        (b"II*\0\x08\0\0\0", UnreadableError, "damaged|truncated"),
        (b"\x89PNG\r\n\x1a\n", UnreadableError, "damaged|truncated"),
        (b"P5 9 9", UnreadableError, "truncated"),
    ],
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, error: type[Exception], reason: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(error, match=reason):
        photo.read(tmp_path / "x.jpg")


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(SourceReadError, match="not there"):
        photo.read(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableError, match="folder"):
        photo.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match="pipe"):
        photo.read(tmp_path / "pipe")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.jpg").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SourceReadError, match="right to read"):
        photo.read(tmp_path / "x.jpg")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(["jpeg", "png", "tiff", "webp", "jp2", "bmp", "avif"]),
    where=st.floats(0, 0.999),
    byte=st.integers(0, 255),
)
def test_no_damage_ends_in_a_foreign_exception(tmp_path: Path, format: str, where: float, byte: int) -> None:
    path = tmp_path / f"fuzz{format}"
    photo.write(path, Photo(format, (Page(smooth(24, 24), exif=exif_of(artist=b"x")),)), format)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] = byte
    path.write_bytes(data)
    try:
        read = photo.read(path, max_megapixels=1)
    except PictureError as error:
        assert str(error)
    else:
        assert read.pages[0].samples.dtype in (np.uint8, np.uint16)
