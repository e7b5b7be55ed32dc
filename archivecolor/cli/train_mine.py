"""`archivecolor train mine`."""

from __future__ import annotations

from archivecolor.cli.from_options import takes_options
from archivecolor.cli.training_session import training_session
from archivecolor.options import OwnArchive, TrainingRequest
from archivecolor.training.recipe import Recipe, as_toml


@takes_options(TrainingRequest, OwnArchive)
def train_mine(request: TrainingRequest, options: OwnArchive) -> None:
    """Improve the colours on the photographs of your own archive: one command, half an hour.

    A fifth of the colour photographs, at most 64 of a few hundred, is held back. The training starts from finished
    weights, continues while it gains something, and ends with a table: the held-back photographs before and after, and
    whether the difference is more than chance. OUT never contains weights that are worse than the start.
    OUT/before_after.png shows the held-back photographs. Ctrl-C saves; the same command resumes.

    Example: archivecolor train mine --data ./my_colour_photos --out ./weights/mine --minutes 30
    """
    from archivecolor.training import own_archive

    plan = options.pretraining(options.batch, options.batch)
    recipe = Recipe(as_toml(plan, "archivecolor train mine"), pretrain=plan)
    training_session(
        request, recipe, lambda context: own_archive.train(options, request.out, context), own_archive.HELD_OUT
    )
