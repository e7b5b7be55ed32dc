"""The manifest of an output folder: appended to while a run works, resumed from by the next one.

While a run works it is only appended to, so that a kill costs at most its last line; when the run ends it is rewritten
whole without the rows that newer ones replace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO

from archivecolor import files
from archivecolor.errors import OutputError, PictureError
from archivecolor.provenance.record import DONE, FAILED, MANIFEST, SKIPPED, STARTED, Identity, Record, line
from archivecolor.provenance.rows import Rows
from archivecolor.provenance.sidecar import is_sidecar, sidecar_of

LOCK = ".archivecolor.lock"


class Manifest:
    """The open manifest of an output folder, which one run at a time may hold.

    Args:
        sidecars: whether each output has a sidecar beside it.

    Raises:
        OutputError: the folder cannot be written, or another run holds it.
    """

    def __init__(self, folder: Path, sidecars: bool = False) -> None:
        self.folder, self.sidecars = folder, sidecars
        self._turn = threading.Lock()
        self._begun: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _Lock(folder / LOCK)
            for part in folder.rglob(f".*{files.PART_SUFFIX}"):
                part.unlink()
            self._cut_torn_line()
            self.rows = Rows(folder / MANIFEST)
            self._file = (folder / MANIFEST).open("ab")
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error

    def _cut_torn_line(self) -> None:
        """Ends a line that a kill left open, so that the next row begins on one of its own."""
        path = self.folder / MANIFEST
        if path.exists() and path.stat().st_size:
            with path.open("rb+") as file:
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
            self._lock.release()

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.folder / MANIFEST}: cannot be written ({error.strerror}); free some space")

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
            self.rows.note(record.input, at)

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False) -> None:
        """Notes that `target` is about to be written, so that a resumed run knows it for its own.

        Raises:
            PictureError: a file of that name is there and no run recorded here made it, or another input has it.
        """
        row = self.rows.get(name)
        output = target.relative_to(self.folder).as_posix()
        made_before = row is not None and output in (row.output, *row.earlier)
        ours = {target: made_before}
        if self.sidecars:
            beside = sidecar_of(target)
            ours[beside] = is_sidecar(beside)
        for path, known in ours.items():
            with self._turn:
                owner = self._begun.setdefault(path.relative_to(self.folder).as_posix(), name)
            if owner != name:
                raise PictureError(
                    f"its output {path} is already that of {owner}; colour it with another --out or --suffix"
                )
            if not (known or overwrite) and path.exists():
                raise PictureError(f"{path} exists and was not made by this program; move it, or use --overwrite")
        self.append(Record(name, source, output, STARTED))

    def refuse_another_collection(self, sources: Mapping[str, Path]) -> None:
        """Raises OutputError where an output here is that of a different, still existing picture of the same name.

        A collection that has moved keeps its rows: its old place is gone, or the files there are the same.
        """
        for name, source in sources.items():
            row = self.rows.get(name)
            if row is None or row.status != DONE or row.source == str(source) or not Path(row.source).is_file():
                continue
            if source.is_file() and files.sha256(source) != files.sha256(Path(row.source)):
                raise OutputError(
                    f"{self.folder}: {row.output} is there already, made from {row.source}; choose another --out for "
                    f"{source}, or --overwrite to replace it"
                )

    def settled(self, name: str, source_sha256: str, identity: Identity, redo: bool = False) -> bool:
        """Whether this input needs nothing: same source, weights and options, and its output is there, with its
        sidecar. The weights and options of what was redone on a person's word are those that the person chose, until
        the next --redo."""
        row = self.rows.get(name)
        if row is None or row.status not in (DONE, SKIPPED) or row.source_sha256 != source_sha256:
            return False
        chosen = row.redone and not redo
        if not chosen and Identity(row.weights_sha256, row.options) != identity:
            return False
        return row.status == SKIPPED or (row.output is not None and self._all_there(self.folder / row.output))

    def _all_there(self, output: Path) -> bool:
        return output.is_file() and (not self.sidecars or is_sidecar(sidecar_of(output)))

    def _compact(self) -> None:
        """Leaves one row per input, whole or not at all. What was begun and not finished counts as failed."""
        with files.written_whole(self.folder / MANIFEST) as part, part.open("wb") as file:
            for row in self.rows.newest():
                if row.status == STARTED:
                    row = replace(row, status=FAILED, reason="interrupted while it was being written")
                file.write(line(row).encode())


class _Lock:
    """One run per output folder, by a lock that the system drops when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._taken()
        while not self._is_at_its_place():  # its last holder removed it between our opening and our locking
            self._file.close()
            self._file = self._taken()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _taken(self) -> IO[str]:
        file = self.path.open("a+", encoding="ascii")
        try:
            _lock_now(file.fileno())
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise OutputError(
                f"{self.path.parent}: another run (pid {holder}) is writing here; wait for it or choose another --out"
            ) from None
        return file

    def _is_at_its_place(self) -> bool:
        """Whether the locked file is the one that others will open, too."""
        try:
            there, held = self.path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Removed first and unlocked then: what is removed after unlocking may be the next holder's."""
        with suppress(OSError):  # on a disk that has become read-only it stays, and says nothing: nobody holds it
            self.path.unlink()
        self._file.close()


def _lock_now(handle: int) -> None:
    """Takes the lock or raises OSError."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
