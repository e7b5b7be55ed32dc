"""The help of a verb: its options in groups; `--help-all` shows the rare ones too."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

ORDER = ("What", "Colours", "Photographs", "Films", "Disclosure", "Machines", "What is said")
"""The groups of `run`, in the order of its help. Options of no group come before them, under "Options", and
groups of other verbs after these."""


class GroupedCommand(TyperCommand):
    """A command whose options are listed under the headings that the table of options gives them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record:
                groups.setdefault(_heading(parameter), []).append(record)
        others = [heading for heading in groups if heading not in ("Arguments", "Options", *ORDER, "Help")]
        for heading in ("Arguments", "Options", *others, *ORDER, "Help"):
            if heading in groups:
                with formatter.section(heading):
                    formatter.write_dl(groups[heading])


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    if parameter.name in ("help", "help_all"):
        return "Help"
    return getattr(parameter, "rich_help_panel", None) or "Options"


def show_all(ctx: typer.Context, wanted: bool) -> None:
    """The callback of --help-all: the help with the rare options."""
    if wanted and not ctx.resilient_parsing:
        for parameter in ctx.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        typer.echo(ctx.get_help())
        raise typer.Exit
