"""Verbs -> frozen options -> one call; errors end in one line and an exit code.

A file per verb. Heavy imports live inside the verbs, so that `--help` is quick.
"""

from __future__ import annotations

import logging
import sys

import typer

from archivecolor.cli import (
    bag,
    bench,
    candidates,
    evaluate,
    export,
    find_lr,
    manifest,
    preview,
    report,
    run,
    train,
    train_all,
    verify,
    weights,
)
from archivecolor.errors import ArchivecolorError
from archivecolor.execution import log

app = typer.Typer(add_completion=True, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(run.run)
app.command()(verify.verify)
app.command()(bag.bag)
app.command()(report.report)
app.command()(export.export)
app.command()(candidates.candidates)
train.app.command("all")(train_all.train_all)
train.app.command("preview")(preview.train_preview)
train.app.command("find-lr")(find_lr.train_find_lr)
app.add_typer(manifest.app, name="manifest")
app.add_typer(train.app, name="train")
app.command()(evaluate.evaluate)
app.command()(bench.bench)
app.add_typer(weights.app, name="weights")


@app.callback()
def _app() -> None:
    """Colorizes whole collections of old photographs, keeping every scan's luminance exactly."""


def main() -> None:
    """The entry point. An error ends in one line and its exit code; the log has the traceback of an unexpected one."""
    try:
        app()
    except ArchivecolorError as error:
        sys.stderr.write(f"archivecolor: {error}\n")
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        logging.getLogger(__name__).critical("unexpected error", exc_info=error)
        reason = f"unexpected {type(error).__name__}: {error}; please report this ({log.traceback_hint()})"
        sys.stderr.write(f"archivecolor: {reason}\n")
        raise SystemExit(1) from None
