"""Whether a file is a film, by its first bytes. FFmpeg is not loaded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from archivecolor import sequences

SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".m2v"),
        *(".ts", ".m2ts", ".mts", ".mxf", ".wmv", ".asf", ".flv", ".ogv", ".dv", ".nut"),
    )
)
_MAGICS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG programme stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"nut/multimedia container\x00",
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"jp2 ", b"jpx ", b"crx ")
"""ISO base media files that are photographs."""
_SOUND_BRANDS = (b"M4A ", b"M4B ")


def is_frame(path: Path) -> bool:
    """Whether a file is always a frame of a film: nobody keeps photographs as DPX."""
    return path.suffix.lower() == ".dpx"


def is_numbered(path: Path) -> bool:
    """Whether a path stands for an image sequence: a number pattern, or a single frame."""
    return sequences.is_pattern(path) or is_frame(path)


def is_film(path: Path) -> bool:
    """Whether a path is treated as a film: by its suffix, else by its first bytes. A number pattern always is one.

    A file with the suffix of a film counts as a film whatever it holds, so that a damaged one is reported and not
    skipped. There are two exceptions: `.ts` may be a program text, and a GIF is a film only with a second frame.
    """
    if is_numbered(path):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return path.suffix.lower() in SUFFIXES
    if path.suffix.lower() == ".ts":
        return _is_transport_stream(head)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _is_animated(path)
    return path.suffix.lower() in SUFFIXES or _looks_like_film(head)


def _looks_like_film(head: bytes) -> bool:
    if head[4:8] == b"ftyp":
        return head[8:12] not in (*_STILL_BRANDS, *_SOUND_BRANDS)
    if head.startswith(b"RIFF"):
        return head[8:12] == b"AVI "
    return head.startswith(_MAGICS) or _is_transport_stream(head)


def _is_transport_stream(head: bytes) -> bool:
    """Whether sync bytes come every 188 bytes, or every 192 with a time code before each."""
    return any(
        len(head) > offset + 4 * step and all(head[offset + i * step] == 0x47 for i in range(5))
        for offset, step in ((0, 188), (4, 192))
    )


def _is_animated(path: Path) -> bool:
    """Whether a GIF has more than one frame. A damaged one is left to the readers of photographs."""
    try:
        with Image.open(path) as gif:
            return bool(getattr(gif, "is_animated", False))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return False
