"""The .xmp files that Lightroom or darktable keep beside a source: named in its row, and copied on request."""

from __future__ import annotations

import threading
from pathlib import Path

from archivecolor import files
from archivecolor.errors import OutputError
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
        OutputError: the output folder cannot be written. Whatever else goes wrong is in the note: the picture is sound.
    """
    notes = []
    for original, copy in zip(xmp_files_of(source), xmp_files_of(target), strict=True):
        found = next(filter(_is_file, (original, original.with_suffix(".XMP"))), None)
        if found is None:
            continue
        if not options.copy_xmp:
            notes.append(f"{found.name} beside the source not read (--copy-xmp copies it)")
        else:
            reason = _copy(found, copy, options.overwrite)
            notes.append(
                f"{found.name} beside the source " + (f"not copied: {reason}" if reason else f"copied to {copy.name}")
            )
    return tuple(dict.fromkeys(notes))  # of `a` both are `a.xmp`


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, for example
        return False


def _copy(original: Path, copy: Path, overwrite: bool) -> str:
    """Makes `copy` a copy of `original`. Returns why not, or ""."""
    try:
        content = original.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    try:
        with _one_at_a_time:
            if copy.exists() and copy.read_bytes() == content:
                return ""
            if copy.exists() and not overwrite:
                return f"another file is named {copy.name}"
            with files.atomic_write(copy) as part:
                part.write_bytes(content)
    except OSError as error:
        problem = files.write_error(copy, error)
        if isinstance(problem, OutputError):
            raise problem from error
        return f"{copy.name} cannot be written ({error.strerror})"
    return ""
