"""What a picture keeps on its way, by format: made, coloured, and read back with exiftool, Pillow and OpenCV.

PYTHONPATH=tests python -m support.format_table
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from archivecolor import photo
from archivecolor.photo import SRGB_ICC, Page, Photo, exif
from support.doubles import colour, grey, register_ink, save_ink

XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="negative 41"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
IPTC = b"\x1c\x02\x00\x00\x02\x00\x04" + b"\x1c\x02\x5a\x00\x07Kassel "
COLUMNS = ("depth", "alpha", "pages", "ICC", "EXIF", "IPTC", "XMP", "DPI", "size, orientation", "caption")
SOURCES = ("jpeg", "png 8", "png 16", "tiff 8", "tiff 16", "bigtiff 16", "webp 8", "avif 8", "jp2 8", "jp2 16", "bmp 8",
           "heic 8", "gif 8", "pgm 16", "psd 8", "psd 16")  # fmt: skip
SUFFIXES = {"bigtiff": ".btf", "jpeg": ".jpg", "tiff": ".tif"}


@dataclass(frozen=True)
class Seen:
    """What other libraries see in a file."""

    tags: dict[str, Any]
    """By exiftool, group:tag -> value."""
    alpha: bool
    pages: int


def grey_icc() -> bytes:
    """A grey profile of gamma 1.8."""
    return bytes(imagecodecs.cms_profile("gray", gamma=1.8))


def exif_block() -> bytes:
    """IFD0 with artist, caption and orientation; an EXIF directory with a date."""
    block = Image.Exif()
    block[315], block[270], block[274] = "Lange", "Am Hafen", 6
    block.get_ifd(exif.EXIF_IFD)[36867] = "1936:03:06 12:00:00"
    return block.tobytes().removeprefix(b"Exif\0\0")


def make(kind: str, folder: Path) -> Path:
    """A grey picture in an envelope as full as the format allows."""
    format, _, bits = kind.partition(" ")
    samples = grey(40, 56, np.uint16 if bits == "16" else np.uint8)
    icc = SRGB_ICC if format in ("webp", "avif", "heic") else grey_icc()  # these have no grey
    page = Page(samples, alpha=samples[::-1].copy(), icc=icc, orientation=6, dpi=(300.0, 300.0),
                exif=exif_block(), xmp=XMP, iptc=IPTC, description="Am Hafen")  # fmt: skip
    path = folder / f"{kind.replace(' ', '_')}{SUFFIXES.get(format, '.' + format)}"
    if format in ("jpeg", "png", "webp", "avif", "jp2", "bmp"):
        photo.write(path, Photo(format, (page,)), format)
    elif format in ("tiff", "bigtiff"):
        pages = tuple(replace(page, description=f"Am Hafen {i}") for i in range(3 if format == "tiff" else 1))
        write_tiff(path, Photo("tiff", pages), format == "bigtiff")
    elif format == "psd":
        path.write_bytes(psd(page))
    elif format == "pgm":
        path.write_bytes(b"P5 56 40 65535\n" + samples.astype(">u2").tobytes())
    elif format == "heic":
        import pillow_heif

        heif = pillow_heif.from_pillow(Image.fromarray(np.dstack([samples] * 3 + [samples[::-1]])))
        heif.save(path, exif=b"Exif\0\0" + exif_block(), xmp=XMP, icc_profile=icc, quality=90)
    else:
        Image.fromarray(samples).save(path, comment=b"Am Hafen")
    return path


def write_tiff(path: Path, picture: Photo, big: bool) -> None:
    """Our writer, made to use BigTIFF for a small picture when asked."""
    from archivecolor.photo import write_tiff as room

    before, room._BIG = room._BIG, 0 if big else room._BIG
    try:
        photo.write(path, picture, "tiff")
    finally:
        room._BIG = before


def psd(page: Page) -> bytes:
    """A flattened Photoshop document with metadata; its alpha is the transparency of its layers."""
    height, width = page.samples.shape
    bits = 8 * page.samples.itemsize

    def resource(number: int, content: bytes) -> bytes:
        head = b"8BIM" + number.to_bytes(2, "big") + bytes(2) + len(content).to_bytes(4, "big")
        return head + content + bytes(len(content) % 2)

    dpi = (300 << 16).to_bytes(4, "big") + b"\0\1\0\1"
    parts = ((0x3ED, dpi * 2), (0x404, page.iptc), (0x40F, page.icc), (0x422, page.exif), (0x424, page.xmp))
    resources = b"".join(resource(number, content or b"") for number, content in parts)
    layers = (2).to_bytes(4, "big") + b"\xff\xff"
    head = b"8BPS\0\1" + bytes(6) + b"\0\2" + height.to_bytes(4, "big") + width.to_bytes(4, "big")
    planes = np.stack([page.samples, page.alpha]).astype(f">u{page.samples.itemsize}").tobytes()
    return (head + bits.to_bytes(2, "big") + b"\0\1" + bytes(4) + len(resources).to_bytes(4, "big") + resources
            + len(layers).to_bytes(4, "big") + layers + bytes(2) + planes)  # fmt: skip


def looked_at(paths: list[Path]) -> dict[Path, Seen]:
    """All files by exiftool; pages and transparency by Pillow, too."""
    command = ["exiftool", "-j", "-a", "-G1", "-n", *map(str, paths)]
    tags = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    return {path: _seen(path, row) for path, row in zip(paths, tags, strict=True)}


def _seen(path: Path, tags: dict[str, Any]) -> Seen:
    alpha = any(key.endswith(":ExtraSamples") for key in tags) or tags.get("Photoshop:NumChannels", 3) in (2, 4)
    try:
        with Image.open(path) as image:
            alpha = alpha or image.mode in ("LA", "RGBA")
    except OSError:  # Pillow knows neither HEIC nor deep grey with alpha
        alpha = alpha or "QuickTime:AuxiliaryImageType" in tags
    if tags["File:FileType"] == "HEIC":  # exiftool knows its coded size only; the picture is turned by the file itself
        import pillow_heif

        shown = pillow_heif.open_heif(path).size
        tags = {"ImageWidth": shown[0], "ImageHeight": shown[1]} | {k: v for k, v in tags.items() if "Orient" not in k}
    return Seen(tags, alpha, sum(re.fullmatch(r"IFD\d+:ImageWidth", key) is not None for key in tags))


def value(seen: Seen, *names: str) -> Any:
    """The first value of a tag of one of these names, in any group or in the groups named."""
    for name in names:
        for key, content in seen.tags.items():
            if name in (key, key.partition(":")[2]):
                return content
    return None


def depth_of(seen: Seen) -> int:
    """Bits per sample."""
    if seen.tags["File:FileType"] == "JP2":
        return int(value(seen, "BitsPerComponent")) % 128 + 1
    bits = value(seen, "PNG:BitDepth", "Photoshop:BitDepth", "BitsPerSample", "ImagePixelDepth", "Maxval") or 8
    first = int(str(bits).split()[0])
    return first.bit_length() if first > 16 else first


def parts_of(seen: Seen) -> dict[str, Any]:
    """The columns of the table, of one file; None for what it has not."""
    dpi = value(seen, "XResolution", "CaptureXResolution", "DisplayXResolution", "PixelsPerUnitX", "PixelsPerMeterX")
    if dpi and dpi > 5000:
        dpi = round(dpi * 0.0254)
    size = value(seen, "ImageWidth"), value(seen, "ImageHeight")
    return {
        "depth": depth_of(seen),
        "alpha": seen.alpha or None,
        "pages": seen.pages if seen.pages > 1 else None,
        "ICC": value(seen, "ProfileDescription", "ProfileConnectionSpace"),
        "EXIF": value(seen, "DateTimeOriginal"),
        "IPTC": value(seen, "IPTC:City"),
        "XMP": value(seen, "XMP-dc:Source"),
        "DPI": dpi,
        "size, orientation": (value(seen, "IFD0:Orientation") or 1, size),
        "caption": value(seen, "ImageDescription", "Description", "Comment"),
    }


def verdict(name: str, before: Any, after: Any) -> str:
    """What the table says of one part."""
    if before is None:
        return "–"
    if name == "ICC":
        return "yes" if after else "no"
    if name == "size, orientation":
        (turn, size), (turned, new) = before, after
        if turn == turned and size == new:
            return "yes"
        return "upright" if turned == 1 and new == size[::-1] else "no"
    return "yes" if before == after else "no" if after is None else f"{before} → {after}"


def table(folder: Path) -> list[dict[str, str]]:
    """A row per source: what became of each part of it."""
    (folder / "src").mkdir(parents=True)
    sources = {}
    for kind in SOURCES:
        try:
            sources[kind] = make(kind, folder / "src")
        except ImportError:
            print("no HEIC: pip install 'archivecolor[heic]'", file=sys.stderr)
    rows = {row.input: row for row in colour(folder / "src", out=folder / "out", model=save_ink(folder / "inky"))}
    made = {kind: folder / "out" / str(rows[path.name].output) for kind, path in sources.items()}
    seen = looked_at([*sources.values(), *made.values()])
    lines = []
    for kind, path in sources.items():
        before, after = parts_of(seen[path]), parts_of(seen[made[kind]])
        line = {"from": kind, "to": made[kind].suffix.removeprefix(".")}
        line |= {name: verdict(name, before[name], after[name]) for name in COLUMNS}
        lines.append(line | {"notes": "; ".join(rows[path.name].notes)})
    return lines


def main() -> None:
    register_ink()
    with tempfile.TemporaryDirectory() as place:
        lines = table(Path(place))
    print("| " + " | ".join(lines[0]) + " |")
    print("|---" * len(lines[0]) + "|")
    for line in lines:
        print("| " + " | ".join(line.values()) + " |")


if __name__ == "__main__":
    main()
