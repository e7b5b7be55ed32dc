"""What the desk does beside the person: a run, the rejected once more, a check, an export. One at a time."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from archivecolor.errors import ArchivecolorError, UsageError
from archivecolor.options import RunOptions
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.runner import drive
from archivecolor.preservation.verify import verify
from archivecolor.provenance import Record
from archivecolor.review.desk.collection import Collection
from archivecolor.review.export import export

_log = logging.getLogger(__name__)


@dataclass
class TaskState:
    """How far a task has come."""

    kind: str = ""
    """`run`, `redo`, `verify` or `export`; "" before the first."""
    state: str = "idle"
    """`idle`, `running`, `paused`, `done`, `stopped` or `failed`."""
    done: int = 0
    total: int = 0
    """0 as long as it is not known."""
    message: str = ""
    details: list[str] = field(default_factory=list)


class _Control(RunObserver):
    """Counts what a run finishes, and holds it while it is paused."""

    def __init__(self, state: TaskState) -> None:
        self.state = state
        self.stopped = threading.Event()
        self.may_work = threading.Event()
        self.may_work.set()
        self.counts: Counter[str] = Counter()

    def picture_started(self, name: str) -> None:
        while not self.may_work.wait(0.2) and not self.stopped.is_set():
            pass

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        self.state.done, self.state.total = self.state.done + 1, total
        self.counts[row.status if row else "unchanged"] += 1

    def stop_requested(self) -> bool:
        return self.stopped.is_set()


class Tasks:
    """Starts tasks in a thread, and says how far the newest one has come."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.state = TaskState()
        self._control = _Control(self.state)
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()

    def run(self, options: RunOptions) -> None:
        """Colours a folder into the output folder.

        Raises:
            UsageError: another task is at work.
        """

        def work(control: _Control) -> None:
            drive(options, control)
            control.state.message = ", ".join(f"{count} {word}" for word, count in sorted(control.counts.items()))

        self._start("redo" if options.redo else "run", work)

    def verify(self, sample: int = 20) -> None:
        """Compares the output folder with its manifest. Raises as `run`."""

        def work(control: _Control) -> None:
            def watch(done: int, total: int) -> None:
                control.state.done, control.state.total = done, total

            report = verify(self._collection.out, sample, watch)
            control.state.details = [f"{one.what}: {one.name} ({one.detail})" for one in report.findings]
            sound = "all as the manifest says" if report.sound else f"{len(report.findings)} differences"
            control.state.message = f"{report.pictures} pictures and {report.sources} sources hashed; {sound}"

        self._start("verify", work)

    def export(self, to: Path) -> None:
        """Copies the accepted outputs. Raises as `run`."""

        def work(control: _Control) -> None:
            copied, present, left_out = export(self._collection.out, self._collection.path, to)
            control.state.details = [f"left out {name}: {reason}" for name, reason in left_out]
            control.state.message = f"{copied} copied to {to}, {present} there already, {len(left_out)} left out"

        self._start("export", work)

    def pause(self) -> None:
        """Holds a run before the next picture; those in work are finished."""
        with self._turn:
            if self.state.state == "running":
                self._control.may_work.clear()
                self.state.state = "paused"

    def resume(self) -> None:
        """Continues a paused run."""
        with self._turn:
            if self.state.state == "paused":
                self.state.state = "running"
                self._control.may_work.set()

    def stop(self) -> None:
        """Ends a run after the pictures in work. The next run resumes it."""
        self._control.stopped.set()
        self._control.may_work.set()

    def close(self) -> None:
        """Stops the task and waits for its end."""
        self.stop()
        if self._thread:
            self._thread.join()

    def _start(self, kind: str, work: Callable[[_Control], None]) -> None:
        with self._turn:
            if self._thread and self._thread.is_alive():
                raise UsageError(f"{self.state.kind} is at work; wait for its end, or stop it")
            self.state = TaskState(kind, "running")
            self._control = _Control(self.state)
            self._thread = threading.Thread(
                target=self._work, args=(work, self._control), name=f"archivecolor-{kind}", daemon=True
            )
            self._thread.start()

    def _work(self, work: Callable[[_Control], None], control: _Control) -> None:
        state = control.state
        ended = "failed"
        try:
            work(control)
            ended = "stopped" if control.stopped.is_set() else "done"
        except ArchivecolorError as error:
            state.message = str(error)
        except Exception as error:
            _log.exception("the %s of the desk failed", state.kind)
            state.message = f"unexpected {type(error).__name__}: {error}; please report this"
        finally:
            self._collection.reload()
            with self._turn:
                state.state = ended
