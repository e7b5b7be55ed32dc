"""What a person decided about coloured pictures on the review page: `decisions.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archivecolor.errors import UsageError

FORMAT = "archivecolor decisions 1"
ACCEPTED, REJECTED, UNDECIDED = "accepted", "rejected", ""


@dataclass(frozen=True)
class Decision:
    """About one picture."""

    input: str
    """The picture's name, the key of its row in the manifest."""
    decision: str
    """`accepted`, `rejected`, or "" where there is only a note."""
    output_sha256: str
    """The result that was looked at: a decision about one says nothing about a later one."""
    note: str = ""


def read(path: Path, flag: str) -> dict[str, Decision]:
    """The decisions of a file that the review page saved, by picture.

    Args:
        flag: the option that named the file, for the message.

    Raises:
        UsageError: it is not there, or no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        found = [_decision(values) for values in content["decisions"]]
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be read ({error.strerror}); save it from the review page") from error
    except (ValueError, KeyError, TypeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise UsageError(f"{flag} {path}: not the decisions of a review page ({said}); save them again") from error
    return {decision.input: decision for decision in found}


def rejected(path: Path) -> dict[str, str]:
    """What a file for --redo rejects: the SHA-256 of the output that was looked at, by picture.

    Raises:
        UsageError: see `read`.
    """
    made = read(path, "--redo").values()
    return {one.input: one.output_sha256 for one in made if one.decision == REJECTED}


def _decision(values: Mapping[str, Any]) -> Decision:
    given = {key: values[key] for key in ("input", "decision", "output_sha256")} | {"note": values.get("note", "")}
    if not all(isinstance(value, str) for value in given.values()):
        raise ValueError(f"decision about {values['input']!r}: input, decision, output_sha256 and note must be text")
    if given["decision"] not in (ACCEPTED, REJECTED, UNDECIDED):
        raise ValueError(f"decision {given['decision']!r} is neither {ACCEPTED} nor {REJECTED}")
    if given["decision"] and not given["output_sha256"]:
        raise ValueError(f"decision about {values['input']!r}: output_sha256 must say which output was looked at")
    return Decision(**given)
