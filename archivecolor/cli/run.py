"""`archivecolor run`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from archivecolor.cli.console import catch_interrupts
from archivecolor.cli.from_options import takes_options
from archivecolor.errors import OutputError, UsageError
from archivecolor.options import Option, Options, Place, ReferenceOptions, RunOptions, config


@dataclass(frozen=True, kw_only=True)
class DisplayOptions(Options):
    """What a run prints."""

    HEADING: ClassVar[str] = "What is said"

    dry_run: Annotated[
        bool, Option("Print what would be done, how long, the disk needed; -v: each picture. Write nothing.")
    ] = False
    as_json: Annotated[bool, Option("One JSON line per picture on stdout.", flag="--json")] = False
    quiet: Annotated[bool, Option("No progress bar and no summary.", short="-q")] = False
    verbose: Annotated[
        int, Option("A line for every picture; -vv: details and tracebacks.", short="-v", counted=True)
    ] = 0
    log_file: Annotated[
        Path | None,
        Option("Append every message, and the traceback of every error, to this file.", rare=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ConfigOptions(Options):
    """Options in a file."""

    HEADING: ClassVar[str] = "What"

    config: Annotated[
        Path | None, Option("Options from this file; without it, from archivecolor.toml beside the inputs.")
    ] = None
    save_config: Annotated[Path | None, Option("Write the options of this command to a file, and end.")] = None


@takes_options(
    RunOptions,
    ReferenceOptions,
    DisplayOptions,
    ConfigOptions,
    in_file=(RunOptions, ReferenceOptions, DisplayOptions),
)
def run(options: RunOptions, reference: ReferenceOptions, display: DisplayOptions, file: ConfigOptions) -> None:
    """Colour photographs and films. The tree of INPUT is mirrored under OUT. The same command resumes a run.

    Exit codes: 0 all done, 1 fatal, 2 wrong usage, 3 some pictures failed, 4 no input, 5 output not writable,
    6 weights, 7 a package is missing, 130 interrupted.

    Example: archivecolor run ./old_photos --out ./color
    """
    if file.save_config:
        _save(file.save_config, options, reference, display)
        return
    if file.config and not display.quiet:
        typer.echo(f"options from {file.config}", err=True)
    from archivecolor.cli import progress
    from archivecolor.execution import multi_device
    from archivecolor.pipeline import single

    if reference.palette:  # reading a picture takes torch, which otherwise only the working process imports
        from archivecolor.pipeline.reference_palette import with_palette

        options = with_palette(options, reference)
    destination = single.destination_of(options)
    if destination:
        _run_single(options, destination, display)
        return
    if display.dry_run:
        from archivecolor.pipeline import dry_run

        raise SystemExit(dry_run.print_dry_run(options, display.as_json, display.verbose))
    drive: progress.Drive = multi_device.drive
    if options.on == Place.RAY:
        from archivecolor.execution import ray

        drive = ray.drive
    code = progress.show(
        options, display.as_json, display.quiet, display.verbose, catch_interrupts(), drive, display.log_file
    )
    raise SystemExit(code)


def _run_single(options: RunOptions, destination: Path, display: DisplayOptions) -> None:
    """Colours one picture into one file, or to standard output, which then holds nothing else."""
    from archivecolor.execution import log, multi_device
    from archivecolor.pipeline import single

    to_stream = str(destination) == single.STREAM
    if to_stream and (display.as_json or sys.stdout.isatty()):
        raise UsageError("--out -: the picture goes to standard output; leave out --json, and write > FILE")
    if display.dry_run:
        typer.echo(f"would colour: {options.inputs[0]} -> {destination}", err=to_stream)
        return
    log.start(lambda line: typer.echo(line, err=True), display.verbose, display.log_file)
    started = time.monotonic()
    row = single.color_single(options, destination, lambda *arguments: multi_device.drive(*arguments))
    if display.as_json:
        typer.echo(json.dumps(asdict(row)))
    elif not display.quiet and not to_stream:
        typer.echo(f"{destination}: coloured in {time.monotonic() - started:.1f} s", err=True)


def _save(path: Path, *groups: Options) -> None:
    """Writes the options that differ from their defaults. A file that is there is replaced if it is of this kind."""
    text = config.as_toml(*groups)
    try:
        if path.exists() and not path.read_text(encoding="utf-8").startswith(text.partition("\n")[0]):
            raise OutputError(f"--save-config {path}: exists and was not written by this command; choose another")
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"--save-config {path}: cannot be written ({error})") from error
    typer.echo(f"{path}: saved; use it with archivecolor run --config {path}")
