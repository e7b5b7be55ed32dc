"""What a person changes about one picture's colours: seen at once, and recorded like flags of `run`."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from archivecolor import photo, provenance, weights
from archivecolor.errors import OutputError, PictureError, UsageError, WeightsError
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorOptions, Hint, OutputFormat, ReferenceOptions, RunOptions, build
from archivecolor.photo import Photo
from archivecolor.photo.page import FORMAT_SUFFIXES
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.outputs import target_of
from archivecolor.pipeline.reference_palette import with_palette
from archivecolor.pipeline.runner import work
from archivecolor.provenance import Manifest, Record
from archivecolor.review.desk.collection import Collection
from archivecolor.review.desk.pictures import OpenPicture

HISTORICAL_COLOURS = {
    "khaki drill": "#a08c5b",
    "field grey": "#4d5d53",
    "horizon blue": "#7d93a6",
    "olive drab": "#4b5320",
    "navy": "#1f2a44",
    "scarlet tunic": "#b0252a",
    "Prussian blue": "#1d3f66",
    "indigo": "#3b3b6d",
    "bottle green": "#1e4d38",
    "loden": "#5b6148",
    "burgundy": "#6d1f2f",
    "brick": "#9a4a37",
    "terracotta": "#b5653f",
    "ochre": "#c08a3e",
    "straw": "#d9bf77",
    "oak": "#8a6a43",
    "mahogany": "#6b3a2a",
    "fair skin": "#d8a68b",
    "tanned skin": "#b07d5f",
    "brown skin": "#7a4f3a",
    "grass": "#6f8243",
    "overcast sky": "#a9b4bd",
    "clear sky": "#8fb1cf",
    "linen": "#e3d9c3",
    "sepia paper": "#d8c4a0",
    "neutral grey": "#808080",
}
"""Colours that were common in clothes, houses and landscapes of old photographs: places to begin, no evidence."""


@dataclass(frozen=True)
class Correction:
    """The settings of one picture, by the names of the flags of `run`."""

    model: str
    size: int = 256
    strength: float = 1.0
    mirror: bool = False
    hints: tuple[Hint, ...] = ()
    palette: str = ""
    """The name of an input whose colours the picture's are moved towards; "" for none."""
    palette_strength: float = 0.7

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Correction:
        """From a request of the page.

        Raises:
            UsageError: a value is not allowed.
        """
        try:
            hints = values.get("hints", [])
            if not isinstance(hints, list):
                raise TypeError("hints is no list")
            return cls(
                model=_text(values["model"]),
                size=int(_number(values.get("size", 256))),
                strength=_number(values.get("strength", 1.0)),
                mirror=values.get("mirror") is True,
                hints=tuple(
                    Hint(int(_number(one["x"])), int(_number(one["y"])), _text(one["colour"]).lower()) for one in hints
                ),
                palette=_text(values.get("palette", "")),
                palette_strength=_number(values.get("palette_strength", 0.7)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"these settings cannot be read ({error})") from error

    def color(self, collection: Collection) -> ColorOptions:
        """The options of a run that give these colours.

        Raises:
            UsageError: a value is not allowed, or the reference has no colour.
        """
        color = ColorOptions(size=self.size, strength=self.strength, mirror=self.mirror, hints=self.hints)
        reference = self.reference(collection)
        if reference is None:
            return color
        options = RunOptions(inputs=("-",), out=collection.out, color=color)
        wanted = ReferenceOptions(palette=reference, palette_strength=self.palette_strength)
        return with_palette(options, wanted).color

    def reference(self, collection: Collection) -> Path | None:
        """The picture whose colours are taken."""
        if not self.palette:
            return None
        row = collection.row(self.palette)
        return collection.output_of(row) if row.output else collection.source_of(row)

    def flags(self, reference: Path | None = None) -> str:
        """The same on the command line."""
        words = [f"--model {self.model}", f"--size {self.size}", f"--strength {self.strength:g}"]
        words += ["--mirror"] * self.mirror
        words += [f"--palette {shlex.quote(str(reference))} --palette-strength {self.palette_strength:g}"] * (
            reference is not None
        )
        return " ".join((*words, *(f"--hint '{hint}'" for hint in self.hints)))


class Workshop:
    """The weights that are loaded, and what is done with them. Safe to use from several threads."""

    def __init__(self, device: str = "auto") -> None:
        self._device, self._turn = device, threading.Lock()
        self._colorizers: dict[str, Colorizer] = {}
        self._close = ExitStack()

    def close(self) -> None:
        """Stops the threads of the networks."""
        self._close.close()

    def warm_up(self, model: str) -> None:
        """Loads weights, so that the first preview need not wait for them."""
        with self._turn, suppress(UsageError):
            self.colorizer(model)

    def colorizer(self, model: str) -> Colorizer:
        """The weights of this name; they are loaded if they are not yet.

        Raises:
            UsageError: they are none of the shipped ones.
        """
        if model not in models():
            raise UsageError(f"model {model!r}: choose one of {', '.join(models())}")
        if model not in self._colorizers:
            self._colorizers[model] = self._close.enter_context(
                Colorizer(model, RunOptions(inputs=("-",), out=Path(), device=self._device))
            )
        return self._colorizers[model]

    def preview(self, picture: OpenPicture, correction: Correction, collection: Collection) -> int:
        """Shows a picture with these settings. The network is asked only once for each model, size and mirror.

        Returns:
            The version of the preview.

        Raises:
            UsageError, PictureError: a setting is not allowed, or a hint lies outside the picture.
        """
        color = correction.color(collection)
        with self._turn:
            colorizer = self.colorizer(correction.model)
            colorizer.color = color
            prediction = picture.predict((correction.model, color.size, color.mirror), colorizer.predict)
        return picture.preview(colorizer.guide(prediction, color))

    def keep(self, row: Record, picture: OpenPicture, correction: Correction, collection: Collection) -> Record:
        """Colours one picture of the collection anew with these settings, as `run --redo` does: later runs leave the
        result as it is.

        Returns:
            Its new row.

        Raises:
            OutputError: a run is writing into the folder, or it cannot be written.
            PictureError: the picture cannot be coloured.
        """
        source = collection.source_of(row)
        target = collection.output_of(row) if row.output else collection.out / row.input
        job = Job(source, row.input, target, rejected=row.output_sha256 or row.source_sha256)
        options = _run_options(job, row, picture.photo, correction, collection)
        with self._turn:
            colorizer = self.colorizer(correction.model)
            colorizer.color = options.color
            with Manifest(collection.out, options.disclosure.sidecar) as manifest:
                [(_, outcome)] = work([job], colorizer, options, manifest, RunObserver())
                if isinstance(outcome, OutputError):
                    raise outcome
                if outcome is not None:
                    manifest.append(outcome)
        collection.reload()
        result = collection.row(row.input)
        if result.status != provenance.DONE or result.problem:
            raise PictureError(f"{row.input}: {result.problem or result.reason}")
        return result


def models() -> list[str]:
    """The names of the shipped weights."""
    return sorted(card.parent.name for card in weights.shipped_folder().glob("*/card.json"))


def _run_options(job: Job, row: Record, source: Photo, correction: Correction, collection: Collection) -> RunOptions:
    """The options of a run that colours one picture with the settings of the person, and with the format, the name and
    the disclosure that its output has now.

    Raises:
        PictureError: the output would get another name, or lose its signature.
    """
    values = _recorded_options(job.target)
    if values.pop("c2pa", False):
        raise PictureError(f"{row.output}: is signed; colour it again on the command line, with --c2pa and --redo")
    if not values and row.output:
        values["format"] = _format_of(job.target, source)
    mark = {"mark": row.mark, "mark_font": row.mark_font or None, "sidecar": row.sidecar if row.output else True}
    options = replace(
        build(RunOptions, {"inputs": ("-",), "out": collection.out, "model": correction.model, **values, **mark}),
        color=correction.color(collection),
        recolor=True,
        workers=1,
    )
    target = target_of(job, photo.writable_format(source, options.format), options)
    if row.output and target != job.target:
        raise PictureError(
            f"{row.output}: it is not known with which --format and --suffix it was made; use run --redo"
        )
    return options


def recorded_run(collection: Collection) -> RunOptions:
    """The options of the run that made a folder, from the sidecar of a finished photograph. A run with them leaves all
    that is finished as it is.

    Raises:
        UsageError: they cannot be told, or not all photographs were made with the same.
    """
    way_out = "run it on the command line, with the options of the first time"
    rows = [row for row in collection.rows.values() if row.status == provenance.DONE and not (row.film or row.redone)]
    if not rows:
        raise UsageError(f"no photograph here says with which options it was made; {way_out}")
    row = rows[-1]
    if other := sum(one.options != row.options or one.weights_sha256 != row.weights_sha256 for one in rows):
        raise UsageError(f"{other} photographs were made with other options than {row.input}; {way_out}")
    try:
        recorded = json.loads(provenance.sidecar_of(collection.output_of(row)).read_text(encoding="utf-8"))["options"]
        groups = {**recorded, **recorded["color"], **recorded["disclosure"]}
        values = {name: groups[name] for name in _RECORDED if name in groups}
        options = build(RunOptions, {**values, "inputs": ("-",), "out": collection.out})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{row.output}: its sidecar does not say with which options it was made; {way_out}") from error
    try:
        is_same = weights.read_card(weights.find(options.model)).sha256 == row.weights_sha256
    except WeightsError:
        is_same = False
    if options.digest() != row.options or not is_same:
        raise UsageError(f"this folder was made with a palette, a signature or other weights; {way_out}")
    return options


_RECORDED = (
    *("model", "format", "quality", "suffix", "recolor", "max_megapixels", "strips_above", "confidence", "precision"),
    *("size", "strength", "warmth", "tiles", "mirror", "mark", "mark_font", "source_type", "sidecar"),
)
"""The options in a sidecar that a later run needs."""


def _format_of(output: Path, source: Photo) -> str:
    """The --format that gave an output its suffix."""
    suffix = output.suffix.lower()
    if suffix in FORMAT_SUFFIXES.get(photo.writable_format(source, OutputFormat.SAME), ()):
        return OutputFormat.SAME
    return next((choice for choice in OutputFormat if suffix in FORMAT_SUFFIXES.get(choice, ())), OutputFormat.SAME)


def _recorded_options(output: Path) -> dict[str, object]:
    """The options that an output's sidecar names and that a new output must keep; {} without a sidecar."""
    path = provenance.sidecar_of(output)
    if not provenance.is_sidecar(path):
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))["options"]
        return {name: options[name] for name in ("format", "quality", "suffix")} | {
            "c2pa": options["disclosure"]["c2pa"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
