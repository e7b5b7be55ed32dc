"""Small copies for the web beside each coloured photograph: `--access jpg:2000`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from archivecolor import files, photo, provenance
from archivecolor.errors import PictureError, UsageError
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.options import ACCESS_FORMATS, AccessForm, RunOptions, parse_access
from archivecolor.photo import Page, Photo
from archivecolor.photo.samples import to_8_bit
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.outputs import make_folder
from archivecolor.provenance import Record

FOLDER = "access"
QUALITY = 85
FOR_PHOTOGRAPHS = "--access is for photographs"
"""The note of a film that gets no copies."""

Reduce = Callable[[int], Page]
"""Long side in pixels -> the picture with its disclosure, no larger than that, uint8."""


def reduced_page(page: Page, side: int) -> Page:
    """A finished page, smaller, as sRGB of 8 bits without transparency and without what only masters keep."""
    rgb = page.samples if page.samples.ndim == 3 else np.stack([page.samples] * 3, -1)
    return replace(
        page,
        samples=to_8_bit(resize_to_long_side(rgb, side)),
        alpha=None,
        extra=None,
        scan=None,
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
        photo.write(path, Photo(format, (reduce(form.side),)), format, QUALITY, TOOL)
        made[name] = files.sha256(path)
    return made


def copy_name(output: str, form: AccessForm) -> str:
    """`access/jpg-2000/box/a.tif.jpg` for `box/a.tif`: another suffix follows the whole name, so that `a.png` and
    `a.tif` do not meet."""
    suffix = f".{form.format}"
    name = output if output.lower().endswith(suffix) else f"{output}{suffix}"
    return f"{FOLDER}/{form.format}-{form.side}/{name}"


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


def add_missing(row: Record, options: RunOptions) -> Record | None:
    """Makes the copies that a finished photograph lacks from its output; notes that a film gets none.

    Returns:
        The new row; None if the one before holds.

    Raises:
        OutputError, PictureError: see `write_copies`; or the output cannot be read.
    """
    if row.film and options.access and FOR_PHOTOGRAPHS not in row.notes:
        return replace(row, notes=(*row.notes, FOR_PHOTOGRAPHS))
    forms = _missing_forms(row, options)
    if not forms or row.output is None:
        return None
    path: Path = options.out / row.output
    page = photo.read(path, options.max_megapixels, options.strips()).pages[0]
    made = write_copies(row.output, forms, lambda side: reduced_page(page, side), options)
    return replace(row, access={**row.access, **made})
