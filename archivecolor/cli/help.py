"""The help of a verb: its options in groups; `--help-all` shows the rare ones too."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

ORDER = ("What", "Colours", "Photographs", "Films", "Disclosure", "Machines", "What is said")
"""The groups of `run`, in the order of its help. Options of no group come first, under "Options"."""


class GroupedCommand(TyperCommand):
    """A command whose options are listed under the headings that the table of options gives them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record:
                positional = parameter.param_type_name == "argument"
                heading = "Arguments" if positional else getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(heading, []).append(record)
        for heading in ("Arguments", *ORDER, *(name for name in groups if name not in ("Arguments", *ORDER))):
            if heading in groups:
                with formatter.section(heading):
                    formatter.write_dl(groups[heading])


def show_all(ctx: typer.Context, wanted: bool) -> None:
    """The callback of --help-all: the help with the rare options."""
    if wanted and not ctx.resilient_parsing:
        for parameter in ctx.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        typer.echo(ctx.get_help())
        raise typer.Exit
