"""What other libraries find in the outputs: profiles, EXIF, maker notes, captions."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin
from support import format_table
from support.doubles import colour, grey, lightness
from support.needs import exifread

from archivecolor import photo
from archivecolor.photo import SRGB_ICC, Page, Photo, containers, exif, exiftool

# --- kept, read back by others ----------------------------------------------------------------------------------------


def test_the_table_says_that_everything_is_kept(tmp_path: Path, ink: Path, needs_exiftool: None) -> None:
    lines = format_table.table(tmp_path / "table")
    assert len(lines) >= 15
    for line in lines:
        parts = {name: line[name] for name in format_table.COLUMNS}
        if line["from"] == "pgm 16":
            assert parts.pop("depth") == "8 → 16"  # exiftool does not know the depth of a PGM
        assert set(parts.values()) <= {"yes", "–"}, line
    kept = {line["from"]: [name for name, answer in line.items() if answer == "yes"] for line in lines}
    everything = {*format_table.COLUMNS} - {"pages"}
    for kind in ("png 8", "png 16", "tiff 8", "tiff 16", "bigtiff 16", "jp2 8", "jp2 16"):
        assert everything <= set(kept[kind])
    assert everything - {"alpha"} <= set(kept["jpeg"])
    assert everything - {"IPTC"} <= set(kept["webp 8"]) & set(kept["avif 8"])


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
    monkeypatch.setattr(exiftool, "_executable", lambda: None)
    assert "with exiftool on PATH" in photo.write(tmp_path / "a.tif", source, "tiff")[0]
    monkeypatch.setattr(exiftool, "_executable", lambda: sys.executable)  # a program that fails
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
    chunks = containers.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 5, bits, 3 if palette else 0, 0, 0, 0))
    table = np.random.default_rng(9).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    chunks += containers.png_chunk(b"PLTE", table.tobytes()) if palette else b""
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    chunks += containers.png_chunk(b"IDAT", containers.deflated(rows)) + containers.png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(containers.PNG_MAGIC + chunks)
    page = photo.read(tmp_path / "a.png").pages[0]
    np.testing.assert_array_equal(page.samples, table[codes] if palette else codes * 255 // ((1 << bits) - 1))
