"""Measures the speed on this machine and these pictures. All published numbers about speed come from here.

`stages` measures each stage alone and the whole pipeline; `claims` compares models, precisions, scikit-image and
start-up; `start` runs whole commands; `long_run` colours many small files; `desk` opens the review desk; `training`
makes batches and learns from them; `draw` draws the PNGs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archivecolor.bench.claims import Claim, all_claims, at_most
from archivecolor.bench.desk import DeskCost, measure_desk
from archivecolor.bench.draw import chart, edges
from archivecolor.bench.long_run import LongRunCost, measure_long_run
from archivecolor.bench.pictures import own_or_synthetic_pictures
from archivecolor.bench.stages import STAGES, Measured, measure
from archivecolor.bench.start import StartCost, measure_start
from archivecolor.bench.training import TrainingSpeed, measure_training, training_claims
from archivecolor.inference import malloc
from archivecolor.options import BenchOptions

__all__ = [
    "STAGES",
    "Claim",
    "DeskCost",
    "LongRunCost",
    "Measured",
    "Report",
    "StartCost",
    "TrainingSpeed",
    "bench",
]


@dataclass(frozen=True)
class Report:
    """Everything that was measured."""

    measured: list[Measured]
    claims: list[Claim]
    flat: LongRunCost | None = None
    desk: DeskCost | None = None
    training: tuple[TrainingSpeed, ...] = ()
    start: StartCost | None = None


def bench(options: BenchOptions, say: Callable[[str], None] = lambda what: None) -> Report:
    """Measures what the options name, in a temporary folder. `say` is called with what is done now.

    Raises:
        NoInputError, PictureError, WeightsError, UsageError, MissingDependencyError: something cannot be measured.
    """
    malloc.keep_freed_memory()  # as in a run
    with tempfile.TemporaryDirectory(prefix="archivecolor-bench-") as name:
        work = Path(name)
        if options.flat:
            say(f"colouring {options.flat} small files, opening a manifest of {100 * options.flat} rows")
            cost = measure_long_run(options.flat, 100 * options.flat, options.models[0], options.device, work)
            return Report([], _long_run_claims(cost), cost)
        if options.start:
            say("colouring one picture in a process of its own, several times")
            start = measure_start(options.models[0], options.device, work)
            return Report([], _start_claims(start), start=start)
        if options.desk:
            say(f"opening a desk over {options.desk} rows, pinning colours in a scan of 12 megapixels")
            desk = measure_desk(options.desk, options.models[0], options.device, work)
            return Report([], _desk_claims(desk), desk=desk)
        if options.training:
            speeds = measure_training(options, say)
            return Report([], training_claims(speeds), training=tuple(speeds))
        measured: list[Measured] = []
        groups = own_or_synthetic_pictures(options.folder, options.pictures, options.megapixels, work)
        for group, paths in groups.items():
            for model in options.models:
                say(f"{model}: {len(paths)} x {group}")
                folder = work / f"{len(measured):02}"
                measured.append(measure(paths, group, model, options, folder))
        say("comparing")
        results = all_claims(measured, options.device, work / "claims")
        if options.chart:
            chart(measured, options.chart)
        if options.edges:
            ours, bilinear = edges(options.edges)
            results.append(at_most("colour error at edges ÷ that of bilinear enlargement", ours / bilinear, 1))
        return Report(measured, results)


def _start_claims(cost: StartCost) -> list[Claim]:
    what = "one picture of 2 MP, command to exit"
    return [
        at_most("--help, wall seconds", cost.help.wall_s, 0.3),
        at_most(f"{what}: wall seconds ÷ import torch", cost.picture.wall_s / cost.torch.wall_s, 1.6),
        *(
            [at_most(f"{what}: CPU seconds ÷ import torch", cost.picture.cpu_s / cost.torch.cpu_s, 1.6)]
            if cost.torch.cpu_s
            else []
        ),
    ]


def _desk_claims(cost: DeskCost) -> list[Claim]:
    return [
        at_most(f"seconds to open the desk over {cost.rows} pictures", cost.open_s, 2),
        at_most(f"seconds until a pinned colour is seen, {cost.megapixels:.0f} MP", cost.preview_s, 0.3),
    ]


def _long_run_claims(cost: LongRunCost) -> list[Claim]:
    return [
        at_most("CPU seconds a file, last tenth ÷ first", cost.last_s / cost.first_s, 1.05),
        at_most("memory after the last tenth ÷ after the first", cost.last_megabytes / cost.first_megabytes, 1.05),
        at_most(f"CPU seconds to open a manifest of {cost.manifest_rows} rows", cost.manifest_s, 10),
        at_most(f"megabytes to open a manifest of {cost.manifest_rows} rows", cost.manifest_megabytes, 1024),
    ]
