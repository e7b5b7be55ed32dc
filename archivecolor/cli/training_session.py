"""What all training verbs have in common: reading the photographs, progress and messages, several processes, Ctrl-C."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from safetensors import SafetensorError

from archivecolor.cli.console import catch_interrupts
from archivecolor.errors import INTERRUPTED, OutputError, StoppedError, UsageError
from archivecolor.execution import log
from archivecolor.options import TrainingRequest
from archivecolor.provenance import locks
from archivecolor.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from archivecolor.training.loop import TrainingProgress
    from archivecolor.training.photographs import Photographs
    from archivecolor.training.trainer import TrainingContext

_log = logging.getLogger(__name__)


def local_device(device_name: str) -> torch.device:
    """The device of this process, ready for a training: of several on one machine, each takes its own GPU."""
    from archivecolor.inference import devices
    from archivecolor.training.compute import prepare_device

    device = devices.choose_device(device_name)
    local = os.environ.get("LOCAL_RANK")
    device = devices.choose_device(f"cuda:{local}") if local and str(device) == "cuda" else device
    prepare_device(device)
    return device


def training_session(
    request: TrainingRequest, recipe: Recipe, train: Callable[[TrainingContext], object], held_out: int | None = None
) -> None:
    """Runs a training with a progress bar, alone or as one of the processes that `torchrun` started. Ctrl-C asks it to
    save and stop.

    Args:
        recipe: its largest crop decides how large the photographs are kept.
        train: runs the training; its result is the last report.
        held_out: at least so many photographs are held out, if that is no more than a fifth of all. None: as many as
            in all trainings.
    """
    from archivecolor.training import dataset, distributed, event_log, figures, photo_cache, trainer
    from archivecolor.training.photographs import load_photographs

    figures.require_matplotlib()
    if request.out.resolve() == request.data.resolve():
        raise UsageError(f"--out {request.out}: is the folder of the photographs; choose another folder")
    device, stop = local_device(request.device), catch_interrupts()
    with (
        distributed.initialize(int(os.environ.get("WORLD_SIZE", "1")), device),
        TrainingBar(distributed.is_main_process()) as bar,
    ):
        is_main = distributed.is_main_process()
        report = Report(bar, as_json=request.as_json and is_main, quiet=not is_main)
        log.start(report.line, file=request.log_file if is_main else None)
        events = event_log.EventLog(request.out / event_log.FOLDER) if request.tensorboard and is_main else None

        @functools.cache
        def photographs() -> Photographs:
            def reading(what: str, done: int, total: int) -> None:
                if stop():  # nothing is trained yet, so there is nothing to save
                    raise StoppedError("interrupted while photographs were read")
                report.reading(what, done, total)

            least = dataset.MIN_VALIDATION if held_out is None else held_out
            side = recipe.longest_side()
            loaded = load_photographs(request.data, request.val, side, reading, request.out, least)
            report.photographs(loaded)
            return loaded

        def step(progress: TrainingProgress) -> None:
            report.step(progress)
            if events:
                events.report(progress)

        context = trainer.TrainingContext(
            photographs, device, step, report.stopping(stop), report.say, request.data_on, request.compile
        )
        with (
            _exclusive(request.out) if is_main else nullcontext(),
            _output_errors(request.out),
            closing(events) if events else nullcontext(),
        ):
            numbers = train(context)
            if not stop():
                photo_cache.remove(request.out)
        report.event("interrupted" if stop() else "end", {"numbers": numbers})
    if stop():
        raise SystemExit(INTERRUPTED)


@contextmanager
def _exclusive(out: Path) -> Iterator[None]:
    """One training at a time in a folder.

    Raises:
        OutputError: the folder cannot be made, or another training runs in it.
    """
    with _output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = locks.Lock(out / locks.LOCK)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    """An error of the system, such as a full disk, becomes an OutputError. The last saved state is kept."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{out}: the training stopped ({error}). What was saved before is kept: make room, or choose another "
            "--out, and repeat the command"
        ) from error


LINE_SECONDS = 30.0
"""Without a terminal, the progress is a line each so many seconds."""


class TrainingBar(Progress):
    """A progress bar on stderr that begins with the remaining time, and a line of numbers below it. Nothing is drawn
    where stderr is no terminal."""

    def __init__(self, shown: bool) -> None:
        self.numbers = ""  # read while the base class is made
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
        )
        super().__init__(*columns, console=console, refresh_per_second=1, disable=not (shown and console.is_terminal))

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.numbers:
            yield Text(self.numbers, no_wrap=True, overflow="ellipsis")


class Report:
    """Shows people on stderr, and programs on stdout if they want it, how far a training is.

    Args:
        bar: where the progress is shown.
        as_json: print a line of JSON for each event.
        quiet: print nothing above the bar.
    """

    def __init__(self, bar: TrainingBar, as_json: bool, quiet: bool = False) -> None:
        self.bar, self.as_json, self.quiet = bar, as_json, quiet
        self.task = bar.add_task("training", total=None, note="")
        self._line_at = time.monotonic()

    def event(self, name: str, about: dict[str, object]) -> None:
        """One line of JSON, if wanted."""
        if self.as_json:
            typer.echo(json.dumps({"event": name, **about}, ensure_ascii=False))

    def line(self, text: str) -> None:
        """One line above the bar."""
        if not self.quiet:
            self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line above the bar, and in the log file."""
        self.line(text)
        _log.info("%s", text)

    def stopping(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """`stop`, which also tells the user when it is true for the first time."""

        @functools.cache
        def announce() -> None:
            self.say("stopping: the state is saved, validated and published; the same command resumes the training")

        def should_stop() -> bool:
            if stop():
                announce()
                return True
            return False

        return should_stop

    def reading(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=what, total=total, completed=done)
        self._line(f"{what}: {done} of {total}")

    def photographs(self, loaded: Photographs) -> None:
        """How many photographs there are, and how many were left out, and why."""
        self.event("photographs", loaded.counts())
        reasons: Counter[str] = Counter()
        for side in loaded.left_out().values():
            reasons.update(side)
        left_out = ", ".join(f"{count} {why}" for why, count in reasons.most_common())
        left_out += ", by name in split.json" if left_out else "none"
        self.say(
            f"{len(loaded.train)} photographs to learn from, {len(loaded.validation)} held out; left out: {left_out}"
        )
        if loaded.overlap:
            self.say(f"{loaded.overlap} of the held-out photographs are also learnt from; their numbers look too good")

    def step(self, p: TrainingProgress) -> None:
        """After each step and each validation. The bar shows the step; a validation leaves a line."""
        validation = _listed({name: value for name, value in p.numbers.items() if name.startswith("val_")})
        if p.validated:
            kept = f", best at {p.numbers['kept_at']:.0f}" if "kept_at" in p.numbers else ""
            self.say(f"{p.stage}: {p.pictures}/{p.total}, validated at {p.size} px: {validation}{kept}")
            about = {"stage": p.stage, "pictures": p.pictures, "total": p.total, "size": p.size}
            self.event("validation", {**about, "per_second": round(p.per_second, 2), **p.numbers})
            return
        note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s"
        losses = "weighted losses: " + _listed({n: v for n, v in p.numbers.items() if not _is_validation(n)})
        self.bar.numbers = f"{losses}; last validation: {validation}"
        self.bar.update(self.task, description=p.stage, total=p.total, completed=p.pictures, note=note)
        minutes = (p.total - p.pictures) / max(p.per_second, 1e-9) / 60
        self._line(f"{p.stage}: about {minutes:.0f} minutes left, {note}; {losses}")

    def _line(self, text: str) -> None:
        """Where no bar is drawn, a line with the time of day, from time to time."""
        if self.bar.console.is_terminal or time.monotonic() - self._line_at < LINE_SECONDS:
            return
        self._line_at = time.monotonic()
        self.say(f"{time.strftime('%H:%M:%S')} {text}")


def _listed(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _is_validation(name: str) -> bool:
    return name.startswith("val_") or name == "kept_at"
