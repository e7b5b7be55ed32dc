"""`archivecolor manifest …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import echo

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="The manifest of an output folder."
)


@app.callback()
def _manifest() -> None:
    """The manifest of an output folder."""


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out that the shards of a run share.")],
) -> None:
    """Join the manifests of a run's shards into manifest.jsonl, whole or not at all.

    Refused while a shard is running. Merging again, or before all shards are done, does no harm.

    Example: archivecolor manifest merge ./color
    """
    from archivecolor import provenance

    shards, rows = provenance.merge(out)
    echo(f"{out / provenance.MANIFEST}: {rows} rows, {shards} shards merged")
