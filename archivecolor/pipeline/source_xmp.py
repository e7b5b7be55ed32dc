"""The .xmp files that Lightroom or darktable keep beside a source: named in its row, and copied on request."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from archivecolor import files
from archivecolor.options import RunOptions
from archivecolor.provenance.sidecars import xmp_files_of

_one_at_a_time = threading.Lock()
"""Sources with the same stem, such as `a.jpg` and `a.tif`, share `a.xmp`."""


def carry(source: Path, target: Path, options: RunOptions) -> tuple[str, ...]:
    """Copies the .xmp files beside a source beside its output, if the user wants that.

    `a.xmp` gets the stem of the output, `a.jpg.xmp` its whole name. A file of that name with another content stays
    as it is, unless --overwrite is given.

    Returns:
        A note for each of them.

    Raises:
        OutputError, PictureError: it cannot be written; see `files.write_error`.
    """
    notes = []
    for original, copy in zip(xmp_files_of(source), xmp_files_of(target), strict=True):
        found = next(filter(_is_file, (original, original.with_suffix(".XMP"))), None)
        if found is None:
            continue
        if not options.copy_xmp:
            notes.append(f"{found.name} beside the source not read (--copy-xmp copies it)")
        elif _copied(found, copy, options.overwrite):
            notes.append(f"{found.name} beside the source copied to {copy.name}")
        else:
            notes.append(f"{found.name} beside the source not copied: another file is named {copy.name}")
    return tuple(dict.fromkeys(notes))  # of `a` both are `a.xmp`


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, for example
        return False


def _copied(original: Path, copy: Path, overwrite: bool) -> bool:
    """Whether `copy` is a copy of `original` now."""
    try:
        with _one_at_a_time:
            if copy.exists() and files.sha256(copy) == files.sha256(original):
                return True
            if copy.exists() and not overwrite:
                return False
            with files.atomic_write(copy) as part:
                shutil.copyfile(original, part)
    except OSError as error:
        raise files.write_error(copy, error) from error
    return True
