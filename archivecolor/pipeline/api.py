"""What Python programs call: `run`, the command as a function, and `Colorizer`, for arrays and single files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from archivecolor import provenance, weights
from archivecolor.errors import UsageError
from archivecolor.inference import colorizer
from archivecolor.options import ColorizerOptions, Place, ReferenceOptions, RunOptions, build, refuse_unknown
from archivecolor.pipeline import single
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.reference_palette import with_palette
from archivecolor.pipeline.runner import drive_with
from archivecolor.provenance import Record, Totals


class Colorizer(colorizer.Colorizer):
    """Colours pictures in memory (`colorize`) and in files (`colorize_file`).

    Args and Raises: see `inference.colorizer.Colorizer`.
    """

    def __init__(
        self, model: str | Path = weights.DEFAULT_MODEL, options: ColorizerOptions = ColorizerOptions()
    ) -> None:
        super().__init__(model, options)
        self._model, self._options = str(model), options

    def colorize_file(self, source: str | Path, destination: str | Path, **options: object) -> Record:
        """Colours one picture from file to file, as `archivecolor run SOURCE --out DESTINATION` does.

        Args:
            destination: its suffix decides the format.
            options: as those of `run`: `recolor=True`, `overwrite=True`, `quality=90`, `mark="auto"`. Those of the
                colours and the device belong to the Colorizer.

        Returns:
            The row that a manifest would have: hashes, size, `max_delta_l`.

        Raises:
            PictureError: the picture cannot be coloured, is in colour already, or `destination` is a file that this
                program did not make.
            NoInputError, OutputError, UsageError: it is not there, cannot be written, or an option is wrong.
            TypeError: there is no such option.
        """
        own = {name: getattr(self._options, name) for name in (field.name for field in fields(self._options))}
        mine = own.keys() & {field.name for field in fields(ColorizerOptions)}
        for name in options:
            if name in mine:
                raise TypeError(f"colorize_file() got {name!r}, which is an option of the Colorizer")
        refuse_unknown("colorize_file", options, RunOptions)
        values = {**own, "color": self.color, "model": self._model, **options}
        requested = build(RunOptions, {**values, "inputs": (str(source),), "out": Path(destination)})
        single.destination_of(requested)

        def drive(options: RunOptions, observer: RunObserver) -> Totals:
            return drive_with(provenance.totals, options, observer, colorizer=self)

        return single.color_single(requested, Path(destination), drive)


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
