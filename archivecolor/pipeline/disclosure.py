"""Coloured pages with the metadata of their source, and the statement that their colour was added."""

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
    format: str,
    options: Disclosure,
    tool: str,
    guidance: tuple[str, ...] = (),
    scan: Scan | None = None,
    source_format: str = "",
) -> Page:
    """A page with coloured samples, the metadata of its source, and the statement that its colour was added.

    Args:
        samples: (H, W, 3), sRGB.
        card: the weights that coloured it.
        format: the format that the page is written in.
        tool: the software to name as the maker.
        guidance: what a person told the model about the colours.
        scan: the coloured rows, if the page is too large for memory.
        source_format: the format that it was read in.
    """
    notes = page.notes
    if options.mark:
        samples, fits = watermark.burn_in(samples, options.mark, options.mark_font, page.orientation)
        notes += () if fits else ("too small for the visible mark",)
        notes += ("no visible mark: coloured strip by strip; see --strips-above",) if scan else ()
    kept, xmp_notes = provenance.without_stale(page.xmp, photo.decisive_orientation(page, source_format, format))
    xmp, is_kept = provenance.disclosure(kept, tool, card.name, card.sha256, options.source_type, guidance)
    notes += xmp_notes + _damage_note(page.xmp, is_kept)
    # A caption of the source is never altered, and BMP holds none.
    has_caption = format == "bmp" or page.comments or provenance.has_caption(page.xmp, page.iptc)
    description = page.description or (None if has_caption else provenance.caption(tool, card.name))
    icc = photo.SRGB_ICC if page.icc else None
    return replace(page, samples=samples, scan=scan, icc=icc, xmp=xmp, description=description, notes=notes)


def _damage_note(xmp: bytes | None, is_kept: bool) -> tuple[str, ...]:
    faults = provenance.faults_of(xmp)
    return (f"damaged XMP {'repaired' if is_kept else 'replaced'}: {', '.join(faults)}",) if faults else ()
