"""Reading the many kinds of pictures."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from support.pages import again, photo_chunk, ramp, smooth

from archivecolor import photo
from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import SRGB_ICC, Page, Photo

# --- reading the many kinds -------------------------------------------------------------------------------------------


def tiff(tmp_path: Path, data: Any, **options: Any) -> Page:
    tifffile.imwrite(tmp_path / "x.tif", data, metadata=None, **options)
    return photo.read(tmp_path / "x.tif").pages[0]


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"planarconfig": "separate"}, {"bigtiff": True}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_layouts(tmp_path: Path, compression: str | None, layout: dict[str, Any], byteorder: Any) -> None:
    data = ramp((20, 33, 3), np.uint16)
    stored = np.moveaxis(data, -1, 0) if "planarconfig" in layout else data
    page = tiff(tmp_path, stored, photometric="rgb", compression=compression, byteorder=byteorder, **layout)
    np.testing.assert_array_equal(page.samples, data)
    assert page.samples.dtype == np.dtype(np.uint16)


def test_tiff_numbers_of_other_kinds(tmp_path: Path) -> None:
    grey = ramp((5, 6), np.uint8)
    np.testing.assert_array_equal(tiff(tmp_path, grey, photometric="miniswhite").samples, 255 - grey)
    unit = tiff(tmp_path, np.array([[0.0, 0.5, 1.0]], np.float32))
    np.testing.assert_array_equal(unit.samples, [[0, 32768, 65535]])
    wide = tiff(tmp_path, np.array([[-10.0, 0.0, 10.0]], np.float32))
    np.testing.assert_array_equal(wide.samples, [[0, 32768, 65535]])
    assert wide.notes == ("float32 read as 16 bit from -10 to 10",)
    long = tiff(tmp_path, np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32))
    np.testing.assert_array_equal(long.samples, [[0, 32768, 65535]])
    bits = tiff(tmp_path, np.array([[True, False] * 8]), photometric="minisblack")
    np.testing.assert_array_equal(bits.samples, [[255, 0] * 8])
    twelve = tiff(tmp_path, np.array([[0, 4095, 2048]], np.uint16), bitspersample=12)
    np.testing.assert_array_equal(twelve.samples, [[0, 65535, 32776]])
    assert twelve.notes == ("12 bit read as 16 bit",)


def test_tiff_palette(tmp_path: Path) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[:, 7] = 65535, 257 * 10, 0
    page = tiff(tmp_path, np.full((2, 2), 7, np.uint8), photometric="palette", colormap=table)
    np.testing.assert_array_equal(page.samples, np.full((2, 2, 3), (255, 10, 0)))


def test_tiff_thumbnails_are_not_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as tif:
        tif.write(smooth(20, 20), photometric="rgb", metadata=None)
        tif.write(smooth(5, 5), photometric="rgb", subfiletype=1, metadata=None)
    read = photo.read(tmp_path / "x.tif")
    assert [page.samples.shape for page in read.pages] == [(20, 20, 3)]
    assert read.pages[0].notes == ("1 smaller copies or masks in the file left out",)


def test_science_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="5 channels"):
        tiff(tmp_path, ramp((9, 9, 5), np.uint16), photometric="minisblack", planarconfig="contig")


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    page = tiff(tmp_path, np.array([[[50, 20, 0, 100], [9, 9, 9, 255]]], np.uint8), extrasamples=["assocalpha"])
    np.testing.assert_array_equal(page.samples, [[[128, 51, 0], [9, 9, 9]]])


def test_lab_tiff_agrees_with_littlecms(tmp_path: Path) -> None:
    lab = np.array([[[255, 0, 0], [128, 0, 0], [136, 81, 70], [200, 256 - 40, 30]]], np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", lab, photometric="cielab", metadata=None)
    seen = photo.read(tmp_path / "x.tif").pages[0].samples
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(*profiles, "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    expected = ImageCms.applyTransform(Image.frombytes("LAB", (4, 1), lab.tobytes()), transform)
    assert np.abs(seen.astype(int) - np.asarray(expected)).max() <= 3


def test_png_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8)).save(path)
    assert photo.read(path).pages[0].samples.tolist() == [[0, 1], [2, 3]]
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(path, transparency=1)
    page = photo.read(path).pages[0]
    assert page.samples.tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert page.alpha is not None and page.alpha.tolist() == [[255, 0]]
    Image.fromarray(smooth(2, 2)).save(path, transparency=tuple(int(v) for v in smooth(2, 2)[1, 1]))
    page = photo.read(path).pages[0]
    assert page.alpha is not None and page.alpha.tolist() == [[255, 255], [255, 0]]


def test_16_bit_png_ignores_gamma_and_keeps_key_colour(tmp_path: Path) -> None:
    samples = ramp((7, 9, 3), np.uint16)
    chunks = photo_chunk(b"gAMA", struct.pack(">I", 100000)) + photo_chunk(
        b"tRNS", samples[2, 3].astype(">u2").tobytes()
    )
    data = imagecodecs.png_encode(samples)
    (tmp_path / "x.png").write_bytes(data[:33] + chunks + data[33:])
    page = photo.read(tmp_path / "x.png").pages[0]
    np.testing.assert_array_equal(page.samples, samples)
    assert page.alpha is not None and page.alpha[2, 3] == 0 and (page.alpha == 0).sum() == 1


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"P1 # c\n2 1 10", [[0, 255]]),
        (b"P2\n2 1\n65535\n4 40000\n", [[4, 40000]]),
        (b"P3 1 1 255 1 2 3", [[[1, 2, 3]]]),
        (b"P4 3 1\n\xa0", [[0, 255, 0]]),
        (b"P5 2 1 255\n\x01\x02", [[1, 2]]),
        (b"P5 1 1 4095\n\x0f\xff", [[65535]]),
        (b"P6 1 1 65535\n\x00\x01\x00\x02\xff\xff", [[[1, 2, 65535]]]),
    ],
)
def test_pnm(tmp_path: Path, content: bytes, expected: list[Any]) -> None:
    (tmp_path / "x.pnm").write_bytes(content)
    assert photo.read(tmp_path / "x.pnm").pages[0].samples.tolist() == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_sgi_keeps_16_bits(tmp_path: Path, channels: int, packed: bool) -> None:
    samples = ramp((5, 7, channels), np.uint16)
    samples[:, 3:6] = samples[:, 3:4]
    planes = samples.transpose(2, 0, 1)[:, ::-1].astype(">u2")
    head = b"\x01\xda" + struct.pack(">BBHHHH", packed, 2, 2 if channels == 1 else 3, 7, 5, channels)
    content = planes.tobytes()
    if packed:
        rows = [
            struct.pack(">H", 0x83) + row[:3].tobytes() + struct.pack(">HHHHH", 3, row[3], 0x81, row[6], 0)
            for row in planes.reshape(-1, 7)
        ]
        starts = np.cumsum([512 + 8 * len(rows), *map(len, rows)])[:-1]
        content = np.array([starts, [len(row) for row in rows]], ">u4").tobytes() + b"".join(rows)
    (tmp_path / "a.sgi").write_bytes(head.ljust(512, b"\0") + content)
    page = photo.read(tmp_path / "a.sgi").pages[0]
    np.testing.assert_array_equal(page.samples, samples[..., 0] if channels == 1 else samples[..., :3])
    assert (page.alpha is None) == (channels != 4)
    (tmp_path / "a.sgi").write_bytes((head.ljust(512, b"\0") + content)[:-9])
    with pytest.raises(UnreadableError, match=r"damaged|truncated"):
        photo.read(tmp_path / "a.sgi")


def test_cmyk_goes_through_its_profile_or_the_plain_formula(tmp_path: Path) -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 0], ink[4:, :, 3] = 255, 255
    Image.fromarray(ink, "CMYK").save(tmp_path / "x.tif", compression="tiff_lzw")
    page = photo.read(tmp_path / "x.tif").pages[0]
    assert page.samples[0, 0].tolist() == [0, 255, 255]
    assert page.samples[7, 0].tolist() == [0, 0, 0]
    assert "plain formula" in page.notes[0]


def test_jp2_profile_is_handed_over_and_not_applied(tmp_path: Path) -> None:
    samples = ramp((12, 12, 3), np.uint16)
    back = again(tmp_path, Page(samples, icc=SRGB_ICC), "jp2")
    np.testing.assert_array_equal(back.samples, samples)
    assert back.icc == SRGB_ICC


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    for format in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"x.{format}", save_all=True, append_images=frames[1:], lossless=True)
        page = photo.read(tmp_path / f"x.{format}").pages[0]
        assert page.samples[0, 0].tolist() == [255, 0, 0]
        assert "first of 3 frames" in page.notes


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(smooth(4, 4)).save(tmp_path / "x.jpg", "PNG")
    read = photo.read(tmp_path / "x.jpg")
    assert read.format == "png"
    assert read.pages[0].notes == ("the file is PNG although its name ends in .jpg",)


def test_damaged_profile_and_exif_do_not_stop_a_good_picture(tmp_path: Path) -> None:
    Image.fromarray(smooth(8, 8)).save(tmp_path / "x.jpg", icc_profile=b"junk" * 50, exif=b"Exif\0\0II*\0\xff\xff\0\0")
    page = photo.read(tmp_path / "x.jpg").pages[0]
    assert page.icc is None
    assert page.notes == ("damaged colour profile ignored: read as sRGB",)
    assert photo.write(tmp_path / "y.jpg", Photo("jpeg", (page,)), "jpeg") == ("damaged EXIF not carried",)


def test_junk_before_a_jpeg(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(smooth(8, 8)).save(out, "JPEG")
    (tmp_path / "x.jpg").write_bytes(b"\0" * 100 + out.getvalue())
    assert photo.read(tmp_path / "x.jpg").pages[0].notes == ("100 bytes before the picture skipped",)
