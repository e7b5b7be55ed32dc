"""What the writers of single formats share: the EXIF block, notes on what is lost, samples in 8 bits or upright."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import exif, photoshop
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page

Encoded = tuple[bytes, tuple[str, ...]]
"""A file's bytes, and notes on what they do not have."""


def stacked(page: Page) -> Samples:
    """Samples with alpha as their last channel."""
    if page.alpha is None:
        return np.ascontiguousarray(page.samples)
    return np.ascontiguousarray(np.dstack([page.samples, page.alpha]))


def to_8_bit(page: Page, name: str) -> tuple[Page, tuple[str, ...]]:
    if page.samples.dtype == np.uint8:
        return page, ()
    alpha = None if page.alpha is None else convert.to_8_bit(page.alpha)
    return replace(page, samples=convert.to_8_bit(page.samples), alpha=alpha), (
        f"{page.bits or 16} bit written as 8 bit {name}",
    )


def dropped_notes(page: Page, name: str, **lost: object) -> tuple[str, ...]:
    """A note for each named metadata part of the page that the format cannot contain."""
    return tuple(f"{part} not carried by {name}" for part, present in lost.items() if present is not None)


def without_a_place(page: Page) -> dict[str, object]:
    """The parts of a page for which few formats have a place."""
    return {"comment": page.comments or None, "Photoshop data (paths, rights)": page.photoshop}


def exif_block(
    page: Page, software: str, with_dpi: bool = False, for_jpeg: bool = False
) -> tuple[bytes | None, tuple[str, ...]]:
    """The page's EXIF with orientation, caption and tags; None if it would be empty.

    Args:
        with_dpi: also write the resolution there, for formats that have no other place for it.
        for_jpeg: a new block gets the tags that EXIF requires in a JPEG (EXIF 2.32, 4.6.8).
    """
    known = exif.main_tags(page.exif)
    changes: dict[int, exif.Value] = {exif.ORIENTATION: page.orientation} if _orientation_differs(page) else {}
    if page.description and not exif.text(page.exif, exif.DESCRIPTION):  # scanners write blank text
        changes[exif.DESCRIPTION] = page.description.encode()
    words = [tag for tag in page.tags if tag[0] not in known and (tag[1] == "s" or tag[0] in exif.WORDS)]
    changes |= {code: exif.Entry(exif.BYTE, n, value) if kind == "B" else value for code, kind, n, value, _ in words}
    if with_dpi and exif.X_RESOLUTION not in known:
        changes |= _resolution_tags(page)
    if page.exif is None and not changes:
        return None, ()
    if page.exif is None and for_jpeg:
        square: dict[int, exif.Value] = {exif.X_RESOLUTION: (1.0,), exif.Y_RESOLUTION: (1.0,), exif.RESOLUTION_UNIT: 1}
        changes |= {**(_resolution_tags(page) or square), exif.YCBCR_POSITIONING: 1}
    try:
        return exif.with_tags(page.exif or exif.EMPTY, {**changes, exif.SOFTWARE: software.encode()}), ()
    except ValueError:
        fresh = exif.with_tags(exif.EMPTY, changes) if changes else None
        return fresh, ("damaged EXIF not carried",)


def _resolution_tags(page: Page) -> dict[int, exif.Value]:
    """Resolution in inches, or the shape of the pixels without a unit."""
    pair = page.dpi or page.density
    if pair is None:
        return {}
    unit = exif.INCH if page.dpi else exif.NO_UNIT
    return {exif.X_RESOLUTION: pair[:1], exif.Y_RESOLUTION: pair[1:], exif.RESOLUTION_UNIT: unit}


def _orientation_differs(page: Page) -> bool:
    return exif.orientation(page.exif) != page.orientation


def image(page: Page) -> Image.Image:
    return Image.fromarray(stacked(page))


def encode_with_pillow(image: Image.Image, format: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **{name: value for name, value in options.items() if value is not None})
    return out.getvalue()


def photoshop_block(page: Page) -> bytes:
    return photoshop.block(page.iptc, page.photoshop)


def whole_numbers(density: tuple[float, float]) -> tuple[int, int]:
    """The same ratio in whole numbers."""
    return Fraction(density[0] / density[1]).limit_denominator(1000).as_integer_ratio()


def turn_upright(page: Page) -> Page:
    """The page turned upright, for formats whose orientation viewers ignore."""
    if page.orientation == 1:
        return page
    dpi, density = (pair[::-1] if pair and page.orientation >= 5 else pair for pair in (page.dpi, page.density))
    alpha = None if page.alpha is None else _upright(page.alpha, page.orientation)
    return replace(
        page, samples=_upright(page.samples, page.orientation), alpha=alpha, dpi=dpi, density=density, orientation=1
    )


def _upright(samples: Samples, orientation: int) -> Samples:
    return np.ascontiguousarray(to_upright(samples, orientation, axes=(0, 1)))
