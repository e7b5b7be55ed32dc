"""The rows of an output folder, and the decisions about them, as all windows of the desk see them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from archivecolor.errors import NoInputError, OutputError, PictureError, UsageError
from archivecolor.provenance import MANIFEST, Record, decisions, read_rows
from archivecolor.provenance.decisions import CORRECTIONS, DECISIONS, DECISIONS_LOCK, Decision
from archivecolor.provenance.locks import Lock
from archivecolor.review.desk.drafts import Drafts


class Collection:
    """Safe to use from several threads. Every decision is on the disk before the call returns.

    Args:
        out: the output folder of a run.
        inputs: the folder that all sources must lie in; None where the manifest is trusted to name them.

    Raises:
        NoInputError: there is no manifest with a row.
        UsageError: `decisions.json` or `corrections.json` in the folder is damaged.
        OutputError: another desk has the folder open, or it cannot be written.
    """

    def __init__(self, out: Path, inputs: Path | None = None) -> None:
        self.out, self.inputs = out, inputs
        self.rows: dict[str, Record] = dict(read_rows(out))
        if not self.rows:
            raise NoInputError(f"{out}: contains no {MANIFEST} with a row; name the --out of a run")
        self.name = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]
        self.path = out / DECISIONS
        self._turn = threading.Lock()
        self._changes: list[str] = []
        """Names whose row or decision changed, oldest first. A window asks for those after the last that it knows."""
        self._lock = _held(out)
        try:
            self.decisions: dict[str, Decision] = decisions.read(self.path, "review") if self.path.exists() else {}
            self.drafts = Drafts(out / CORRECTIONS)
        except UsageError:
            self._lock.release()
            raise

    def close(self) -> None:
        """Lets another desk have the folder."""
        self._lock.release()

    def reload(self) -> None:
        """Reads the manifest again."""
        rows = dict(read_rows(self.out))
        with self._turn:
            changed = [name for name, row in rows.items() if self.rows.get(name) != row]
            self.rows = rows
            self._changes += changed

    def row(self, name: str) -> Record:
        """The row of an input.

        Raises:
            PictureError: the manifest has none.
        """
        row = self.rows.get(name)
        if row is None:
            raise PictureError(f"{name!r}: the manifest has no row of it")
        return row

    def source_of(self, row: Record) -> Path:
        """The path of a row's source.

        Raises:
            UsageError: it is outside the folder of the inputs.
        """
        source = Path(row.source)
        if self.inputs is not None and not source.resolve().is_relative_to(self.inputs.resolve()):
            raise UsageError(f"{source}: is outside --inputs {self.inputs}; its manifest may come from elsewhere")
        return source

    def output_of(self, row: Record) -> Path:
        """The path of a row's output.

        Raises:
            PictureError: it has none, or the output is a link that leads out of the folder.
        """
        if row.output is None:
            raise PictureError(f"{row.input}: has no output")
        path = self.out / row.output
        if not path.resolve().is_relative_to(self.out.resolve()):
            raise PictureError(f"{path}: leads out of {self.out}")
        return path

    def decide(self, made: Iterable[Decision]) -> int:
        """Records decisions about pictures of this folder. One without decision and note removes what was said.

        Returns:
            The number of the last change.

        Raises:
            PictureError: the manifest has no such picture.
            OutputError: the decisions cannot be written; then none of them counts.
        """
        made = list(made)
        for one in made:
            self.row(one.input)
        with self._turn:
            now = self.decisions | {one.input: one for one in made}
            now = {name: one for name, one in now.items() if one.decision or one.note}
            decisions.write(self.path, self.name, now.values())
            self.decisions = now
            self._changes += [one.input for one in made]
            return len(self._changes)

    def changes(self, since: int) -> tuple[int, list[str]]:
        """The number of the last change, and the names that changed after change number `since`."""
        with self._turn:
            last = len(self._changes)
            return last, list(dict.fromkeys(self._changes[max(0, min(since, last)) :]))


def _held(out: Path) -> Lock:
    """The lock of the one desk that writes decisions into a folder."""
    try:
        return Lock(out / DECISIONS_LOCK)
    except OutputError as error:
        raise OutputError(f"{out}: is open in another `archivecolor review`; use that one, or end it") from error
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}), and decisions are kept there") from error
