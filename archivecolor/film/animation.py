"""Animated WebP, which FFmpeg does not read: Pillow decodes it into a container that FFmpeg does."""

from __future__ import annotations

import errno
import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageSequence

from archivecolor.errors import SourceReadError, UnreadableError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MILLISECOND = Fraction(1, 1000)


def is_webp(head: bytes) -> bool:
    """Whether a file with these first 12 bytes is WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def webp_as_matroska(path: Path) -> IO[bytes]:
    """The frames of an animated WebP with their times, lossless, as an open temporary file that ends with its closing.

    Raises:
        SourceReadError: there is no room for it.
        UnreadableError: it is damaged.
    """
    import av

    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    try:
        with Image.open(path) as picture, av.open(file, "w", format="matroska") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = *picture.size, "bgr0"
            stream.codec_context.time_base = stream.time_base = _MILLISECOND
            time = 0
            for image in ImageSequence.Iterator(picture):
                rgb = np.asarray(image.convert("RGB"))
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="bgr0")
                duration = max(1, round(float(image.info.get("duration") or 40)))
                frame.pts, frame.time_base = time, _MILLISECOND
                for packet in stream.encode(frame):
                    packet.duration = round(duration * _MILLISECOND / packet.time_base)
                    out.mux(packet)
                time += duration
            out.mux(stream.encode(None))
        file.seek(0)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        with suppress(OSError):  # what it could not write it cannot write now
            file.close()
        if isinstance(error, OSError) and error.errno in _FULL:
            raise SourceReadError(
                f"no room in {tempfile.gettempdir()} for its frames ({error.strerror}); make some, or set TMPDIR"
            ) from error
        raise UnreadableError(f"its animation is damaged ({error})") from error
    return file
