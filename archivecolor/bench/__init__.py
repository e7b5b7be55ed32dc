"""How fast this is, on this machine and these pictures: what every claim about speed is read from.

`stages` measures each stage alone and the pipeline whole; `claims` compares models, precisions, scikit-image and
start-up; `flat` colours many small files; `draw` makes the pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archivecolor.bench.claims import Claim, all_claims, at_most
from archivecolor.bench.draw import chart, edges
from archivecolor.bench.flat import LongRunCost, measure_long_run
from archivecolor.bench.pictures import own_or_synthetic_pictures
from archivecolor.bench.stages import STAGES, Measured, measure
from archivecolor.inference import malloc
from archivecolor.options import BenchOptions

__all__ = ["STAGES", "Claim", "LongRunCost", "Measured", "Report", "bench"]


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    measured: list[Measured]
    claims: list[Claim]
    flat: LongRunCost | None = None


def bench(options: BenchOptions, say: Callable[[str], None] = lambda what: None) -> Report:
    """Measures what the options ask for, in a temporary folder; `say` is told what is being done.

    Raises:
        NoInputError, PictureError, WeightsError, UsageError: it cannot be measured.
    """
    malloc.keep_freed_memory()  # as the process does that works for `run`
    with tempfile.TemporaryDirectory(prefix="archivecolor-bench-") as name:
        work = Path(name)
        if options.flat:
            say(f"colouring {options.flat} small files, opening a manifest of {100 * options.flat} rows")
            found = measure_long_run(options.flat, 100 * options.flat, options.models[0], options.device, work)
            return Report([], _long_run_claims(found), found)
        measured: list[Measured] = []
        groups = own_or_synthetic_pictures(options.folder, options.pictures, options.megapixels, work)
        for group, paths in groups.items():
            for model in options.models:
                say(f"{model}: {len(paths)} x {group}")
                here = work / f"{len(measured):02}"
                measured.append(measure(paths, group, model, options, here))
        say("comparing")
        kept = all_claims(measured, options.device, work / "claims")
        if options.chart:
            chart(measured, options.chart)
        if options.edges:
            ours, bilinear = edges(options.edges)
            kept.append(at_most("colour error at edges ÷ that of bilinear enlargement", ours / bilinear, 1))
        return Report(measured, kept)


def _long_run_claims(found: LongRunCost) -> list[Claim]:
    return [
        at_most("processor seconds a file, last tenth ÷ first", found.last_s / found.first_s, 1.05),
        at_most("memory after the last tenth ÷ after the first", found.last_megabytes / found.first_megabytes, 1.05),
        at_most(f"processor seconds to open a manifest of {found.manifest_rows} rows", found.manifest_s, 10),
        at_most(f"megabytes to open a manifest of {found.manifest_rows} rows", found.manifest_megabytes, 1024),
    ]
