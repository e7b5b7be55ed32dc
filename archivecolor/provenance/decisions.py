"""`decisions.json`: the decisions that a person made on the review page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from archivecolor import files
from archivecolor.errors import OutputError, UsageError
from archivecolor.provenance.records import DONE, Record
from archivecolor.provenance.settled import output_problem

FORMAT = "archivecolor decisions 1"
DECISIONS = "decisions.json"
"""The file in an output folder in which `archivecolor review` keeps the decisions."""
CORRECTIONS = "corrections.json"
"""The file beside it in which `archivecolor review` keeps what was changed about pictures' colours but not kept."""
DECISIONS_LOCK = ".archivecolor-review.lock"
ACCEPTED, REJECTED, UNDECIDED = "accepted", "rejected", ""


@dataclass(frozen=True)
class Decision:
    """The decision about one picture."""

    input: str
    """The picture's name, the key of its row in the manifest."""
    decision: str
    """`accepted`, `rejected`, or "" if there is only a note."""
    output_sha256: str
    """SHA-256 of the output that the person saw. The decision does not apply to a later output."""
    note: str = ""

    @classmethod
    def parse(cls, values: object) -> Decision:
        """From JSON.

        Raises:
            ValueError: something is missing, or is not what it should be.
        """
        if not isinstance(values, dict):
            raise ValueError("a decision must be an object")
        fields = {key: {"note": "", **values}.get(key) for key in ("input", "decision", "output_sha256", "note")}
        texts = {key: value for key, value in fields.items() if isinstance(value, str)}
        if len(texts) < len(fields):
            raise ValueError(
                f"decision about {fields['input']!r}: input, decision, output_sha256 and note must be text"
            )
        one = cls(**texts)
        if one.decision not in (ACCEPTED, REJECTED, UNDECIDED):
            raise ValueError(f"decision {one.decision!r} is neither {ACCEPTED} nor {REJECTED}")
        if one.decision and not one.output_sha256:
            raise ValueError(f"decision about {one.input!r}: output_sha256 must say which output was looked at")
        return one


def read(path: Path, flag: str) -> dict[str, Decision]:
    """Reads the decisions that the review page saved, by picture.

    Args:
        flag: the option that named the file, for the error message.

    Raises:
        UsageError: the file cannot be read, or contains no decisions.
    """
    try:
        files.check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        made = [Decision.parse(values) for values in content["decisions"]]
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be read ({error.strerror}); save it from the review page") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise UsageError(f"{flag} {path}: not the decisions of a review page ({reason}); save them again") from error
    return {decision.input: decision for decision in made}


def rejected(path: Path) -> dict[str, str]:
    """The rejected pictures of a file for --redo: the SHA-256 of the output that the person saw, by picture.

    Raises:
        UsageError: see `read`.
    """
    made = read(path, "--redo").values()
    return {one.input: one.output_sha256 for one in made if one.decision == REJECTED}


def why_not(row: Record | None, decision: Decision, out: Path) -> str:
    """Why an accepted picture cannot be given away, or "".

    Raises:
        OSError: its output cannot be read.
    """
    if row and row.status == DONE and row.output_sha256 != decision.output_sha256:
        return "it was coloured again after it was accepted; review it again"
    return output_problem(row, out)


def write(path: Path, collection: str, made: Iterable[Decision]) -> None:
    """Writes a decisions file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    whole = {"format": FORMAT, "collection": collection, "decisions": [asdict(one) for one in made]}
    try:
        with files.atomic_write(path) as part:
            # ASCII: a name that is not UTF-8 travels as escapes
            part.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); free some space") from error
