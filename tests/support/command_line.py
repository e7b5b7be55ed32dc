"""Commands, called as a shell calls them."""

from __future__ import annotations

from typing import Any

import typer
from typer.testing import CliRunner

from archivecolor import cli
from archivecolor.errors import ArchivecolorError


def call(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def verbs(app: typer.Typer = cli.app, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All commands, as their words."""
    own = [(*above, c.name or c.callback.__name__.replace("_", "-")) for c in app.registered_commands]
    groups = [verb for g in app.registered_groups for verb in verbs(g.typer_instance, (*above, g.name))]
    return own + groups


def exit_code(*words: str, stdin: str = "") -> int:
    """Of a call through `main`, as the shell sees it."""
    result = CliRunner().invoke(cli.app, list(words), input=stdin)
    if isinstance(result.exception, ArchivecolorError):
        return result.exception.exit_code
    return result.exit_code
