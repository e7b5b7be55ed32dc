"""The jobs of a run: its inputs with their kinds, after --redo, --limit and --shard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from archivecolor import photo
from archivecolor.errors import NoInputError, UsageError
from archivecolor.options import RunOptions
from archivecolor.pipeline import inputs, media
from archivecolor.pipeline.inputs import Job
from archivecolor.provenance import decisions


def find_jobs(options: RunOptions, passed_over: Callable[[Path], None] = lambda path: None) -> list[Job]:
    """The pictures of the inputs, at most `options.limit` of them, and of these the shard's; `passed_over` is told of
    files that are none. What one picture's name has to do with another's is settled before they are shared out."""
    new_suffix = "" if options.format == "same" else photo.suffix_for(options.format, "")
    is_frame = media.is_numbered_picture if options.film.sequences else media.is_frame
    found = inputs.find_inputs(
        options.inputs, options.out, media.is_input, options.suffix, new_suffix, passed_over, is_frame
    )
    if options.redo:
        found = only_rejected(found, options.redo)
    found = found[: options.limit]
    if options.color.hints and len(found) > 1:
        raise UsageError(
            f"--hint: pins a colour in one picture, and there are {len(found)}; name the one it is meant for"
        )
    chosen = [job for job in found if options.shard is None or options.shard.has(job.name)]
    return [replace(job, kind=media.kind_of(job.source)) for job in chosen]


def only_rejected(found: list[Job], path: Path) -> list[Job]:
    """Those that the decisions in a file reject, each with the output that was rejected.

    Raises:
        NoInputError: none of them.
        UsageError: the file holds no decisions.
    """
    made = decisions.rejected(path)
    if not made:
        raise NoInputError(f"--redo {path}: rejects nothing, so there is nothing to do again")
    wanted = [replace(job, rejected=made[job.name]) for job in found if job.name in made]
    if not wanted:
        raise NoInputError(
            f"--redo {path}: none of its {len(made)} rejected pictures is among the inputs; give the same INPUT"
        )
    return wanted
