"""What a person changes about one picture's colours: seen at once, and recorded like flags of `run`."""

from __future__ import annotations

import shlex
import threading
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from archivecolor import photo, provenance, weights
from archivecolor.errors import OutputError, PictureError, UsageError
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorOptions, Hint, ReferenceOptions, Region, RunOptions, build, flags, leaves
from archivecolor.options.table import Leaf
from archivecolor.photo import Photo
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.outputs import target_of
from archivecolor.pipeline.reference_palette import with_palette
from archivecolor.pipeline.runner import work
from archivecolor.provenance import Manifest, Record
from archivecolor.review.desk import body
from archivecolor.review.desk.body import Body
from archivecolor.review.desk.collection import Collection
from archivecolor.review.desk.pictures import OpenPicture
from archivecolor.review.desk.recorded import format_of, group, options_of

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
    color: ColorOptions = ColorOptions()
    """Without a palette."""
    palette: str = ""
    """The name of an input whose colours the picture's are moved towards; "" for none."""
    palette_strength: float = ReferenceOptions.palette_strength

    @classmethod
    def of(cls, values: Body) -> Correction:
        """From a request of the page.

        Raises:
            UsageError: a value is not allowed.
        """
        wanted = {leaf.name: _option(values, leaf) for leaf in leaves(ColorOptions)}
        wanted |= {
            "hints": tuple(
                Hint(body.integer(one, "x"), body.integer(one, "y"), body.text(one, "colour").lower())
                for one in body.objects(values, "hints")
            ),
            "neutral": tuple(
                Region(*(body.integer(one, side) for side in ("x", "y", "width", "height")))
                for one in body.objects(values, "neutral")
            ),
        }
        color = build(ColorOptions, wanted)
        strength = body.number(values, "palette_strength", cls.palette_strength)
        return cls(body.text(values, "model"), color, body.text(values, "palette", ""), strength)

    def values(self) -> dict[str, object]:
        """The same as the page sends it; plain JSON types."""
        color = asdict(self.color)
        del color["palette"]
        for hint in color["hints"]:
            del hint["seconds"]  # of films, whose colours are not pinned here
        return {"model": self.model, **color, "palette": self.palette, "palette_strength": self.palette_strength}

    def color_options(self, collection: Collection) -> ColorOptions:
        """The options of a run that give these colours.

        Raises:
            UsageError: a value is not allowed, or the reference has no colour.
        """
        reference = self.reference(collection)
        if reference is None:
            return self.color
        options = RunOptions(inputs=("-",), out=collection.out, color=self.color)
        return with_palette(options, self._reference_options(reference)).color

    def reference(self, collection: Collection) -> Path | None:
        """The picture whose colours are taken."""
        if not self.palette:
            return None
        row = collection.row(self.palette)
        return collection.output_of(row) if row.output else collection.source_of(row)

    def flags(self, collection: Collection) -> str:
        """The same on the command line."""
        palette = flags(self._reference_options(self.reference(collection)), ("palette_strength",) * bool(self.palette))
        return shlex.join(["--model", self.model, *palette, *flags(self.color, ("size", "strength"))])

    def _reference_options(self, reference: Path | None) -> ReferenceOptions:
        return ReferenceOptions(palette=reference, palette_strength=self.palette_strength)


def _option(values: Body, leaf: Leaf) -> object:
    """An option of the page by the type of its field; its default where the page names none.

    Raises:
        UsageError: it is of another type.
    """
    if leaf.types == (bool,):
        return values.get(leaf.name) is True
    if leaf.types == (int,):
        return body.integer(values, leaf.name, leaf.default)
    if leaf.types == (float,):
        return body.number(values, leaf.name, leaf.default)
    return leaf.default if leaf.repeatable else body.text(values, leaf.name, leaf.default)


def made_with(row: Record, collection: Collection) -> Correction:
    """The settings that a picture was made with, as far as its sidecar and its row tell them; else the usual ones."""
    recorded = options_of(collection.output_of(row)) if row.output else {}
    color = group(recorded, "color")
    palette = group(color, "palette")
    model = row.model if row.model in models() else models()[0]
    try:
        settings = Correction.of({**color, "model": model, "palette": ""})
        if reference := _input_of(palette.get("sha256"), collection):
            settings = replace(settings, palette=reference, palette_strength=body.number(palette, "strength"))
        return settings
    except UsageError:
        return Correction(model)


def _input_of(sha256: object, collection: Collection) -> str:
    """The name of the input whose output or source has this hash; "" for none."""
    rows = collection.rows.values()
    return next((row.input for row in rows if sha256 and sha256 in (row.output_sha256, row.source_sha256)), "")


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
        """Shows a picture with these settings. The network is asked only once for each model, and for
        each set of the options that it sees.

        Returns:
            The version of the preview.

        Raises:
            UsageError, PictureError: a setting is not allowed, or a hint lies outside the picture.
        """
        color = correction.color_options(collection)
        with self._turn:
            colorizer = self.colorizer(correction.model)
            colorizer.color = color
            # All but what guides the prediction afterwards decides what the network is asked.
            seen = replace(color, strength=1.0, warmth=0.0, palette=None, hints=(), neutral=())
            prediction = picture.predict((correction.model, seen), colorizer.predict)
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
        if picture.photo is None:
            raise PictureError(f"{row.input}: a film is coloured as a whole; reject it, and redo the rejected")
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
    recorded = options_of(job.target)
    values = {name: recorded[name] for name in ("format", "quality", "suffix") if name in recorded}
    if group(recorded, "disclosure").get("c2pa"):
        raise PictureError(f"{row.output}: is signed; colour it again on the command line, with --c2pa and --redo")
    if not values and row.output:
        values["format"] = format_of(job.target, source)
    mark = {"mark": row.mark, "mark_font": row.mark_font or None, "sidecar": row.sidecar if row.output else True}
    options = replace(
        build(RunOptions, {"inputs": ("-",), "out": collection.out, "model": correction.model, **values, **mark}),
        color=correction.color_options(collection),
        recolor=recorded.get("recolor") is True or row.pages < 2 or row.status != provenance.DONE,
        workers=1,
    )
    target = target_of(job, photo.writable_format(source, options.format), options)
    if row.output and target != job.target:
        raise PictureError(
            f"{row.output}: it is not known with which --format and --suffix it was made; use run --redo"
        )
    return options
