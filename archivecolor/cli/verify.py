"""`archivecolor verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import echo, print_table, progress_bar
from archivecolor.errors import PictureError


def verify(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a finished run.")],
    sample: Annotated[int, typer.Option(min=0, help="How many pictures' luminance to measure again.")] = 20,
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Compare a finished folder with its manifest: all hashes, the luminance of a sample; changes nothing.

    Lists what is missing, changed or extra. Exit codes: 0 all as the manifest says, 3 differences, 4 no manifest.

    Example: archivecolor verify ./color --sample 50
    """
    from archivecolor.preservation import verify as check

    with progress_bar() as bar:
        task = bar.add_task("hashing", total=None, note="")
        report = check.verify(out, sample, lambda done, total: bar.update(task, completed=done, total=total), seed)
    if as_json:
        typer.echo(report.as_json())
    else:
        if report.findings:
            print_table([["what", "name", "detail"], *([f.what, f.name, f.detail] for f in report.findings)])
        exact = [measured.max_delta_l for measured in report.measured if not measured.lossy]
        mean = [measured.mean_delta_l for measured in report.measured if measured.lossy]
        echo(
            f"{report.pictures} pictures and {report.sources} sources hashed, {len(report.measured)} measured"
            + (f"; largest |ΔL*| {max(exact):.3f} where nothing is lossy" if exact else "")
            + (f"; mean |ΔL*| at most {max(mean):.2f} where compression is" if mean else "")
            + ("" if report.sound else "; NOT as the manifest says")
            + ("; a run is writing here now, so some of it is unfinished" if report.running else "")
        )
    raise SystemExit(0 if report.sound else PictureError.exit_code)
