"""photo: what goes in comes out, whole or not at all; what cannot be read says why."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from archivecolor import photo
from archivecolor.errors import OutputError, PictureError, TooLargeError, UnreadableError, UnsupportedError
from archivecolor.orient import upright
from archivecolor.photo import SRGB_ICC, Page, Photo, exif
from archivecolor.photo import samples as convert

SHARED = Path(__file__).resolve().parents[2] / "shared"
ARCHIVE = SHARED / "archive"
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/><?xpacket end="w"?>'
IPTC = b"\x1c\x02\x78\x00\x05Wagen"


def ramp(shape: tuple[int, ...], dtype: type, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int, width: int) -> Any:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def exif_of(**tags: exif.Value) -> bytes:
    codes = {"description": 270, "orientation": 274, "artist": 315}
    return exif.with_tags(exif.EMPTY, {codes[name]: value for name, value in tags.items()})


def again(tmp_path: Path, page: Page, format: str, **options: Any) -> Page:
    path = tmp_path / f"out{photo.suffix_for(format, '')}"
    photo.write(path, Photo(format, (page,)), format, **options)
    return photo.read(path).pages[0]


LOSSLESS = [("tiff", 16), ("png", 16), ("jp2", 16), ("tiff", 8), ("png", 8), ("jp2", 8), ("bmp", 8)]


# --- the promise: samples, depth and envelope survive -----------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(LOSSLESS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    colour=st.booleans(),
    alpha=st.booleans(),
    seed=st.integers(0, 99),
)
def test_lossless_formats_keep_every_sample(
    tmp_path: Path, kind: tuple[str, int], height: int, width: int, colour: bool, alpha: bool, seed: int
) -> None:
    format, bits = kind
    dtype = np.uint8 if bits == 8 else np.uint16
    samples = ramp((height, width, 3) if colour else (height, width), dtype, seed)
    cover = ramp((height, width), dtype, seed + 1) if alpha and format != "bmp" else None
    back = again(tmp_path, Page(samples, alpha=cover), format)
    assert back.samples.dtype == dtype
    np.testing.assert_array_equal(back.samples, samples)
    if cover is not None:
        np.testing.assert_array_equal(back.alpha, cover)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "jp2", "avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_envelope_survives(tmp_path: Path, format: str, orientation: int) -> None:
    page = Page(
        smooth(40, 24),
        icc=SRGB_ICC,
        orientation=orientation,
        dpi=(300.0, 600.0),
        exif=exif_of(artist=b"Dorothea Lange", orientation=orientation),
        xmp=XMP,
        iptc=IPTC,
        description="Grüße aus Nîmes",
    )
    back = again(tmp_path, page, format)
    assert back.icc == SRGB_ICC
    assert back.xmp == XMP
    assert back.description == "Grüße aus Nîmes"
    assert back.iptc == (IPTC if format not in ("webp", "avif") else None)
    stands = format in ("jp2", "avif")
    turned = stands and orientation >= 5
    assert back.dpi == ((600.0, 300.0) if turned else (300.0, 600.0))
    assert back.orientation == (1 if stands else orientation)
    assert back.samples.shape == ((24, 40, 3) if turned else (40, 24, 3))
    artist = exif.text(back.exif, 315) or {tag[0]: tag[3] for tag in back.tags}.get(315, b"").decode()
    assert artist == "Dorothea Lange"


@pytest.mark.parametrize("format", ["bmp", "jp2"])  # and avif, which is lossy
@pytest.mark.parametrize("orientation", range(1, 9))
def test_formats_without_orientation_get_upright_samples(tmp_path: Path, format: str, orientation: int) -> None:
    samples = ramp((5, 7, 3), np.uint8)
    back = again(tmp_path, Page(samples, orientation=orientation), format)
    image = Image.fromarray(samples)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(back.samples, np.asarray(ImageOps.exif_transpose(image)))
    assert back.orientation == 1


@settings(max_examples=25, deadline=None)
@given(orientation=st.integers(1, 8), height=st.integers(1, 5), width=st.integers(1, 5))
def test_upright_agrees_with_pillow(orientation: int, height: int, width: int) -> None:
    samples = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = Image.fromarray(samples)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(upright(samples, orientation, (0, 1)), np.asarray(ImageOps.exif_transpose(image)))


def test_tiff_keeps_pages_in_order_each_with_its_own_envelope(tmp_path: Path) -> None:
    pages = tuple(
        Page(ramp((9 + i, 6, 3), np.uint16, i), icc=SRGB_ICC, dpi=(100.0 + i, 100.0 + i), xmp=XMP + b" " * i,
             orientation=i + 1, description=f"page {i}", tags=((285, "s", 0, b"name %d" % i, True),))
        for i in range(4)
    )  # fmt: skip
    path = tmp_path / "all.tif"
    assert photo.write(path, Photo("tiff", pages), "tiff") == ()
    for page, back in zip(pages, photo.read(path).pages, strict=True):
        np.testing.assert_array_equal(back.samples, page.samples)
        for name in ("icc", "dpi", "xmp", "orientation", "description", "tags"):
            assert getattr(back, name) == getattr(page, name)


def test_exif_directories_go_into_tiff_and_come_out(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(8, 8))
    block = Image.Exif()
    block.get_ifd(exif.EXIF_IFD)[36867] = "1936:03:06 12:00:00"
    block.get_ifd(exif.EXIF_IFD)[37386] = 50.5
    block.get_ifd(exif.GPS_IFD)[1] = "N"
    picture.save(tmp_path / "a.jpg", exif=block)
    source = photo.read(tmp_path / "a.jpg")
    photo.write(tmp_path / "a.tif", source, "tiff")
    seen = Image.open(tmp_path / "a.tif").getexif()
    assert seen.get_ifd(exif.EXIF_IFD)[36867] == "1936:03:06 12:00:00"
    assert seen.get_ifd(exif.GPS_IFD)[1] == "N"
    photo.write(tmp_path / "b.jpg", photo.read(tmp_path / "a.tif"), "jpeg")
    assert Image.open(tmp_path / "b.jpg").getexif().get_ifd(exif.EXIF_IFD)[37386] == 50.5


def test_exif_is_kept_byte_for_byte_but_for_its_first_directory() -> None:
    before = exif_of(artist=b"A" * 40, orientation=6) + b"maker note at a fixed place"
    after = exif.with_tags(before, {274: 1, 305: b"archivecolor"})
    assert after[8 : len(before)] == before[8:]
    assert exif.orientation(after) == 1
    assert exif.text(after, 315) == "A" * 40
    assert _pillow_exif(after)[305] == "archivecolor"


def _pillow_exif(block: bytes) -> Image.Exif:
    seen = Image.Exif()
    seen.load(b"Exif\0\0" + block)
    return seen


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_upset_the_exif_reader(junk: bytes) -> None:
    for block in (junk, b"II*\0" + junk, b"MM\0*\0\0\0\x08" + junk):
        assert 1 <= exif.orientation(block) <= 8
        dpi = exif.dpi(block)
        assert dpi is None or min(dpi) > 0


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "jp2", "avif", "bmp"])
def test_same_input_same_bytes(tmp_path: Path, format: str) -> None:
    page = Page(smooth(30, 20), icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP, exif=exif_of(artist=b"x"))
    photo.write(tmp_path / "a", Photo(format, (page,)), format)
    photo.write(tmp_path / "b", Photo(format, (page,)), format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# --- other libraries read what was written ----------------------------------------------------------------------------


def test_other_libraries_read_16_bit_files(tmp_path: Path) -> None:
    samples = ramp((11, 13, 3), np.uint16)
    for format in ("png", "tiff", "jp2"):
        path = tmp_path / f"x.{format}"
        photo.write(path, Photo(format, (Page(samples, icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP),)), format)
        seen = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(seen[..., ::-1], samples)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif"])
def test_pillow_sees_the_envelope(tmp_path: Path, format: str) -> None:
    page = Page(smooth(16, 16), icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP, orientation=6, iptc=IPTC)
    photo.write(tmp_path / "x", Photo(format, (page,)), format)
    with Image.open(tmp_path / "x") as seen:
        assert seen.info["icc_profile"] == SRGB_ICC
        assert seen.getexif().get(274, 1) == (1 if format == "avif" else 6)
        assert XMP.decode() in str(seen.info["xmp"])
        if format in ("jpeg", "png", "tiff"):
            assert seen.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        if format == "jpeg":
            assert seen.info["photoshop"][0x0404] == IPTC


def test_srgb_profile_is_srgb_and_carries_no_clock() -> None:
    colours = ramp((16, 16, 3), np.uint8)
    ours = ImageCms.ImageCmsProfile(io.BytesIO(SRGB_ICC))
    seen = ImageCms.profileToProfile(Image.fromarray(colours), ours, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(seen).astype(int) - colours).max() <= 1
    assert SRGB_ICC[24:36] == struct.pack(">6H", 2026, 1, 1, 0, 0, 0)


def test_jpeg_keeps_chroma_at_full_size(tmp_path: Path) -> None:
    samples = np.zeros((32, 32, 3), np.uint8)
    samples[:, ::2, 0] = 255
    samples[:, 1::2, 2] = 255
    back = again(tmp_path, Page(samples), "jpeg")
    assert np.abs(back.samples.astype(int) - samples).mean() < 12
    assert Image.open(tmp_path / "out.jpg").layer[0][1:3] == (1, 1)


# --- notes and refusals of the writer ---------------------------------------------------------------------------------


def test_what_a_format_cannot_hold_is_noted(tmp_path: Path) -> None:
    page = Page(ramp((8, 8, 3), np.uint16), alpha=ramp((8, 8), np.uint16), iptc=IPTC)

    def write(format: str) -> tuple[str, ...]:
        return photo.write(tmp_path / format, Photo("tiff", (page,)), format)

    assert write("jpeg") == ("16 bit written as 8 bit JPEG", "transparency not carried by JPEG")
    assert write("webp") == ("16 bit written as 8 bit WebP", "IPTC not carried by WebP")
    assert write("png") == ()
    assert write("tiff") == ()


def test_8_bit_conversion_is_rounded() -> None:
    values = np.array([[0, 128, 129, 257, 65535, 65407]], np.uint16)
    np.testing.assert_array_equal(convert.to_8_bit(values), [[0, 0, 1, 1, 255, 255]])


def test_many_pages_need_tiff(tmp_path: Path) -> None:
    page = Page(smooth(4, 4))
    with pytest.raises(UnsupportedError, match="--format tiff"):
        photo.write(tmp_path / "x.jpg", Photo("tiff", (page, page)), "jpeg")
    assert list(tmp_path.iterdir()) == []


def test_too_wide_for_webp(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="16383"):
        photo.write(tmp_path / "x.webp", Photo("tiff", (Page(np.zeros((1, 16384, 3), np.uint8)),)), "webp")


def test_grey_profile_never_lands_on_colour(tmp_path: Path) -> None:
    grey = bytearray(SRGB_ICC)
    grey[16:20] = b"GRAY"
    assert again(tmp_path, Page(smooth(4, 4), icc=bytes(grey)), "png").icc == SRGB_ICC


def test_own_xmp_replaces_the_sources(tmp_path: Path) -> None:
    assert again(tmp_path, Page(smooth(4, 4), xmp=b"<old/>"), "png", xmp=XMP).xmp == XMP


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
@pytest.mark.parametrize("fault", ["fsync", "replace"])
def test_target_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, fault: str
) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"what was there before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fault, full)
    with pytest.raises(OutputError, match=r"No space left on device"):
        photo.write(target, Photo(format, (Page(smooth(8, 8)),)), format)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert target.read_bytes() == b"what was there before"


def test_failure_in_the_middle_of_a_tiff_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = tifffile.TiffWriter.write, []

    def second_page_fails(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return real(self, *args, **options)

    monkeypatch.setattr(tifffile.TiffWriter, "write", second_page_fails)
    with pytest.raises(OutputError, match="Input/output"):
        photo.write(tmp_path / "x.tif", Photo("tiff", (Page(smooth(8, 8)),) * 3), "tiff")
    assert list(tmp_path.iterdir()) == []


def test_suffixes_and_formats() -> None:
    assert photo.suffix_for("jpeg", ".JPG") == ".JPG"
    assert photo.suffix_for("tiff", ".tiff") == ".tiff"
    assert photo.suffix_for("png", ".jpg") == ".png"
    plain, deep = Page(smooth(4, 4)), Page(ramp((4, 4, 3), np.uint16))
    kinds = {"jpeg": "jpeg", "pnm": "png", "gif": "png", "heic": "jpeg", "jp2": "jp2"}
    assert {f: photo.writable_format(Photo(f, (plain,)), "same") for f in kinds} == kinds
    assert photo.writable_format(Photo("jpeg", (plain,)), "tiff") == "tiff"
    assert photo.writable_format(Photo("heic", (deep,)), "same") == "png"
    clear = Page(smooth(4, 4), alpha=smooth(4, 4)[..., 0])
    assert photo.writable_format(Photo("heic", (clear,)), "same") == "png"
    assert {".jpg", ".tif", ".heic", ".psd", ".pgm"} <= photo.SUFFIXES
    assert ".txt" not in photo.SUFFIXES


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


def photo_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


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
    with pytest.raises(UnreadableError, match="not there"):
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
    with pytest.raises(UnreadableError, match="right to read"):
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


# --- the hostile collection -------------------------------------------------------------------------------------------


def awkward() -> list[Path]:
    folder = ARCHIVE / "awkward"
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def collection() -> Path:
    if not awkward():
        pytest.skip(f"the awkward files are not at {ARCHIVE}")
    return ARCHIVE / "awkward"


def test_every_awkward_file_gives_a_photo_or_a_reason(collection: Path) -> None:
    done = 0
    for path in awkward():
        try:
            read = photo.read(path, max_megapixels=100)
        except PictureError as error:
            assert len(str(error)) > 15, path.name
            assert path.name not in str(error)
            continue
        done += 1
        for page in read.pages:
            assert page.samples.dtype in (np.uint8, np.uint16), path.name
            assert page.samples.ndim == 2 or page.samples.shape[2:] == (3,), path.name
            assert 1 <= page.orientation <= 8
    assert done >= 60


@pytest.mark.parametrize(
    "name, error",
    [
        ("derived_fsa_truncated_60pct.jpg", UnreadableError),
        ("pillow_truncated_jpeg.jpg", UnreadableError),
        ("exif-samples_corrupted.jpg", UnreadableError),
        ("sharp_truncated.png", UnreadableError),
        ("pillow_truncated_image.png", UnreadableError),
        ("pillow_broken_data_stream.png", UnreadableError),
        ("libvips_truncated.gif", UnreadableError),
        ("pillow_crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif", UnreadableError),
        ("pillow_decompression_bomb.gif", TooLargeError),
        ("pillow_decompression_bomb.ico", TooLargeError),
        ("sharp_giant-image.jpg", TooLargeError),
        ("libvips_multi-channel-z-series.ome.tif", UnsupportedError),
    ],
)
def test_awkward_refusals(collection: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        photo.read(collection / name, max_megapixels=200)


@pytest.mark.parametrize(
    "name", ["pillow_multipage.tiff", "sharp_G31D_MULTI.TIF", "pillow_tiff_strip_planar_lzw.tiff", "libvips_4bit.tif"]
)
def test_awkward_tiffs_agree_with_libtiff(collection: Path, name: str) -> None:
    page = photo.read(collection / name).pages[0]
    with Image.open(collection / name) as image:
        expected = np.asarray(image.convert("RGB" if page.samples.ndim == 3 else "L"))
    np.testing.assert_array_equal(page.samples, expected)


def test_awkward_lossless_files_come_back_unchanged(collection: Path, tmp_path: Path) -> None:
    seen = 0
    for path in awkward():
        if path.suffix.lower() not in (".tif", ".tiff", ".png", ".jp2") or path.stat().st_size > 300_000:
            continue
        try:
            source = photo.read(path)
        except PictureError:
            continue
        photo.write(tmp_path / path.name, source, photo.writable_format(source, "same"))
        back = photo.read(tmp_path / path.name)
        for before, after in zip(source.pages, back.pages, strict=True):
            np.testing.assert_array_equal(after.samples, before.samples)
            for name in ("icc", "dpi", "xmp", "iptc", "description", "orientation"):
                assert getattr(after, name) == getattr(before, name), (path.name, name)
        seen += 1
    assert seen >= 30
