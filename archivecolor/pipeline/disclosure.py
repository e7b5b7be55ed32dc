"""The coloured samples of a page in the envelope of its source, with the statement that their colour was added."""

from __future__ import annotations

from dataclasses import replace

from archivecolor import __version__, photo, provenance
from archivecolor.imaging import watermark
from archivecolor.imaging.arrays import Samples
from archivecolor.options import Disclosure
from archivecolor.photo import Page, Scan
from archivecolor.weights import Card

TOOL = f"archivecolor {__version__}"
"""The software that outputs, sidecars and manifests name as their maker."""


def disclosed_page(
    page: Page,
    samples: Samples,
    card: Card,
    kind: str,
    told: Disclosure,
    tool: str,
    guidance: tuple[str, ...] = (),
    scan: Scan | None = None,
) -> Page:
    """The page with its colours.

    Args:
        samples: (H, W, 3), sRGB.
        kind: the format that it is written in.
        guidance: what a person told the model about the colours.
        scan: its rows, where it is too large to be held.
    """
    notes = page.notes
    if told.mark:
        samples, fits = watermark.burn_in(samples, told.mark, told.mark_font, page.orientation)
        notes += () if fits else ("too small for the visible mark",)
        notes += ("no visible mark: coloured strip by strip; see --strips-above",) if scan else ()
    xmp, kept = provenance.disclosure(page.xmp, tool, card.name, card.sha256, told.source_type, guidance)
    notes += () if kept else ("damaged XMP replaced",)
    silent = kind == "bmp" or page.comment or provenance.has_caption(page.xmp, page.iptc)
    words = page.description or (None if silent else provenance.caption(tool, card.name))
    icc = photo.SRGB_ICC if page.icc else None
    return replace(page, samples=samples, scan=scan, icc=icc, xmp=xmp, description=words, notes=notes)
