"""Animated WebP, which FFmpeg does not read: Pillow decodes it into a container that FFmpeg does."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageSequence

from archivecolor.errors import UnreadableError

_MILLISECOND = Fraction(1, 1000)


def is_webp(head: bytes) -> bool:
    """Whether a file with these first 12 bytes is WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def webp_as_matroska(path: Path) -> IO[bytes]:
    """The frames of an animated WebP with their times, lossless, as an open temporary file that ends with its closing.

    Raises:
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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        file.close()
        raise UnreadableError(f"its animation is damaged ({error})") from error
    file.seek(0)
    return file
