"""Commands, called as a shell calls them."""

from __future__ import annotations

from typing import Any

import typer
from typer.testing import CliRunner

from archivecolor import cli
from archivecolor.errors import ArchivecolorError


def call(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def verbs(command: Any = None, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All commands, as their words."""
    command = command or typer.main.get_command(cli.app)
    inner = getattr(command, "commands", None)
    if inner is None:
        return [above]
    return [verb for name, child in inner.items() for verb in verbs(child, (*above, name))]


def exit_code(*words: str, stdin: str = "") -> int:
    """Of a call through `main`, as the shell sees it."""
    result = CliRunner().invoke(cli.app, list(words), input=stdin)
    if isinstance(result.exception, ArchivecolorError):
        return result.exception.exit_code
    return result.exit_code
