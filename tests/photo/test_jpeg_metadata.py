"""The metadata of a JPEG, by its segments: what is kept, joined and carried, and what the row names."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.doubles import colour
from support.jpegs import APP13, COMMENT, iptc, jpeg, page_of, plain, resource
from support.pages import again, exif_of, smooth

from archivecolor import photo
from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import SRGB_ICC, Page, Photo, exif, extended_xmp, jpeg_data, jpeg_segments, photoshop
from archivecolor.photo.read_jpeg import read_jpeg
from archivecolor.provenance import xmp

# --- Photoshop's resources --------------------------------------------------------------------------------------------


def cut(block: bytes, size: int = 65_000) -> list[tuple[int, bytes]]:
    """A block over several segments, each with the heading, as Photoshop writes it."""
    return [(APP13, photoshop.HEADING + block[at : at + size]) for at in range(0, len(block), size)]


PATH = resource(2000, bytes(range(250)) * 280, b"Path 1")
RECORDS = iptc(5, b"Muehle") + iptc(120, b"Die Muehle")


def test_iptc_behind_a_large_path_is_kept_and_so_is_the_path(tmp_path: Path) -> None:
    page = page_of(*cut(PATH + resource(photoshop.IPTC, RECORDS)))
    assert (page.iptc, page.photoshop, page.notes) == (RECORDS, PATH, ())
    for format in ("jpeg", "png", "tiff"):
        back = again(tmp_path, page, format)
        assert (back.iptc, back.photoshop) == (RECORDS, PATH), format
    with Image.open(tmp_path / "out.jpg") as seen:
        assert 2000 in seen.info["photoshop"]
    assert photo.write(tmp_path / "x.webp", Photo("jpeg", (page,)), "webp") == (
        "IPTC not carried by WebP",
        "Photoshop data (paths, rights) not carried by WebP",
    )


def test_two_whole_blocks_are_both_read() -> None:
    first, second = (
        resource(photoshop.IPTC, iptc(5, b"Muehle") + b"\0\0\0"),
        resource(photoshop.IPTC, iptc(80, b"Lange")),
    )
    page = page_of((APP13, photoshop.HEADING + first), (APP13, photoshop.HEADING + second))
    assert page.iptc == iptc(5, b"Muehle") + iptc(80, b"Lange")
    assert page_of((APP13, photoshop.HEADING + second), (APP13, photoshop.HEADING + second)).iptc == iptc(80, b"Lange")
    marked = resource(photoshop.IPTC, iptc(90, b"\x1b%G", record=1) + iptc(80, b"Lange"))
    page = page_of((APP13, photoshop.HEADING + first), (APP13, photoshop.HEADING + marked))
    assert page.notes == ("second IPTC block in another character set not carried",)


def test_a_block_that_ends_early_does_not_hide_the_next_one() -> None:
    damaged = photoshop.HEADING + resource(1034, b"\1") + b"8BIM\x04"
    page = page_of((APP13, damaged), (APP13, photoshop.HEADING + resource(photoshop.IPTC, RECORDS)))
    assert (page.iptc, page.notes) == (RECORDS, ("damaged Photoshop data (APP13) carried in part",))


def test_small_copies_and_settings_of_the_program_do_not_stay() -> None:
    block = b"".join(resource(number, b"content") for number in (1036, 1026, 1034, 2999, 4000))
    kept = page_of(*cut(block)).photoshop
    assert [item.number for item in photoshop.resources(kept or b"")] == [1034, 2999, 4000]


def test_resolution_only_in_photoshops_block() -> None:
    inches = struct.pack(">IHHIHH", 600 << 16, 1, 1, 300 << 16, 1, 1)
    assert page_of(*cut(resource(photoshop.RESOLUTION, inches))).dpi == (600.0, 300.0)
    dense = plain(dpi=(72, 72))
    assert page_of(*cut(resource(photoshop.RESOLUTION, inches)), picture=dense).dpi == (72.0, 72.0)


# --- comments, EXIF, profile ------------------------------------------------------------------------------------------


def test_all_comments_stay_in_order(tmp_path: Path) -> None:
    page = page_of((COMMENT, b"Negative 12, box 7"), (COMMENT, b""), (COMMENT, b"scanned 2003"))
    assert page.comments == (b"Negative 12, box 7", b"scanned 2003")
    assert again(tmp_path, page, "jpeg").comments == page.comments
    with Image.open(again_at(tmp_path, page, "png")) as seen:
        assert seen.text["Comment"] in ("Negative 12, box 7", "scanned 2003")
    assert photo.write(tmp_path / "x.tif", Photo("jpeg", (page,)), "tiff") == ("comment not carried by TIFF",)


def again_at(tmp_path: Path, page: Page, format: str) -> Path:
    photo.write(tmp_path / "at", Photo(format, (page,)), format)
    return tmp_path / "at"


def test_a_comment_between_two_scans_is_kept() -> None:
    data = plain(progressive=True)
    scans = [segment.start for segment in jpeg_segments.segments(data) if segment.marker == jpeg_segments.START_OF_SCAN]
    at = data.rindex(b"\xff\xc4", 0, scans[-1])  # the tables of the last scan
    page = read_jpeg(data[:at] + jpeg_segments.segment(COMMENT, b"late") + data[at:], 100).pages[0]
    assert (page.comments, page.notes) == ((b"late",), ())


def test_exif_of_several_segments(tmp_path: Path) -> None:
    block = exif_of(artist=b"Lange" * 20_000, orientation=6)
    pieces = [(jpeg_segments.APP1, b"Exif\0\0" + block[at : at + 60_000]) for at in range(0, len(block), 60_000)]
    page = page_of(*pieces)
    assert (page.exif, page.orientation) == (block, 6)
    notes = photo.write(tmp_path / "x.jpg", Photo("jpeg", (page,)), "jpeg")
    assert notes == ("EXIF of over 64 KiB written in several segments, which few programs read",)
    back = photo.read(tmp_path / "x.jpg").pages[0]
    assert exif.text(back.exif, 315) == "Lange" * 20_000
    small = (jpeg_segments.APP1, b"Exif\0\0" + exif_of(orientation=3))
    assert page_of(small, small).notes == ()
    page = page_of(small, pieces[0])
    assert (page.orientation, page.notes) == (3, ("second EXIF block not carried",))
    assert page_of((jpeg_segments.APP1, b"Exif\0\0junk")).notes == ("damaged EXIF not carried",)


def profile_pieces(*order: tuple[int, int, bytes]) -> list[tuple[int, bytes]]:
    return [(jpeg_segments.APP2, b"ICC_PROFILE\0" + bytes((number, count)) + part) for number, count, part in order]


def test_a_profile_is_put_together_from_its_numbered_pieces() -> None:
    first, second, third = SRGB_ICC[:200], SRGB_ICC[200:300], SRGB_ICC[300:]
    assert page_of(*profile_pieces((2, 3, second), (3, 3, third), (1, 3, first))).icc == SRGB_ICC
    assert page_of(*profile_pieces((1, 2, first + second), (1, 2, first + second), (2, 2, third))).icc == SRGB_ICC
    assert page_of(*profile_pieces((0, 0, first), (1, 0, second + third))).icc == SRGB_ICC
    assert page_of(*profile_pieces((1, 1, first), (1, 1, second + third))).icc == SRGB_ICC
    page = page_of(*profile_pieces((1, 3, first), (3, 3, third)))
    assert (page.icc, page.notes) == (None, ("damaged colour profile ignored: read as sRGB",))


# --- XMP of over 64 KiB -----------------------------------------------------------------------------------------------

LONG = "x" * 90_000
MAIN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"{}><dc:source>Box 7</dc:source>{}'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
POINTER = ' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{}"'
EXTENSION = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    f'xmlns:own="urn:own"><rdf:Description rdf:about=""><own:History>{LONG}</own:History></rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
).encode()


def extended(pieces: list[bytes]) -> list[tuple[int, bytes]]:
    digest = pieces[0][len(extended_xmp.EXTENSION) :][:32].decode()
    main = MAIN.format(POINTER.format(digest), "").encode()
    return [(jpeg_segments.APP1, extended_xmp.XMP + main), *((jpeg_segments.APP1, piece) for piece in pieces)]


def test_extended_xmp_is_joined_and_written_back(tmp_path: Path) -> None:
    pieces = list(extended_xmp.pieces_of(EXTENSION))
    for order in (pieces, pieces[::-1]):
        page = page_of(*extended(order))
        packet = page.xmp or b""
        assert LONG.encode() in packet and b"Box 7" in packet and b"HasExtendedXMP" not in packet
        assert page.notes == ()
    back = again(tmp_path, page, "jpeg")
    assert LONG.encode() in (back.xmp or b"") and b"HasExtendedXMP" not in (back.xmp or b"")
    raw = (tmp_path / "out.jpg").read_bytes()
    assert raw.count(extended_xmp.EXTENSION) == 2 and raw.count(b"HasExtendedXMP") == 1
    assert again(tmp_path, page, "tiff").xmp == packet


def test_a_fault_in_the_main_packet_does_not_cost_the_extension() -> None:
    segments = extended(list(extended_xmp.pieces_of(EXTENSION)))
    faulty = segments[0][1].replace(b"Box 7", b"Box 7 & 8")
    page = page_of((jpeg_segments.APP1, faulty), *segments[1:])
    assert b"Box 7 & 8" in (page.xmp or b"") and LONG.encode() in (page.xmp or b"") and page.notes == ()
    assert xmp.parsed(page.xmp).faults == ("not well-formed (invalid token)",)
    assert LONG.encode() in xmp.parsed(page.xmp).text


def test_large_properties_as_attributes_move_too_and_padding_goes_first(tmp_path: Path) -> None:
    packet = MAIN.format(f' xmlns:g="urn:g" g:data="{LONG}"', "<dc:rights>ours</dc:rights>").encode()
    back = again(tmp_path, Page(smooth(8, 8), xmp=packet), "jpeg").xmp or b""
    assert LONG.encode() in back and b"ours" in back
    padded = MAIN.format("", "").encode() + b" " * 70_000
    slim = again(tmp_path, Page(smooth(8, 8), xmp=padded), "jpeg").xmp or b""
    assert len(slim) == len(padded) - 70_000 and b"Box 7" in slim
    junk = b"<no packet>" + LONG.encode()
    notes = photo.write(tmp_path / "x.jpg", Photo("jpeg", (Page(smooth(8, 8), xmp=junk),)), "jpeg")
    assert notes == ("XMP not carried by JPEG: over 64 KiB",)


def test_a_damaged_extension_is_named_and_nothing_points_to_it() -> None:
    pieces = list(extended_xmp.pieces_of(EXTENSION))
    for rest in ([], pieces[1:], [pieces[0]]):
        page = page_of(extended(pieces)[0], *((jpeg_segments.APP1, piece) for piece in rest))
        assert page.notes == ("extended XMP missing or damaged: not carried",)
        assert b"Box 7" in (page.xmp or b"") and b"HasExtendedXMP" not in (page.xmp or b"")
    page = page_of(
        (jpeg_segments.APP1, extended_xmp.XMP + MAIN.format("", "").encode()), (jpeg_segments.APP1, pieces[0])
    )
    assert page.notes == ("extended XMP without a pointer to it not carried",)


@pytest.mark.parametrize("nodes", [b"<own:a/>" * 400_000, b"<own:a>" * 3000 + LONG.encode() + b"</own:a>" * 3000])
def test_a_packet_of_very_many_nodes_is_not_taken_apart(tmp_path: Path, nodes: bytes) -> None:
    many = EXTENSION.replace(LONG.encode(), nodes)
    page = page_of(*extended(list(extended_xmp.pieces_of(many))))
    assert page.notes == ("extended XMP missing or damaged: not carried",)
    page = Page(smooth(8, 8), xmp=many)
    assert photo.write(tmp_path / "x.jpg", Photo("png", (page,)), "jpeg") == ("XMP not carried by JPEG: over 64 KiB",)


# --- what is left behind ----------------------------------------------------------------------------------------------


def mpf(*types: int) -> bytes:
    """An MPF segment for pictures of these types, of which the first is the picture itself."""
    rows = b"".join(struct.pack("<4I", kind, 0, 0, 0) for kind in types)
    entries = {0xB001: exif.Entry(4, 1, struct.pack("<I", len(types))), 0xB002: exif.Entry(7, len(rows), rows)}
    return b"MPF\0II*\0\x08\0\0\0" + exif.directory_bytes(entries, "<", 8)


FILM = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0mp42isom"
COPY_NOTE = "1 smaller copy of the picture in the file left out"
GAIN_MAP = (jpeg_segments.APP2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")


@pytest.mark.parametrize(
    "segments, tail, note",
    [
        ([(jpeg_segments.APP2, mpf(0x030000, 0x020002))], plain(), "1 further picture in the file left out"),
        ([(jpeg_segments.APP2, mpf(0x030000, 0, 0))], plain() * 2, "2 further pictures in the file left out"),
        (
            [(jpeg_segments.APP2, mpf(0x030000, 0x010001))],
            plain(),
            "1 smaller copy of the picture in the file left out",
        ),
        ([GAIN_MAP, (jpeg_segments.APP2, mpf(0x030000, 0))], plain(), "gain map for HDR displays left out"),
        ([], plain(), "1 further picture in the file left out"),
        ([], FILM + bytes(99), "film of the motion photograph left out"),
        ([], b"trailing junk", "13 bytes after the end of the picture left out"),
    ],
)
def test_what_follows_the_picture_is_said(segments: list[tuple[int, bytes]], tail: bytes, note: str) -> None:
    assert page_of(*segments, tail=tail).notes == (note,)


@pytest.mark.parametrize("tail", [b"", bytes(5000), b"\r\n"])
def test_padding_behind_the_picture_is_no_loss(tail: bytes) -> None:
    assert page_of(tail=tail).notes == ()


def test_segments_that_are_not_carried_are_named() -> None:
    page = page_of(
        (0xE1, b"http://example.org/own\0content"),
        (0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb....c2pa"),
        (0xE3, b"Meta\0\0II*\0"),
        (0xE3, b"Meta\0\0more"),
        (0xE0, b"JFXX\0\x10"),
        (0xEC, b"Ducky\0\1\0\4\0\0\0\x50\0\0"),
    )
    assert page.notes == (
        "JPEG segments not carried: APP1 http://example.org/own, "
        "content credentials of the source (C2PA; with --c2pa kept as the parent's), APP3 Meta",
    )


def test_segments_of_text_stay_in_a_jpeg_and_are_named_elsewhere(tmp_path: Path) -> None:
    info = (0xEC, b"OLYMPUS\0\0[picture info]\r\nDateTimeOriginal=1999")
    page = page_of(info, (0xEA, b"UNICODE\0\0N\0e\0g"))
    assert page.notes == ()
    assert again(tmp_path, page, "jpeg").extras == page.extras
    assert photo.write(tmp_path / "x.tif", Photo("jpeg", (page,)), "tiff") == (
        "JPEG: APP12 OLYMPUS, APP10 UNICODE not carried by TIFF",
    )


# --- more than 8 bits, pixels, scans, height --------------------------------------------------------------------------


def test_a_jpeg_of_12_bits_keeps_its_envelope() -> None:
    deep = bytes(imagecodecs.jpeg_encode(smooth(16, 24)[..., 0].astype(np.uint16) * 16, bitspersample=12))
    page = page_of(
        (jpeg_segments.APP1, b"Exif\0\0" + exif_of(orientation=6, description=b"Muehle")),
        (jpeg_segments.APP1, extended_xmp.XMP + MAIN.format("", "").encode()),
        *cut(resource(photoshop.IPTC, RECORDS)),
        *profile_pieces((1, 1, SRGB_ICC)),
        picture=deep,
        tail=plain(),
    )
    assert (page.samples.dtype, page.bits) == (np.uint16, 12)
    assert (page.orientation, page.description, page.iptc) == (6, "Muehle", RECORDS)
    assert b"Box 7" in (page.xmp or b"")
    assert "1 further picture in the file left out" in page.notes


def with_density(unit: int, x: int, y: int) -> bytes:
    data = plain()
    return data[:13] + struct.pack(">BHH", unit, x, y) + data[18:]


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    page = page_of(picture=with_density(0, 2, 1))
    assert (page.dpi, page.density) == (None, (2.0, 1.0))
    assert page_of(picture=with_density(0, 1, 1)).density is None
    assert page_of(picture=with_density(2, 20, 10)).dpi == (50.8, 25.4)
    again(tmp_path, page, "jpeg")
    with Image.open(tmp_path / "out.jpg") as seen:
        assert (seen.info["jfif_unit"], seen.info["jfif_density"]) == (0, (2, 1))
    assert again(tmp_path, page, "jpeg").density == (2.0, 1.0)
    assert again(tmp_path, page, "webp").density == (2.0, 1.0)
    again(tmp_path, page, "tiff")
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        tags = tif.pages[0].tags
        assert (int(tags[296].value), tags[282].value, tags[283].value) == (1, (2, 1), (1, 1))
    assert b"pHYs" + struct.pack(">IIB", 2, 1, 0) in again_at(tmp_path, page, "png").read_bytes()
    assert "shape of the pixels not carried by BMP" in photo.write(tmp_path / "x", Photo("jpeg", (page,)), "bmp")


def test_a_progressive_jpeg_without_its_last_scans_is_noted() -> None:
    data = plain(samples=np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), progressive=True)
    scans = [segment.start for segment in jpeg_segments.segments(data) if segment.marker == jpeg_segments.START_OF_SCAN]
    for kept in range(1, len(scans)):
        end = data.rfind(b"\xff\xc4", scans[kept - 1], scans[kept])
        notes = read_jpeg(data[: end if end > 0 else scans[kept]] + b"\xff\xd9", 100).pages[0].notes
        assert notes in (
            ("JPEG without its last scans: details are missing; copy it again",),
            ("JPEG data damaged in places or unusual: compare it with the source",),
        )
    assert read_jpeg(data, 100).pages[0].notes == ()


def test_the_number_of_scans_is_bounded() -> None:
    data = plain(progressive=True)
    ends = list(jpeg_segments.segments(data))
    last = [segment for segment in ends if segment.marker == jpeg_segments.START_OF_SCAN][-1].start
    scan = data[last : ends[-1].start]
    with pytest.raises(UnsupportedError, match="over 200 scans"):
        read_jpeg(data[: ends[-1].start] + scan * 2000 + b"\xff\xd9", 100)
    with pytest.raises(UnsupportedError, match="over 10000 segments"):
        read_jpeg(jpeg(*[(COMMENT, b"")] * 10_001), 100)


@pytest.mark.parametrize("before", [[], [(COMMENT, b"Negative 12")]])
def test_a_height_that_follows_the_first_scan_is_heeded(before: list[tuple[int, bytes]]) -> None:
    data = jpeg(*before)
    expected = read_jpeg(data, 100).pages[0]
    segments = list(jpeg_segments.segments(data))
    frame = next(segment.start for segment in segments if segment.marker in jpeg_segments.FRAMES)
    end = segments[-1].start
    lines = jpeg_segments.segment(0xDC, (16).to_bytes(2, "big"))
    late = data[: frame + 5] + b"\0\0" + data[frame + 7 : end] + lines + data[end:]
    page = read_jpeg(late, 100).pages[0]
    np.testing.assert_array_equal(page.samples, expected.samples)
    assert (page.comments, page.notes) == (expected.comments, ())
    assert jpeg_data.is_sound(late)
    with pytest.raises(UnreadableError):
        read_jpeg(late.replace(lines, b""), 100)


def test_a_file_that_ends_in_its_metadata_is_truncated() -> None:
    with pytest.raises(UnreadableError, match="truncated"):
        read_jpeg(jpeg((COMMENT, b"Negative 12"))[:12], 100)


# --- EXIF: words, texts in UTF-16, colour space, what a new block must have -------------------------------------------

UTF16 = {"<": "utf-16-le", ">": "utf-16-be"}


def block_of(order: str, main: dict[int, exif.Entry], inner: dict[int, exif.Entry], interop: bytes = b"") -> bytes:
    """An EXIF block in this byte order with IFD0, the EXIF directory, and the interoperability index."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)

    def pointer(offset: int) -> exif.Entry:
        return exif.Entry(4, 1, struct.pack(order + "I", offset))

    at = 8 + len(exif.directory_bytes({**main, exif.EXIF_IFD: pointer(0)}, order, 8))
    after = at + len(exif.directory_bytes({**inner, exif.INTEROP_IFD: pointer(0)}, order, at))
    first = exif.directory_bytes({**main, exif.EXIF_IFD: pointer(at)}, order, 8)
    second = exif.directory_bytes({**inner, exif.INTEROP_IFD: pointer(after)} if interop else inner, order, at)
    last = exif.directory_bytes({1: exif.Entry(2, 4, interop)}, order, after) if interop else b""
    return head + first + second + last


def exif_segment(block: bytes) -> tuple[int, bytes]:
    return (jpeg_segments.APP1, b"Exif\0\0" + block)


@pytest.mark.parametrize("stored", ["<", ">"])
def test_a_user_comment_in_utf16_follows_the_byte_order(tmp_path: Path, stored: str) -> None:
    """Many writers use another order for the text than for the file."""
    text = b"UNICODE\0" + "Fête à Łódź".encode(UTF16[stored])
    comment = {37510: exif.Entry(7, len(text), text)}
    page = page_of(exif_segment(block_of(">", {}, comment)))
    again(tmp_path, page, "tiff")
    written = (tmp_path / "out.tif").read_bytes()
    assert written.startswith(b"II*\0")
    assert b"UNICODE\0" + "Fête à Łódź".encode("utf-16-le") in written


WORDS = {
    18246: exif.Entry(3, 1, struct.pack(">H", 4)),
    18249: exif.Entry(3, 1, struct.pack(">H", 75)),
    40091: exif.Entry(1, 10, "Mill\0".encode("utf-16-le")),
    40094: exif.Entry(1, 14, "Arnhem\0".encode("utf-16-le")),
    42016: exif.Entry(2, 6, b"id 07\0"),
    315: exif.Entry(2, 6, b"Lange\0"),
}


def test_words_of_a_catalogue_stay_from_jpeg_to_tiff_to_tiff_to_jpeg(tmp_path: Path) -> None:
    print_im = exif.Entry(7, 8, b"PrintIM\0")
    page = page_of(exif_segment(block_of(">", {**WORDS, 50341: print_im}, {})))
    notes = photo.write(tmp_path / "a.tif", Photo("jpeg", (page,)), "tiff")
    assert notes == ("EXIF tags 50341 (PrintImageMatching) not carried by TIFF",)
    read = photo.read(tmp_path / "a.tif")
    assert read.pages[0].notes == ()
    photo.write(tmp_path / "b.tif", read, "tiff")
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(tmp_path / name) as tif:
            tags = tif.pages[0].tags
            assert (tags[18246].value, tags[18249].value, tags[42016].value) == (4, 75, "id 07")
            assert bytes(tags[40091].value).decode("utf-16-le") == "Mill\0"
    back = photo.read(tmp_path / "b.tif").pages[0]
    again(tmp_path, back, "jpeg")
    with Image.open(tmp_path / "out.jpg") as seen:
        block = seen.getexif()
        assert (block[18246], block[18249], block[42016], block[315]) == (4, 75, "id 07", "Lange")
        assert bytes(block[40094]).decode("utf-16-le") == "Arnhem\0"


def test_dropped_tags_have_names(tmp_path: Path) -> None:
    tags = [(50255, 7, 8, b"8BIMAnno", True), (65001, "H", 1, 7, True), (34377, 7, len(PATH), PATH, True)]
    tifffile.imwrite(tmp_path / "x.tif", smooth(8, 8), metadata=None, extratags=tags)
    page = photo.read(tmp_path / "x.tif").pages[0]
    assert page.notes == ("TIFF tags 50255 (Photoshop annotations), 65001 not carried",)
    assert page.photoshop == PATH


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value, interop", [(2, b""), (65535, b"R03\0")])
def test_adobe_rgb_by_exif_alone(tmp_path: Path, order: str, value: int, interop: bytes) -> None:
    space = {exif.COLOR_SPACE: exif.Entry(3, 1, struct.pack(order + "H", value))}
    block = block_of(order, {}, space, interop)
    page = page_of(exif_segment(block))
    assert page.notes == ("read as Adobe RGB, as its EXIF says",)
    assert page.icc == bytes(imagecodecs.cms_profile("adobergb"))
    colored = Page(page.samples, icc=SRGB_ICC, exif=block)
    for format in ("jpeg", "tiff", "png"):
        written = again(tmp_path, colored, format).exif
        assert exif.color_space(written) == exif.SRGB, format
        assert b"R03" not in (written or b"")
    assert exif.color_space(again(tmp_path, page, "jpeg").exif) == (exif.ADOBE_RGB if interop else exif.UNCALIBRATED)
    assert page_of(exif_segment(block), *profile_pieces((1, 1, SRGB_ICC))).notes == ()


def test_a_damaged_pointer_in_exif_costs_no_picture(tmp_path: Path) -> None:
    three = exif.Entry(4, 3, bytes(12))
    block = b"II*\0\x08\0\0\0" + exif.directory_bytes({315: exif.Entry(2, 6, b"Lange\0"), exif.EXIF_IFD: three}, "<", 8)
    page = page_of(exif_segment(block))
    assert exif.text(again(tmp_path, page, "tiff").exif, 315) is None
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        assert tif.pages[0].tags[315].value == "Lange"


def test_an_unknown_colour_space_is_left_alone() -> None:
    block = block_of("<", {}, {exif.COLOR_SPACE: exif.Entry(3, 1, struct.pack("<H", 65535))})
    assert page_of(exif_segment(block)).notes == ()
    assert exif.with_color_space(exif_of(orientation=6), exif.SRGB) == exif_of(orientation=6)
    assert exif.with_color_space(b"damaged", exif.SRGB) == b"damaged"


@pytest.mark.parametrize("kind, format", [(1, "B"), (3, "H"), (4, "I"), (9, "i")])
def test_orientation_of_any_whole_number(kind: int, format: str) -> None:
    entry = {exif.ORIENTATION: exif.Entry(kind, 1, struct.pack(">" + format, 6))}
    assert page_of(exif_segment(block_of(">", entry, {}))).orientation == 6


def test_a_new_block_has_what_exif_requires(tmp_path: Path, needs_exiftool: None) -> None:
    resolutions = {"dpi": (300.0, 200.0), "density": (2.0, 1.0)}
    for field, expected in (("dpi", (300, 200, 2)), ("density", (2, 1, 1)), ("orientation", (1, 1, 1))):
        page = Page(smooth(8, 8), description="Am Hafen", **{field: resolutions.get(field, 3)})
        photo.write(tmp_path / "x.jpg", Photo("png", (page,)), "jpeg")
        with Image.open(tmp_path / "x.jpg") as seen:
            block = seen.getexif()
            assert (block[282], block[283], block[296]) == expected
            assert block[531] == 1
        output = subprocess.run(
            ["exiftool", "-validate", tmp_path / "x.jpg"], capture_output=True, text=True, check=True
        )
        assert "OK" in output.stdout


# --- from end to end --------------------------------------------------------------------------------------------------


def test_a_coloured_jpeg_has_all_of_this_and_its_row_says_the_rest(src: Path, out: Path, ink: Path) -> None:
    two_views = (jpeg_segments.APP2, mpf(0x030000, 0x020002))
    segments = [*extended(list(extended_xmp.pieces_of(EXTENSION))), *cut(PATH + resource(photoshop.IPTC, RECORDS))]
    segments += [(COMMENT, b"Negative 12"), (COMMENT, b"scanned 2003"), (0xE3, b"Meta\0"), two_views]
    gray = plain(samples=smooth(16, 24)[..., 0])
    (src / "a.jpg").write_bytes(jpeg(*segments, picture=gray, tail=gray))
    [row] = colour(src, out=out, model=ink)
    assert row.notes == (
        "JPEG segments not carried: APP3 Meta",
        "1 further picture in the file left out",
    )
    page = photo.read(out / "a.jpg").pages[0]
    assert page.samples.ndim == 3
    assert (page.iptc, page.photoshop, page.comments) == (RECORDS, PATH, (b"Negative 12", b"scanned 2003"))
    assert LONG.encode() in (page.xmp or b"") and b"invented by a neural network" in (page.xmp or b"")
