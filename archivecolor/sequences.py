"""Numbered files: `scan/frame_%06d.dpx` stands for all frames of a film whose frames are files of their own.

The syntax is that of C's printf and FFmpeg's image2: `%06d` is a number of at least six digits, `%d` one without
leading zeros. No file has such a path. It stands for all of the frames wherever one path is expected: in a job, or in a
row of the manifest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

_FIELD = re.compile(r"%(?:0([1-9]\d?))?d")
_NUMBER_AT_END = re.compile(r"([^%]*?)(\d+)((?:\.[^.%\d]*)?)", re.DOTALL)


def is_pattern(path: Path) -> bool:
    """Whether a path is a number pattern: its name holds a field for a number, and no file has that very name."""
    return "%" in path.name and _FIELD.search(path.name) is not None and not os.path.lexists(path)


def frame_paths_by_number(path: Path) -> dict[int, Path]:
    """The files that fit a pattern, by number, in ascending order; {} where the folder cannot be read.

    Raises:
        ValueError: the path is no pattern.
    """
    parts = _parts(path)
    paths: dict[int, Path] = {}
    try:
        names = os.listdir(path.parent)  # noqa: PTH208  (names alone: a film has a hundred thousand frames)
    except OSError:
        return {}
    for name in names:
        number = _number(parts, name)
        if number is not None:
            paths[number] = path.with_name(name)
    return dict(sorted(paths.items()))


def _number(parts: tuple[str, int, str], name: str) -> int | None:
    """The number in a file name that fits a pattern; None for other names."""
    prefix, width, suffix = parts
    digits = name[len(prefix) : len(name) - len(suffix)]
    fits = name.startswith(prefix) and name.endswith(suffix) and digits.isascii() and digits.isdecimal()
    return int(digits) if fits and (len(digits) == width or (len(digits) > width and digits[0] != "0")) else None


def matches(pattern: str, name: str) -> bool:
    """Whether a file name fits a pattern."""
    return _number(_parts(Path(pattern)), name) is not None


def overlap(one: str, other: str) -> bool:
    """Whether some file name fits both patterns. Unusual pairs such as `a0%d` and `a%02d` are not recognised."""
    pairs = ((one, other), (other, one))
    return any(matches(a, frame_name(Path(b), number)) for a, b in pairs for number in (0, 1, 10**99))


def frame_paths(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or those that fit its pattern, by number."""
    return list(frame_paths_by_number(path).values()) if is_pattern(path) else [path]


def exists(path: Path) -> bool:
    """Whether the file exists, or at least one file that fits the pattern."""
    return bool(frame_paths_by_number(path)) if is_pattern(path) else path.is_file()


def frame_name(path: Path, number: int) -> str:
    """The file name of one frame of a pattern."""
    prefix, width, suffix = _parts(path)
    return f"{prefix}{number:0{width}}{suffix}"


def name_with_range(path: Path, numbers: Iterable[int]) -> str:
    """The name of a pattern with its first and last number in place of the field: `frame_000001-000480.dpx`."""
    prefix, width, suffix = _parts(path)
    ordered = sorted(numbers)
    return f"{prefix}{ordered[0]:0{width}}-{ordered[-1]:0{width}}{suffix}"


def _parts(path: Path) -> tuple[str, int, str]:
    """A pattern's prefix, the least number of digits, and its suffix."""
    field = _FIELD.search(path.name)
    if field is None:
        raise ValueError(f"{path}: no place for a number in its name")
    return path.name[: field.start()], int(field[1] or 1), path.name[field.end() :]


def find_patterns(names: Iterable[str]) -> dict[str, list[str]]:
    """Groups the file names of one folder that differ only in a number at their end: pattern -> names.

    A name without a number is its own pattern. So is each name of a group whose leading zeros do not agree.
    """
    groups: dict[tuple[str, str], dict[str, str]] = {}
    """(prefix, suffix) -> digits -> name"""
    patterns: dict[str, list[str]] = {}
    for name in names:
        parts = _NUMBER_AT_END.fullmatch(name)
        if parts:
            groups.setdefault((parts[1], parts[3]), {})[parts[2]] = name
        else:
            patterns[name] = [name]
    for (prefix, suffix), by_digits in groups.items():
        if (field := _field_of(by_digits)) is None:
            patterns |= {name: [name] for name in by_digits.values()}
        else:
            patterns[f"{prefix}{field}{suffix}"] = list(by_digits.values())
    return patterns


def _field_of(numbers: Iterable[str]) -> str | None:
    """The field that all these numbers fit, as `%06d`; None where their leading zeros do not agree."""
    digits = list(numbers)
    width = min(map(len, digits))
    if any(len(number) > width and number[0] == "0" for number in digits):
        return None
    padded = any(number[0] == "0" and len(number) > 1 for number in digits)
    one_length = len({len(number) for number in digits}) == 1
    return f"%0{width}d" if width > 1 and (padded or one_length) else "%d"


def consecutive_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """[first, last] of every range of consecutive numbers."""
    ordered = sorted(numbers)
    gaps = missing_ranges(ordered)
    starts, ends = [*ordered[:1], *(b + 1 for _, b in gaps)], [*(a - 1 for a, _ in gaps), *ordered[-1:]]
    return [[start, end] for start, end in zip(starts, ends, strict=True)]


def missing_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """(first, last) of every range of numbers that is missing between the smallest and the largest."""
    ordered = sorted(numbers)
    return [(a + 1, b - 1) for a, b in pairwise(ordered) if b - a > 1]
