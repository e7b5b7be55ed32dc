"""`archivecolor run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.cli.console import catch_interrupts
from archivecolor.cli.from_options import takes_options
from archivecolor.options import Option, Options, Place, ReferenceOptions, RunOptions


@dataclass(frozen=True, kw_only=True)
class DisplayOptions(Options):
    """What a run prints."""

    HEADING: ClassVar[str] = "What is said"

    dry_run: Annotated[bool, Option("Print what would be done; write nothing.")] = False
    as_json: Annotated[bool, Option("One JSON line per picture on stdout.", flag="--json")] = False
    quiet: Annotated[bool, Option("No progress bar and no summary.", short="-q")] = False
    verbose: Annotated[
        int, Option("A line for every picture; -vv: details and tracebacks.", short="-v", counted=True)
    ] = 0
    log_file: Annotated[
        Path | None,
        Option("Append every message, and the traceback of every error, to this file.", rare=True),
    ] = None


@takes_options(RunOptions, ReferenceOptions, DisplayOptions)
def run(options: RunOptions, reference: ReferenceOptions, display: DisplayOptions) -> None:
    """Colour photographs and films. The tree of INPUT is mirrored under OUT. The same command resumes a run.

    Exit codes: 0 all done, 1 fatal, 2 wrong usage, 3 some pictures failed, 4 no input, 5 output not writable,
    6 weights, 7 a package is missing, 130 interrupted.

    Example: archivecolor run ./old_photos --out ./color
    """
    from archivecolor.cli import progress
    from archivecolor.execution import multi_device

    if reference.palette:  # reading a picture takes torch, which otherwise only the working process imports
        from archivecolor.pipeline.reference_palette import with_palette

        options = with_palette(options, reference)
    if display.dry_run:
        from archivecolor.pipeline import dry_run

        raise SystemExit(dry_run.print_dry_run(options, display.as_json))
    drive: progress.Drive = multi_device.drive
    if options.on == Place.RAY:
        from archivecolor.execution import ray

        drive = ray.drive
    code = progress.show(
        options, display.as_json, display.quiet, display.verbose, catch_interrupts(), drive, display.log_file
    )
    raise SystemExit(code)
