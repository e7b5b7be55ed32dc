"""`archivecolor train find-lr`."""

from __future__ import annotations

import json

import typer

from archivecolor.cli.console import progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.cli.training_session import local_device
from archivecolor.options import LrSearchOptions


@takes_options(LrSearchOptions)
def train_find_lr(options: LrSearchOptions) -> None:
    """Suggest a peak learning rate for `train pretrain` or, with --from, for `train mine`.

    By fastai's finder: a short training at growing rates.

    Example: archivecolor train find-lr --data ./colour_photos --model lite --plot ./rates.png
    """
    from archivecolor.training import lr_finder, trainer

    with progress_bar() as bar:
        task = bar.add_task("", total=None, note="")
        curve = trainer.find_lr(
            options,
            local_device(options.device),
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    if options.plot:
        lr_finder.plot(curve, options.plot)
    report = lr_finder.report(curve)
    if options.as_json:
        typer.echo(json.dumps(report))
    else:
        typer.echo(f"--lr {report['valley']} (valley); the loss falls fastest at {report['steep']}")
        if not curve.has_valley():
            typer.echo(
                f"the loss falls by {max(0.0, curve.fall):.1%} only: the curve has no valley, and these rates mean "
                "little. For finished weights 1e-4 is a fair start"
            )
