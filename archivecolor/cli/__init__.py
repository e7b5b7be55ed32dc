"""Verbs -> frozen options -> one call; errors end in one line and an exit code.

A file per verb, imported when the verb is used. Heavy imports live inside the verbs, so that `--help` is quick.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NoReturn, TypeAlias

import typer
from typer.core import TyperGroup

from archivecolor import __version__
from archivecolor.cli.console import open_standard_streams
from archivecolor.cli.help import GroupedCommand
from archivecolor.errors import ArchivecolorError, MissingDependencyError, shortage_error
from archivecolor.execution import log
from archivecolor.files import printable

Command: TypeAlias = Any
"""A command of click, which typer brings without its types."""
VERBS = {
    "run": "Colour photographs and films.",
    "watch": "Colour what arrives in a folder.",
    "verify": "Compare a finished folder with its manifest.",
    "bag": "Copy a finished folder into a BagIt bag.",
    "report": "Make a review page.",
    "review": "Review a finished folder in the browser.",
    "export": "Copy the accepted outputs, list all in a CSV, or make a site for IIIF viewers.",
    "frames": "Write the frames of a film that are worth colouring by hand.",
    "candidates": "Draw several colourings of one picture on one sheet.",
    "evaluate": "Measure models on colour photographs made grey.",
    "bench": "Measure the speed on this machine.",
    "manifest": "The manifest of an output folder.",
    "train": "Make the weights: on your own archive (mine), or from the beginning.",
    "weights": "List, show, check, mix, import, pack, export and edit weights.",
}
"""Each verb with its line in the help. It lives in the module of its name, as a function of its name or as an `app`."""


class _Commands(Mapping[str, Command]):
    """The commands by name, each imported when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in VERBS:
            raise KeyError(name)
        if name not in self._loaded:
            module = importlib.import_module(f"archivecolor.cli.{name}")
            verb = getattr(module, "app", None)
            if verb is None:
                verb = typer.Typer(add_completion=False, rich_markup_mode=None)
                verb.command(name, cls=GroupedCommand)(getattr(module, name))
            self._loaded[name] = typer.main.get_command(verb)
            self._loaded[name].name = name
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class _Verbs(TyperGroup):
    """Lists the verbs without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


app = typer.Typer(
    cls=_Verbs,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archivecolor {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Colorizes whole collections of old photographs, keeping every scan's luminance exactly."""


_OPTIONAL = {"skimage": "evaluate", "matplotlib": "train"}
"""Packages that some verbs need, and the extras that bring them. Others say so where they are imported."""


def main() -> None:
    """The entry point. An error ends in one line and its exit code; the log has the traceback of an unexpected one."""
    open_standard_streams()
    try:
        app()
    except ArchivecolorError as error:
        sys.stderr.write(f"archivecolor: {printable(str(error))}\n")
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        extra = _OPTIONAL.get((error.name or "").partition(".")[0])
        if extra is None:
            _end_unexpectedly(error)
        sys.stderr.write(f"archivecolor: needs a package: pip install 'archivecolor[{extra}]'\n")
        raise SystemExit(MissingDependencyError.exit_code) from None
    except Exception as error:
        _end_unexpectedly(error)


def _end_unexpectedly(error: Exception) -> NoReturn:
    if shortage := shortage_error(error):
        sys.stderr.write(f"archivecolor: {shortage}\n")
        raise SystemExit(shortage.exit_code) from None
    logging.getLogger(__name__).critical("unexpected error", exc_info=error)
    reason = f"unexpected {type(error).__name__}: {error}; please report this ({log.traceback_hint()})"
    sys.stderr.write(f"archivecolor: {printable(reason)}\n")
    raise SystemExit(1) from None
