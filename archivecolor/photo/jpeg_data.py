"""Checks whether a JPEG's compressed data are complete and undamaged.

libjpeg decodes damaged data to anything and only warns, and Pillow drops its warnings. libjxl repacks JPEG files
without loss, and so refuses data that cannot be unpacked to the last bit. Here libjxl decides.
"""

from __future__ import annotations

from archivecolor.imaging.arrays import Samples
from archivecolor.photo import jpeg_segments, libjxl

_SUCCESS = 0
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
"""Frames of progressive JPEG."""
_COEFFICIENTS = frozenset(range(64))


def is_sound(data: bytes) -> bool | None:
    """Whether the scans of a baseline or progressive JPEG, grey or with three channels, can be unpacked completely.

    Returns:
        None without libjxl.
    """
    library = libjxl.load()
    if library is None:
        return None
    # a damaged profile does not damage the picture
    bare = jpeg_segments.split(data).picture
    encoder = library.JxlEncoderCreate(None)
    try:
        settings = library.JxlEncoderFrameSettingsCreate(encoder, None)
        return bool(library.JxlEncoderAddJPEGFrame(settings, bare, len(bare)) == _SUCCESS)
    finally:
        library.JxlEncoderDestroy(encoder)


def has_every_scan(data: bytes) -> bool:
    """Whether the scans together have every bit of every coefficient (ITU-T T.81, G.1.1.1).

    A progressive JPEG that was cut between two scans has no damaged data, but is not the whole picture.
    """
    missing: dict[int, frozenset[int]] = {}
    is_progressive = False
    for segment in jpeg_segments.segments(data):
        content = segment.content(data)
        if segment.marker in jpeg_segments.FRAMES and len(content) >= 6:
            missing = dict.fromkeys(content[6 : 6 + 3 * content[5] : 3], _COEFFICIENTS)
            is_progressive = segment.marker in PROGRESSIVE
        elif segment.marker == jpeg_segments.START_OF_SCAN and content and len(content) >= 4 + 2 * content[0]:
            channels = content[1 : 1 + 2 * content[0] : 2]
            first, last, approximation = content[1 + 2 * content[0] : 4 + 2 * content[0]]
            if not is_progressive:
                first, last, approximation = 0, 63, 0  # some encoders write other values, which nobody reads
            if approximation & 0x0F == 0:  # the scan goes down to the last bit
                complete = frozenset(range(first, last + 1))
                missing |= {channel: missing.get(channel, _COEFFICIENTS) - complete for channel in channels}
    return bool(missing) and not any(missing.values())


def ends_in_fill(samples: Samples) -> bool:
    """Whether the last row of (H, W) or (H, W, 3) is exactly middle grey and the first is not.

    libjpeg fills missing data with middle grey; a real picture may end in it as well.
    """
    return bool((samples[-1] == 128).all() and not (samples[0] == 128).all())


def fill_share(samples: Samples) -> float:
    """Share of the 8 x 8 blocks of (H, W) or (H, W, 3) that are exactly middle grey, with which libjpeg fills missing
    data."""
    height, width = (side // 8 * 8 for side in samples.shape[:2])
    if not height or not width:
        return 0.0
    grey = (samples[:height, :width] == 128).reshape(height // 8, 8, width // 8, 8, -1)
    return float(grey.all(axis=(1, 3, 4)).mean())
