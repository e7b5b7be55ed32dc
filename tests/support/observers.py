"""An observer that remembers what a run reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from archivecolor.options import RunOptions
from archivecolor.pipeline import runner
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.pipeline.observer import FilmProgress, RunObserver
from archivecolor.provenance import Record, Totals, known_rows
from archivecolor.provenance import totals as count


def drive_of(drive: Callable[..., Totals], options: RunOptions, *rest: Any) -> list[Record]:
    """The rows of a run's inputs, in input order, of which `drive` returns the totals."""
    totals, known = drive(options, *rest), known_rows(options.out, options.shard)
    rows = [known[job.name] for job in find_jobs(options) if job.name in known]
    assert totals == count(rows)
    return rows


def drive(options: RunOptions, observer: RunObserver | None = None) -> list[Record]:
    """The rows of a run in this process."""
    return drive_of(runner.drive, options, observer)


class Recorder(RunObserver):
    """Remembers every event.

    Args:
        on_finished: called with the arguments of `picture_finished`, before it is remembered.
        stop: what `stop_requested` answers.
    """

    def __init__(
        self,
        on_finished: Callable[[str, Record | None, int], None] = lambda name, row, total: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.on_finished, self.stop = on_finished, stop
        self.started: list[str] = []
        self.names: list[str] = []
        """Of finished inputs, in the order in which they were reported."""
        self.rows: dict[str, Record | None] = {}
        self.total = 0
        self.ignored: list[str] = []
        self.films: list[FilmProgress] = []

    def picture_started(self, name: str) -> None:
        self.started.append(name)

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        self.on_finished(name, row, total)
        self.names.append(name)
        self.rows[name] = row
        self.total = total

    def file_ignored(self, path: Path) -> None:
        self.ignored.append(path.name)

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        self.films.append(progress)

    def stop_requested(self) -> bool:
        return self.stop()
