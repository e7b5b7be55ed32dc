"""`archivecolor bench`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.cli.console import print_table
from archivecolor.cli.from_options import takes_options
from archivecolor.options import BenchOptions, Option, Options

if TYPE_CHECKING:
    from archivecolor.bench import Report


@dataclass(frozen=True, kw_only=True)
class DisplayOptions(Options):
    """How the report is printed."""

    as_json: Annotated[bool, Option("Print JSON instead of tables.", flag="--json")] = False


@takes_options(BenchOptions, DisplayOptions)
def bench(options: BenchOptions, display: DisplayOptions) -> None:
    """Measure the speed on this machine: each stage alone, the pipeline whole, and what the project promises.

    "Best possible" is the time of the stages with nothing lost between them. On a CPU, all stages share the cores: it
    is the sum of their core-seconds, each measured with every core in that stage at once, divided by the cores. With a
    GPU, it is the slower of two: the network alone on the GPU, or everything else alone on the cores.

    Example: archivecolor bench ./old_photos --model lite --model resnet18 --chart ./bench.png
    """
    from archivecolor import bench as measure

    report = measure.bench(options, lambda what: typer.echo(what, file=sys.stderr))
    if display.as_json:
        typer.echo(json.dumps(_plain(report), indent=1))
    else:
        _show(report)


def _plain(report: Report) -> dict[str, object]:
    from dataclasses import asdict

    more = [{"ratio": m.ratio, "pictures_per_second": m.pictures_per_second} for m in report.measured]
    rows = [asdict(m) | extra for m, extra in zip(report.measured, more, strict=True)]
    return {
        "measured": rows,
        "claims": [asdict(claim) for claim in report.claims],
        "flat": asdict(report.flat) if report.flat else None,
        "desk": asdict(report.desk) if report.desk else None,
        "training": [asdict(row) for row in report.training],
        "start": asdict(report.start) if report.start else None,
    }


def _show(report: Report) -> None:
    from archivecolor.bench import STAGES

    if report.measured:
        heads = [f"{m.model}, {m.group}" for m in report.measured]
        rows = [["ms a megapixel, one core", *heads]]
        rows += [[name, *(f"{m.stages[name] / m.megapixels * 1e3:.1f}" for m in report.measured)] for name in STAGES]
        rows += [
            ["best possible, s", *(f"{m.best_possible_s:.2f}" for m in report.measured)],
            ["whole, s", *(f"{m.whole_s:.2f}" for m in report.measured)],
            ["best ÷ whole", *(f"{m.ratio:.2f}" for m in report.measured)],
            ["pictures a second", *(f"{m.pictures_per_second:.2f}" for m in report.measured)],
            ["megapixels a second", *(f"{m.megapixels / m.whole_s:.1f}" for m in report.measured)],
            ["peak memory, MB", *(f"{m.peak_megabytes:.0f}" for m in report.measured)],
        ]
        print_table(rows)
    if report.training:
        first = report.training[0]
        rows = [[f"pictures a second, {first.device}, {first.precision}, batches of {first.batch}", "px", "", ""]]
        rows += [[row.what, str(row.side), row.model, f"{row.pictures_per_second:.1f}"] for row in report.training]
        print_table(rows)
    if report.claims:
        print_table(
            [
                ["claim", "measured", "promised", ""],
                *([c.what, f"{c.value:.3g}", c.promised, "kept" if c.kept else "NOT KEPT"] for c in report.claims),
            ]
        )
