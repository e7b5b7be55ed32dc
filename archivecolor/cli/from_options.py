"""A verb's arguments and flags, made from the tables of `archivecolor.options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import MISSING
from enum import Enum
from typing import Annotated, Any, Optional, get_args

import typer

from archivecolor.cli.help import show_all
from archivecolor.errors import UsageError
from archivecolor.options import Options, build, config, leaves
from archivecolor.options.table import Leaf

_given: ContextVar[set[str]] = ContextVar("given", default=set())  # noqa: B039  (never changed in place)


def takes_options(
    *tables: type[Options], in_file: tuple[type[Options], ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a verb that takes one object of each table; for typer it then has a parameter for each option.

    Args:
        in_file: the tables whose options may come from a file too (`options.config`). Required ones may be there.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def command(context: typer.Context, **flags: object) -> None:
            _given.set({name for name in flags if _is_given(context, name)})
            values = {name: value for name, value in flags.items() if value is not None}
            if in_file:
                own = {name: value for name, value in values.items() if name in _given.get()}
                values |= config.merged(own, in_file) | own
                _check_required(values, in_file)
            verb(*(build(table, values) for table in tables))

        parameters = [_parameter(leaf, bool(in_file)) for table in tables for leaf in leaves(table)]
        if any(leaf.option.rare for table in tables for leaf in leaves(table)):
            parameters.append(_HELP_ALL)
        command.tables = tables  # type: ignore[attr-defined]
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        command.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *parameters)}
        return command

    return decorate


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--help-all", is_eager=True, callback=show_all, help="Show every option, the rare ones too."),
    ],
)


def given_on_command_line() -> set[str]:
    """The names of the options that the user has written in the command that runs now."""
    return _given.get()


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether the command line has this flag."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_required(values: dict[str, object], tables: Iterable[type[Options]]) -> None:
    for leaf in (leaf for table in tables for leaf in leaves(table)):
        if leaf.default is MISSING and not values.get(leaf.name):
            raise UsageError(f"{leaf.flag.removesuffix('...')}: missing; `archivecolor run --help` shows an example")


def _parameter(leaf: Leaf, may_be_in_file: bool) -> inspect.Parameter:
    default = None if leaf.default is MISSING and may_be_in_file else _default(leaf)
    kind = _type(leaf)
    hint = Optional[kind] if default is None else kind  # noqa: UP045  (the type is known at run time only)
    annotation = Annotated[hint, _info(leaf)]  # type: ignore[valid-type]
    return inspect.Parameter(leaf.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _type(leaf: Leaf) -> Any:
    """Text where the table itself checks the value, so that its message is the same as from Python."""
    if leaf.repeatable:
        inner = get_args(leaf.types[0])[0]
        return list[str] if leaf.option.parse else list[inner]  # type: ignore[valid-type]
    return str if leaf.option.parse or leaf.choices else leaf.types[0]


def _default(leaf: Leaf) -> Any:
    if leaf.default is MISSING:
        return inspect.Parameter.empty
    if isinstance(leaf.default, Enum):
        return leaf.default.value
    if isinstance(leaf.default, tuple):
        return list(leaf.default) or None
    return leaf.default


def _info(leaf: Leaf) -> Any:
    option, choices = leaf.option, [str(choice.value) for choice in leaf.choices or ()]
    suggested = bool(choices) or leaf.flag in _SUGGESTED
    if option.positional:
        return typer.Argument(metavar=option.metavar or None, help=option.help)
    flag = f"{leaf.flag}/--no-{leaf.flag.removeprefix('--')}" if leaf.default is True else leaf.flag
    listed = f" One of {', '.join(choices)}." if choices and option.metavar else ""
    return typer.Option(
        flag,
        *([option.short] if option.short else []),
        metavar=option.metavar or "|".join(choices) or None,
        help=f"{option.help}{listed}",
        count=option.counted,
        hidden=option.rare,
        rich_help_panel=leaf.heading or None,
        autocompletion=_completion(lambda: choices or _SUGGESTED[leaf.flag]()) if suggested else None,
    )


def _completion(choices: Callable[[], list[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices() if choice.startswith(incomplete.lower())]

    return complete


def _models() -> list[str]:
    from archivecolor import weights

    return [folder.name for folder in weights.available()]


_SUGGESTED: dict[str, Callable[[], list[str]]] = {
    "--model": _models,
    "--from": _models,
    "--device": lambda: ["auto", "cpu", "cuda"],
}
"""Flags that take any text, and the values that shell completion offers for them."""
