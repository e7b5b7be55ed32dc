"""`corrections.json`: what a person has changed about pictures' colours and not kept yet."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from archivecolor import files
from archivecolor.errors import OutputError, UsageError
from archivecolor.provenance import Record
from archivecolor.review.desk.body import Body

FORMAT = "archivecolor corrections 1"


class Drafts:
    """The corrections of pictures by name. Each is on the disk before the call returns. Safe to use from several
    threads.

    Raises:
        UsageError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._turn = path, threading.Lock()
        self._drafts: dict[str, dict[str, object]] = {}
        if path.exists():
            self._drafts = _read(path)

    def of(self, row: Record) -> Body | None:
        """The settings of a picture's draft; None where it has none for its present output."""
        draft = self._drafts.get(row.input)
        settings = draft.get("settings") if draft and draft.get("output_sha256") == row.output_sha256 else None
        return settings if isinstance(settings, dict) else None

    def set(self, row: Record, settings: Body | None) -> None:
        """Replaces a picture's draft; None removes it.

        Raises:
            OutputError: the file cannot be written; then nothing has changed.
        """
        with self._turn:
            drafts = {name: draft for name, draft in self._drafts.items() if name != row.input}
            if settings is not None:
                drafts[row.input] = {"input": row.input, "output_sha256": row.output_sha256, "settings": settings}
            if drafts != self._drafts:
                _write(self.path, drafts)
                self._drafts = drafts


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        files.check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        return {str(draft["input"]): dict(draft) for draft in content["corrections"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: not the corrections of a review ({error}); move it away") from error


def _write(path: Path, drafts: dict[str, dict[str, object]]) -> None:
    try:
        with files.atomic_write(path) as part:
            part.write_text(json.dumps({"format": FORMAT, "corrections": list(drafts.values())}, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); free some space") from error
