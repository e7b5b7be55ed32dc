"""The manifest of an output folder: appended to while a run works, resumed from by the next one.

While a run works it is only appended to, so that a kill costs at most its last line; when the run ends it is rewritten
whole without the rows that newer ones replace. Each shard of a run keeps one of its own beside those of the others, all
of which `merge` joins.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

from archivecolor import files, sequences
from archivecolor.errors import NoInputError, OutputError, PictureError
from archivecolor.options import Shard
from archivecolor.provenance.locks import LOCK, Lock
from archivecolor.provenance.records import DONE, MANIFEST, STARTED, Identity, Record, line
from archivecolor.provenance.row_index import LayeredRows, RowIndex
from archivecolor.provenance.settled import Settled, check_settled
from archivecolor.provenance.shards import finished, join, lock_of, manifest_of, refuse_other_shares, unmerged
from archivecolor.provenance.sidecars import is_sidecar, sidecar_of


class ManifestWriter(Protocol):
    """What the way of a picture asks of the manifest, wherever that is kept."""

    def settled(
        self, name: str, source_sha256: str, identity: Identity, rejected: str = "", overwrite: bool = False
    ) -> Settled:
        """See `Manifest`."""

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False, frames: bool = False) -> None:
        """See `Manifest`."""

    def row(self, name: str) -> Record | None:
        """See `Manifest`."""


class Manifest:
    """The open manifest of an output folder, which one run at a time may hold, or any number of shards, each its own.

    A run that is no shard joins what shards have left here before it begins: the lock shows that none of them is
    running, so nothing is lost by it, nothing is done twice, and there is no command to be typed first.

    Args:
        sidecars: whether each output has a sidecar beside it.
        shard: the share of the inputs whose rows are kept.

    Raises:
        OutputError: the folder cannot be written, or another run holds it.
    """

    def __init__(self, folder: Path, sidecars: bool = False, shard: Shard | None = None) -> None:
        self.folder, self.sidecars, self.path = folder, sidecars, folder / manifest_of(shard)
        self._turn = threading.Lock()
        self._begun: dict[str, str] = {}
        self._begun_patterns: dict[str, str] = {}
        with ExitStack() as undo:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._locks = [_held(undo, Lock(folder / LOCK, shared=shard is not None))]
                if shard:
                    self._locks.append(_held(undo, Lock(folder / lock_of(shard))))
                    refuse_other_shares(folder, shard)
                else:
                    _remove(folder.rglob(f".*{files.PART_SUFFIX}"))
                    join(folder)
                self._cut_torn_line()
                self._own = RowIndex(self.path)
                self.rows: Mapping[str, Record] = (
                    LayeredRows(self._own, RowIndex(folder / MANIFEST)) if shard else self._own
                )
                if shard:
                    self._remove_own_parts()
                self._file = self.path.open("ab")
            except OSError as error:
                raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
            undo.pop_all()

    @property
    def own_lock(self) -> Path:
        """The lock that nobody else holds while this is open."""
        return self._locks[-1].path

    def _remove_own_parts(self) -> None:
        """What a kill left half written of this shard; the half-written files of other shards are being written."""
        begun = [self.folder / row.output for row in self._own.newest() if row.status == STARTED and row.output]
        _remove(files.part_path(path) for target in begun for path in (target, sidecar_of(target)))
        _remove([files.part_path(self.path)])

    def _cut_torn_line(self) -> None:
        """Ends a line that a kill left open, so that the next row begins on one of its own."""
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open("rb+") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            self._compact()
        except OSError as error:
            if value is None:  # an error already on its way says more
                raise self._unwritable(error) from error
        finally:
            for lock in reversed(self._locks):
                lock.release()

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written ({error.strerror}); free some space")

    def row(self, name: str) -> Record | None:
        """The newest row of an input, None when there is none yet."""
        return self.rows.get(name)

    def append(self, record: Record) -> None:
        """Adds a row and hands it to the operating system."""
        with self._turn:
            before = self.rows.get(record.input)
            if before:
                made = {*before.earlier, *filter(None, [before.output])} - {record.output}
                record = replace(record, earlier=tuple(sorted(made)))
            try:
                at = os.fstat(self._file.fileno()).st_size
                self._file.write(line(record).encode())
                self._file.flush()
            except OSError as error:
                raise self._unwritable(error) from error
            self._own.note(record.input, at)

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False, frames: bool = False) -> None:
        """Notes that `target` is about to be written, so that a resumed run knows it for its own.

        Args:
            frames: `target` may be a number pattern, which has every name that fits it.

        Raises:
            PictureError: a file of that name is there and no run recorded here made it, or another input has it.
        """
        row = self.rows.get(name)
        output = target.relative_to(self.folder).as_posix()
        made_before = row is not None and output in (row.output, *row.earlier)
        pattern = frames and sequences.is_pattern(target)
        there = sequences.exists(target) if pattern else target.is_file()
        ours = [(target, pattern, there and not made_before)]
        if self.sidecars:
            beside = sidecar_of(target)
            ours.append((beside, False, beside.is_file() and not is_sidecar(beside)))
        for path, is_pattern, strange in ours:
            with self._turn:
                owner = self._claimed(path.relative_to(self.folder).as_posix(), name, is_pattern)
            if owner != name:
                raise PictureError(
                    f"its output {path} is already that of {owner}; colour it with another --out or --suffix"
                )
            if strange and not overwrite:
                raise PictureError(f"{path} exists and was not made by this program; move it, or use --overwrite")
        known = row.film if row and row.output == output else {}  # which frames are there, should this be killed
        self.append(Record(name, source, output, STARTED, film=known))

    def _claimed(self, output: str, name: str, is_pattern: bool) -> str:
        """Whose an output is from now on: of the first input that claims it, or a name that it shares with it."""
        folder, _, own = output.rpartition("/")

        def others(claims: dict[str, str], shares: Callable[[str], bool]) -> Iterator[str]:
            parts = ((claim.rpartition("/"), owner) for claim, owner in claims.items())
            return (owner for (place, _, other), owner in parts if owner != name and place == folder and shares(other))

        meets = partial(sequences.overlap, own) if is_pattern else partial(_fitted, own)
        owner = next(others(self._begun_patterns, meets), name)
        if is_pattern:
            owner = next(others(self._begun, partial(sequences.matches, own)), owner)
        if owner == name:
            owner = (self._begun_patterns if is_pattern else self._begun).setdefault(output, name)
        return owner

    def refuse_another_collection(self, sources: Mapping[str, Path]) -> None:
        """Raises OutputError where an output here is that of a different, still existing picture of the same name.

        A collection that has moved keeps its rows: its old place is gone, or the files there are the same.
        """
        for name, source in sources.items():
            row = self.rows.get(name)
            if row is None or row.status != DONE or row.source == str(source) or not sequences.exists(Path(row.source)):
                continue
            if sequences.exists(source) and files.sha256(source) != files.sha256(Path(row.source)):
                raise OutputError(
                    f"{self.folder}: {row.output} is there already, made from {row.source}; choose another --out for "
                    f"{source}, or --overwrite to replace it"
                )

    def settled(
        self, name: str, source_sha256: str, identity: Identity, rejected: str = "", overwrite: bool = False
    ) -> Settled:
        """Whether a run leaves this input as it is, and why; see `check_settled`."""
        row = self.rows.get(name)
        return check_settled(row, lambda: source_sha256, identity, self.folder, self.sidecars, rejected, overwrite)

    def _compact(self) -> None:
        """Leaves one row per input, whole or not at all. What was begun and not finished counts as failed."""
        with files.atomic_write(self.path) as part, part.open("wb") as file:
            file.writelines(line(finished(row)).encode() for row in self._own.newest())


def merge(folder: Path) -> tuple[int, int]:
    """Joins the manifests of all shards of a run into one, whole or not at all.

    Returns:
        How many shards were joined, and how many rows there are now.

    Raises:
        NoInputError: there is no manifest, neither whole nor of a shard.
        OutputError: a shard is running, or the folder cannot be written.
    """
    waiting = unmerged(folder)
    if not waiting and not (folder / MANIFEST).exists():
        raise NoInputError(f"{folder}: no {MANIFEST} and no manifest of a shard; name the --out of a run")
    with Manifest(folder) as manifest:
        return len(waiting), len(manifest.rows)


def _fitted(name: str, pattern: str) -> bool:
    return sequences.matches(pattern, name)


def _held(undo: ExitStack, lock: Lock) -> Lock:
    undo.callback(lock.release)
    return lock


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
