"""Whether a file is a film, by its first bytes. FFmpeg is not loaded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from archivecolor import files, sequences
from archivecolor.photo.kinds import HEAD_BYTES, is_transport_stream, kind_of

SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".m2v"),
        *(".ts", ".m2ts", ".mts", ".mxf", ".wmv", ".asf", ".flv", ".ogv", ".dv", ".nut"),
    )
)

FOLDER_SUFFIX = ".archivecolor-film"
"""The hidden work folder of a film that is not finished ends in this; see `work_folder.WorkFolder`."""


def is_frame(path: Path) -> bool:
    """Whether a file is always a frame of a film: nobody keeps photographs as DPX."""
    return path.suffix.lower() == ".dpx"


def is_numbered(path: Path) -> bool:
    """Whether a path stands for an image sequence: a number pattern, or a single frame."""
    return sequences.is_pattern(path) or is_frame(path)


def is_film(path: Path) -> bool:
    """Whether a path is treated as a film: by its suffix, else by its first bytes. A number pattern always is one.

    A file with the suffix of a film counts as a film whatever it holds, so that a damaged one is reported and not
    skipped. There are two exceptions: `.ts` may be a program text, and a GIF, WebP or PNG is a film only with a second
    frame.
    """
    if is_numbered(path):
        return True
    try:
        files.check_regular(path)
        with path.open("rb") as file:
            return is_film_content(path, file.read(HEAD_BYTES))
    except OSError:
        return path.suffix.lower() in SUFFIXES


def is_film_content(path: Path, head: bytes) -> bool:
    """Whether a file with these first HEAD_BYTES bytes is treated as a film; see `is_film`."""
    if path.suffix.lower() == ".ts":
        return is_transport_stream(head)
    kind = kind_of(head)
    if kind == "gif" or _may_be_animated(kind, head):
        return _is_animated(path)
    return path.suffix.lower() in SUFFIXES or kind == "film"


def _may_be_animated(kind: str, head: bytes) -> bool:
    """Whether the header of a WebP or PNG announces an animation: a flag of VP8X, or a chunk `acTL` before the data."""
    if kind == "webp":
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
    return kind == "png" and b"acTL" in head.partition(b"IDAT")[0]


def _is_animated(path: Path) -> bool:
    """Whether a picture has more than one frame. A damaged one is left to the readers of photographs."""
    try:
        with Image.open(path) as gif:
            return bool(getattr(gif, "is_animated", False))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return False
