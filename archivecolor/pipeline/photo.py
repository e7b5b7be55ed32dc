"""One photograph from its file to its row in the manifest. `color_one` is the whole way, step by step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from archivecolor import files, photo, provenance
from archivecolor.errors import OutputError
from archivecolor.imaging import watermark
from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.imaging.monochrome import find_colour
from archivecolor.inference.colorizer import ColorizedImage, Colorizer
from archivecolor.options import AccessForm, Disclosure
from archivecolor.photo import Page, Photo, Scan
from archivecolor.photo.read import NO_STRIPS
from archivecolor.pipeline import access_copies, source_xmp
from archivecolor.pipeline.attempt import Attempt, RunContext
from archivecolor.pipeline.disclosure import TOOL, disclosed_page
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import FilmObserver
from archivecolor.pipeline.outputs import make_folder, target_of
from archivecolor.provenance import DONE, Record


def color_one(job: Job, context: RunContext, observer: FilmObserver) -> Record | OutputError | None:
    """Colours one photograph or film.

    Returns:
        Its row; None when it is up to date already; the error when the output folder cannot be written. Any other error
        becomes the reason in the row.
    """
    attempt = Attempt(job, context)
    try:
        attempt.take_snapshot()
        if attempt.is_settled():
            return attempt.add_what_is_missing()
        if job.kind.is_film:
            from archivecolor.pipeline import film as film_pipeline  # much to import, for films only

            return film_pipeline.color_film_job(attempt, observer)
        with _opened(attempt, observer) as file:
            source = _read(attempt, file, observer)
            pages = _colorize_pages(attempt, source)
            if not any(pages):
                return attempt.skipped()
            format = photo.writable_format(source, context.options.format)
            target = target_of(job, format, context.options)
            result = disclosed_photo(source, pages, context.colorizer, format, context.options.disclosure)
            notes = _write(attempt, source, result, target, format)
            access = _write_access_copies(attempt, source, pages, target)
        notes = (*(note for page in result.pages for note in page.notes), *notes)
        return replace(_record(attempt, source, pages, target, notes), access=access)
    except OutputError as error:
        return error
    except Exception as error:
        return attempt.failed(error)


@contextmanager
def _opened(attempt: Attempt, observer: FilmObserver) -> Iterator[BinaryIO]:
    """Opens the source and waits until its samples fit into the memory budget, which it holds for the block."""
    source, strips = attempt.job.source, attempt.context.options.strips()
    if access_copies.need_all_pixels(_access_forms(attempt)):
        strips = NO_STRIPS
    with source.open("rb") as file:
        with observer.decoding():
            megapixels = photo.measure(source, strips, file)
        with attempt.context.budgets.photographs.hold(megapixels):
            yield file


def _read(attempt: Attempt, file: BinaryIO, observer: FilmObserver) -> Photo:
    """Decodes the source, and notes its size in the row."""
    options = attempt.context.options
    with attempt.timer.stage("decode"), observer.decoding():
        source = photo.read(attempt.job.source, options.max_megapixels, options.strips(), file)
    attempt.check_unchanged()
    first = source.pages[0]
    attempt.row = replace(
        attempt.row,
        width=first.width,
        height=first.height,
        depth=8 * first.samples.itemsize,
        pages=len(source.pages),
        format=source.format,
    )
    return source


def _colorize_pages(attempt: Attempt, source: Photo) -> list[ColorizedPage | None]:
    """Colours every page that is monochrome; None in the place of a page that is in colour and stays as it is."""
    recolor, colorizer = attempt.context.options.recolor, attempt.context.colorizer
    # All pages are judged first: a file whose pages are all in colour never goes through the network.
    photographs = {i for i, page in enumerate(source.pages) if not page.is_plate}
    found = {} if recolor else {i: find_colour(source.pages[i].samples, source.pages[i].icc) for i in photographs}
    to_colorize = {i for i in photographs if recolor or found[i].is_monochrome}
    several = len(photographs) > 1
    notes = _numbered({i: (colour.words(),) for i, colour in found.items()}, several)
    attempt.row = replace(attempt.row, notes=notes)
    pages = [colorize_page(page, colorizer) if i in to_colorize else None for i, page in enumerate(source.pages)]
    for page in pages:
        attempt.timer.add(page.seconds if page else {})
    layout_notes = {i: page.notes for i, page in enumerate(pages) if page}
    attempt.row = replace(attempt.row, notes=notes + _numbered(layout_notes, several))
    return pages


def _numbered(notes: dict[int, tuple[str, ...]], several: bool) -> tuple[str, ...]:
    """The notes on pages, for the row. With several photographs in the file they name the page, counted from 1."""
    return tuple(
        f"page {page + 1}: {text}" if several else text
        for page, texts in sorted(notes.items())
        for text in texts
        if text
    )


def _write(attempt: Attempt, source: Photo, result: Photo, target: Path, format: str) -> tuple[str, ...]:
    """Writes and signs the output. Returns what could not be carried over, for the row."""
    options, job = attempt.context.options, attempt.job
    make_folder(target.parent, options.out)
    attempt.context.manifest.begin(job.name, attempt.row.source, target, options.overwrite)
    with attempt.timer.stage("encode"):
        notes = photo.write(target, result, format, options.quality, TOOL)
        if any(page.scan for page in source.pages):  # writing has read the rows of the source once more
            try:
                attempt.check_unchanged()
            except Exception:
                target.unlink()
                raise
        if options.disclosure.c2pa:
            origin = (
                f"SHA-256 {attempt.row.source_sha256}, digital source type {stated_source_type(source) or 'not stated'}"
            )
            notes += provenance.sign(target, format, job.source, source.format, origin, options.disclosure, TOOL)
    return notes + source_xmp.carry(job.source, target, options)


def _write_access_copies(
    attempt: Attempt, source: Photo, pages: list[ColorizedPage | None], target: Path
) -> dict[str, str]:
    """Writes copies of the first coloured page. Returns their paths, with the SHA-256 of each."""
    colorizer, options = attempt.context.colorizer, attempt.context.options
    forms = _access_forms(attempt)
    if not forms:
        return {}
    page, coloured = next((page, done) for page, done in zip(source.pages, pages, strict=True) if done)
    output = target.relative_to(options.out).as_posix()

    def reduce(form: AccessForm) -> Page:
        return access_page(replace(page, samples=coloured.rgb), form, colorizer, source.format, options.disclosure)

    with attempt.timer.stage("access"):
        if isinstance(coloured, ColorizedScan):  # its pixels are in the output alone
            return access_copies.from_output(output, forms, options)
        return access_copies.write_copies(output, forms, reduce, options)


def access_page(
    coloured: Page, form: AccessForm, colorizer: Colorizer, source_format: str, options: Disclosure
) -> Page:
    """A copy of a coloured page in the size of a form, with its disclosure and a mark of the right size.

    Args:
        coloured: the source's page with coloured samples, sRGB (H, W, 3).
        source_format: the format that it was read in.
    """
    small = access_copies.reduced_page(coloured, form.side)
    format, guidance = access_copies.metadata_format(form), colorizer.color.guidance()
    return disclosed_page(
        small, small.samples, colorizer.card, format, options, TOOL, guidance, source_format=source_format
    )


def _access_forms(attempt: Attempt) -> list[AccessForm]:
    """The copies that a photograph gets."""
    context = attempt.context
    return access_copies.wanted_forms(context.options, context.manifest.row(attempt.job.name))


def _record(
    attempt: Attempt, source: Photo, pages: list[ColorizedPage | None], target: Path, notes: tuple[str, ...]
) -> Record:
    """The row of a finished photograph; also writes its sidecar."""
    options = attempt.context.options
    coloured = [page for page in pages if page]
    confidences = [page.confidence for page in coloured if page.confidence is not None]
    row = replace(
        attempt.row,
        status=DONE,
        output=target.relative_to(options.out).as_posix(),
        output_sha256=files.sha256(target),
        max_delta_l=round(max(page.max_delta_l for page in coloured), 5),
        seconds=attempt.timer.seconds,
        mark=watermark.mark_text(options.disclosure.mark),
        mark_font=str(options.disclosure.mark_font or ""),
        sidecar=options.disclosure.sidecar,
        confidence=round(min(confidences), 4) if confidences else None,  # that of the least certain page
        source_type=options.disclosure.source_type,
        notes=(*attempt.row.notes, *notes),
    )
    if options.disclosure.sidecar:
        damaged = [page.xmp for page in source.pages if page.xmp and provenance.faults_of(page.xmp)]
        attempt.write_sidecar(row, stated_source_type(source), damaged)
    return row


def is_monochrome(page: Page) -> bool:
    """Whether a page is grey, sepia, toned or stained, and not a colour photograph."""
    return find_colour(page.samples, page.icc).is_monochrome


def stated_source_type(source: Photo) -> str | None:
    """The digital source type that a source states itself, for example `negativeFilm`; None where it states none."""
    types = (provenance.own_source_type(page.xmp) for page in source.pages)
    return next((type for type in types if type), None)


def disclosed_photo(
    source: Photo,
    pages: list[ColorizedPage | None],
    colorizer: Colorizer,
    format: str,
    options: Disclosure,
) -> Photo:
    """The coloured pages with the metadata of the source and the disclosure.

    A page that is None stays as it is; a note names those that are in colour.

    Args:
        pages: the coloured pages, one for each page of the source.
        format: the format that they are written in.
    """
    guidance = colorizer.color.guidance()

    def disclosed(page: Page, coloured: ColorizedPage | None) -> Page:
        if coloured is None:
            return page
        scan = coloured.onto(page.scan) if page.scan and isinstance(coloured, ColorizedScan) else None
        return disclosed_page(page, coloured.rgb, colorizer.card, format, options, TOOL, guidance, scan, source.format)

    done = [disclosed(*pair) for pair in zip(source.pages, pages, strict=True)]
    left = [i for i, page in enumerate(pages) if page is None and not source.pages[i].is_plate]
    if left:
        note = f"pages in colour, left as they were: {', '.join(str(i + 1) for i in left)}"
        done[left[0]] = replace(done[left[0]], notes=(*done[left[0]].notes, note))
    return replace(source, pages=tuple(done))


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass
class ColorizedScan:
    """The colours of a page that is too large for memory. They are merged into its rows while these are written."""

    merge: LuminanceMerge
    rgb: Samples
    """The reduced copy in colour, sRGB (h, w, 3)."""
    seconds: dict[str, float]
    """`network` and `wait`, as in `ColorizedImage`. Reading again, merging and writing happen together."""
    max_delta_l: float = 0.0
    """Largest |ΔL*| of the rows drawn so far."""

    @property
    def confidence(self) -> float | None:
        """As in `ColorizedImage`."""
        return self.merge.confidence

    @property
    def notes(self) -> tuple[str, ...]:
        """As in `ColorizedImage`."""
        return self.merge.notes

    def onto(self, scan: Scan) -> Scan:
        """The scan with coloured rows; they are computed when they are drawn."""

        def bands() -> Iterator[tuple[Samples, Samples | None]]:
            top = 0
            for samples, alpha in scan.bands():
                rgb, max_delta_l = self.merge.rows(samples, top)
                self.max_delta_l = max(self.max_delta_l, max_delta_l)
                top += len(samples)
                yield rgb, alpha

        return replace(scan, bands=bands)


ColorizedPage = ColorizedImage | ColorizedScan


def colorize_page(page: Page, colorizer: Colorizer) -> ColorizedPage:
    """Colours one page. Of a page that is too large for memory, finds the colours."""
    if page.scan:
        return _colorize_scan(page, page.scan, colorizer)
    return colorizer.colorize_image(page.samples, page.icc, page.orientation)


def _colorize_scan(page: Page, scan: Scan, colorizer: Colorizer) -> ColorizedScan:
    started = time.perf_counter()
    merge = colorizer.predict_colors(page.samples, page.icc, page.orientation, (scan.height, scan.width))
    network = merge.network_seconds
    wait = max(0.0, time.perf_counter() - started - network)
    height, width = page.samples.shape[:2]
    reduced = replace(merge, chroma=replace(merge.chroma, height=height, width=width))
    return ColorizedScan(merge, reduced.rows(page.samples, 0)[0], {"network": network, "wait": wait})
