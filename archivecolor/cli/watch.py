"""`archivecolor watch`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import typer

from archivecolor.cli.console import catch_interrupts, echo
from archivecolor.cli.from_options import takes_options
from archivecolor.cli.run import DisplayOptions
from archivecolor.errors import PictureError, UsageError
from archivecolor.options import ReferenceOptions, RunOptions, WatchOptions, check_watchable
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import DONE, FAILED, SKIPPED, Record


class _Lines(RunObserver):
    """A line for every picture."""

    def __init__(self, as_json: bool, quiet: bool, stop: Callable[[], bool]) -> None:
        self._as_json, self._quiet, self._stop = as_json, quiet, stop

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        if row is None:
            return
        if self._as_json:
            echo(json.dumps(asdict(row)))
        elif not self._quiet:
            what = f"coloured in {sum(row.seconds.values()):.1f} s" if row.status == DONE else row.status
            reason = f": {row.reason}" if row.reason else ""
            echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}: {what}{reason}")

    def stop_requested(self) -> bool:
        return self._stop()


@takes_options(RunOptions, ReferenceOptions, WatchOptions, DisplayOptions)
def watch(options: RunOptions, reference: ReferenceOptions, watching: WatchOptions, display: DisplayOptions) -> None:
    """Colour what arrives in a folder, for example from a scanner, until Ctrl-C.

    A file is taken when it has come to rest. A file that is replaced is coloured again.
    Most options of run apply, and run can go on with the same OUT.

    Example: archivecolor watch ./scans --out ./color
    """
    from archivecolor.execution import log
    from archivecolor.execution.supervise import parent

    check_watchable(options)
    if display.dry_run:
        raise UsageError("--dry-run: goes with run, not with watch")
    if reference.palette:
        from archivecolor.pipeline.reference_palette import with_palette

        options = with_palette(options, reference)
    log.start(lambda line: typer.echo(line, err=True), display.verbose, display.log_file)
    if not display.quiet:
        echo(f"watching {', '.join(options.inputs)}; Ctrl-C ends it", err=True)
    view = _Lines(display.as_json, display.quiet, catch_interrupts())
    totals = parent.drive(options, view, watching=watching)
    counts = Counter[str]()
    for (status, _), count in totals.items():
        counts[status] += count
    if not display.quiet:
        echo(f"{counts[DONE]} coloured, {counts[SKIPPED]} skipped, {counts[FAILED]} failed; {options.out}", err=True)
    if counts[FAILED] and not view.stop_requested():
        raise SystemExit(PictureError.exit_code)
