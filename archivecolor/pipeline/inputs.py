"""Finds the inputs, mirrors their tree under the output folder, and sees to it that no two pictures share an output."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from glob import glob, has_magic
from pathlib import Path, PurePath

from archivecolor import sequences
from archivecolor.errors import NoInputError, OutputError

_MISSING = ("no such file or folder", "there is no file of this number pattern")


class SourceKind(StrEnum):
    """What a source is, and so which way it takes through the pipeline."""

    PHOTO = "photo"
    """A picture file of one or more pages."""
    FILM = "film"
    """A film in one file; also a GIF with more than one frame."""
    IMAGE_SEQUENCE = "image_sequence"
    """A film whose frames are files of their own: a number pattern, or a single DPX file."""

    @property
    def is_film(self) -> bool:
        """Whether the source is a film of either kind."""
        return self is not SourceKind.PHOTO


@dataclass(frozen=True)
class Job:
    """One picture to colour, or one film; the source of a film in numbered files is their pattern.

    `name` is its path below the root of its input, the key of its manifest row: it is the same wherever the folder
    lies. `target` is where its colour goes when the format stays what the name says.
    """

    source: Path
    name: str
    target: Path
    kind: SourceKind = SourceKind.PHOTO
    rejected: str = ""
    """SHA-256 of the output that a person rejected, where that is why it is to be done again."""


def find_inputs(
    inputs: Iterable[str],
    out: Path,
    is_picture: Callable[[Path], bool],
    suffix: str = "",
    new_suffix: str = "",
    passed_over: Callable[[Path], None] = lambda path: None,
    is_frame: Callable[[Path], bool] = lambda path: False,
) -> list[Job]:
    """All pictures of the inputs, in a fixed order.

    Args:
        inputs: files, folders, glob patterns, number patterns (`numbered`), `@list.txt`, or `-` for a list on standard
            input.
        out: the output folder; must not lie inside an input folder, nor an input folder inside it.
        is_picture: whether a file found in a folder is one; files named one by one always count.
        suffix: added to the stem of each output (`_color`).
        new_suffix: file suffix of the outputs when the format is changed (".png"); "" keeps each one's own.
        passed_over: told of every file in a folder that is no picture; hidden files and folders are not looked at.
        is_frame: whether a file is one frame of a film; those of one folder that differ in their number alone become
            one job, whose source is their number pattern.

    Raises:
        NoInputError: an input does not exist, or there is no picture in any of them.
        OutputError: the output folder lies in the source tree or the other way round, or an output would be an input.
    """
    folders, single = _expand(inputs, out)
    for folder in folders:
        _refuse_nesting(folder, out)
    found: dict[str, Path] = {}
    for root, prefix in _prefixed(folders):
        known = set(found.values())  # an input folder may lie in another one; its pictures are done once
        for path in sorted(_walk(root, is_picture, passed_over)):
            if path not in known:
                found[(prefix / path.relative_to(root)).as_posix()] = path
    base, known = _common_parent(single), set(found.values())
    for path in single:
        if path not in known:
            found[_free_name(path.relative_to(base or path.parent).as_posix(), path.parent.name, found)] = path
    found = _with_sequences(found, is_frame)
    if not found:
        raise NoInputError(f"no pictures in {', '.join(map(str, inputs))}")
    made = _targets(found, out, suffix, new_suffix)
    _refuse_own_sources(single, out, made)
    return made


def _with_sequences(found: dict[str, Path], is_frame: Callable[[Path], bool]) -> dict[str, Path]:
    """The frames of one film in one entry, in the place of the first of them; those of a pattern that was named by the
    user are no inputs of their own. Where only some files of a pattern were named, they stay single: a film of them
    cannot be named, and nothing is coloured that was not asked for."""
    asked = {
        path for source in found.values() if sequences.is_pattern(source) for path in sequences.frame_paths(source)
    }
    left = {name: path for name, path in found.items() if path not in asked}
    folders: dict[Path, dict[str, str]] = {}
    for name, path in left.items():
        if not sequences.is_pattern(path) and is_frame(path):
            folders.setdefault(path.parent, {})[path.name] = name
    gathered: dict[str, tuple[str, Path]] = {}
    for folder, frames in folders.items():
        for pattern, names in sequences.find_patterns(frames).items():
            if {path.name for path in sequences.frame_paths(folder / pattern)} == set(names):
                key = PurePath(frames[names[0]]).with_name(pattern).as_posix()
                gathered |= {frames[name]: (key, folder / pattern) for name in names}
    merged: dict[str, Path] = {}
    known: set[Path] = set()
    for name, path in left.items():
        key, source = gathered.get(name, (name, path))
        if source not in known:
            merged[_free_name(key, source.parent.name, merged)] = source
            known.add(source)
    return merged


def _expand(inputs: Iterable[str], out: Path) -> tuple[list[Path], list[Path]]:
    """Folders and single files, without repetitions, in the order given.

    A name that is missing is an error where it was typed; in a list of thousands it is a picture whose row says so.
    """
    folders: dict[Path, None] = {}
    single: dict[Path, None] = {}
    for text, from_list in _lines(inputs):
        matches = _matches(text, out)
        if matches and sequences.is_pattern(matches[0]) and sequences.exists(matches[0]):
            single[Path(os.path.abspath(matches[0]))] = None  # noqa: PTH100
            continue
        if not matches or not (from_list or os.path.lexists(matches[0])):
            raise NoInputError(f"{text}: {_MISSING[sequences.is_pattern(Path(text))]}")
        for match in matches:
            (folders if match.is_dir() else single)[Path(os.path.abspath(match))] = None  # noqa: PTH100
    return list(folders), list(single)


def _matches(text: str, out: Path) -> list[Path]:
    """What a name or pattern stands for. A pattern passes over the output folder: the second run of a command would
    otherwise colour the results of the first."""
    path = Path(text)
    if os.path.lexists(path) or not has_magic(text):
        return [path]
    place = out.resolve()
    found = [Path(p) for p in sorted(glob(text, recursive=True))]  # noqa: PTH207  (patterns may be absolute)
    outside = [match for match in found if not match.resolve().is_relative_to(place)]
    return outside or found  # all of them inside: that is refused later, with its reason


def _lines(inputs: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The inputs, with lists replaced by what they list, and whether each comes from a list."""
    for text in inputs:
        if text == "-":
            yield from ((line, True) for line in _listed(sys.stdin.buffer.read()))
        elif text.startswith("@") and not os.path.lexists(text):
            try:
                content = Path(text[1:]).read_bytes()
            except OSError as error:
                raise NoInputError(f"{text[1:]}: the list cannot be read ({error.strerror})") from error
            yield from ((line, True) for line in _listed(content))
        else:
            yield text, False


def _listed(content: bytes) -> list[str]:
    """One name a line, in whatever bytes it has; only a line feed ends it (names may hold U+2028 and its like)."""
    lines = os.fsdecode(content).removeprefix("\ufeff").split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _refuse_nesting(folder: Path, out: Path) -> None:
    source, target = folder.resolve(), out.resolve()
    if target == source or target.is_relative_to(source):
        raise OutputError(f"--out {out}: lies in the source folder {folder}, which is never written to; choose another")
    if source.is_relative_to(target):
        raise OutputError(f"--out {out}: contains the source folder {folder}; choose a folder of its own")


def _refuse_own_sources(single: list[Path], out: Path, made: list[Job]) -> None:
    """No output goes into the folder of a file that was named by itself."""
    folders = {os.path.realpath(path.parent) for path in single}
    place = os.path.realpath(out)
    for job in made if single else ():
        folder = os.path.normpath(os.path.join(place, job.target.parent.relative_to(out)))  # noqa: PTH118
        if folder in folders:
            raise OutputError(
                f"--out {out}: {job.target} would lie in the folder of a source, which is never written to; "
                "choose another folder"
            )


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


def _walk(root: Path, is_picture: Callable[[Path], bool], passed_over: Callable[[Path], None]) -> Iterator[Path]:
    """The pictures below a folder; links are followed, and one that leads back to a folder on its way is not."""

    def walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        try:
            status = folder.stat()
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            if folder == root:
                raise NoInputError(f"{root}: the folder cannot be read ({error.strerror})") from error
            yield folder  # as if it were a picture: its row will say why it cannot be read, and the rest goes on
            return
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            if _is_folder(entry):
                yield from walk(path, above | {identity})
            elif is_picture(path):
                yield path
            else:
                passed_over(path)

    return walk(root, frozenset())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _free_name(name: str, folder: str, found: dict[str, Path]) -> str:
    """`name`, or where another picture has it, `folder/name`, `folder-2/name`, …"""
    free, n = name, 1
    while free in found:
        free, n = f"{folder if n == 1 else f'{folder}-{n}'}/{name}", n + 1
    return free


def _common_parent(paths: list[Path]) -> Path | None:
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else None


def _targets(found: dict[str, Path], out: Path, suffix: str, new_suffix: str) -> list[Job]:
    """Gives each name its own target: `a.jpg` and `a.tif` both turned into PNG become `a.jpg.png` and `a.tif.png`.
    Those of number patterns keep theirs: a new format is for photographs, and these make room."""
    reels = {name for name, source in found.items() if sequences.is_pattern(source)}

    def target(name: str) -> Path:
        path = PurePath(name)
        return out / path.with_name(f"{path.stem}{suffix}{path.suffix if name in reels else new_suffix or path.suffix}")

    targets = {name: target(name) for name in found}
    whole = set(reels)
    while clashing := _sharing(targets, reels) - whole:
        whole |= clashing  # whole names differ, so this ends
        targets |= {name: out / f"{name}{suffix}{new_suffix}" for name in clashing}
    return [Job(source, name, targets[name]) for name, source in found.items()]


def _sharing(targets: dict[str, Path], reels: set[str]) -> set[str]:
    """The names whose target another name has too, or a number pattern."""
    count = Counter(targets.values())
    shared = {name for name, target in targets.items() if count[target] > 1}
    patterns: dict[Path, list[str]] = {}
    for name in reels:
        patterns.setdefault(targets[name].parent, []).append(targets[name].name)
    if patterns:
        for name in targets.keys() - reels:
            own = targets[name]
            if any(sequences.matches(pattern, own.name) for pattern in patterns.get(own.parent, ())):
                shared.add(name)
    return shared
