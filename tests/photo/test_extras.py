"""What only one format can hold: carried to an output of the same format, named for any other, or said to be lost."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.doubles import colour, grey, lightness
from support.needs import package

from archivecolor import photo
from archivecolor.photo import SRGB_ICC, Page, Photo, containers, photoshop

chunk, box = containers.png_chunk, containers.box
TEXTS = [
    chunk(b"tEXt", b"Creation Time\x001931-05-04"),
    chunk(b"tEXt", b"Inventory Number\x00A-1931-0012"),
    chunk(b"zTXt", b"Disclaimer\0\0" + zlib.compress(b"No reproduction")),
    chunk(b"iTXt", b"Warning\0\0\0de\0Warnung\0" + "zerbrechlich, Häusler".encode()),
    chunk(b"iTXt", b"Title\0\0\0en\0Titel\0Market day"),
    chunk(b"tEXt", b"Title\0another title"),
    chunk(b"tEXt", b"Software\0ScanTool 3"),
]
OTHERS = [chunk(b"tIME", struct.pack(">H5B", 2004, 2, 3, 4, 5, 6)), chunk(b"oFFs", struct.pack(">iiB", 10, 20, 0))]
UNSAFE = [chunk(b"sBIT", b"\6"), chunk(b"bKGD", b"\0\1"), chunk(b"prVW", b"a preview"), chunk(b"caBX", b"jumb")]


def save_png(path: Path, *chunks: bytes, samples: Any = None) -> None:
    data = bytes(imagecodecs.png_encode(grey() if samples is None else samples))
    path.write_bytes(data[:33] + b"".join(chunks) + data[33:])


# --- PNG --------------------------------------------------------------------------------------------------------------


def test_the_chunks_of_a_png_reach_a_png(src: Path, out: Path, ink: Path) -> None:
    save_png(src / "a.png", *TEXTS, *OTHERS, *UNSAFE)
    (row,) = colour(src, out=out, model=ink)
    data = (out / "a.png").read_bytes()
    assert [data.count(each) for each in (*TEXTS, *OTHERS)] == [1] * 9
    assert data.count(b"Title\0") == 2
    assert row.notes == (
        "PNG: sBIT (significant bits), bKGD (background), prVW, caBX (content credentials) not carried",
    )
    with Image.open(out / "a.png") as image:
        assert image.text["Software"].startswith("archivecolor "), "of several the last counts"
        assert image.text["Warning"] == "zerbrechlich, Häusler"


def test_the_chunks_of_a_png_are_named_for_other_formats(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", *TEXTS, *OTHERS)
    source = photo.read(tmp_path / "a.png")
    for format in ("jpeg", "tiff"):
        assert photo.write(tmp_path / "a", source, format) == (
            "PNG: Creation Time, Inventory Number, Disclaimer, Warning, Title, Software, tIME, oFFs not carried by "
            f"{format.upper()}",
        )
    assert photo.write(tmp_path / "b.png", source, "png") == ()


def test_a_png_with_very_many_texts_costs_what_it_is_long(tmp_path: Path) -> None:
    many = [chunk(b"tEXt", b"Number %d\0%d" % (i, i)) for i in range(60_000)]
    save_png(tmp_path / "a.png", *many)
    started = time.process_time()
    source = photo.read(tmp_path / "a.png")
    notes = photo.write(tmp_path / "a.jpg", source, "jpeg")
    photo.write(tmp_path / "b.png", source, "png")
    assert time.process_time() - started < 10, "it grows faster than the number of chunks"
    assert "Number 11 and 59988 more" in notes[0]
    assert (tmp_path / "b.png").read_bytes().count(b"tEXtNumber ") == 60_000


def test_a_ratio_of_pixels_without_a_unit_is_carried(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)))
    source = photo.read(tmp_path / "a.png")
    photo.write(tmp_path / "b.png", source, "png")
    assert chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)) in (tmp_path / "b.png").read_bytes()
    assert photo.read(tmp_path / "b.png").pages[0].density == (2.0, 1.0)
    photo.write(tmp_path / "a.jp2", source, "jp2")
    assert photo.read(tmp_path / "a.jp2").pages[0].density == (2.0, 1.0)


def test_raw_profiles_that_other_programs_wrote_are_read(tmp_path: Path) -> None:
    def raw(kind: bytes, content: bytes) -> bytes:
        return containers.png_raw_profile(kind, content)

    packet, iptc = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", b"\x1c\x02\x78\x00\x05Wagen"
    save_png(tmp_path / "a.png", raw(b"xmp", packet), raw(b"8bim", photoshop.block(iptc, None)), raw(b"icc", b"x"))
    page = photo.read(tmp_path / "a.png").pages[0]
    assert (page.xmp, page.iptc) == (packet, iptc)
    assert page.notes == ("PNG: Raw profile type icc not carried",)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def primaries(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


SRGB = primaries(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3 = primaries(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


@pytest.mark.parametrize("value", [1.0, 0.55556])
def test_a_gamma_of_its_own_is_honoured(src: Path, out: Path, ink: Path, value: float) -> None:
    samples = grey(40, 56, np.uint16)
    save_png(src / "a.png", gamma(value), samples=samples)
    (row,) = colour(src, out=out, model=ink)
    page = photo.read(out / "a.png").pages[0]
    assert page.icc == SRGB_ICC
    assert b"gAMA" not in (out / "a.png").read_bytes()
    linear = (samples / 65535) ** (1 / value)
    expected = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    assert np.abs(lightness(page.samples) - expected).max() < 0.1
    assert row.notes == (f"read by its gAMA ({value:g})",)


@pytest.mark.parametrize(
    "chunks",
    [(gamma(0.45455),), (gamma(0.45455), SRGB), (chunk(b"sRGB", b"\0"),), (chunk(b"cICP", b"\1\15\0\1"),)],
)
def test_srgb_in_any_words_stays_as_it_is(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    save_png(tmp_path / "a.png", *chunks, samples=np.stack([grey()] * 3, -1))
    source = photo.read(tmp_path / "a.png")
    assert (source.pages[0].icc, source.pages[0].notes) == (None, ())
    photo.write(tmp_path / "b.png", source, "png")
    assert all(each in (tmp_path / "b.png").read_bytes() for each in chunks)


@pytest.mark.parametrize(
    ("chunks", "note"),
    [
        ((P3,), "read by its cHRM"),
        ((gamma(0.5), P3), "read by its gAMA (0.5) and cHRM"),
        ((chunk(b"cICP", b"\14\15\0\1"),), "read by its cICP"),
        ((chunk(b"cICP", b"\11\20\0\1"),), "cICP (video or HDR colours) ignored"),
        ((gamma(0.0),), "gAMA of 0 ignored: read as sRGB"),
        ((primaries(0, 0, 0, 0, 0, 0, 0, 0),), "gAMA and cHRM make no colour space, ignored: read as sRGB"),
    ],
)
def test_colours_of_another_space_are_honoured_or_said(tmp_path: Path, chunks: tuple[bytes, ...], note: str) -> None:
    save_png(tmp_path / "a.png", *chunks, samples=np.stack([grey()] * 3, -1))
    page = photo.read(tmp_path / "a.png").pages[0]
    assert page.notes == (note,)
    assert (page.icc is not None) == note.startswith("read by")
    assert photo.read(tmp_path / "a.png").pages[0].icc == page.icc


def test_a_profile_comes_before_gamma_and_srgb_before_both(tmp_path: Path) -> None:
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB_ICC))
    save_png(tmp_path / "a.png", profile, gamma(1.0), samples=np.stack([grey()] * 3, -1))
    save_png(tmp_path / "b.png", chunk(b"sRGB", b"\0"), gamma(1.0), samples=np.stack([grey()] * 3, -1))
    assert photo.read(tmp_path / "a.png").pages[0].icc == SRGB_ICC
    assert photo.read(tmp_path / "b.png").pages[0].icc is None


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------


def exif_block(orientation: int) -> bytes:
    block = Image.Exif()
    block[274], block[271] = orientation, "Maker"
    return block.tobytes().removeprefix(b"Exif\0\0")


def save_jp2(path: Path, samples: Any, *boxes: bytes) -> None:
    path.write_bytes(bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2")) + b"".join(boxes))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_jp2_that_exif_turns_is_turned(src: Path, out: Path, ink: Path, orientation: int) -> None:
    save_jp2(src / "a.jp2", grey(), box(b"uuid", containers.UUID_EXIF + exif_block(orientation)))
    assert photo.read(src / "a.jp2").pages[0].orientation == orientation
    colour(src, out=out, model=ink)
    result = photo.read(out / "a.jp2").pages[0]
    upright = np.rot90(grey(), {3: 2, 6: 3, 8: 1}[orientation])
    assert np.abs(lightness(result.samples) - lightness(np.ascontiguousarray(upright))).max() < 1.2
    assert result.orientation == 1


RECORD = b"<record xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>Market day</dc:title></record>"


def test_the_records_of_a_jp2_are_carried_or_named(tmp_path: Path) -> None:
    records = [box(b"xml ", RECORD), box(b"xml ", b"<second/>"), box(b"jp2i", b"rights")]
    save_jp2(tmp_path / "a.jp2", grey(), *records, box(b"uuid", b"another program.x"), box(b"jumb", b"c2pa"))
    source = photo.read(tmp_path / "a.jp2")
    assert source.pages[0].notes == ("JP2: UUID box of another program, jumb (content credentials) not carried",)
    assert photo.write(tmp_path / "b.jp2", source, "jp2") == ()
    written = (tmp_path / "b.jp2").read_bytes()
    assert [written.count(each) for each in records] == [1, 1, 1]
    assert photo.write(tmp_path / "b.png", source, "png") == ("JP2: XML record, rights (jp2i) not carried by PNG",)


# --- words ------------------------------------------------------------------------------------------------------------


def test_ten_bits_are_not_called_sixteen(tmp_path: Path) -> None:
    deep = (grey(40, 56, np.uint16) >> 6).astype(np.uint16)
    data = imagecodecs.avif_encode(np.stack([deep] * 3, -1), bitspersample=10, level=95)
    (tmp_path / "a.avif").write_bytes(data)
    notes = photo.write(tmp_path / "b.avif", photo.read(tmp_path / "a.avif"), "avif")
    assert notes == ("10 bit written as 8 bit AVIF",)
    jp2 = imagecodecs.jpeg2k_encode(deep, level=0, codecformat="jp2", bitspersample=10)
    (tmp_path / "a.jp2").write_bytes(bytes(jp2))
    assert photo.write(tmp_path / "b.jpg", photo.read(tmp_path / "a.jp2"), "jpeg") == ("10 bit written as 8 bit JPEG",)


# --- several pictures in one file -------------------------------------------------------------------------------------


def test_the_other_pictures_of_a_heic_are_named(tmp_path: Path) -> None:
    heif = package("pillow_heif")
    block = Image.Exif()
    block[274] = 6
    first, second = (Image.fromarray(np.stack([grey(seed=i)] * 3, -1)) for i in range(2))
    made = heif.from_pillow(first)
    made.add_from_pillow(second)
    made.save(tmp_path / "a.heic", exif=block.tobytes(), quality=90)
    assert photo.read(tmp_path / "a.heic").pages[0].notes == ("HEIC: 1 more picture not carried",)


def test_ten_bits_of_a_heic_reach_white(tmp_path: Path) -> None:
    heif = package("pillow_heif")
    white = np.full((64, 64, 3), 65535, np.uint16)
    heif.from_bytes(mode="RGB;16", size=(64, 64), data=white.tobytes()).save(tmp_path / "a.heic", quality=-1)
    page = photo.read(tmp_path / "a.heic").pages[0]
    assert page.samples.max() == 65535
    assert page.bits in (10, 12)


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animated_webp_keeps_what_a_still_one_keeps(tmp_path: Path, lossless: bool) -> None:
    frames = [Image.fromarray(np.stack([grey(seed=i)] * 3, -1)) for i in range(3)]
    out = io.BytesIO()
    frames[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        lossless=lossless,
        xmp=b"<a/>",
        exif=b"Exif\0\0" + exif_block(1),
    )
    (tmp_path / "a.webp").write_bytes(out.getvalue())
    source = photo.read(tmp_path / "a.webp")
    assert source.lossless is lossless
    assert source.pages[0].notes == ("first of 3 frames",)
    assert source.pages[0].xmp == b"<a/>"
    assert b"Maker" in (source.pages[0].exif or b"")


def test_an_animated_png_keeps_what_a_still_one_keeps(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey(seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], dpi=(300, 300))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + b"".join(TEXTS) + data[33:])
    source = photo.read(tmp_path / "a.png")
    assert source.pages[0].notes == ("first of 3 frames",)
    np.testing.assert_array_equal(source.pages[0].samples, grey(seed=0))
    photo.write(tmp_path / "b.png", source, "png")
    written = (tmp_path / "b.png").read_bytes()
    assert all(each in written for each in TEXTS)
    assert not any(each in written for each in (b"acTL", b"fcTL", b"fdAT"))


def test_a_page_of_one_format_says_nothing_of_another(tmp_path: Path) -> None:
    assert photo.write(tmp_path / "a.png", Photo("png", (Page(grey()),)), "png") == ()
