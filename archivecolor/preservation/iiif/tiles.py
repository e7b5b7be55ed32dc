"""The pictures of an IIIF site: Image API 3, level 0, which any web server can serve as files.

iiif.io/api/image/3.0 and its compliance page say what level 0 is: `info.json`, the tiles and sizes that it names, and
`full/max/0/default.jpg`. libvips cuts the tiles; what `max` is, and the rest of `info.json`, is written here.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archivecolor import files, photo, provenance
from archivecolor.errors import MissingDependencyError, UnreadableError
from archivecolor.imaging.arrays import ByteArray
from archivecolor.options import Strips
from archivecolor.photo import Page, Photo
from archivecolor.pipeline.access_copies import QUALITY, reduced_page

TILE = 512
"""Side of a tile in pixels."""
FULL_MAX_SIDE = 2048
"""Long side of `full/max`, the one file that shows a whole picture: what a reader downloads, and pages embed."""
VIEWER_LIST_WIDTH = 90
"""The width that the Universal Viewer asks for in its list of pictures, whatever `info.json` offers."""
INFO, FULL_MAX = "info.json", "full/max/0/default.jpg"
_CONTEXT = "http://iiif.io/api/image/3/context.json"
_NO_LIMIT = 1e6
"""Megapixels: the run has already read the file."""
_HELD_MEGAPIXELS = 50.0
"""A larger TIFF is read a few rows at a time."""
_ROWS, _CUT = "rows", "cut"
"""In the work folder: the decoded rows of one picture, and its tiles."""

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class TiledImage:
    """A picture of the site."""

    path: str
    """Its folder, below the site."""
    size: Size
    largest: Size
    """Of `full/max`."""
    small: Size
    """Of the largest whole picture that fits into one tile: a thumbnail."""
    is_coloured: bool = False
    """Whether this program made its colours."""


def load_pyvips() -> Any:
    """pyvips.

    Raises:
        MissingDependencyError: it is not installed, or has no libvips.
    """
    try:
        pyvips = importlib.import_module("pyvips")
    except (ImportError, OSError) as error:
        raise MissingDependencyError("--iiif needs a package: pip install 'archivecolor[iiif]'") from error
    pyvips.cache_set_max(0)  # no two pictures are alike, and a cached one would stay in memory
    return pyvips


def photograph_pages(path: Path) -> list[Page]:
    """The pages of a picture file that are photograph_pages, those of a large TIFF with a `scan`.

    Raises:
        PictureError: it cannot be read.
    """
    pages = photo.read(path, _NO_LIMIT, Strips(_HELD_MEGAPIXELS)).pages
    return [page for page in pages if not page.is_plate]


def write_image(page: Page, site: Path, path: str, base: str, work: Path, packet: bytes, tool: str) -> TiledImage:
    """Writes a page, upright, as tiles with their `info.json`, whole or not at all.

    The rows go through a file, so that memory holds no more of a large scan than the reader does.

    Args:
        path: where, below the site.
        base: the address of the site.
        work: a folder for what is not finished, on the same disk.
        packet: XMP for every tile; empty for none.
        tool: the software that the whole picture names as its maker.

    Raises:
        OSError: it cannot be written.
        PictureError: the page cannot be read.
    """
    vips = load_pyvips()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with (work / _ROWS).open("w+b") as file:
            rows = photo.screen_file(page, file)
        image = vips.Image.new_from_memory(rows, page.width, page.height, 3, "uchar").copy(interpretation="srgb")
        image.set_type(vips.GValue.gint_type, "orientation", page.orientation)
        image = image.autorot()
        if packet:
            image.set_type(vips.GValue.blob_type, "xmp-data", packet)
        cut = work / _CUT
        # Names as bytes: they need not be UTF-8.
        image.dzsave(os.fsencode(cut), layout="iiif3", tile_size=TILE, suffix=f".jpg[Q={QUALITY}]", keep="xmp")
        listed = cut / f"full/{VIEWER_LIST_WIDTH},/0/default.jpg"
        listed.parent.mkdir(parents=True)
        image.thumbnail_image(VIEWER_LIST_WIDTH, height=image.height, size="down").jpegsave(
            os.fsencode(listed), Q=QUALITY, keep="xmp"
        )
        largest = image.thumbnail_image(FULL_MAX_SIDE, height=FULL_MAX_SIDE, size="down").numpy()
    except vips.Error as error:
        raise _os_error(error, work) or UnreadableError(f"cannot be cut into tiles ({error})") from error
    whole = _whole_page(page, largest)
    photo.write(cut / FULL_MAX, Photo("jpeg", (whole,)), "jpeg", QUALITY, tool)
    scales = json.loads((cut / INFO).read_text(encoding="utf-8"))["tiles"][0]["scaleFactors"]
    made = TiledImage(
        path,
        (image.width, image.height),
        (whole.width, whole.height),
        _small(cut),
    )
    (cut / INFO).write_text(json.dumps(info(made, scales, base), indent=1), encoding="utf-8")
    files.make_folders((site / path).parent)
    shutil.rmtree(site / path, ignore_errors=True)  # of a run that was killed
    cut.rename(site / path)
    shutil.rmtree(work)
    return made


def info(image: TiledImage, scales: list[int], base: str) -> dict[str, object]:
    """The `info.json` of a picture."""
    limit = {"maxWidth": image.largest[0], "maxHeight": image.largest[1]} if image.largest != image.size else {}
    return {
        "@context": _CONTEXT,
        "id": address(base, image.path),
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": image.size[0],
        "height": image.size[1],
        **limit,
        "sizes": [{"width": image.small[0], "height": image.small[1]}],
        "tiles": [{"width": TILE, "height": TILE, "scaleFactors": scales}],
    }


def address(base: str, path: str) -> str:
    """The address of a file of the site: a URI, in which every byte that may not stand there is escaped."""
    from urllib.parse import quote

    return f"{base}/{quote(os.fsencode(path))}"


def _whole_page(page: Page, samples: ByteArray) -> Page:
    """The page in the form of `full/max`, with the metadata of its file."""
    xmp = provenance.without_stale(page.xmp, 1)[0]
    return reduced_page(replace(page, samples=samples, icc=None, orientation=1, xmp=xmp, scan=None), FULL_MAX_SIDE)


def _small(cut: Path) -> Size:
    """The size of the largest whole picture among the tiles."""
    sizes = [folder.name.partition(",") for folder in (cut / "full").iterdir()]
    return max((int(width), int(height)) for width, _, height in sizes if height)


def _os_error(error: Exception, folder: Path) -> OSError | None:
    """The error of the system behind one of libvips, if it tells of a full disk."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        if os.strerror(code) in str(error):
            return OSError(code, os.strerror(code), str(folder))
    return None
