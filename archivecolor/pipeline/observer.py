"""How a run reports its progress, and how it is stopped. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archivecolor.provenance import Record


@dataclass(frozen=True)
class FilmProgress:
    """How far the work on one film has come."""

    stage: str
    """What is done now: `looking through`, `reading references`, `colouring` or `joining`."""
    done_frames: int
    total_frames: int
    """0 where the number is not known yet."""
    seconds: float
    """Seconds of film that are done."""


class RunObserver:
    """Watches a run. Every method does nothing by default; override those that matter.

    `picture_started`, `film_progress` and `stop_requested` are called by the worker threads, also several at a time.
    """

    def picture_started(self, name: str) -> None:
        """A worker begins with this input."""

    def decode_started(self, name: str) -> None:
        """A worker begins to decode this photograph, or a part of it. Called by the worker threads."""

    def decode_finished(self, name: str) -> None:
        """What was begun with `decode_started` is over, well or not."""

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        """An input is finished; called once for each.

        Args:
            row: its row in the manifest; None when an earlier run had finished it.
            total: the number of inputs of the run.
        """

    def file_ignored(self, path: Path) -> None:
        """A file or folder in an input folder is skipped: neither picture nor film, a system folder, or excluded."""

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        """The work on a film has come further."""

    def stop_requested(self) -> bool:
        """Whether the run should stop. It is asked before each input: those in work are finished, and the rest is left
        for the next run. Films stop after a few seconds of film; the next run resumes them there."""
        return False


class ForwardingObserver(RunObserver):
    """Passes every call on to another observer; a base for observers that change one of the calls."""

    def __init__(self, observer: RunObserver) -> None:
        self.observer = observer

    def picture_started(self, name: str) -> None:
        self.observer.picture_started(name)

    def decode_started(self, name: str) -> None:
        self.observer.decode_started(name)

    def decode_finished(self, name: str) -> None:
        self.observer.decode_finished(name)

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        self.observer.picture_finished(name, row, total)

    def file_ignored(self, path: Path) -> None:
        self.observer.file_ignored(path)

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        self.observer.film_progress(name, progress)

    def stop_requested(self) -> bool:
        return self.observer.stop_requested()


class WithoutIgnoredFiles(ForwardingObserver):
    """For processes that search the input folders again: their ignored files were reported already."""

    def file_ignored(self, path: Path) -> None:
        pass


@dataclass(frozen=True)
class FilmObserver:
    """A run's observer, as the work on one photograph or film sees it."""

    observer: RunObserver
    name: str
    """The name in the manifest."""

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """The block decodes the photograph; --decode-timeout limits its time."""
        self.observer.decode_started(self.name)
        try:
            yield
        finally:
            self.observer.decode_finished(self.name)

    def progress(self, stage: str, done_frames: int, total_frames: int, seconds: float) -> None:
        """See `FilmProgress`."""
        self.observer.film_progress(self.name, FilmProgress(stage, done_frames, total_frames, seconds))

    def stop_requested(self) -> bool:
        return self.observer.stop_requested()
