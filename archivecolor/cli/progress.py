"""What a run looks like on a terminal: a bar and a table on stderr, JSON lines on stdout. Imports nothing heavy."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from archivecolor import provenance
from archivecolor.errors import INTERRUPTED, PictureError
from archivecolor.options import RunOptions
from archivecolor.provenance import DONE, FAILED, FilmProgressCallback, Record, decisions

PictureCallback = Callable[[str, Record | None, int], None]
STAGES = ("decode", "network", "spread", "encode")


class Drive(Protocol):
    """`run.drive`, here or in another process."""

    def __call__(
        self,
        options: RunOptions,
        watch: PictureCallback,
        stop: Callable[[], bool],
        passed_over: Callable[[Path], None],
        /,
        *,
        film_watch: FilmProgressCallback,
    ) -> list[Record]: ...


def show(options: RunOptions, as_json: bool, quiet: bool, verbose: bool, stop: Callable[[], bool], drive: Drive) -> int:
    """Runs and shows; gives the exit code."""
    console = Console(stderr=True, quiet=quiet)
    view = _View(console, as_json, verbose)
    for name in _overtaken(options):
        view.say(f"left as it is {name}: {provenance.SUPERSEDED}")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(), console=console, disable=quiet or not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("colouring", total=None, speed="")
        reels: dict[str, TaskID] = {}

        def watch(name: str, row: Record | None, total: int) -> None:
            view.see(name, row)
            if name in reels:
                bar.remove_task(reels.pop(name))
            bar.update(task, total=total, completed=view.count, speed=view.speed())

        def film_watch(name: str, what: str, done: int, total: int, seconds: float) -> None:
            if name not in reels:
                reels[name] = bar.add_task(escape(name), speed="")
            shown = f"{what}, {int(seconds // 60)}:{seconds % 60:04.1f} of film"
            bar.update(reels[name], total=total or None, completed=done, speed=shown)

        rows = drive(options, watch, stop, view.pass_over, film_watch=film_watch)
    view.summary(rows, options.out / provenance.manifest_of(options.shard))
    if stop():
        view.say("Interrupted. The pictures in hand are finished; the same command goes on from here.")
        return INTERRUPTED
    return PictureError.exit_code if any(row.status == FAILED for row in rows) else 0


def _overtaken(options: RunOptions) -> list[str]:
    """The pictures that decisions for --redo reject, and that have another output by now."""
    if options.redo is None:
        return []
    rows = provenance.known_rows(options.out, options.shard)
    made = decisions.rejected(options.redo)
    return [name for name, output in made.items() if provenance.is_superseded(rows.get(name), output)]


class _View:
    """Counts what passes."""

    def __init__(self, console: Console, as_json: bool, verbose: bool) -> None:
        self.console, self.as_json, self.verbose = console, as_json, verbose
        self.stdout = sys.stdout  # as it is now: Ray's own words are led elsewhere while it works
        self.count = self.unchanged = self.coloured = 0
        self.megapixels = 0.0
        self.others: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.started = 0.0
        """When the first picture that was finished was begun: loading the network is no part of the speed."""

    def see(self, name: str, row: Record | None) -> None:
        """One input is finished."""
        if self.count == 0:
            self.started = time.monotonic() - sum(row.seconds.values() if row else ())
        self.count += 1
        if row is None:
            self.unchanged += 1
            if self.verbose:
                self.say(f"unchanged {name}")
            return
        if row.status == DONE:
            self.coloured += 1
            self.megapixels += row.width * row.height / 1e6 * row.pages
            for stage, seconds in row.seconds.items():
                self.seconds[stage] += seconds
        if self.as_json:
            self.stdout.write(json.dumps(asdict(row)) + "\n")
            self.stdout.flush()
        if self.verbose or row.status == FAILED:
            self.say(f"{row.status} {name}{': ' if row.reason else ''}{row.reason}")

    def say(self, text: str) -> None:
        """One line as it is, however long: whoever greps a log wants whole lines."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def pass_over(self, path: Path) -> None:
        """A file that is no picture."""
        self.others[path.suffix.lower() or "no suffix"] += 1

    def shares(self) -> str:
        """How the working time of all threads divides among the stages; waiting for others is none."""
        total = sum(self.seconds[stage] for stage in STAGES)
        return ", ".join(f"{stage} {self.seconds[stage] / total:.0%}" for stage in STAGES) if total else ""

    def speed(self) -> str:
        """Pictures and megapixels a second, of those coloured now."""
        seconds = max(time.monotonic() - self.started, 1e-6)
        return f"{self.coloured / seconds:.2f} pictures/s, {self.megapixels / seconds:.1f} MP/s"

    def summary(self, rows: list[Record], manifest: Path) -> None:
        """A table of what became of the inputs, by reason."""
        table = Table(box=None, pad_edge=False)
        for heading in ("", "pictures", "reason"):
            table.add_column(heading, justify="right" if heading == "pictures" else "left", overflow="fold")
        for (status, reason), count in sorted(provenance.totals(rows).items()):
            table.add_row(status, str(count), escape(reason))
        self.console.print(table)
        shares = self.shares()
        if shares:
            self.say(f"time spent: {shares}")
        if self.others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.others.most_common())
            self.say(f"passed over, not pictures: {kinds}")
        self.say(
            f"{self.coloured} coloured now ({self.speed()}), {self.unchanged} unchanged since an earlier run; "
            f"{manifest}"
        )
