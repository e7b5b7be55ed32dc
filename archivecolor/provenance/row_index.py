"""The rows of a manifest, read when they are needed.

A manifest may come from a stranger or from an editor: a line whose values have other types than a row, or whose output
lies outside the folder, is not a row.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.provenance.records import DONE, FAILED, SKIPPED, STARTED, Record

_Values = dict[str, Any]


class RowIndex(Mapping[str, Record]):
    """The newest row of each input. Only the place where it begins is in memory, so a manifest of a million rows takes
    about 200 MB and not gigabytes. Lines that are not rows are skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begins: dict[str, int] = {}
        at = 0
        for line in _lines(path):
            if values := _row(line):
                self._begins[values["input"]] = at
            at += len(line)

    def note(self, name: str, at: int) -> None:
        """The newest row of this input begins at byte `at`."""
        self._begins[name] = at

    def __getitem__(self, name: str) -> Record:
        at = self._begins[name]
        try:
            with self.path.open("rb") as file:
                return self._read(file, at)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be read any more ({error.strerror or error}); when the output folder is there "
                "again, repeat the command"
            ) from error

    def _read(self, file: BinaryIO, at: int) -> Record:
        file.seek(at)
        values = _values(file.readline())
        if values is None:
            raise OutputError(f"{self.path}: was changed by something else during this run; start it again")
        return Record(**values)

    def newest(self) -> Iterator[Record]:
        """All of them, one by one; the file is opened once."""
        if self._begins:
            with self.path.open("rb") as file:
                for at in self._begins.values():
                    yield self._read(file, at)

    def __contains__(self, name: object) -> bool:
        return name in self._begins

    def __iter__(self) -> Iterator[str]:
        return iter(self._begins)

    def __len__(self) -> int:
        return len(self._begins)


class LayeredRows(Mapping[str, Record]):
    """The rows of several manifests as one mapping. If two have a row of an input, the first one counts."""

    def __init__(self, *layers: RowIndex) -> None:
        self.layers = layers

    def __getitem__(self, name: str) -> Record:
        for layer in self.layers:
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def newest(self) -> Iterator[Record]:
        """The rows of all layers, also those that do not count."""
        return itertools.chain.from_iterable(layer.newest() for layer in self.layers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(itertools.chain(*reversed(self.layers))))

    def __len__(self) -> int:
        return len(set().union(*self.layers))


_KNOWN = {f.name for f in fields(Record)}
_NEEDED = {"input", "source", "output", "status"}
_DECODE = json.JSONDecoder().raw_decode
"""Takes a quarter of the time of `json.loads`, because it does not look for space around the text."""
_LISTS = ("notes", "earlier", "guidance")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("input", "source", "status", "reason", "source_sha256", "output_sha256", "model"), (str,)),
    **dict.fromkeys(("weights_sha256", "options", "format", "source_type", "mark", "mark_font", "problem"), (str,)),
    **dict.fromkeys(("width", "height", "pages", "depth"), (int,)),
    **dict.fromkeys(_LISTS, (list,)),
    **dict.fromkeys(("sidecar", "redone"), (bool,)),
    **dict.fromkeys(("seconds", "film", "access"), (dict,)),
    **dict.fromkeys(("max_delta_l", "confidence"), (float, int, type(None))),
    "output": (str, type(None)),
}
"""The JSON types of the fields of `Record`."""
_STATUSES = (DONE, SKIPPED, FAILED, STARTED)
_MOST = 1 << 53
"""Larger numbers are no counts, and overflow where they are multiplied."""
_COUNTS = ("width", "height", "pages", "depth")
_FILM_COUNTS = ("frames", "bad_frames", "shots", "first", "missing", "deinterlaced", "seen")
_ANY = (str, int, float, bool, list, dict, type(None))
"""The types of fields that only another version of this program knows."""


def newest_rows(path: Path) -> dict[str, Record]:
    """The newest row of each input, all in memory, read in one pass. {} where there is no such file.

    Raises:
        OutputError: the file cannot be read.
    """
    return {values["input"]: Record(**values) for line in _lines(path) if (values := _values(line))}


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a manifest; none where there is no such file. Raises OutputError."""
    try:
        if path.exists():
            files.check_regular(path)
            with path.open("rb") as lines:
                yield from lines
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror or error}); see what it is") from error


def is_manifest(path: Path) -> bool:
    """Whether a file begins with a row of this program."""
    try:
        files.check_regular(path)
        with path.open("rb") as file:
            return _row(file.readline(1 << 20)) is not None
    except OSError:
        return False


def _row(line: bytes) -> _Values | None:
    """The values of a line as they were written; None if it is not a row."""
    try:
        text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip(" \t\n\r")  # BOM: from an editor
        values, end = _DECODE(text)
        if end != len(text) or not values.keys() >= _NEEDED:
            return None
        for key, value in values.items():
            if type(value) not in _TYPES.get(key, _ANY):
                return None
        if not _is_sane(values):
            return None
        if "\\u" in text:  # a surrogate that stands for no byte of a name can come from an escape only
            os.fsencode(json.dumps(values, ensure_ascii=False))
    except (ValueError, AttributeError, RecursionError):
        return None
    row: _Values = values
    return row


def _is_sane(values: _Values) -> bool:
    """Whether values of the right types can be those of a row: what reads rows need not check them again."""
    output, get = values["output"], values.get
    return (
        values["status"] in _STATUSES
        and (output is None or _is_inside(output))
        and all(type(name) is str and _is_inside(name) for name in get("earlier", ()))
        and all(type(made) is str and _is_inside(name) for name, made in get("access", {}).items())
        and all(type(text) is str for key in ("notes", "guidance") for text in get(key, ()))
        and all(0 <= get(key, 0) < _MOST for key in _COUNTS)
        and all(get(key) is None or _is_number(get(key)) for key in ("max_delta_l", "confidence"))
        and all(_is_number(value) for value in get("seconds", {}).values())
        and "\0" not in values["input"]
        and "\0" not in values["source"]
        and (not get("film") or _is_film(values["film"]))
    )


def _is_film(facts: _Values) -> bool:
    """Whether the facts of a film have the types that `Record.film` names; others may come from a later version."""
    card, numbers = facts.get("title_card", {}), facts.get("numbers", [])
    return (
        all(type(facts.get(key, 0)) is int and 0 <= facts.get(key, 0) < _MOST for key in _FILM_COUNTS)
        and all(_is_number(facts.get(key, 0)) for key in ("fps", "duration"))
        and all(facts.get(key) is None or _is_number(facts[key]) for key in ("reuse_error", "reuse_worst"))
        and all(type(facts.get(key, [])) is list for key in ("stills", "still_numbers"))
        and all(_is_number(time) for key in ("stills", "still_numbers") for time in facts.get(key, []))
        and type(facts.get("curve", "")) is str
        and type(numbers) is list
        and all(type(pair) is list and [type(number) for number in pair] == [int, int] for pair in numbers)
        and type(card) is dict
        and _is_number(card.get("seconds", 0))
    )


def _is_number(value: object) -> bool:
    """Whether it is a finite number of a sensible size."""
    return type(value) in (int, float) and -_MOST < value < _MOST  # type: ignore[operator]


def _is_inside(name: str) -> bool:
    """Whether a name is that of a file inside the output folder."""
    if ".." in name and ".." in name.replace("\\", "/").split("/"):
        return False
    return name.strip("./\\") != "" and name[:1] not in ("/", "\\") and "\0" not in name


def _values(line: bytes) -> _Values | None:
    """The arguments of `Record` from a line; None if it is not a row."""
    values = _row(line)
    if values is None:
        return None
    values |= {key: tuple(values.get(key, ())) for key in _LISTS}
    return {key: value for key, value in values.items() if key in _KNOWN}
