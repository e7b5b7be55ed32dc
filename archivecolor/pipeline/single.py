"""One picture from one file to another, or through a pipe: no tree, no manifest. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from archivecolor import files, provenance
from archivecolor.errors import NoInputError, OutputError, PictureError, UsageError
from archivecolor.options import OutputFormat, RunOptions
from archivecolor.pipeline.inputs import read_stdin
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import DONE, SKIPPED, Record, Totals

STREAM = "-"
"""INPUT or OUT as standard input or output."""
FORMATS = {
    ".jpg": OutputFormat.JPEG,
    ".jpeg": OutputFormat.JPEG,
    ".png": OutputFormat.PNG,
    ".tif": OutputFormat.TIFF,
    ".tiff": OutputFormat.TIFF,
    ".webp": OutputFormat.WEBP,
}
_KEPT = (".bmp", ".jp2", ".avif")
"""Formats that an output only has if its source has them."""
Drive = Callable[[RunOptions, RunObserver], Totals]


def destination_of(options: RunOptions) -> Path | None:
    """The file that OUT names, where it names one picture and not a folder; `-` for standard output.

    Raises:
        UsageError: OUT names a picture, and there are several inputs.
    """
    out, first = options.out, Path(options.inputs[0])
    is_stream = str(out) == STREAM
    if not is_stream and (out.suffix.lower() not in (*FORMATS, *_KEPT) or out.is_dir()):
        return None
    if len(options.inputs) > 1 or first.is_dir() or options.inputs[0].startswith("@"):
        raise UsageError(f"--out {out}: is one picture, and INPUT may be several; name a folder, or one INPUT")
    if options.inputs[0] != STREAM and not first.is_file():
        raise NoInputError(f"{first}: no such file; with one picture as --out, INPUT is one file or -")
    return out


def color_single(options: RunOptions, destination: Path, drive: Drive, observer: RunObserver | None = None) -> Record:
    """Colours the one input of `options`.

    Args:
        destination: a file, whose suffix decides the format; or `-` for standard output, in the format of the source.
        drive: `runner.drive`, here or in another process.

    Returns:
        The row that a manifest would have.

    Raises:
        PictureError: the picture could not be coloured, is in colour already, or the destination is a file that this
            program did not make.
        OutputError, UsageError, WeightsError: see `runner.drive`.
    """
    to_stream = str(destination) == STREAM
    with _source_file(options.inputs[0]) as source:
        if not to_stream:
            _check_destination(source, destination, options)
            options = replace(options, format=_format_for(source, destination, options.format))
        parent = None if to_stream else destination.resolve().parent
        with _temporary_folder(parent, destination) as folder:
            drive(replace(options, inputs=(str(source.absolute()),), out=folder, shard=None), observer or RunObserver())
            [row] = provenance.read_rows(folder).values() or [None]
            if row is None:
                raise PictureError(f"{options.inputs[0]}: was not finished; run again")
            output = _finished_output(row, folder, options.inputs[0])
            if to_stream:
                sys.stdout.buffer.write(output.read_bytes())
                sys.stdout.buffer.flush()
            else:
                _publish(output, destination)
                row = _publish_xmp(row, output, destination, options.overwrite)
    return replace(row, output=destination.name)


def _check_destination(source: Path, destination: Path, options: RunOptions) -> None:
    sidecar = provenance.sidecar_of(destination)
    is_foreign = options.disclosure.sidecar and os.path.lexists(sidecar) and not provenance.is_sidecar(sidecar)
    if is_foreign and not options.overwrite:
        raise PictureError(f"{sidecar} exists and was not made by this program; move it, or use --no-sidecar")
    if not destination.exists():
        return
    if destination.samefile(source):
        raise OutputError(f"--out {destination}: is the source, which is never written to; choose another")
    if not options.overwrite and not provenance.is_ours(destination):
        raise PictureError(f"{destination} exists and was not made by this program; move it, or use --overwrite")


def _format_for(source: Path, destination: Path, requested: OutputFormat) -> OutputFormat:
    suffix = destination.suffix.lower()
    wanted = FORMATS.get(suffix, OutputFormat.SAME)
    if requested not in (OutputFormat.SAME, wanted):
        raise UsageError(f"--format {requested}: --out {destination} says another; leave one out")
    if wanted == OutputFormat.SAME and source.suffix.lower() != suffix:
        raise UsageError(f"--out {destination}: write one of {', '.join(FORMATS)}, or the suffix of the source")
    return wanted


def _finished_output(row: Record, folder: Path, name: str) -> Path:
    """The output in the temporary folder.

    Raises:
        PictureError: there is none, or it is a film.
    """
    if row.status == SKIPPED:
        raise PictureError(f"{name}: {row.reason}; --recolor colours it again")
    if row.status != DONE or row.output is None:
        raise PictureError(f"{name}: {row.reason}")
    if row.film:
        raise PictureError(f"{name}: is a film; name a folder as --out")
    return folder / row.output


def _publish(output: Path, destination: Path) -> None:
    """Moves an output, and its sidecar where it has one, to the destination. The picture comes last, whole."""
    sidecar = provenance.sidecar_of(output)
    try:
        if sidecar.exists():
            values = json.loads(sidecar.read_text(encoding="utf-8"))
            values["output"]["name"], values["options"]["out"] = destination.name, str(destination.parent)
            sidecar.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            sidecar.replace(provenance.sidecar_of(destination))
        output.replace(destination)
        files.fsync_folder(destination.resolve().parent)
    except OSError as error:
        raise files.write_error(destination, error) from error


def _publish_xmp(row: Record, output: Path, destination: Path, overwrite: bool) -> Record:
    """Moves the copies of .xmp files beside the destination. Another file of that name stays, unless `overwrite`.

    Returns:
        The row, whose notes say what became of each.
    """
    notes = list(row.notes)
    for made, place in zip(provenance.xmp_files_of(output), provenance.xmp_files_of(destination), strict=True):
        if not made.exists():
            continue
        done, result = f"copied to {made.name}", f"copied to {place.name}"
        try:
            if overwrite or not place.exists() or place.read_bytes() == made.read_bytes():
                made.replace(place)
            else:
                result = f"not copied: another file is named {place.name}"
        except OSError as error:
            result = f"not copied: {place.name} cannot be written ({error.strerror})"
        notes = [note.removesuffix(done) + result if note.endswith(done) else note for note in notes]
    return replace(row, notes=tuple(notes))


@contextmanager
def _source_file(text: str) -> Iterator[Path]:
    """The source as a file; a picture on standard input becomes one.

    Raises:
        NoInputError: there is no picture on standard input.
    """
    if text != STREAM:
        yield Path(text)
        return
    from archivecolor import film, photo

    content = read_stdin()
    if not photo.is_picture_content(content[: photo.HEAD_BYTES]):
        kind = "a film" if film.is_film_content(Path("stdin"), content[: photo.HEAD_BYTES]) else "a list of names"
        problem = f"standard input holds {kind}" if content else "standard input is empty"
        raise NoInputError(f"-: {problem}, and --out names one picture; name a folder as --out, or pipe one picture")
    with tempfile.TemporaryDirectory(prefix="archivecolor-") as folder:
        path = Path(folder) / "stdin"
        path.write_bytes(content)
        yield path


@contextmanager
def _temporary_folder(parent: Path | None, destination: Path) -> Iterator[Path]:
    """A folder on the disk of the destination, so that the output can be moved there whole."""
    try:
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=".archivecolor-", dir=parent)
    except OSError as error:
        raise OutputError(f"--out {destination}: cannot be written ({error.strerror})") from error
    with made as folder:
        yield Path(folder)
