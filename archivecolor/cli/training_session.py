"""What all training verbs have in common: reading the photographs, a bar and reports, several processes, Ctrl-C."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.cli.console import catch_interrupts, progress_bar
from archivecolor.errors import INTERRUPTED

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from archivecolor.training.loop import TrainingProgress
    from archivecolor.training.photographs import Photographs
    from archivecolor.training.trainer import TrainingContext

Data = Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")]
Out = Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")]
Val = Annotated[
    Path | None,
    typer.Option(
        help="Held-out photographs, at most 256 of which are looked at; a fixed 4 % of --data when left out (of few up "
        "to a fifth)."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Seed = Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON line per report on stdout.")]
Aging = Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")]
Pictures = Annotated[int, typer.Option(help="How many pictures to see: each photograph many times, cropped anew.")]
Batch = Annotated[int, typer.Option(help="Pictures per step, of all processes together.")]
ValidateEvery = Annotated[int, typer.Option(help="Pictures between validations.")]
ChromaWeight = Annotated[float, typer.Option(help="How much more a colourful pixel counts in L1; 0 is plain L1.")]
FeatureWeight = Annotated[
    float,
    typer.Option(help="Weight of how different the picture looks to EfficientNet-Lite0 from the true one, beside L1."),
]
PsnrWeight = Annotated[
    float, typer.Option(help="Weight of each dB of the picture's PSNR; 0.02 times L1's makes it the main thing.")
]
Ciede2000Weight = Annotated[
    float, typer.Option(help="Weight of each unit of the mean CIEDE2000 difference; 0.01 times L1's counts like L1.")
]
ColourWeight = Annotated[
    float, typer.Option(help="Weight of how far colourfulness stays below --colour-target, squared, beside L1.")
]
ColourTarget = Annotated[float, typer.Option(help="Colourfulness to come to, as a share of the truth's.")]


def local_device(asked: str) -> torch.device:
    """The device of this process: of several on one machine, each takes its own GPU."""
    from archivecolor.inference import devices

    device = devices.choose_device(asked)
    local = os.environ.get("LOCAL_RANK")
    return devices.choose_device(f"cuda:{local}") if local and str(device) == "cuda" else device


def training_session(
    data: Path, val: Path | None, short: int, device: str, as_json: bool, work: Callable[[TrainingContext], object]
) -> None:
    """Runs a training under a bar, as one of the processes that `torchrun` started or alone; Ctrl-C asks it to save
    and stop.

    Args:
        short: the side of the largest crops.
        work: runs the training; its result is the last report.
    """
    from archivecolor.training import distributed, figures, trainer
    from archivecolor.training.photographs import load_photographs

    figures.require_matplotlib()
    where, stop = local_device(device), catch_interrupts()
    with (
        distributed.initialize(int(os.environ.get("WORLD_SIZE", "1")), where),
        progress_bar(distributed.is_main_process()) as shown,
    ):
        told = Report(shown, as_json) if distributed.is_main_process() else Report(shown, False, quiet=True)

        @functools.cache
        def photographs() -> Photographs:
            found = load_photographs(data, val, short, told.reading)
            told.photographs(found)
            return found

        numbers = work(trainer.TrainingContext(photographs, where, told.step, told.stopping(stop), told.line))
        told.say("interrupted" if stop() else "end", {"numbers": numbers})
    if stop():
        raise SystemExit(INTERRUPTED)


class Report:
    """Tells people on stderr and, where asked to, programs on stdout how far a training is."""

    def __init__(self, shown: Progress, as_json: bool, quiet: bool = False) -> None:
        self.shown, self.as_json, self.quiet = shown, as_json, quiet
        self.task = shown.add_task("training", total=None, note="")

    def say(self, event: str, about: dict[str, object]) -> None:
        """One line of JSON, if asked for."""
        if self.as_json:
            typer.echo(json.dumps({"event": event, **about}, ensure_ascii=False))

    def line(self, text: str) -> None:
        """One line above the bar."""
        if not self.quiet:
            self.shown.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stopping(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """`stop`, and a line for people when it first is true."""

        @functools.cache
        def say() -> None:
            self.line("stopping: the state is saved, judged once more and published; the same command goes on from it")

        def asked() -> bool:
            if stop():
                say()
                return True
            return False

        return asked

    def reading(self, what: str, done: int, total: int) -> None:
        self.shown.update(self.task, description=what, total=total, completed=done)

    def photographs(self, found: Photographs) -> None:
        """How many pictures there are, and how many are no use and why."""
        self.say("photographs", found.counts())
        useless = [f"{n} {why}" for side in found.left_out().values() for why, n in side.items()]
        text = f"{len(found.train)} photographs to learn from, {len(found.validation)} held out; left out: "
        self.line(text + (", ".join(useless) or "none"))
        if found.overlap:
            self.line(f"{found.overlap} of the held-out ones are learnt from as well: what is said of them flatters")

    def step(self, p: TrainingProgress) -> None:
        """After each step; the bar shows it, and a line is left behind by each validation."""
        numbers = " ".join(f"{k} {v:.4g}" for k, v in p.numbers.items())
        note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s, {numbers}"
        self.shown.update(self.task, description=p.stage, total=p.total, completed=p.pictures, note=note)
        if p.validated:
            self.line(f"{p.stage}: {p.pictures}/{p.total}, validated at {p.size} px: {numbers}")
            about = {"stage": p.stage, "pictures": p.pictures, "total": p.total, "size": p.size}
            self.say("validation", {**about, "per_second": round(p.per_second, 2), **p.numbers})
