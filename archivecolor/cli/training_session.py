"""What all training verbs have in common: reading the photographs, progress and messages, several processes, Ctrl-C."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from safetensors import SafetensorError

from archivecolor.cli.console import catch_interrupts, progress_bar
from archivecolor.errors import INTERRUPTED, OutputError, StoppedError, UsageError
from archivecolor.execution import log
from archivecolor.options import TrainingRequest
from archivecolor.provenance import locks
from archivecolor.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from archivecolor.training.loop import TrainingProgress
    from archivecolor.training.photographs import Photographs
    from archivecolor.training.trainer import TrainingContext

_log = logging.getLogger(__name__)


def local_device(device_name: str) -> torch.device:
    """The device of this process: of several on one machine, each takes its own GPU."""
    from archivecolor.inference import devices

    device = devices.choose_device(device_name)
    local = os.environ.get("LOCAL_RANK")
    return devices.choose_device(f"cuda:{local}") if local and str(device) == "cuda" else device


def training_session(request: TrainingRequest, recipe: Recipe, train: Callable[[TrainingContext], object]) -> None:
    """Runs a training with a progress bar, alone or as one of the processes that `torchrun` started. Ctrl-C asks it to
    save and stop.

    Args:
        recipe: its largest crop decides how large the photographs are kept.
        train: runs the training; its result is the last report.
    """
    from archivecolor.training import distributed, figures, trainer
    from archivecolor.training.photographs import load_photographs

    figures.require_matplotlib()
    if request.out.resolve() == request.data.resolve():
        raise UsageError(f"--out {request.out}: is the folder of the photographs; choose another folder")
    device, stop = local_device(request.device), catch_interrupts()
    with (
        distributed.initialize(int(os.environ.get("WORLD_SIZE", "1")), device),
        progress_bar(distributed.is_main_process()) as bar,
    ):
        is_main = distributed.is_main_process()
        report = Report(bar, as_json=request.as_json and is_main, quiet=not is_main)
        log.start(report.line, file=request.log_file if is_main else None)

        @functools.cache
        def photographs() -> Photographs:
            def reading(what: str, done: int, total: int) -> None:
                if stop():  # nothing is trained yet, so there is nothing to save
                    raise StoppedError("interrupted while photographs were read")
                report.reading(what, done, total)

            loaded = load_photographs(request.data, request.val, recipe.longest_side(), reading)
            report.photographs(loaded)
            return loaded

        context = trainer.TrainingContext(photographs, device, report.step, report.stopping(stop), report.say)
        with _exclusive(request.out) if is_main else nullcontext(), _output_errors(request.out):
            numbers = train(context)
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


class Report:
    """Shows people on stderr, and programs on stdout if they want it, how far a training is.

    Args:
        bar: where the progress is shown.
        as_json: print a line of JSON for each event.
        quiet: print nothing above the bar.
    """

    def __init__(self, bar: Progress, as_json: bool, quiet: bool = False) -> None:
        self.bar, self.as_json, self.quiet = bar, as_json, quiet
        self.task = bar.add_task("training", total=None, note="")

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
        def tell() -> None:
            self.say("stopping: the state is saved, validated and published; the same command resumes the training")

        def should_stop() -> bool:
            if stop():
                tell()
                return True
            return False

        return should_stop

    def reading(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=what, total=total, completed=done)

    def photographs(self, loaded: Photographs) -> None:
        """How many photographs there are, and how many were left out, and why."""
        self.event("photographs", loaded.counts())
        reasons = [f"{n} {why}" for side in loaded.left_out().values() for why, n in side.items()]
        text = f"{len(loaded.train)} photographs to learn from, {len(loaded.validation)} held out; left out: "
        self.say(text + (", ".join(reasons) or "none"))
        if loaded.overlap:
            self.say(f"{loaded.overlap} of the held-out photographs are also learnt from; their numbers look too good")

    def step(self, p: TrainingProgress) -> None:
        """After each step and each validation. The bar shows the step; a validation leaves a line."""
        numbers = " ".join(f"{k} {v:.4g}" for k, v in p.numbers.items())
        note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s, {numbers}"
        self.bar.update(self.task, description=p.stage, total=p.total, completed=p.pictures, note=note)
        if p.validated:
            self.say(f"{p.stage}: {p.pictures}/{p.total}, validated at {p.size} px: {numbers}")
            about = {"stage": p.stage, "pictures": p.pictures, "total": p.total, "size": p.size}
            self.event("validation", {**about, "per_second": round(p.per_second, 2), **p.numbers})
