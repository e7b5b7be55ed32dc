"""Finds the inputs, mirrors their folders under the output folder, and gives every source an output of its own."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path, PurePath

from archivecolor import sequences
from archivecolor.errors import NoInputError, OutputError, StoppedError
from archivecolor.files import NameRules, check_regular, is_kernel_device, is_special, name_rules


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


SYSTEM_FOLDERS = frozenset(
    (
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot"),  # Synology, QNAP
        *("__MACOSX", "System Volume Information", "$RECYCLE.BIN", "RECYCLER", "lost+found"),
    )
)
"""Folders in which systems keep thumbnails, deleted files and notes of their own. They are skipped unless included."""


NO_RULES = NameRules()
"""Different names are different files."""


@dataclass(frozen=True)
class Search:
    """What counts as a source in an input folder. Hidden files and folders never do."""

    is_picture: Callable[[Path], bool]
    """Whether a regular file found in a folder is a source. Files named one by one always are."""
    is_frame: Callable[[Path], bool] = lambda path: False
    """Whether a file is one frame of a film. Frames in one folder whose names differ only in their number become one
    job."""
    ignored: Callable[[Path], None] = lambda path: None
    """Called with every file and folder that is skipped, except hidden ones."""
    stop_requested: Callable[[], bool] = lambda: False
    exclude: tuple[str, ...] = ()
    """Glob patterns for names, or for paths below the input folder, that are skipped."""
    include: tuple[str, ...] = ()
    """Patterns that are not skipped after all."""

    def check_stop(self) -> None:
        """Raises StoppedError if the user has asked to stop."""
        if self.stop_requested():
            raise StoppedError("interrupted while the inputs were searched; nothing was done yet")

    def leaves_out(self, path: PurePath) -> bool:
        """Whether a file or folder is skipped.

        Args:
            path: relative to the input folder.
        """
        if _matches_any(path, self.include):
            return False
        return path.name in SYSTEM_FOLDERS or _matches_any(path, self.exclude)


def _matches_any(path: PurePath, patterns: tuple[str, ...]) -> bool:
    """Whether a name, or with a slash in the pattern the whole path, fits one of the glob patterns."""
    return any(fnmatchcase(path.as_posix() if "/" in pattern else path.name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Job:
    """One photograph or film to colour."""

    source: Path
    """The source file; for an image sequence its number pattern, `scan/frame_%06d.dpx`."""
    name: str
    """The path of the source below the root of its input. It is the key of the manifest row, and stays the same when
    the input folder is moved."""
    target: Path
    """Where the output goes if its format is what the file suffix says."""
    kind: SourceKind = SourceKind.PHOTO
    tag: str = ""
    """Part of the output's name where the output folder's file system would take it for that of another source."""
    rejected: str = ""
    """SHA-256 of the output that a person rejected, if that is why the job is done again."""


def find_inputs(
    inputs: Iterable[str],
    out: Path,
    search: Search,
    suffix: str = "",
    new_suffix: str = "",
) -> list[Job]:
    """Finds all sources, in a fixed order, and gives each its target.

    Args:
        inputs: files, folders, glob patterns, number patterns (see `sequences`), `@list.txt`, or `-` for a list on
            standard input.
        out: the output folder. It must not be inside an input folder, and no input folder inside it.
        search: what counts as a source in a folder.
        suffix: added to the stem of each output (`_color`).
        new_suffix: the file suffix of the outputs when the format changes (".png"); "" keeps the suffix of each source.

    Raises:
        StoppedError: the user has asked to stop.
        NoInputError: an input does not exist, or there is no source in any of them.
        OutputError: the output folder and an input folder overlap, or an output would lie beside a source.
    """
    folders, files = _expand(inputs, out)
    for folder in folders:
        _check_separate(folder, out)
    sources: dict[str, Path] = {}
    for root, prefix in _with_prefixes(folders):
        known = set(sources.values())  # one input folder may contain another: each file counts once
        for path in sorted(_walk(root, search)):
            if path not in known:
                sources[(prefix / path.relative_to(root)).as_posix()] = path
    base, known = _common_parent(files), set(sources.values())
    for path in files:
        if path not in known:
            name = path.relative_to(base or path.parent).as_posix()
            sources[_unique_name(name, path.parent.name, sources)] = path
    sources = _merge_frames(sources, search.is_frame)
    if not sources:
        raise NoInputError(f"no pictures in {', '.join(map(str, inputs))}")
    jobs = _jobs(sources, out, suffix, new_suffix, _rules_for(sources, out))
    _check_beside_no_source(files, out, jobs)
    return jobs


def _merge_frames(sources: dict[str, Path], is_frame: Callable[[Path], bool]) -> dict[str, Path]:
    """Replaces the frames of each film by one entry, its number pattern, at the place of the first frame.

    Frames of a number pattern that the user named are dropped: the pattern is their entry. Where the user named only
    some files of a pattern, they stay single: a pattern would include files that nobody named.
    """
    requested = {
        path for source in sources.values() if sequences.is_pattern(source) for path in sequences.frame_paths(source)
    }
    remaining = {name: path for name, path in sources.items() if path not in requested}
    folders: dict[Path, dict[str, str]] = {}
    for name, path in remaining.items():
        if not sequences.is_pattern(path) and is_frame(path):
            folders.setdefault(path.parent, {})[path.name] = name
    entry_of: dict[str, tuple[str, Path]] = {}
    for folder, frames in folders.items():
        for pattern, file_names in sequences.find_patterns(frames).items():
            if {path.name for path in sequences.frame_paths(folder / pattern)} == set(file_names):
                key = PurePath(frames[file_names[0]]).with_name(pattern).as_posix()
                entry_of |= {frames[file_name]: (key, folder / pattern) for file_name in file_names}
    merged: dict[str, Path] = {}
    known: set[Path] = set()
    for name, path in remaining.items():
        key, source = entry_of.get(name, (name, path))
        if source not in known:
            merged[_unique_name(key, source.parent.name, merged)] = source
            known.add(source)
    return merged


def _expand(inputs: Iterable[str], out: Path) -> tuple[list[Path], list[Path]]:
    """Folders and single files, each once, in the order in which they were named.

    A missing name is an error where it was typed. In a list of thousands it becomes a job that fails.
    """
    folders: dict[Path, None] = {}
    files: dict[Path, None] = {}
    for text, is_listed in _input_lines(inputs):
        matches = _matches(text, out)
        if matches and sequences.is_pattern(matches[0]) and sequences.exists(matches[0]):
            files[Path(os.path.abspath(matches[0]))] = None  # noqa: PTH100
            continue
        if not matches or not (is_listed or os.path.lexists(matches[0])):
            is_pattern = sequences.is_pattern(Path(text))
            missing = "there is no file of this number pattern" if is_pattern else "no such file or folder"
            raise NoInputError(f"{text}: {missing}")
        for match in matches:
            (folders if match.is_dir() else files)[Path(os.path.abspath(match))] = None  # noqa: PTH100
    return list(folders), list(files)


def _matches(text: str, out: Path) -> list[Path]:
    """The paths that a name or a glob pattern stands for. A glob skips the output folder: otherwise the second run of a
    command would colour the results of the first."""
    path = Path(text)
    if os.path.lexists(path) or not has_magic(text):
        return [path]
    out = out.resolve()
    matches = [Path(p) for p in sorted(glob(text, recursive=True))]  # noqa: PTH207  (patterns may be absolute)
    outside = [match for match in matches if not match.resolve().is_relative_to(out)]
    return outside or matches  # if all are inside, a later check refuses them with a reason


def _input_lines(inputs: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The inputs, with each list replaced by its entries, and whether each comes from a list."""
    for text in inputs:
        if text == "-":
            content = read_stdin()
            if b"\0" in content:  # which no name contains
                raise NoInputError("-: standard input is no list of names; for a picture, name a file or - as --out")
            yield from ((line, True) for line in _list_entries(content))
        elif text.startswith("@") and not os.path.lexists(text):
            try:
                check_regular(Path(text[1:]))
                content = Path(text[1:]).read_bytes()
            except OSError as error:
                hint = "; give it on standard input: ... run -" if is_special(Path(text[1:])) else ""
                raise NoInputError(f"{text[1:]}: the list cannot be read ({error.strerror}){hint}") from error
            if b"\0" in content:
                raise NoInputError(f"{text[1:]}: no list of names: it holds a byte that no name has")
            yield from ((line, True) for line in _list_entries(content))
        else:
            yield text, False


def read_stdin() -> bytes:
    """All of standard input.

    Raises:
        NoInputError: it is closed, or cannot be read.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise NoInputError("-: standard input is closed; give a list on it, or name the inputs")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise NoInputError(f"-: standard input cannot be read ({error.strerror})") from error


def _list_entries(content: bytes) -> list[str]:
    """One name per line, in any encoding. Only a line feed ends a line: names may contain U+2028 and the like."""
    lines = os.fsdecode(content).removeprefix("\ufeff").split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _check_separate(folder: Path, out: Path) -> None:
    """Raises OutputError if an input folder and the output folder overlap."""
    source, target = folder.resolve(), out.resolve()
    if target == source or target.is_relative_to(source):
        raise OutputError(f"--out {out}: lies in the source folder {folder}, which is never written to; choose another")
    if source.is_relative_to(target):
        raise OutputError(f"--out {out}: contains the source folder {folder}; choose a folder of its own")


def _check_beside_no_source(files: list[Path], out: Path, jobs: list[Job]) -> None:
    """Raises OutputError if an output would lie in the folder of a file that was named by itself."""
    folders = {os.path.realpath(path.parent) for path in files}
    out_path = os.path.realpath(out)
    for job in jobs if files else ():
        folder = os.path.normpath(os.path.join(out_path, job.target.parent.relative_to(out)))  # noqa: PTH118
        if folder in folders:
            raise OutputError(
                f"--out {out}: {job.target} would lie in the folder of a source, which is never written to; "
                "choose another folder"
            )


def _with_prefixes(folders: list[Path]) -> Iterator[tuple[Path, PurePath]]:
    """Each folder with the prefix of its names: none for one folder; else its own name, numbered where names repeat."""
    used: set[str] = set()
    for folder in folders:
        if len(folders) == 1:
            yield folder, PurePath()
            continue
        name, n = folder.name or "root", 1
        while name in used:
            n += 1
            name = f"{folder.name}-{n}"
        used.add(name)
        yield folder, PurePath(name)


def _walk(root: Path, search: Search) -> Iterator[Path]:
    """The sources below a folder, without recursion: folders may be nested deeper than Python's stack. Follows links,
    but not back into a folder that it is in already."""
    pending: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while pending:
        folder, parents = pending.pop()
        search.check_stop()
        try:
            status = folder.stat()
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            if folder == root:
                raise NoInputError(f"{root}: the folder cannot be read ({error.strerror})") from error
            yield folder  # becomes a job: its row says why it cannot be read, and the run continues
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in parents:
            continue
        if is_kernel_device(status.st_dev):
            search.ignored(folder)
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if search.leaves_out(path.relative_to(root)):
                search.ignored(path)
            elif _is_folder(entry):
                pending.append((path, parents | {identity}))
            elif not _is_special(entry) and search.is_picture(path):
                yield path
            else:
                search.ignored(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether a directory entry is a device, a pipe or a socket. Costs nothing for a regular file."""
    try:
        return (entry.is_symlink() or not entry.is_file()) and is_special(Path(entry.path))
    except OSError:  # a link to itself
        return False


def _unique_name(name: str, folder: str, used: dict[str, Path]) -> str:
    """`name`; if another source has it, `folder/name`, `folder-2/name`, …"""
    unique, n = name, 1
    while unique in used:
        unique, n = f"{folder if n == 1 else f'{folder}-{n}'}/{name}", n + 1
    return unique


def _common_parent(paths: list[Path]) -> Path | None:
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else None


def _rules_for(sources: Iterable[str], out: Path) -> NameRules:
    """The rules of the output folder's file system, which is tried out only if some names differ in case or form."""
    stems = {str(PurePath(name).with_suffix("")) for name in sources}
    strictest = NameRules(fold_case=True, fold_form=True)
    return name_rules(out) if len({strictest.key(stem) for stem in stems}) < len(stems) else NameRules()


def _tags(names: Iterable[str], rules: NameRules) -> dict[str, str]:
    """A tag for each name that the file system takes for another one. It depends on the name alone, so pictures that
    are added later change no tag."""
    count = Counter(map(rules.key, names)) if rules else Counter[str]()
    shared = (name for name in names if count[rules.key(name)] > 1)
    return {name: f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}" for name in shared}


def _jobs(sources: dict[str, Path], out: Path, suffix: str, new_suffix: str, rules: NameRules = NO_RULES) -> list[Job]:
    """Gives each name a target of its own: `a.jpg` and `a.tif`, both turned into PNG, become `a.jpg.png` and
    `a.tif.png`. Image sequences keep their targets, and photographs give way: a new format is for photographs only.

    Where the file system takes `Photo.JPG` and `photo.jpg` for the same file, each gets a tag.
    """
    patterns = {name for name, source in sources.items() if sequences.is_pattern(source)}
    tags = _tags(sources, rules)

    def short_target(name: str) -> Path:
        path = PurePath(name)
        own = path.suffix if name in patterns else new_suffix or path.suffix
        return out / path.with_name(f"{path.stem}{tags.get(name, '')}{suffix}{own}")

    targets = {name: short_target(name) for name in sources}
    settled = set(patterns)
    while conflicts := _conflicts(targets, patterns, rules) - settled:
        settled |= conflicts  # each gets its full name below; full names differ, so the loop ends
        targets |= {name: out / f"{name}{tags.get(name, '')}{suffix}{new_suffix}" for name in conflicts}
    return [Job(source, name, targets[name], tag=tags.get(name, "")) for name, source in sources.items()]


def _conflicts(targets: dict[str, Path], patterns: set[str], rules: NameRules) -> set[str]:
    """The names whose target is also that of another name, or one of the files of a number pattern."""
    keys = {name: rules.key(str(target)) if rules else str(target) for name, target in targets.items()}
    count = Counter(keys.values())
    shared = {name for name in targets if count[keys[name]] > 1}
    pattern_names: dict[Path, list[str]] = {}
    for name in patterns:
        pattern_names.setdefault(targets[name].parent, []).append(targets[name].name)
    if pattern_names:
        for name in targets.keys() - patterns:
            target = targets[name]
            if any(sequences.matches(pattern, target.name) for pattern in pattern_names.get(target.parent, ())):
                shared.add(name)
    return shared
