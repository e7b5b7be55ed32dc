"""What a run looks like on a terminal: a bar and a table on stderr, JSON lines on stdout. Imports nothing heavy."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from archivecolor import provenance
from archivecolor.errors import INTERRUPTED, PictureError
from archivecolor.execution import log
from archivecolor.files import printable
from archivecolor.options import RunOptions
from archivecolor.pipeline import rates
from archivecolor.pipeline.inputs import SYSTEM_FOLDERS
from archivecolor.pipeline.observer import FilmProgress, RunObserver
from archivecolor.provenance import DONE, FAILED, UNEXPECTED, Record, Totals, decisions

_log = logging.getLogger(__name__)
STAGES = ("decode", "network", "spread", "encode")
LINE_S = 30.0
"""Seconds between two lines on how far a run is, where there is no bar."""
LEAST_TO_REMEMBER = 5
"""Photographs that a run must have coloured for its speed to count: starting takes a while."""


class Drive(Protocol):
    """`runner.drive`, here or in other processes."""

    def __call__(self, options: RunOptions, observer: RunObserver, /) -> Totals: ...


def show(
    options: RunOptions,
    as_json: bool,
    quiet: bool,
    verbosity: int,
    stop: Callable[[], bool],
    drive: Drive,
    log_file: Path | None = None,
) -> int:
    """Runs, and shows the progress and the summary.

    Args:
        verbosity, log_file: see `log.start`.
        stop: whether the user has asked to stop.

    Returns:
        The exit code.
    """
    console = Console(stderr=True, quiet=quiet)
    shows_bar = console.is_terminal and not quiet
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not shows_bar,
    ) as bar:
        view = TerminalObserver(bar, as_json, stop)
        view.excludes = bool(options.exclude)
        log.start(view.say, verbosity, log_file)
        for name in _overtaken(options):
            view.say(f"left as it is {name}: {provenance.SUPERSEDED}")
        with nullcontext() if quiet or shows_bar else _regular_lines(view):
            totals = drive(options, view)
    view.summary(totals, options.out / provenance.manifest_of(options.shard))
    view.remember_rate(options)
    if stop():
        view.say("Interrupted. The pictures in work are finished; the same command resumes the run.")
        return INTERRUPTED
    view.say_what_next(totals, options)
    return PictureError.exit_code if any(status == FAILED for status, _ in totals) else 0


@contextmanager
def _regular_lines(view: TerminalObserver) -> Iterator[None]:
    """While the block runs, says every `LINE_S` how far the run is: in a pipe or a log there is no bar."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(LINE_S):
            view.say(view.status())

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _log_row(row: Record) -> None:
    line = f"{row.status} {row.input}{': ' if row.reason else ''}{row.reason}"
    if row.reason.startswith(UNEXPECTED):
        line += f" ({log.traceback_hint()})"
    _log.log(logging.WARNING if row.status == FAILED else logging.INFO, "%s", line)


def _overtaken(options: RunOptions) -> list[str]:
    """The pictures that decisions for --redo reject, and that have another output by now."""
    if options.redo is None:
        return []
    rows = provenance.known_rows(options.out, options.shard)
    made = decisions.rejected(options.redo)
    return [name for name, output in made.items() if provenance.is_superseded(rows.get(name), output)]


class TerminalObserver(RunObserver):
    """Shows a run on the terminal, and counts for the summary."""

    def __init__(self, bar: Progress, as_json: bool, stop: Callable[[], bool]) -> None:
        self.bar, self.console, self._stop = bar, bar.console, stop
        self.as_json = as_json
        self.stdout = sys.stdout  # as it is now: `--on ray` redirects sys.stdout while Ray works
        self.task = bar.add_task("colouring", total=None, speed="")
        self.films: dict[str, TaskID] = {}
        self.count = self.unchanged = self.coloured = self.total = 0
        self.photographs, self.photo_megapixels = 0, 0.0
        self.photo_seconds: dict[str, float] = defaultdict(float)
        self.megapixels = 0.0
        self.ignored: Counter[str] = Counter()
        self.system_folders: Counter[str] = Counter()
        self.excludes = False
        """Whether the user excluded files by name."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.started = 0.0
        """When the first finished picture was started: loading the network does not count for the speed."""

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        self._count(row)
        self.total = total
        if row is None:
            _log.info("unchanged %s", name)
        else:
            if self.as_json:
                self.stdout.write(json.dumps(asdict(row)) + "\n")
                self.stdout.flush()
            _log_row(row)
        if name in self.films:
            self.bar.remove_task(self.films.pop(name))
        self.bar.update(self.task, total=total, completed=self.count, speed=self.speed())

    def _count(self, row: Record | None) -> None:
        if self.count == 0:
            self.started = time.monotonic() - sum(row.seconds.values() if row else ())
        self.count += 1
        if row is None:
            self.unchanged += 1
        elif row.status == DONE:
            self.coloured += 1
            self.megapixels += row.width * row.height / 1e6 * row.pages
            for stage, seconds in row.seconds.items():
                self.seconds[stage] += seconds
            if not row.film:
                self.photographs += 1
                self.photo_megapixels += row.width * row.height / 1e6 * row.pages * (1 + (row.depth > 8))
                for stage, seconds in row.seconds.items():
                    self.photo_seconds[stage] += seconds

    def file_ignored(self, path: Path) -> None:
        if path.name in SYSTEM_FOLDERS:
            self.system_folders[path.name] += 1
        else:
            self.ignored[path.suffix.lower() or "no suffix"] += 1

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        if name not in self.films:
            self.films[name] = self.bar.add_task(escape(printable(name)), speed="")
        minutes, seconds = divmod(progress.seconds, 60)
        self.bar.update(
            self.films[name],
            total=progress.total_frames or None,
            completed=progress.done_frames,
            speed=f"{progress.stage}, {int(minutes)}:{seconds:04.1f} of film",
        )

    def stop_requested(self) -> bool:
        return self._stop()

    def say(self, text: str) -> None:
        """One line as it is, however long: whoever greps a log wants whole lines."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def shares(self) -> str:
        """How the working time of all threads divides among the stages; waiting for others is none."""
        total = sum(self.seconds[stage] for stage in STAGES)
        return ", ".join(f"{stage} {self.seconds[stage] / total:.0%}" for stage in STAGES) if total else ""

    def speed(self) -> str:
        """Pictures and megapixels a second, of those coloured now."""
        seconds = max(time.monotonic() - self.started, 1e-6)
        return f"{self.coloured / seconds:.2f} pictures/s, {self.megapixels / seconds:.1f} MP/s"

    def status(self) -> str:
        """How far the run is, in one line."""
        if not self.total:
            return "looking for the inputs, loading the network"
        seconds, left = time.monotonic() - self.started, self.total - self.count
        done = self.count - self.unchanged
        rest = f", about {rates.duration(left * seconds / done)} left" if done and left else ""
        return f"{self.count} of {self.total}, {self.speed()}{rest}"

    def say_what_next(self, totals: Totals, options: RunOptions) -> None:
        """The commands that a user may want after this run."""
        out = shlex.quote(str(options.out))
        if options.shard:
            self.say(f"next, after all shards: archivecolor manifest merge {out}")
        elif any(status == DONE for status, _ in totals):
            self.say(f"next: archivecolor report {out}")
        if any(status == FAILED for status, _ in totals):
            self.say(f"the failed ones are tried again by the same command; their reasons are in {options.out}")

    def remember_rate(self, options: RunOptions) -> None:
        """Keeps the speed of this run for the estimates of --dry-run."""
        wall = time.monotonic() - self.started
        only_photographs = self.coloured == self.photographs
        if only_photographs and self.photographs >= LEAST_TO_REMEMBER and sum(self.photo_seconds.values()) > 0:
            rates.remember(
                options, rates.Rate.of(self.photographs, self.photo_megapixels, dict(self.photo_seconds), wall)
            )

    def summary(self, totals: Totals, manifest: Path) -> None:
        """A table of what became of the inputs, by reason."""
        table = Table(box=None, pad_edge=False)
        for heading in ("", "pictures", "reason"):
            table.add_column(heading, justify="right" if heading == "pictures" else "left", overflow="fold")
        for (status, reason), count in sorted(totals.items()):
            table.add_row(status, str(count), escape(printable(reason)))
        self.console.print(table)
        shares = self.shares()
        if shares:
            self.say(f"time spent: {shares}")
        if self.ignored:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.ignored.most_common())
            self.say(f"{'skipped, not pictures or excluded' if self.excludes else 'ignored, not pictures'}: {kinds}")
        if self.system_folders:
            names = ", ".join(f"{count} {name}" for name, count in self.system_folders.most_common())
            self.say(f"skipped, folders of the system (--include colours them): {names}")
        self.say(
            f"{self.coloured} coloured now ({self.speed()}), {self.unchanged} unchanged since an earlier run; "
            f"{manifest}"
        )
