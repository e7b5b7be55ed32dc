"""File kinds by their first bytes: one table for photographs, films and the files that are refused by name."""

from __future__ import annotations

from typing import NamedTuple

HEAD_BYTES = 4096
"""How many bytes of a file are enough for every function here."""

_MAGICS = (
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG", "png"),
    (b"\0\0\0\x0cjP  ", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"8BPS\0\1", "psd"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"\x1a\x45\xdf\xa3", "film"),  # Matroska, WebM
    (b"\x00\x00\x01\xba", "film"),  # MPEG program stream
    (b"\x00\x00\x01\xb3", "film"),  # MPEG video
    (b"FLV\x01", "film"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "film"),  # ASF, WMV
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "film"),  # MXF
    (b"nut/multimedia container\x00", "film"),
    (b"%PDF", "pdf"),
    (b"%!PS", "postscript"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"AT&TFORM", "djvu"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL ", "jxl"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"IIRO", "raw"),  # Olympus
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\0", "raw"),  # Panasonic, Leica
    (b"II\x1a\0\0\0HEAPCCDR", "raw"),  # Canon CRW
    (b"\0MRM", "raw"),  # Minolta
    (b"FOVb", "raw"),  # Sigma
    (b"8BPB", "psb"),
    (b"8BPS\0\2", "psb"),
    (b"PK\x03\x04", "zip"),
)
_PHOTO_CD_AT = 2048
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_JPEG_2000_BRANDS = frozenset((b"jp2 ", b"jpx "))
_RAW_BRAND = b"crx "
_AUDIO_BRANDS = frozenset((b"M4A ", b"M4B "))


class Brands(NamedTuple):
    """The brands in the `ftyp` box of an ISO base media file (ISO/IEC 14496-12, 4.3)."""

    major: bytes
    all: frozenset[bytes]
    """The major brand and the compatible brands."""


def iso_brands(head: bytes) -> Brands | None:
    """The brands of an ISO base media file (MP4, MOV, HEIF, AVIF, ...); None for any other file."""
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return Brands(head[8:12], frozenset((head[8:12], *(head[at : at + 4] for at in range(16, end, 4)))))


def kind_of(head: bytes) -> str:
    """The kind of a file by its first HEAD_BYTES bytes.

    Returns:
        tiff, jpeg, png, webp, jp2, avif, heic, jxl, pcd, pnm, psd, gif or bmp for photographs; film or audio; raw,
        pdf, postscript, eps, djvu, psb or zip for files that are refused by name; "" for any other file.
    """
    brands = iso_brands(head)
    if brands is not None:
        return _iso_kind(brands)
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "film"}.get(head[8:12], "")
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") and head[2:3] in b" \t\r\n#":
        return "pnm"
    if head[_PHOTO_CD_AT : _PHOTO_CD_AT + 4] == b"PCD_":
        return "pcd"
    if head.startswith(b"%!PS") and b"EPSF" in head[:40]:
        return "eps"
    kind = next((kind for magic, kind in _MAGICS if head.startswith(magic)), "")
    return "film" if not kind and is_transport_stream(head) else kind


def _iso_kind(brands: Brands) -> str:
    if brands.all & _AVIF_BRANDS:
        return "avif"
    if brands.all & _HEIF_BRANDS:
        return "heic"
    if brands.major == _RAW_BRAND:
        return "raw"
    if brands.major in _JPEG_2000_BRANDS:  # a JP2 begins with its signature box, so this one is damaged
        return ""
    return "audio" if brands.major in _AUDIO_BRANDS else "film"


def is_transport_stream(head: bytes) -> bool:
    """Sync bytes every 188 bytes, or every 192 bytes after a 4-byte time code."""
    return any(
        len(head) > offset + 4 * step and all(head[offset + i * step] == 0x47 for i in range(5))
        for offset, step in ((0, 188), (4, 192))
    )
