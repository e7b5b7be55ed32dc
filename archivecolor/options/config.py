"""Options in a file, `archivecolor.toml`: the flags of the command line without their dashes.

    out = "color"
    strength = 0.9
    exclude = ["*_thumb.jpg"]
    sidecar = false

Paths count from the current folder, as on the command line, so that the same words mean the same options.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import get_args

from archivecolor.errors import UsageError
from archivecolor.options.table import Leaf, Options, did_you_mean, leaves

NAME = "archivecolor.toml"
"""Of the file that is read where it lies beside the inputs."""
_ONLY_IF_NAMED = frozenset(("inputs", "out", "overwrite", "log_file", "on", "address"))
"""Where a run reads and writes is not decided by a file that came with a collection."""
_KINDS: dict[object, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


def key_of(leaf: Leaf) -> str:
    """`digital-source-type` for `--digital-source-type`; `input` for the argument INPUT."""
    return "input" if leaf.option.positional else leaf.flag.removeprefix("--")


def read(path: Path, tables: Iterable[type[Options]], is_named: bool = True) -> dict[str, object]:
    """The options of a file by the names of their fields.

    Args:
        is_named: the user named the file; it was not found beside the inputs.

    Raises:
        UsageError: it cannot be read, is no TOML, or has an unknown key or a value of a wrong type.
    """
    import tomllib  # not at the top, so that --help is quick

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--config {path}: is no TOML ({error})") from error
    known = {key_of(leaf): leaf for table in tables for leaf in leaves(table)}
    found: dict[str, object] = {}
    for key, value in values.items():
        leaf = known.get(key.replace("_", "-"))
        if leaf is None:
            raise UsageError(f"{path}: there is no option {key!r}{did_you_mean(key.replace('_', '-'), known)}")
        if not is_named and leaf.name in _ONLY_IF_NAMED:
            raise UsageError(f"{path}: {key} is read only from a file that you name: --config {path}")
        found[leaf.name] = _checked(leaf, value, f"{path}: {key}")
    return found


def find(inputs: Sequence[str]) -> Path | None:
    """The file of this name beside the inputs: in a folder that is an input, or in the folder of a file that is one.

    Raises:
        UsageError: there are several.
    """
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in map(Path, inputs) if path.exists())
    found = list(dict.fromkeys(path for folder in folders if (path := folder / NAME).is_file()))
    if len(found) > 1:
        raise UsageError(f"{', '.join(map(str, found))}: choose one with --config")
    return found[0] if found else None


def as_toml(*groups: Options) -> str:
    """The options that differ from their defaults, as a file that `read` understands."""
    lines = ["# Written by `archivecolor run --save-config`."]
    for group in groups:
        for leaf, value in _values(group):
            if value != leaf.default and not (value in ((), None) or value == ""):
                lines.append(f"{key_of(leaf)} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _values(group: Options) -> Iterable[tuple[Leaf, object]]:
    own = {leaf.name: leaf for leaf in leaves(type(group))}
    for name, value in vars(group).items():
        if isinstance(value, Options):
            yield from _values(value)
        elif name in own:
            yield own[name], value


def _checked(leaf: Leaf, value: object, what: str) -> object:
    """A value of the file, if its type fits.

    Raises:
        UsageError: it does not.
    """
    if leaf.repeatable:
        inner = str if leaf.option.parse else get_args(leaf.types[0])[0]
        return [_one(inner, part, what) for part in (value if isinstance(value, list) else [value])]
    return _one(leaf.types[0], value, what)


def _one(kind: object, value: object, what: str) -> object:
    types, words = _KINDS.get(kind, ((str,), "a text in quotes"))
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{what} = {value}: write {words}")
    return Path(str(value)) if kind is Path else value


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float) and not isinstance(value, Enum):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def merged(flags: Mapping[str, object], tables: Iterable[type[Options]]) -> dict[str, object]:
    """What a file adds to the flags that were given: its options, which the flags overrule.

    Args:
        flags: those of the command line only, by the names of their fields.
    """
    named, inputs = flags.get("config"), flags.get("inputs")
    if isinstance(named, Path):
        return {**read(named, tables), "config": named}
    path = find([str(text) for text in inputs]) if isinstance(inputs, list) else None
    if path is None:
        return {}
    return {**read(path, tables, is_named=False), "config": path}
