"""Finds the inputs, mirrors their tree under the output folder, and sees to it that no two pictures share an output."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePath

from archivecolor.errors import NoInputError, OutputError, UsageError


@dataclass(frozen=True)
class Job:
    """One picture to colour.

    `name` is its path below the root of its input, the key of its manifest row: it is the same wherever the folder
    lies. `target` is where its colour goes when the format stays what the name says.
    """

    source: Path
    name: str
    target: Path


def find(inputs: Iterable[str], out: Path, suffixes: Collection[str], suffix: str = "", new_suffix: str = "") -> list[Job]:
    """All pictures of the inputs, in a fixed order.

    Args:
        inputs: files, folders, glob patterns, `@list.txt`, or `-` for a list on standard input.
        out: the output folder; must not lie inside an input folder, nor an input folder inside it.
        suffixes: lower-case file suffixes (".jpg") that count as pictures in folders; files named one by one always do.
        suffix: added to the stem of each output (`_color`).
        new_suffix: file suffix of the outputs when the format is changed (".png"); "" keeps each one's own.

    Raises:
        NoInputError: an input does not exist, or there is no picture in any of them.
        OutputError: the output folder lies in the source tree or the other way round.
    """
    folders, single = _expand(inputs)
    for folder in folders:
        _refuse_nesting(folder, out)
    found: dict[str, Path] = {}
    for root, prefix in _prefixed(folders):
        for path in sorted(_walk(root, suffixes)):
            found.setdefault((prefix / path.relative_to(root)).as_posix(), path)
    base = _common_parent(single)
    for path in single:
        name = path.relative_to(base).as_posix() if base else path.name
        found.setdefault(name if found.get(name, path) == path else f"{path.parent.name}/{name}", path)
    if not found:
        raise NoInputError(f"no pictures in {', '.join(map(str, inputs))}; known are {' '.join(sorted(suffixes))}")
    return _targets(found, out, suffix, new_suffix)


def _expand(inputs: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Folders and single files, without repetitions, in the order given."""
    folders: dict[Path, None] = {}
    single: dict[Path, None] = {}
    for text in _lines(inputs):
        path = Path(text)
        matches = [path] if os.path.lexists(path) or not has_magic(text) else [Path(p) for p in sorted(glob(text, recursive=True))]
        if not matches or not os.path.lexists(matches[0]):
            raise NoInputError(f"{text}: no such file or folder")
        for match in matches:
            (folders if match.is_dir() else single)[Path(os.path.abspath(match))] = None  # noqa: PTH100
    return list(folders), list(single)


def _lines(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs, with lists replaced by what they list."""
    for text in inputs:
        if text == "-":
            yield from (line for line in sys.stdin.read().splitlines() if line.strip())
        elif text.startswith("@") and not os.path.lexists(text):
            try:
                content = Path(text[1:]).read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                raise NoInputError(f"{text[1:]}: the list cannot be read ({error.strerror})") from error
            yield from (line for line in content.splitlines() if line.strip())
        else:
            yield text


def _refuse_nesting(folder: Path, out: Path) -> None:
    source, target = folder.resolve(), out.resolve()
    if target == source or target.is_relative_to(source):
        raise OutputError(f"--out {out}: lies in the source folder {folder}, which is never written to; choose another")
    if source.is_relative_to(target):
        raise OutputError(f"--out {out}: contains the source folder {folder}; choose a folder of its own")


def _prefixed(folders: list[Path]) -> Iterator[tuple[Path, PurePath]]:
    """One folder is mirrored as it is; several each under its own name, numbered where names repeat."""
    taken: set[str] = set()
    for folder in folders:
        if len(folders) == 1:
            yield folder, PurePath()
            continue
        name, n = folder.name or "root", 1
        while name in taken:
            n += 1
            name = f"{folder.name}-{n}"
        taken.add(name)
        yield folder, PurePath(name)


def _walk(root: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """The pictures below a folder; links are followed, and one that leads back to a folder on its way is not."""

    def walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.name.startswith("."):
                    continue
                path = Path(entry.path)
                if entry.is_dir():
                    yield from walk(path, above | {identity})
                elif path.suffix.lower() in suffixes:
                    yield path

    return walk(root, frozenset())


def _common_parent(paths: list[Path]) -> Path | None:
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else None


def _targets(found: dict[str, Path], out: Path, suffix: str, new_suffix: str) -> list[Job]:
    """Gives each name its own target: `a.jpg` and `a.tif` both turned into PNG become `a.jpg.png` and `a.tif.png`."""

    def short(name: str) -> Path:
        path = PurePath(name)
        return out / path.with_name(f"{path.stem}{suffix}{new_suffix or path.suffix}")

    wanted: dict[Path, int] = {}
    for name in found:
        wanted[short(name)] = wanted.get(short(name), 0) + 1
    jobs, taken = [], set()
    for name, source in found.items():
        target = short(name)
        if wanted[target] > 1:
            target = out / f"{name}{suffix}{new_suffix}"
        if target in taken:
            raise UsageError(f"{name}: its output {target} is already that of another picture; run the two separately")
        taken.add(target)
        jobs.append(Job(source, name, target))
    return jobs
