"""`archivecolor.run`: the command `archivecolor run` as a function."""

from __future__ import annotations

from pathlib import Path

from archivecolor.errors import UsageError
from archivecolor.options import Place, ReferenceOptions, RunOptions, build, refuse_unknown
from archivecolor.pipeline.reference_palette import with_palette
from archivecolor.pipeline.runner import drive_with
from archivecolor.provenance import Record


def run(*inputs: str | Path, out: str | Path, **options: object) -> list[Record]:
    """Colours files and folders into `out`, as the command `archivecolor run` does.

    Args:
        inputs: files, folders, patterns and lists; see `find_inputs`.
        out: the output folder.
        options: those of the command line, by the names of the fields of `RunOptions`, its groups and
            `ReferenceOptions`: `size=384`, `palette="reference.jpg"`, `hints=["120,80,#3a5f8b"]`, `codec="prores"`. A
            group may also be given whole: `disclosure=Disclosure(mark="auto")`. Here `device` names one device, and
            everything runs on this machine.

    Returns:
        The manifest rows of the inputs, in input order. An input that could not be coloured has a row with the status
        `failed` and a reason; nothing is raised for it.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError, MissingDependencyError: the run cannot start or continue.
        TypeError: there is no such option.
    """
    refuse_unknown("run", options, RunOptions, ReferenceOptions)
    values = {**options, "inputs": tuple(map(str, inputs)), "out": out}
    requested = with_palette(build(RunOptions, values), build(ReferenceOptions, values))
    if requested.on != Place.LOCAL:
        raise UsageError(f"--on {requested.on}: is for `archivecolor run` on the command line; leave it out")
    return drive_with(list, requested)
