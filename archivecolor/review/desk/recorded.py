"""The options that finished pictures were made with, as their sidecars tell them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from archivecolor import photo, provenance, weights
from archivecolor.errors import UsageError, WeightsError
from archivecolor.options import ColorOptions, FilmOptions, OutputFormat, RunOptions, build, leaves
from archivecolor.photo import Photo
from archivecolor.photo.page import FORMAT_SUFFIXES
from archivecolor.pipeline.attempt import identity_of
from archivecolor.pipeline.inputs import Job, SourceKind
from archivecolor.provenance import Record
from archivecolor.review.desk.collection import Collection

_OF_A_RUN = (
    *("model", "format", "quality", "suffix", "recolor", "max_megapixels", "strips_above", "confidence", "precision"),
    *(leaf.name for leaf in leaves(ColorOptions) if not leaf.repeatable),
    *("mark", "mark_font", "source_type", "sidecar"),
    *(leaf.name for leaf in leaves(FilmOptions)),
)
"""The options in a sidecar that a later run needs."""
_WAY_OUT = "run it on the command line, with the options of the first time"


def options_of(output: Path) -> Mapping[str, object]:
    """The options in an output's sidecar, as JSON has them; {} without a sidecar, and for a damaged one."""
    path = provenance.sidecar_of(output)
    if not provenance.is_sidecar(path):
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))["options"]
        return options if isinstance(options, dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def group(options: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A group of a sidecar's options; {} where it has none."""
    values = options.get(name)
    return values if isinstance(values, dict) else {}


def format_of(output: Path, source: Photo) -> str:
    """The --format that gave an output its suffix."""
    suffix = output.suffix.lower()
    if suffix in FORMAT_SUFFIXES.get(photo.writable_format(source, OutputFormat.SAME), ()):
        return OutputFormat.SAME
    return next((choice for choice in OutputFormat if suffix in FORMAT_SUFFIXES.get(choice, ())), OutputFormat.SAME)


def recorded_run(collection: Collection) -> RunOptions:
    """The options of the run that made a folder, from the sidecar of a finished input. A run with them leaves all
    that is finished as it is.

    Raises:
        UsageError: they cannot be told, or not all inputs were made with the same.
    """
    rows = [row for row in collection.rows.values() if row.status == provenance.DONE and not row.redone]
    if not rows:
        raise UsageError(f"nothing here says with which options it was made; {_WAY_OUT}")
    row = next((row for row in reversed(rows) if row.film), rows[-1])  # only a film's sidecar has the options of films
    recorded = options_of(collection.output_of(row))
    groups = {**recorded, **group(recorded, "color"), **group(recorded, "disclosure"), **group(recorded, "film")}
    if "model" not in groups:
        raise UsageError(f"{row.output}: its sidecar does not say with which options it was made; {_WAY_OUT}")
    try:
        values = {name: groups[name] for name in _OF_A_RUN if name in groups}
        options = build(RunOptions, {**values, "inputs": ("-",), "out": collection.out})
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{row.output}: its sidecar does not say with which options it was made; {_WAY_OUT}"
        ) from error
    _check_same(rows, row, options)
    return options


def _check_same(rows: list[Record], row: Record, options: RunOptions) -> None:
    """Raises UsageError if a run with these options would make any of the rows again.

    Args:
        row: the one whose sidecar names the options.
    """
    try:
        weights_sha256 = weights.read_card(weights.find(options.model)).sha256
    except WeightsError:
        weights_sha256 = ""
    first_of = {(one.options, one.weights_sha256, _kind(one), Path(one.source).suffix): one for one in rows}
    others = set()
    for key, one in first_of.items():
        job = Job(Path(one.source), one.input, options.out, _kind(one))
        identity = identity_of(job, weights_sha256, options)
        if one.weights_sha256 != weights_sha256 or one.options not in (identity.options, identity.former_options):
            others.add(key)
    if any((row.options, row.weights_sha256, _kind(row)) == key[:3] for key in others):
        raise UsageError(f"this folder was made with a palette, a signature or other weights; {_WAY_OUT}")
    if others:
        count = sum((one.options, one.weights_sha256, _kind(one), Path(one.source).suffix) in others for one in rows)
        raise UsageError(f"{count} inputs were made with other options than {row.input}; {_WAY_OUT}")


def _kind(row: Record) -> SourceKind:
    if not row.film:
        return SourceKind.PHOTO
    return SourceKind.IMAGE_SEQUENCE if "first" in row.film else SourceKind.FILM
