"""JPEG XL: read with its depth, colours, orientation and metadata. And what is no photograph but holds scans."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.doubles import colour, grey, lightness

from archivecolor import photo
from archivecolor.errors import TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import Photo, containers

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
box = containers.box


def exif_block(orientation: int) -> bytes:
    block = Image.Exif()
    block[274], block[271] = orientation, "Maker"
    return block.tobytes().removeprefix(b"Exif\0\0")


def save(path: Path, samples: Any, *boxes: bytes, **options: Any) -> Photo:
    options = {"lossless": True, "usecontainer": True} | options
    path.write_bytes(bytes(imagecodecs.jpegxl_encode(samples, **options)) + b"".join(boxes))
    return photo.read(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_sample_is_read(tmp_path: Path, dtype: Any, channels: int) -> None:
    planes = [grey(dtype=dtype, seed=i) for i in range(channels)]
    page = save(tmp_path / "a.jxl", planes[0] if channels == 1 else np.stack(planes, -1)).pages[0]
    expected = planes[0] if channels < 3 else np.stack(planes[:3], -1)
    np.testing.assert_array_equal(page.samples, expected)
    assert (page.alpha is not None) == (channels in (2, 4))
    if page.alpha is not None:
        np.testing.assert_array_equal(page.alpha, planes[-1])
    assert (page.notes, page.orientation) == ((), 1)
    assert (page.icc is None) == (dtype == np.uint8), "imagecodecs calls what is deeper linear"


def test_ten_bits_floats_and_animations(tmp_path: Path) -> None:
    ten = save(tmp_path / "a.jxl", grey(dtype=np.uint16) >> 6, bitspersample=10).pages[0]
    assert (ten.bits, ten.notes) == (10, ("10 bit read as 16 bit",))
    assert ten.samples.max() > 50_000
    real = save(tmp_path / "b.jxl", (grey() / 255).astype(np.float32)).pages[0]
    assert real.samples.dtype == np.uint16
    assert np.abs(real.samples / 257.0 - grey()).max() < 0.01
    frames = save(tmp_path / "c.jxl", np.stack([np.stack([grey(seed=i)] * 3, -1) for i in range(3)])).pages[0]
    assert frames.notes == ("first frame of an animation",)
    np.testing.assert_array_equal(frames.samples[..., 0], grey(seed=0))


@pytest.mark.parametrize("packed", [False, True])
def test_exif_and_xmp_are_read_also_when_they_are_compressed(tmp_path: Path, packed: bool) -> None:
    def stored(name: bytes, content: bytes) -> bytes:
        return box(b"brob", name + imagecodecs.brotli_encode(content)) if packed else box(name, content)

    boxes = [stored(b"Exif", struct.pack(">I", 2) + b"xx" + exif_block(6)), stored(b"xml ", XMP)]
    page = save(tmp_path / "a.jxl", grey(), *boxes, stored(b"jumb", b"c2pa"), stored(b"jhgm", b"map")).pages[0]
    assert page.exif == exif_block(6)
    assert page.xmp == XMP
    assert page.orientation == 1, "EXIF has no say: the codestream decides"
    assert page.notes == ("JPEG XL: jumb (content credentials), gain map (jhgm) not carried",)


def recoded_jpeg(orientation: int, icc: bytes | None = None) -> bytes:
    out = io.BytesIO()
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:rdf="{RDF}"><rdf:RDF><rdf:Description rdf:about="" '
    packet += f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    block = b"Exif\0\0" + exif_block(orientation)
    Image.fromarray(np.stack([grey()] * 3, -1)).save(
        out, "JPEG", quality=100, subsampling=0, exif=block, icc_profile=icc, xmp=packet.encode()
    )
    return bytes(imagecodecs.jpegxl_encode_jpeg(out.getvalue(), usecontainer=True))


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def test_a_turned_jpeg_in_jpeg_xl_with_adobe_rgb(src: Path, out: Path, ink: Path) -> None:
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    (src / "a.jxl").write_bytes(recoded_jpeg(6, adobe))
    source = photo.read(src / "a.jxl")
    page = source.pages[0]
    assert (page.orientation, page.samples.shape, source.lossless) == (6, (40, 56, 3), False)
    assert page.icc == adobe
    (row,) = colour(src, out=out, model=ink, recolor=True)
    assert (row.output, row.format) == ("a.jxl.jpg", "jxl")
    with Image.open(out / "a.jxl.jpg") as image:
        assert image.getexif()[274] == 6
        assert b'tiff:Orientation="6"' in image.info["xmp"]
    linear = (page.samples[..., 0] / 255) ** (563 / 256)
    expected = np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)
    result = photo.read(out / "a.jxl.jpg").pages[0]
    assert np.abs(lightness(result.samples) - expected).mean() < 1


def test_the_format_of_the_output_keeps_what_the_file_has(tmp_path: Path) -> None:
    deep, plain = save(tmp_path / "a.jxl", grey(dtype=np.uint16)), save(tmp_path / "b.jxl", grey())
    lossy = save(tmp_path / "c.jxl", grey(), lossless=False, distance=1.0)
    assert [photo.writable_format(each, "same") for each in (deep, plain, lossy)] == ["png", "png", "jpeg"]


def test_damage_and_size_are_noticed_before_the_samples_are_decoded(tmp_path: Path) -> None:
    save(tmp_path / "a.jxl", grey())
    data = (tmp_path / "a.jxl").read_bytes()
    assert photo.measure(tmp_path / "a.jxl") == pytest.approx(40 * 56 / 1e6)
    with pytest.raises(TooLargeError, match="--max-megapixels"):
        photo.read(tmp_path / "a.jxl", max_megapixels=0.001)
    for kept in (15, 40, len(data) // 2, len(data) - 9):
        (tmp_path / "b.jxl").write_bytes(data[:kept])
        with pytest.raises(UnreadableError, match=r"truncated|damaged"):
            photo.read(tmp_path / "b.jxl")


# --- kinds that another program must convert --------------------------------------------------------------------------

ORIGINALS = {
    "a.raf": (b"FUJIFILMCCD-RAW 0201", "raw file: develop"),
    "a.orf": (b"IIRO\x08\0\0\0", "raw file: develop"),
    "a.rw2": (b"IIU\0\x18\0\0\0", "raw file: develop"),
    "a.pdf": (b"%PDF-1.4", "pdfimages"),
    "a.psb": (b"8BPS\0\2" + bytes(20), "PSB"),
    "a.djvu": (b"AT&TFORM\0\0\0\x10DJVU", "DjVu"),
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "render it"),
}


def test_originals_of_other_kinds_get_a_row_in_a_folder(src: Path, out: Path, ink: Path) -> None:
    for name, (head, _) in ORIGINALS.items():
        (src / name).write_bytes(head)
    (src / "letter.docx").write_bytes(b"PK\x03\x04")
    (src / "notes.txt").write_text("box 7")
    rows = {row.input: row for row in colour(src, out=out, model=ink)}
    assert rows.keys() == ORIGINALS.keys()
    for name, (_, reason) in ORIGINALS.items():
        assert rows[name].status == "failed"
        assert reason in rows[name].reason


def photo_cd(attributes: int, more: int = 0) -> bytes:
    data = bytearray((96 + 288) * 2048 + more)
    data[2048:2052], data[2048 + 1538] = b"PCD_", attributes
    return bytes(data)


@pytest.mark.parametrize("content", [photo_cd(0x08, 4 << 20), photo_cd(0x04), photo_cd(0, 1 << 20)])
def test_a_photo_cd_with_larger_sizes_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pcd").write_bytes(content)
    with pytest.raises(UnsupportedError, match=r"pcdtojpeg.*\[6\]"):
        photo.read(tmp_path / "a.pcd")


def test_a_photo_cd_of_one_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pcd").write_bytes(photo_cd(0))
    source = photo.read(tmp_path / "a.pcd")
    assert (source.format, source.pages[0].samples.shape) == ("pcd", (512, 768, 3))
    assert source.pages[0].notes == ("Photo CD: 768 x 512 pixels, the only size in the file",)
