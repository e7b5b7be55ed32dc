"""The manifest of an output folder: appended to while a run works, resumed from by the next one.

While a run works, it is only appended to, so that a kill costs at most its last line. At the end of the run it is
rewritten as a whole, without the rows that newer ones replace. Each shard of a run has a manifest of its own; `merge`
joins them.

A power cut at any moment leaves a folder that the same command resumes. Before an output takes its name, the disk has
a row that says that the output is ours; before a row says `done`, the disk has the output. A row that is lost all the
same is replaced by the output's own disclosure (`ours.py`).
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
from archivecolor.provenance.ours import is_ours
from archivecolor.provenance.records import DONE, FAILED, MANIFEST, STARTED, Identity, Record, line
from archivecolor.provenance.row_index import LayeredRows, RowIndex, is_manifest
from archivecolor.provenance.settled import Settled, check_settled, output_exists
from archivecolor.provenance.shards import finished, join, lock_of, manifest_of, refuse_other_shares, unmerged
from archivecolor.provenance.sidecars import is_sidecar, sidecar_of


class ManifestWriter(Protocol):
    """The part of `Manifest` that the pipeline uses, wherever the manifest is kept."""

    def settled(
        self, name: str, source_sha256: str, identity: Identity, rejected: str = "", overwrite: bool = False
    ) -> Settled:
        """See `Manifest`."""

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False, frames: bool = False) -> None:
        """See `Manifest`."""

    def row(self, name: str) -> Record | None:
        """See `Manifest`."""


class Manifest:
    """The open manifest of an output folder. One run at a time may have it open, or any number of shards, each its own.

    A run that is not a shard first joins the manifests that shards have left. The lock shows that no shard is running,
    so nothing is lost and nothing is done twice.

    Args:
        sidecars: whether each output has a sidecar beside it.
        shard: the share of the inputs that this manifest is for.

    Raises:
        OutputError: the folder cannot be written, or another run holds it.
    """

    def __init__(self, folder: Path, sidecars: bool = False, shard: Shard | None = None) -> None:
        self.folder, self.sidecars, self.path = folder, sidecars, folder / manifest_of(shard)
        self._turn = threading.Lock()
        self._replaced: dict[str, Record] = {}
        """Finished rows of inputs that are done again now."""
        self._begun: dict[str, str] = {}
        self._begun_patterns: dict[str, str] = {}
        self._output_owners: dict[str, list[str]] | None = None
        """Output, as the file system sees its name -> inputs; only where different names are the same file."""
        with ExitStack() as undo:
            try:
                _refuse_outer_run(folder)
                files.make_folders(folder)
                self._locks = [_held(undo, Lock(folder / LOCK, shared=shard is not None))]
                if shard:
                    self._locks.append(_held(undo, Lock(folder / lock_of(shard))))
                    refuse_other_shares(folder, shard)
                else:
                    _remove(_left_parts(folder))
                    join(folder)
                if self.path.is_symlink():
                    raise OutputError(
                        f"{self.path}: is a link, perhaps to a source; remove it, or choose another --out"
                    )
                self._cut_torn_line()
                self._own = RowIndex(self.path)
                self.rows: RowIndex | LayeredRows = (
                    LayeredRows(self._own, RowIndex(folder / MANIFEST)) if shard else self._own
                )
                if shard:
                    self._remove_own_parts()
                self._names = files.name_rules(folder)
                new = not self.path.exists()
                self._file = self.path.open("ab")
                if new:
                    files.fsync_folder(folder)
            except OSError as error:
                raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
            undo.pop_all()

    @property
    def own_lock(self) -> Path:
        """The lock that this process alone holds."""
        return self._locks[-1].path

    def _remove_own_parts(self) -> None:
        """Removes the half-written files of this shard that a kill left. Those of other shards may be in work now."""
        begun = [self.folder / row.output for row in self._own.newest() if row.status == STARTED and row.output]
        _remove(files.part_path(path) for target in begun for path in (target, sidecar_of(target)))
        _remove([files.part_path(self.path)])

    def _cut_torn_line(self) -> None:
        """Ends a line that a kill cut short, so that the next row begins on a new line."""
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
            if value is None:  # the first error says more
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
        """Adds the row of an input. It replaces the one before.

        A failure does not replace the row of a finished input whose output is still there: that row stays, and the
        failure is its `problem`.
        """
        before = self._replaced.pop(record.input, None)
        if record.status == FAILED and (kept := self._still_finished(record.input, before)):
            record = replace(kept, problem=record.reason)
        self._add(record)

    def _still_finished(self, name: str, replaced: Record | None) -> Record | None:
        """The row of a finished input whose output is still as that row says.

        Args:
            replaced: the row, if the input was begun again since then: its output may have been replaced.
        """
        row = replaced or self.rows.get(name)
        if row is None or row.status != DONE or not output_exists(self.folder, row):
            return None
        if replaced and files.sha256(self.folder / str(row.output)) != row.output_sha256:
            return None
        return row

    def _add(self, record: Record, durable: bool = False) -> None:
        """Adds a row and hands it to the operating system, or with `durable` to the disk."""
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
        if durable:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False, frames: bool = False) -> None:
        """Notes on the disk that `target` will be written, so that a resumed run knows that it made it.

        Args:
            frames: `target` may be a number pattern, which has every name that fits it.

        Raises:
            PictureError: there is a file of that name that this program did not make, or another input has the name.
        """
        row = self.rows.get(name)
        output = target.relative_to(self.folder).as_posix()
        made_before = row is not None and output in (row.output, *row.earlier)
        pattern = frames and sequences.is_pattern(target)
        there = sequences.exists(target) if pattern else os.path.lexists(target)
        ours = [(target, pattern, there and not made_before)]
        if self.sidecars:
            beside = sidecar_of(target)
            ours.append((beside, False, os.path.lexists(beside) and not is_sidecar(beside)))
        for path, is_pattern, strange in ours:
            with self._turn:
                owner = self._claimed(path.relative_to(self.folder).as_posix(), name, is_pattern)
            if owner == name and strange:
                owner = self._holder(output, name) or name
            if owner != name:
                raise PictureError(
                    f"its output {path} is already that of {owner}; colour it with another --out or --suffix"
                )
            if strange and not overwrite and not is_ours(path):
                raise PictureError(f"{path} exists and was not made by this program; move it, or use --overwrite")
        if row and row.status == DONE:
            self._replaced[name] = row
        same = row if row and row.output == output else None  # which frames and copies exist, if this run is killed
        begun = Record(
            name, source, output, STARTED, film=same.film if same else {}, access=same.access if same else {}
        )
        self._add(begun, durable=True)

    def _claimed(self, output: str, name: str, is_pattern: bool) -> str:
        """The input that an output belongs to from now on: the first one that claims it, or a name that overlaps with
        it."""
        output = self._names.key(output)
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

    def _sharing(self, output: str, name: str) -> list[Record]:
        """The finished rows of other inputs whose output the file system takes for this one."""
        if not self._names:
            return []
        with self._turn:
            if self._output_owners is None:
                self._output_owners = {}
                for row in self.rows.newest():
                    if row.output:
                        self._output_owners.setdefault(self._names.key(row.output), []).append(row.input)
            others = [other for other in self._output_owners.get(self._names.key(output), ()) if other != name]
        return [row for row in map(self.rows.get, others) if row and row.status == DONE and row.output != output]

    def _holder(self, output: str, name: str) -> str | None:
        """The other input whose finished output is the very file that `output` names, if there is one."""
        others = self._sharing(output, name)
        path = self.folder / output
        now = files.sha256(path) if others and path.is_file() else ""
        return next((row.input for row in others if row.output_sha256 == now), None)

    def _is_overwritten(self, row: Record) -> bool:
        """Whether the output of a finished row was lost to that of another input, whose name differs only in case. An
        earlier version of this program did so."""
        output = str(row.output)
        return bool(
            self._sharing(output, row.input)
            and output_exists(self.folder, row)
            and files.sha256(self.folder / output) != row.output_sha256
        )

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
        if row and row.status == DONE and not rejected and self._is_overwritten(row):
            return Settled(False, "colour again (another output has taken its place)")
        settled = check_settled(row, lambda: source_sha256, identity, self.folder, self.sidecars, rejected, overwrite)
        if settled and row and row.problem:
            self._add(replace(row, problem=""))
        return settled

    def _compact(self) -> None:
        """Rewrites the manifest with one row per input. What was begun and not finished counts as failed."""
        with files.atomic_write(self.path) as part, part.open("wb") as file:
            file.writelines(line(finished(row)).encode() for row in self._own.newest())


def merge(folder: Path) -> tuple[int, int]:
    """Joins the manifests of all shards of a run into one.

    Returns:
        The number of shards that were joined, and of rows now.

    Raises:
        NoInputError: there is no manifest, neither whole nor of a shard.
        OutputError: a shard is running, or the folder cannot be written.
    """
    waiting = unmerged(folder)
    if not waiting and not (folder / MANIFEST).exists():
        raise NoInputError(f"{folder}: no {MANIFEST} and no manifest of a shard; name the --out of a run")
    with Manifest(folder) as manifest:
        return len(waiting), len(manifest.rows)


def _refuse_outer_run(folder: Path) -> None:
    """Raises OutputError if a folder lies in the output folder of another run, which would take its files for its
    own."""
    for parent in folder.resolve().parents:
        if is_manifest(parent / MANIFEST):
            raise OutputError(f"{folder}: lies in {parent}, the output folder of another run; choose another --out")


def _left_parts(folder: Path) -> list[Path]:
    """The half-written files that a killed run left in a folder.

    Raises:
        OutputError: the output folder of another run lies inside, whose half-written files may be in work now.
    """
    parts: list[Path] = []
    for path in files.walk(folder):
        if path.name == MANIFEST and path.parent != folder and is_manifest(path):
            raise OutputError(
                f"{folder}: contains {path.parent}, the output folder of another run; choose another --out"
            )
        if files.is_leftover(path.name) and not path.is_dir():
            parts.append(path)
    return parts


def _fitted(name: str, pattern: str) -> bool:
    return sequences.matches(pattern, name)


def _held(undo: ExitStack, lock: Lock) -> Lock:
    undo.callback(lock.release)
    return lock


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
