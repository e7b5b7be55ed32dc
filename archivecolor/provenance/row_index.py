"""The rows of a manifest, read when they are asked for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from archivecolor.errors import OutputError
from archivecolor.provenance.records import Record


class RowIndex(Mapping[str, Record]):
    """The newest row of each input, read from the file when it is asked for: only where it begins is kept in memory, so
    that a manifest of a million rows costs some 200 MB and not gigabytes. Lines that are no rows are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begins: dict[str, int] = {}
        if path.exists():
            with path.open("rb") as lines:
                at = 0
                for line in lines:
                    if values := _row(line):
                        self._begins[values["input"]] = at
                    at += len(line)

    def note(self, name: str, at: int) -> None:
        """The newest row of this input begins at byte `at`."""
        self._begins[name] = at

    def __getitem__(self, name: str) -> Record:
        with self.path.open("rb") as file:
            return self._read(file, self._begins[name])

    def _read(self, file: BinaryIO, at: int) -> Record:
        file.seek(at)
        values = _values(file.readline())
        if values is None:
            raise OutputError(f"{self.path}: was changed by something else during this run; start it again")
        return Record(**values)

    def newest(self) -> Iterator[Record]:
        """All of them one by one, from one look into the file."""
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
    """The rows of several manifests as if they were one; where two have a row of an input, the first is right."""

    def __init__(self, *layers: RowIndex) -> None:
        self.layers = layers

    def __getitem__(self, name: str) -> Record:
        for layer in self.layers:
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(itertools.chain(*reversed(self.layers))))

    def __len__(self) -> int:
        return len(set().union(*self.layers))


_KNOWN = {f.name for f in fields(Record)}
_NEEDED = {"input", "source", "output", "status"}
_DECODE = json.JSONDecoder().raw_decode
"""Without the searches for space around the text, a quarter of the time of `json.loads`."""
_LISTS = ("notes", "earlier", "guidance")


def _row(line: bytes) -> dict[str, Any] | None:
    """A line as it was written, or None when it is not a row."""
    try:
        text = line.decode("utf-8", "surrogateescape").strip(" \t\n\r")
        values, end = _DECODE(text)
        known = values.keys() >= _NEEDED and isinstance(values["input"], str)
        lists = {type(values.get(key, [])) for key in _LISTS} == {list}
        if not (end == len(text) and known and lists):
            return None
    except (ValueError, AttributeError):
        return None
    row: dict[str, Any] = values
    return row


def _values(line: bytes) -> dict[str, Any] | None:
    """A line as what `Record` takes, or None when it is not a row."""
    values = _row(line)
    if values is None:
        return None
    values |= {key: tuple(values.get(key, ())) for key in _LISTS}
    return {key: value for key, value in values.items() if key in _KNOWN}
