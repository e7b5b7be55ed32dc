"""Every flag of every verb that is made from a table reaches its option and changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from archivecolor.cli import app, from_options
from archivecolor.errors import ArchivecolorError
from archivecolor.options import Options, leaves
from archivecolor.options.table import Leaf

SAMPLES = {
    "--access": "webp:1200",
    "--hint": "10,20,#c04020",
    "--keep-neutral": "10,20,30,40",
    "--shard": "2/3",
    "--compare": "a b",
    "--config": os.devnull,
    "evaluate --references": "every:25",
}
"""Values for flags with a form of their own, of all verbs or of one."""
GUESSES = [
    "x.png",
    "x.csv",
    "x.json",
    "3",
    "2",
    "7",
    "1",
    "64",
    "512",
    "0.5",
    "0.25",
    "1.5",
    "12",
    "100",
    "400",
    "1000",
    "x",
]
BY_HAND = {"verify", "bag", "manifest", "weights"}
"""Verbs whose few options are written by hand."""


class Reached(Exception):  # noqa: N818
    """Ends a verb where its options are made."""


def verbs() -> Iterator[tuple[list[str], Any]]:
    """Every verb: its words and its click command."""

    def below(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
        if not hasattr(command, "commands"):
            yield words, command
            return
        for name in command.list_commands(None):
            yield from below(command.commands[name], [*words, name])

    yield from below(typer.main.get_command(app), [])


VERBS = [(words, getattr(command.callback, "tables", ())) for words, command in verbs()]


def reached(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The values with which a command makes its options."""
    values: dict[str, object] = {}

    def build(table: type[Options], arguments: dict[str, object]) -> None:
        values.update(arguments)
        raise Reached

    monkeypatch.setattr(from_options, "build", build)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, Reached), (words, result.output, result.exception)
    return values


def words_for(leaf: Leaf, verb: str) -> list[str]:
    """Words that give an option another value than its default."""
    if leaf.option.counted:
        return [leaf.flag, leaf.flag]
    if isinstance(leaf.default, bool):
        return [f"--no-{leaf.flag.removeprefix('--')}" if leaf.default else leaf.flag]
    if sample := SAMPLES.get(f"{verb} {leaf.flag}", SAMPLES.get(leaf.flag)):
        return [leaf.flag, *sample.split()]
    for guess in [str(choice.value) for choice in leaf.choices] if leaf.choices else GUESSES:
        kind: Any = get_args(leaf.types[0])[0] if leaf.repeatable else leaf.types[0]
        kind = str if leaf.option.parse or leaf.choices else kind
        try:
            value = leaf.converted([kind(guess)] if leaf.repeatable and not leaf.option.parse else kind(guess))
        except (ArchivecolorError, ValueError, TypeError):
            continue
        if value != leaf.default:
            return [guess] if leaf.option.positional else [leaf.flag, guess]
    raise AssertionError(f"no value for {leaf.flag}")


@pytest.mark.parametrize(("words", "tables"), VERBS, ids=[" ".join(words) for words, _ in VERBS])
def test_every_flag_reaches_its_option(
    words: list[str], tables: tuple[type[Options], ...], monkeypatch: pytest.MonkeyPatch
):
    assert tables or words[0] in BY_HAND
    options = [leaf for table in tables for leaf in leaves(table)]
    needed = [leaf for leaf in options if leaf.default is MISSING]
    base = [
        *words,
        *(word for leaf in needed for word in (["x.png"] if leaf.option.positional else [leaf.flag, "x.png"])),
    ]
    before = reached(base, monkeypatch) if tables else {}
    assert all(leaf.name in before for leaf in needed)
    for leaf in options:
        if leaf.default is MISSING:
            continue
        after = reached([*base, *words_for(leaf, words[0])], monkeypatch)
        assert {name for name in after if after[name] != before.get(name)} == {leaf.name}, leaf.flag
        if leaf.flag != "--compare":
            assert leaf.converted(after[leaf.name]) != leaf.default, leaf.flag
