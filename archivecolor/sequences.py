"""Numbered files: `scan/frame_%06d.dpx` names all frames of a film whose frames are files of their own.

The name is that of C's printf and FFmpeg's image2: `%06d` is a number of at least six digits, `%d` one without leading
zeros. Such a path is no file, and stands for all of them wherever one path is asked for: in a job, in a manifest's row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

_FIELD = re.compile(r"%(?:0([1-9]\d?))?d")
_AT_THE_END = re.compile(r"([^%]*?)(\d+)((?:\.[^.%\d]*)?)", re.DOTALL)


def is_pattern(path: Path) -> bool:
    """Whether a path stands for numbered files: its name holds one number's place, and no file has that very name."""
    return "%" in path.name and _FIELD.search(path.name) is not None and not os.path.lexists(path)


def frame_paths_by_number(path: Path) -> dict[int, Path]:
    """The files that a pattern stands for, by number, in their order.

    Raises:
        ValueError: it is no pattern.
    """
    parts = _parts(path)
    found: dict[int, Path] = {}
    try:
        names = os.listdir(path.parent)  # noqa: PTH208  (names alone: a reel has a hundred thousand)
    except OSError:
        return {}
    for name in names:
        number = _number(parts, name)
        if number is not None:
            found[number] = path.with_name(name)
    return dict(sorted(found.items()))


def _number(parts: tuple[str, int, str], name: str) -> int | None:
    """The number in the name of one file of a pattern; None for other names."""
    before, width, after = parts
    digits = name[len(before) : len(name) - len(after)]
    whole = name.startswith(before) and name.endswith(after) and digits.isascii() and digits.isdecimal()
    return int(digits) if whole and (len(digits) == width or (len(digits) > width and digits[0] != "0")) else None


def matches(pattern: str, name: str) -> bool:
    """Whether a file name is one of a pattern's."""
    return _number(_parts(Path(pattern)), name) is not None


def overlap(one: str, other: str) -> bool:
    """Whether two patterns have a file name in common, but for pairs that nobody writes (`a0%d` and `a%02d`)."""
    pairs = ((one, other), (other, one))
    return any(matches(a, frame_name(Path(b), number)) for a, b in pairs for number in (0, 1, 10**99))


def frame_paths(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or those of its pattern, by number."""
    return list(frame_paths_by_number(path).values()) if is_pattern(path) else [path]


def exists(path: Path) -> bool:
    """Whether there is a file, or one at least of a pattern."""
    return bool(frame_paths_by_number(path)) if is_pattern(path) else path.is_file()


def frame_name(path: Path, number: int) -> str:
    """The name of one file of a pattern."""
    before, width, after = _parts(path)
    return f"{before}{number:0{width}}{after}"


def name_with_range(path: Path, numbers: Iterable[int]) -> str:
    """The name of a pattern with its first and last number in the number's place: `frame_000001-000480.dpx`."""
    before, width, after = _parts(path)
    ends = sorted(numbers)
    return f"{before}{ends[0]:0{width}}-{ends[-1]:0{width}}{after}"


def _parts(path: Path) -> tuple[str, int, str]:
    """What stands before a pattern's number, its least digits, and what stands behind it."""
    field = _FIELD.search(path.name)
    if field is None:
        raise ValueError(f"{path}: no place for a number in its name")
    return path.name[: field.start()], int(field[1] or 1), path.name[field.end() :]


def find_patterns(names: Iterable[str]) -> dict[str, list[str]]:
    """File names of one folder, gathered by what they have in common beside a number at their end: pattern -> names.

    A name without a number is its own pattern. Numbers whose leading zeros do not agree are left as single files, too.
    """
    alike: dict[tuple[str, str], dict[str, str]] = {}
    gathered: dict[str, list[str]] = {}
    for name in names:
        parts = _AT_THE_END.fullmatch(name)
        if parts:
            alike.setdefault((parts[1], parts[3]), {})[parts[2]] = name
        else:
            gathered[name] = [name]
    for (before, after), found in alike.items():
        width = min(map(len, found))
        padded = any(digits[0] == "0" and len(digits) > 1 for digits in found)
        agree = all(len(digits) == width or digits[0] != "0" for digits in found)
        if agree:
            one_length = len({len(digits) for digits in found}) == 1
            field = f"%0{width}d" if width > 1 and (padded or one_length) else "%d"
            gathered[f"{before}{field}{after}"] = list(found.values())
        else:
            gathered |= {name: [name] for name in found.values()}
    return gathered


def consecutive_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """First and last number of every stretch that is there."""
    ordered = sorted(numbers)
    holes = missing_ranges(ordered)
    begins, ends = [*ordered[:1], *(b + 1 for _, b in holes)], [*(a - 1 for a, _ in holes), *ordered[-1:]]
    return [list(ends_of) for ends_of in zip(begins, ends, strict=True)]


def missing_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last number of every stretch that is missing between the smallest and the largest."""
    ordered = sorted(numbers)
    return [(a + 1, b - 1) for a, b in pairwise(ordered) if b - a > 1]
