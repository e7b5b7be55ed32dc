"""`archivecolor bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.cli.console import print_table
from archivecolor.options import BenchOptions

if TYPE_CHECKING:
    from archivecolor.bench import Report


def bench(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Your own pictures; without it, generated JPEGs.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Weights by name or folder; may be repeated.")] = None,
    pictures: Annotated[int, typer.Option(help="How many pictures of each group.")] = 12,
    megapixels: Annotated[
        list[int] | None, typer.Option(help="Which sizes to generate: 2, 12, 50; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    engine: Annotated[str, typer.Option(help="torch or openvino.")] = "torch",
    chart: Annotated[Path | None, typer.Option(help="PNG to draw: where the time goes.")] = None,
    edges: Annotated[Path | None, typer.Option(help="PNG to draw: an edge in colour, bilinear and ours.")] = None,
    flat: Annotated[
        int, typer.Option(help="Instead: colour so many small files, and open a manifest of 100 times as many rows.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure the speed on this machine: each stage alone, the pipeline whole, and what the project promises.

    "Best possible" is what the stages would take with nothing lost between them. On a CPU, where all stages share the
    cores: the sum of their core-seconds, each measured with every core in that stage at once, divided by the cores.
    With a GPU: the slower of the network alone on it and everything else alone on the cores.

    Example: archivecolor bench ./old_photos --model lite --model resnet18 --chart ./bench.png
    """
    from archivecolor import bench as measure

    asked = BenchOptions(
        folder=folder, models=tuple(model or BenchOptions.models), pictures=pictures,
        megapixels=tuple(megapixels or BenchOptions.megapixels), device=device, precision=precision, engine=engine,
        chart=chart, edges=edges, flat=flat,
    )  # fmt: skip
    report = measure.bench(asked, lambda what: typer.echo(what, file=sys.stderr))
    if as_json:
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
    if report.claims:
        print_table([["claim", "measured", "promised", ""], *(
            [c.what, f"{c.value:.3g}", c.promised, "kept" if c.kept else "NOT KEPT"] for c in report.claims
        )])  # fmt: skip
