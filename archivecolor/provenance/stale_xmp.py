"""What of a picture's XMP may stay when its pixels are new: the one policy for all formats.

What describes the picture stays. What describes the old pixels, shows them, announces something that is not in the new
file, or makes a reader take the new colours away, is left out, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from archivecolor.errors import listed
from archivecolor.provenance import xmp as packets
from archivecolor.provenance.xmp import Edit, Property

_TIFF, _EXIF, _CRS = (packets.NAMESPACES[prefix] for prefix in ("tiff", "exif", "crs"))
_XMP, _PHOTOSHOP, _DC = (packets.NAMESPACES[prefix] for prefix in ("xmp", "photoshop", "dc"))
_GOOGLE = "http://ns.google.com/photos/"
_CODING = frozenset(
    (
        *("BitsPerSample", "Compression", "PlanarConfiguration", "TransferFunction", "WhitePoint"),
        *("PrimaryChromaticities", "ReferenceBlackWhite", "YCbCrCoefficients", "YCbCrSubSampling", "YCbCrPositioning"),
    )
)
"""TIFF 6.0 tags about the coding of the samples. The output is coded anew, and says how by itself."""
_SIDES = frozenset(("ImageWidth", "ImageLength", "PixelXDimension", "PixelYDimension", "XResolution", "YResolution"))
_TRUE_OF_COLOURS = {
    (_TIFF, "SamplesPerPixel"): re.compile("3"),
    (_TIFF, "PhotometricInterpretation"): re.compile("2"),
    (_EXIF, "ColorSpace"): re.compile("1"),
    (_PHOTOSHOP, "ColorMode"): re.compile("3"),
    (_PHOTOSHOP, "ICCProfile"): re.compile("sRGB.*"),
}
"""What these say of a picture in sRGB."""
_FOREIGN_NAMESPACES = frozenset(
    (
        *("http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/"),
        *(_GOOGLE + "1.0/container/", _GOOGLE + "1.0/container/item/"),
        *(_GOOGLE + "dd/1.0/container/", _GOOGLE + "dd/1.0/item/"),
    )
)
"""All in them is about gain maps, films and pictures behind the picture in the same file, which no output has."""
_FOREIGN = frozenset(
    (
        (_GOOGLE + "dd/1.0/device/", "Container"),
        ("http://ns.oneplus.com/media/1.0/", "VideoLength"),
        ("http://purl.org/dc/terms/", "provenance"),  # where content credentials are, which do not fit new pixels
    )
)
_FILM = re.compile("MotionPhoto|MicroVideo|OLivePhoto")
_EXTENSION = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")
_PREVIEWS = frozenset(((_XMP, "Thumbnails"), (_GOOGLE + "1.0/image/", "Data"), (_GOOGLE + "1.0/image/", "Mime")))
_CROP, _GREY = re.compile("Crop[A-Z].*"), re.compile("GrayMixer.*|AutoGrayscale.*|Treatment")
_SATURATION = re.compile("(Local)?Saturation|Vibrance|SaturationAdjustment[A-Z].*")
_MONOCHROME = re.compile(rb"monochrome|black *(&amp;|and) *white|ConvertToGrayscale\W{1,3}True", re.IGNORECASE)
_OLD_PIXELS = "about the old pixels"
_OLD_PICTURE = "the old picture, small"
_NOT_HERE = "film, gain map, picture or credentials that this file does not have"
_CAMERA_RAW = "Camera Raw settings that take the colour away or crop"
_NO_LOSS = ""


def without_stale(xmp: bytes | None, orientation: int | None = None) -> tuple[bytes | None, tuple[str, ...]]:
    """The packet of a picture whose pixels are new, and notes on what was left out of it.

    Args:
        orientation: the EXIF orientation of the new pixels, 1 to 8, where that of the packet does not count: because
            the pixels were turned, or because the source's container has it. The packet then says the same.
    """
    packet = packets.parsed(xmp).text
    properties = packets.find(packet, _is_covered)
    stale = list(_stale(packet, properties))
    turned = [] if orientation is None else list(_turned(properties, orientation))
    if not stale and not turned:
        return xmp, ()
    labels: dict[str, dict[str, None]] = {}
    end = 0
    for each, reason in sorted(stale, key=lambda pair: pair[0].start):
        if each.start >= end:
            labels.setdefault(reason, {})[each.label] = None
            end = each.end
    edits = [*turned, *((each.start, each.end, b"") for each, _ in stale)]
    notes = tuple(f"XMP left out: {listed(list(labels[why]))} ({why})" for why in sorted(labels) if why != _NO_LOSS)
    return packets.wrapped(packets.edited(packet, edits)), notes


def _turned(properties: Iterable[Property], orientation: int) -> Iterable[Edit]:
    """Edits after which the packet states this orientation; width and height go where they do not fit any more."""
    states_another = any(
        each.name == "Orientation" and each.values != (str(orientation),) for each in properties if each.uri == _TIFF
    )
    for each in properties if states_another else ():
        if (each.uri, each.name) == (_TIFF, "Orientation"):
            yield *each.inner, str(orientation).encode()
        elif each.name in _SIDES:
            yield each.start, each.end, b""


def _is_covered(uri: str, name: str) -> bool:
    """Whether the policy has a say in a property."""
    return (
        uri in (_CRS, _TIFF)
        or (uri == _EXIF and name in _SIDES)
        or uri in _FOREIGN_NAMESPACES
        or (uri == packets.XMLNS and name in _FOREIGN_NAMESPACES)
        or (uri, name) in _FOREIGN | _PREVIEWS | _TRUE_OF_COLOURS.keys()
        or (uri, name) == _EXTENSION
        or _FILM.match(name) is not None
    )


def _stale(packet: bytes, properties: list[Property]) -> Iterable[tuple[Property, str]]:
    """What goes, and why."""
    is_off = {each.name for each in properties if each.uri == _CRS and each.values[:1] == ("False",)}
    for each in properties:
        key = (each.uri, each.name)
        if key in _TRUE_OF_COLOURS:
            if not any(_TRUE_OF_COLOURS[key].fullmatch(value) for value in each.values):
                yield each, _OLD_PIXELS
        elif each.uri == _TIFF and each.name in _CODING:
            yield each, _OLD_PIXELS
        elif key in _PREVIEWS:
            yield each, _OLD_PICTURE
        elif each.uri == packets.XMLNS or key == _EXTENSION:
            yield each, _NO_LOSS
        elif each.uri == _CRS:
            if _takes_colour_or_crops(each, packet[slice(*each.inner)], is_off):
                yield each, _CAMERA_RAW
        elif each.uri not in (_TIFF, _EXIF):
            yield each, _NOT_HERE


def _takes_colour_or_crops(each: Property, inner: bytes, is_off: set[str]) -> bool:
    """Whether a setting of Camera Raw does so.

    Args:
        inner: its text in the packet.
        is_off: the settings that are switched off.
    """
    if each.name in ("ConvertToGrayscale", "HasCrop"):
        return each.name not in is_off
    if _CROP.fullmatch(each.name):
        return "HasCrop" not in is_off
    if _GREY.fullmatch(each.name):
        return "ConvertToGrayscale" not in is_off
    if _SATURATION.fullmatch(each.name):
        return inner.strip().startswith(b"-")
    return each.name in ("Look", "CameraProfile") and _MONOCHROME.search(inner) is not None
