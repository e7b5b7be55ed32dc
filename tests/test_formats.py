"""Formats end to end: what other libraries find in the outputs, what is noticed of damage, and what is refused."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exifread
import format_table
import imagecodecs
import numpy as np
import pytest
import tifffile
from doubles import colour, grey, lab_of, lightness
from fuzz_readers import psd as flat_psd
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin

from archivecolor import photo
from archivecolor.errors import PictureError, TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import SRGB_ICC, Page, Photo, boxes, exif, exiftool, jpeg_data

HERE = Path(__file__).resolve().parent


@pytest.fixture
def needs_exiftool() -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not on PATH: what it would read back is not checked")


# --- kept, read back by others ----------------------------------------------------------------------------------------


def test_the_table_says_that_everything_is_kept(tmp_path: Path, ink: Path, needs_exiftool: None) -> None:
    lines = format_table.table(tmp_path / "table")
    assert len(lines) >= 15
    for line in lines:
        parts = {name: line[name] for name in format_table.COLUMNS}
        if line["from"] == "pgm 16":
            assert parts.pop("depth") == "8 → 16"  # exiftool does not know the depth of a PGM
        assert set(parts.values()) <= {"yes", "–"}, line
    told = {line["from"]: [name for name, said in line.items() if said == "yes"] for line in lines}
    everything = {*format_table.COLUMNS} - {"pages"}
    for kind in ("png 8", "png 16", "tiff 8", "tiff 16", "bigtiff 16", "jp2 8", "jp2 16"):
        assert everything <= set(told[kind])
    assert everything - {"alpha"} <= set(told["jpeg"])
    assert everything - {"IPTC"} <= set(told["webp 8"]) & set(told["avif 8"])


@pytest.mark.parametrize("kind", ["jpeg", "png 16", "tiff 16"])
def test_exifread_and_pillow_find_what_the_source_had(tmp_path: Path, out: Path, ink: Path, kind: str) -> None:
    (tmp_path / "src").mkdir()
    source = format_table.make(kind, tmp_path / "src")
    [row] = colour(source.parent, out=out, model=ink)
    with (out / str(row.output)).open("rb") as file:
        tags = exifread.process_file(file)
    assert str(tags["Image Artist"]) == "Lange"
    assert str(tags["EXIF DateTimeOriginal"]) == "1936:03:06 12:00:00"
    assert str(tags["Image ImageDescription"]).startswith("Am Hafen")
    if kind in ("jpeg", "tiff 16"):
        iptc = exif_iptc(out / str(row.output))
        assert iptc[(2, 90)].strip() == b"Kassel"


def exif_iptc(path: Path) -> Any:
    """The IPTC that Pillow finds; it opens no deep grey with alpha, but these outputs are RGB."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tif:
            raw = tif.pages[0].tags[33723].value
        return {(2, 90): raw[raw.index(b"\x1c\x02\x5a") + 5 :][:7]}
    with Image.open(path) as image:
        return IptcImagePlugin.getiptcinfo(image)


def test_a_grey_profile_is_honoured_and_the_colours_carry_an_rgb_one(src: Path, out: Path, ink: Path) -> None:
    samples = grey(40, 56, np.uint16)
    photo.write(src / "a.tif", Photo("tiff", (Page(samples, icc=format_table.grey_icc()),)), "tiff")
    colour(src, out=out, model=ink)
    page = photo.read(out / "a.tif").pages[0]
    assert page.icc == SRGB_ICC
    linear = (samples / 65535) ** 1.8  # what a profile of gamma 1.8 means
    expected = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    assert np.abs(lightness(page.samples) - expected).max() < 0.05


def test_adobe_rgb_is_honoured(src: Path, out: Path, ink: Path) -> None:
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    samples = np.stack([grey(40, 56, np.uint16)] * 3, axis=-1)
    photo.write(src / "a.png", Photo("png", (Page(samples, icc=adobe),)), "png")
    colour(src, out=out, model=ink)
    page = photo.read(out / "a.png").pages[0]
    linear = (samples[..., 0] / 65535) ** (563 / 256)
    expected = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    assert page.icc == SRGB_ICC
    assert np.abs(lightness(page.samples) - expected).max() < 0.1


def test_bigtiff_carries_exif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Image.Exif()
    block.get_ifd(exif.EXIF_IFD)[36867] = "1936:03:06 12:00:00"
    block.get_ifd(exif.GPS_IFD)[2] = (51.0, 18.0, 45.0)
    Image.fromarray(grey()).save(tmp_path / "a.jpg", exif=block)
    monkeypatch.setattr("archivecolor.photo.write_tiff._BIG", 10)
    assert photo.write(tmp_path / "a.tif", photo.read(tmp_path / "a.jpg"), "tiff") == ()
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
        assert tif.pages[0].tags[exif.EXIF_IFD].value["DateTimeOriginal"] == "1936:03:06 12:00:00"
    photo.write(tmp_path / "b.jpg", photo.read(tmp_path / "a.tif"), "jpeg")
    with Image.open(tmp_path / "b.jpg") as seen:
        assert seen.getexif().get_ifd(exif.EXIF_IFD)[36867] == "1936:03:06 12:00:00"


def test_maker_notes_move_with_exiftool_and_are_noted_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Image.Exif()
    block.get_ifd(exif.EXIF_IFD)[exif.MAKER_NOTE] = b"ACME\0\1\2\3" * 9
    Image.fromarray(grey()).save(tmp_path / "a.jpg", exif=block)
    source = photo.read(tmp_path / "a.jpg")
    monkeypatch.setattr(exiftool, "_program", lambda: None)
    assert "with exiftool on PATH" in photo.write(tmp_path / "a.tif", source, "tiff")[0]
    monkeypatch.setattr(exiftool, "_program", lambda: sys.executable)  # a program that fails
    assert "could not" in photo.write(tmp_path / "a.tif", source, "tiff")[0]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.jpg", "a.tif"]
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].tags[exif.EXIF_IFD].value["MakerNote"] == b"ACME\0\1\2\3" * 9


def test_exiftool_leaves_the_picture_as_it_is(tmp_path: Path, needs_exiftool: None) -> None:
    block = Image.Exif()
    block.get_ifd(exif.EXIF_IFD)[exif.MAKER_NOTE] = b"ACME\0\1\2\3" * 9
    Image.fromarray(grey()).save(tmp_path / "a.jpg", exif=block, dpi=(300, 300))
    source = photo.read(tmp_path / "a.jpg")
    assert photo.write(tmp_path / "a.tif", source, "tiff") == ()
    back = photo.read(tmp_path / "a.tif").pages[0]
    np.testing.assert_array_equal(back.samples, source.pages[0].samples)
    assert back.dpi == (300.0, 300.0)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.jpg", "a.tif"]


# --- Photoshop and HEIC -----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(deep=st.booleans(), packed=st.booleans(), height=st.integers(1, 30), width=st.integers(1, 40))
def test_psd_samples_are_exact(tmp_path_factory: Any, deep: bool, packed: bool, height: int, width: int) -> None:
    dtype = np.uint16 if deep else np.uint8
    samples = np.random.default_rng(height * width).integers(0, 1 << 8 * (1 + deep), (3, height, width)).astype(dtype)
    raw = samples.astype(samples.dtype.newbyteorder(">"))
    if packed:
        rows = [imagecodecs.packbits_encode(row.tobytes()) for plane in raw for row in plane]
        body = b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)
    else:
        body = b"\0\0" + raw.tobytes()
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, height, width, 8 * (1 + deep), 3) + bytes(12)
    path = tmp_path_factory.mktemp("psd") / "a.psd"
    path.write_bytes(head + body)
    np.testing.assert_array_equal(photo.read(path).pages[0].samples, np.moveaxis(samples, 0, -1))


def test_psd_agrees_with_pillow_and_without_a_flat_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(flat_psd())
    with Image.open(tmp_path / "a.psd") as seen:
        np.testing.assert_array_equal(photo.read(tmp_path / "a.psd").pages[0].samples, np.asarray(seen))
    data = flat_psd()
    version = b"8BIM\x04\x21\0\0\0\0\0\5\0\0\0\1\0\0"
    (tmp_path / "b.psd").write_bytes(data[:30] + struct.pack(">I", len(version)) + version + data[34:])
    with pytest.raises(UnsupportedError, match="Maximize Compatibility"):
        photo.read(tmp_path / "b.psd")


@pytest.mark.parametrize("mode", ["L", "CMYK", "LAB", "1", "P"])
def test_psd_modes(tmp_path: Path, mode: str) -> None:
    number, channels, bits = {"L": (1, 1, 8), "CMYK": (4, 4, 8), "LAB": (9, 3, 8), "1": (0, 1, 1), "P": (2, 1, 8)}[mode]
    palette = bytes(range(256)) * 3 if mode == "P" else b""
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHI", channels, 4, 8, bits, number, len(palette)) + palette
    plane = bytes([0b10100000] * 4) if mode == "1" else bytes(range(32))
    (tmp_path / "a.psd").write_bytes(head + bytes(10) + plane * channels)
    page = photo.read(tmp_path / "a.psd").pages[0]
    assert page.samples.shape == ((4, 8) if mode in "L1" else (4, 8, 3))
    if mode == "1":
        assert page.samples[0].tolist() == [0, 255, 0, 255, 255, 255, 255, 255]
    if mode == "P":
        assert page.samples[3, 7].tolist() == [31, 31, 31]


def test_heic_is_read_upright_with_its_metadata(tmp_path: Path, out: Path, ink: Path) -> None:
    pytest.importorskip("pillow_heif", reason="HEIC is not checked without the extra: pip install 'archivecolor[heic]'")
    (tmp_path / "src").mkdir()
    source = format_table.make("heic 8", tmp_path / "src")
    page = photo.read(source).pages[0]
    assert page.samples.shape == (56, 40, 3)
    assert page.alpha is not None
    assert np.abs(lab_of(page.samples)[..., 0] - np.rot90(lightness(grey()), -1)).mean() < 3
    [row] = colour(source.parent, out=out, model=ink)
    assert (row.status, row.output) == ("done", "heic_8.heic.png")
    assert exif.text(photo.read(out / "heic_8.heic.png").pages[0].exif, 315) == "Lange"


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
    assert jpeg_data.in_order(data)
    assert jpeg_data.in_order(data + b"trailing bytes")
    (tmp_path / "a.jpg").write_bytes(data)
    assert not any("damaged in places" in note for note in photo.read(tmp_path / "a.jpg").pages[0].notes)


def test_without_libjxl_jpegs_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_data, "_libjxl", lambda: None)
    (tmp_path / "a.jpg").write_bytes(hurt(jpeg_of(grey(300, 400)), 0.5, 1))
    assert photo.read(tmp_path / "a.jpg").pages[0].notes == ()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_wrong_sum_in_a_png_is_noticed(tmp_path: Path, bits: int) -> None:
    data = bytearray(imagecodecs.png_encode(grey(40, 56, np.uint16 if bits == 16 else np.uint8)))
    data[data.index(b"IDAT") + 4 + int.from_bytes(data[33:37], "big")] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableError):
        photo.read(tmp_path / "a.png")


def test_damaged_words_do_not_cost_a_png_its_picture(tmp_path: Path) -> None:
    data = bytes(imagecodecs.png_encode(grey()))
    broken = boxes.png_chunk(b"zTXt", b"k\0\0no zlib data") + boxes.png_chunk(b"iCCP", b"k\0\0neither")
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
    bomb = boxes.deflated(bytes(60 << 20))
    texts = b"".join(boxes.png_chunk(b"zTXt", b"k%d\0\0" % i + bomb) for i in range(4))
    assert sum(map(len, boxes.png_texts(data[:33] + texts + data[33:]).values())) <= 64 << 20


# --- the fuzzer -------------------------------------------------------------------------------------------------------


def test_fuzzing_finds_nothing(tmp_path: Path) -> None:
    """Twenty seconds; `python tests/fuzz_readers.py --minutes 10` looks longer."""
    if not hasattr(os, "fork"):
        pytest.skip("the fuzzer forks: it is not run here")
    command = [sys.executable, str(HERE / "fuzz_readers.py"), "--minutes", "0.33", "--keep", str(tmp_path / "found")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split(" cases")[0].split()[-1]) > 20


def test_the_fuzzer_sees_crashes_hangs_memory_and_foreign_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import ctypes, fuzz_readers as f, pathlib, time
def foreign(*_): raise KeyError("x")
print(f.apart(lambda: ctypes.string_at(0)[0])[0])
limit, f.SECONDS = f.SECONDS, 1
print(f.apart(lambda: time.sleep(60) or 0)[0])
f.SECONDS = limit
print(f.apart(lambda: len(bytearray(b"x" * (300 << 20))) * 0)[1] - f.apart(lambda: 0)[1] > 250)
f.photo.read = foreign
print(f.apart(lambda: f.look(pathlib.Path(f.__file__)))[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, check=True)
    assert done.stdout.split("\n")[:4] == ["crash by SIGSEGV", "hang", "True", "foreign exception"]


def test_texts_of_private_tiff_tags_are_kept_and_unknown_tags_named(tmp_path: Path, out: Path, ink: Path) -> None:
    extra = [(65000, "s", 0, "Karton 7", True), (65001, "H", 2, (1, 2), True), (315, "s", 0, "Lange", True)]
    (tmp_path / "src").mkdir()
    tifffile.imwrite(tmp_path / "src/a.tif", grey(), metadata=None, extratags=extra)
    [row] = colour(tmp_path / "src", out=out, model=ink)
    with tifffile.TiffFile(out / "a.tif") as tif:
        tags = tif.pages[0].tags
        assert (tags[65000].value, tags[315].value) == ("Karton 7", "Lange")
        assert 65001 not in tags
    assert row.notes == ("TIFF tags 65001 not carried",)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [False, True])
def test_png_of_few_bits(tmp_path: Path, bits: int, palette: bool) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (5, 16))
    packed = np.packbits((codes[..., None] >> np.arange(bits)[::-1]) & 1, axis=None).reshape(5, -1)
    chunks = boxes.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 5, bits, 3 if palette else 0, 0, 0, 0))
    table = np.random.default_rng(9).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    chunks += boxes.png_chunk(b"PLTE", table.tobytes()) if palette else b""
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    chunks += boxes.png_chunk(b"IDAT", boxes.deflated(rows)) + boxes.png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(boxes.PNG_MAGIC + chunks)
    page = photo.read(tmp_path / "a.png").pages[0]
    np.testing.assert_array_equal(page.samples, table[codes] if palette else codes * 255 // ((1 << bits) - 1))


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4", "packbits", "tiff_lzw", "tiff_deflate"])
def test_bilevel_tiffs_agree_with_libtiff(tmp_path: Path, compression: str) -> None:
    bits = grey(60, 77) > 127
    Image.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(photo.read(tmp_path / "a.tif").pages[0].samples, bits * np.uint8(255))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png"])
def test_image_codecs_inside_tiff(tmp_path: Path, compression: str) -> None:
    samples = np.stack([grey(48, 64), grey(48, 64, seed=1), grey(48, 64)], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", compression=compression, metadata=None)
    page = photo.read(tmp_path / "a.tif").pages[0]
    assert page.samples.shape == samples.shape
    assert np.abs(page.samples.astype(int) - samples).mean() < 12


@pytest.mark.parametrize("adobe", [True, False])
def test_ycck_and_cmyk_jpegs(tmp_path: Path, adobe: bool) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0], ink[..., 3] = 255, 128  # cyan, half black
    if adobe:
        Image.fromarray(ink, "CMYK").save(tmp_path / "a.jpg", quality=100)
    else:
        (tmp_path / "a.jpg").write_bytes(
            imagecodecs.jpeg8_encode(255 - ink, level=100, colorspace="cmyk", outcolorspace="ycck", subsampling="444")
        )
    page = photo.read(tmp_path / "a.jpg").pages[0]
    assert np.abs(page.samples.reshape(-1, 3).mean(0) - (0, 127, 127)).max() < 3
