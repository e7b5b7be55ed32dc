"""Copies for the web beside each coloured photograph: small ones (`--access jpg:2000`), and ones in tiles for image
servers (`--access tif:pyramid`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from archivecolor import files, photo, provenance
from archivecolor.errors import PictureError, UsageError
from archivecolor.imaging import watermark
from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.options import ACCESS_FORMATS, AccessForm, Disclosure, RunOptions, parse_access
from archivecolor.photo import Page, Photo
from archivecolor.photo.read import NO_STRIPS
from archivecolor.photo.samples import to_8_bit
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.outputs import make_folder
from archivecolor.pipeline.scheduling import MegapixelBudget
from archivecolor.provenance import Record

FOLDER = "access"
QUALITY = 85
FOR_PHOTOGRAPHS = "--access is for photographs"
"""The note of a film that gets no copies."""

Reduce = Callable[[AccessForm], Page]
"""The picture in the size of a form, uint8, with its disclosure. In full size, a page that is too large for memory has
its scan."""


def reduced_page(page: Page, side: int) -> Page:
    """A finished page, no larger than `side`, in sRGB of 8 bits, without transparency and what only masters keep.

    Args:
        side: the long side in pixels; 0 for its own.
    """
    rgb = page.samples if page.samples.ndim == 3 else np.stack([page.samples] * 3, -1)
    return replace(
        page,
        samples=to_8_bit(resize_to_long_side(rgb, side) if side else rgb),
        alpha=None,
        extra=None,
        scan=None if side else page.scan,
        dpi=None,
        density=None,
        photoshop=None,
        extras=(),
    )


def write_copies(output: str, forms: Iterable[AccessForm], reduce: Reduce, options: RunOptions) -> dict[str, str]:
    """Writes the copies of one output.

    Args:
        output: its path below the output folder.

    Returns:
        Path below the output folder -> SHA-256.

    Raises:
        OutputError, PictureError: one cannot be written, or a file that this program did not make has its name.
    """
    made = {}
    for form in forms:
        name = copy_name(output, form)
        path = options.out / name
        if path.exists() and not options.overwrite and not provenance.is_ours(path):
            raise PictureError(f"{path} exists and was not made by this program; move it, or use --overwrite")
        make_folder(path.parent, options.out)
        format = ACCESS_FORMATS[form.format]
        photo.write(path, Photo(format, (reduce(form),)), format, QUALITY, TOOL, tiled=form.is_tiled)
        made[name] = files.sha256(path)
    return made


def copy_name(output: str, form: AccessForm) -> str:
    """`access/jpg-2000/box/a.tif.jpg` for `box/a.tif`: another suffix follows the whole name, so that `a.png` and
    `a.tif` do not meet."""
    suffix = f".{form.format}"
    name = output if output.lower().endswith(suffix) else f"{output}{suffix}"
    return f"{FOLDER}/{str(form).replace(':', '-')}/{name}"


def metadata_format(form: AccessForm) -> str:
    """The format whose metadata a copy has: those in tiles are turned upright, as every JP2 is."""
    return "jp2" if form.is_tiled else ACCESS_FORMATS[form.format]


def wanted_forms(options: RunOptions, before: Record | None) -> list[AccessForm]:
    """The copies to write: those that are asked for, and those that the picture has already, which would be out of
    date."""
    return list(dict.fromkeys((*options.access, *_forms_of(before.access if before else ()))))


def _forms_of(names: Iterable[str]) -> Iterator[AccessForm]:
    for name in names:
        with suppress(UsageError, IndexError):
            yield parse_access(name.split("/")[1].replace("-", ":"))


def _missing_forms(row: Record, options: RunOptions) -> list[AccessForm]:
    """The copies that are asked for, and that a finished photograph does not have."""
    if row.film or row.output is None:
        return []
    names = {form: copy_name(row.output, form) for form in options.access}
    return [form for form, name in names.items() if name not in row.access or not (options.out / name).is_file()]


def planned_copies(output: str, before: Record | None, options: RunOptions, colours: bool) -> list[str]:
    """The names of the copies that a run would make of a photograph, below the output folder.

    Args:
        before: the row of an earlier run.
        colours: whether the run would colour the photograph, or find it finished.
    """
    if colours:
        return [copy_name(output, form) for form in wanted_forms(options, before)]
    return [copy_name(output, form) for form in _missing_forms(before, options)] if before else []


def need_all_pixels(forms: Iterable[AccessForm]) -> bool:
    """Whether the whole picture is in memory while a copy is made. libjpeg writes tile by tile, OpenJPEG does not."""
    return any(form.is_tiled and form.format == "jp2" for form in forms)


def from_output(output: str, forms: Sequence[AccessForm], options: RunOptions) -> dict[str, str]:
    """Writes copies of a finished output. They have its metadata, and so its disclosure.

    Args, Returns, Raises: as for `write_copies`; or the output cannot be read.
    """
    strips = replace(options.strips(), short_side=max((*(form.side for form in forms), options.strips().short_side)))
    finished = photo.read(options.out / output, options.max_megapixels, strips)
    page = finished.pages[0]

    def reduce(form: AccessForm) -> Page:
        small = reduced_page(page, form.side)
        turned = photo.decisive_orientation(page, finished.format, metadata_format(form))
        small = replace(small, xmp=provenance.without_stale(small.xmp, turned)[0])
        return _with_mark(small, options.disclosure) if page.scan else small  # an output of strips has none itself

    return write_copies(output, forms, reduce, options)


def _with_mark(page: Page, options: Disclosure) -> Page:
    if not options.mark:
        return page
    scan = page.scan
    if scan is None:
        return replace(
            page, samples=watermark.burn_in(page.samples, options.mark, options.mark_font, page.orientation)[0]
        )
    placed = watermark.place_mark(page.height, page.width, options.mark, options.mark_font, page.orientation)
    if placed is None:
        return page
    ink, (rows, columns) = placed

    def bands() -> Iterator[tuple[Samples, Samples | None]]:
        top = 0
        for samples, others in scan.bands():
            first, last = max(rows.start, top), min(rows.stop, top + len(samples))
            if first < last:
                samples, full = samples.copy(), np.iinfo(samples.dtype).max
                strip = (slice(first - top, last - top), columns)
                letters = ink[first - rows.start : last - rows.start, :, None]
                samples[strip] = np.rint(watermark.blend(samples[strip] / full, letters) * full)
            top += len(samples)
            yield samples, others

    return replace(page, scan=replace(scan, bands=bands))


def add_missing(row: Record, options: RunOptions, budget: MegapixelBudget) -> Record | None:
    """Makes the copies that a finished photograph lacks from its output; notes that a film gets none.

    Returns:
        The new row; None if the one before holds.

    Raises:
        OutputError, PictureError: see `from_output`.
    """
    if row.film and options.access and FOR_PHOTOGRAPHS not in row.notes:
        return replace(row, notes=(*row.notes, FOR_PHOTOGRAPHS))
    forms = _missing_forms(row, options)
    if not forms or row.output is None:
        return None
    strips = NO_STRIPS if need_all_pixels(forms) else options.strips()
    with budget.hold(photo.measure(options.out / row.output, strips)):
        made = from_output(row.output, forms, options)
    return replace(row, access={**row.access, **made})
