"""The rows of a manifest: one per input, as JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

MANIFEST = "manifest.jsonl"
UNEXPECTED = "unexpected "
"""The reason of a row begins with this if the picture failed because of a bug of this program."""
DONE, SKIPPED, FAILED, STARTED = "done", "skipped", "failed", "started"


@dataclass(frozen=True)
class Record:
    """One row of the manifest."""

    input: str
    """The picture's path below its input folder; the key of the row."""
    source: str
    output: str | None
    """Below the output folder."""
    status: str
    """`done`, `skipped` or `failed`; `started` only while a run works on it."""
    reason: str = ""
    source_sha256: str = ""
    output_sha256: str = ""
    model: str = ""
    weights_sha256: str = ""
    options: str = ""
    """Digest of all options that decide the result's bytes."""
    width: int = 0
    height: int = 0
    pages: int = 0
    depth: int = 0
    format: str = ""
    source_type: str = ""
    """The output's term of IPTC's `digitalsourcetype`."""
    max_delta_l: float | None = None
    """Largest |ΔL*| between source and output, before lossy compression."""
    mark: str = ""
    """The text of the visible mark; a note says if there was no room for it."""
    mark_font: str = ""
    sidecar: bool = False
    """Whether a sidecar was written beside the output."""
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    film: dict[str, Any] = field(default_factory=dict)
    """Of films: `frames`, `bad_frames` (that could not be decoded), `shots`, `fps`, `duration` (seconds), `stills`
    (seconds after the first frame of those that stand for it on the review page), `seen` (frames that the network saw),
    `reuse_error` (Lab units by which colours that travelled missed the network's, mean) and `reuse_worst`; of numbered
    files also `first` (number), `missing` (how many numbers) and `curve` (of DPX); `numbers` (first and last of each
    stretch) where numbered files came out; `deinterlaced` (frames) and `title_card` (`text`, `seconds`) where they were
    asked for. Of films with references also `references`, a list of `name`, `frame` (number), `by` (`name`,
    `luminance` or `hint`), `likeness` (of the luminance), `agrees` (share of the frame that is used), and where their
    colours went: `frames` (count), `first`, `last`, and the mean `share` of these frames."""
    earlier: tuple[str, ...] = ()
    """Outputs that earlier runs made of this input under other names (another --format or --suffix, for example)."""
    confidence: float | None = None
    """How sure the colours are, 0 to 1, if requested (`inference/confidence.py`)."""
    access: dict[str, str] = field(default_factory=dict)
    """The small copies for the web: path below the output folder -> SHA-256."""
    guidance: tuple[str, ...] = ()
    """A person's hints about the colours: a palette, pinned pixels."""
    redone: bool = False
    """Done again since a person rejected the first result: a later run with the first options leaves it as it is."""
    problem: str = ""
    """Why a later run could not do a finished input again, for example because the source could not be read. The output
    is still that of the run before."""


SUPERSEDED = "done again since it was rejected; decide anew"


def is_superseded(row: Record | None, rejected: str) -> bool:
    """Whether a picture has another output by now than the one that a person rejected. Then the decision does not
    count.

    Args:
        rejected: the SHA-256 of the rejected output, "" if there is none.
    """
    return bool(rejected) and row is not None and row.status == DONE and row.output_sha256 != rejected


@dataclass(frozen=True)
class Identity:
    """A finished picture stays as it is while these are the same."""

    weights_sha256: str
    options: str
    former_options: str = ""
    """The digest that earlier versions gave these options: it named the font of the mark by its path."""
    former_until: float = 0.0
    """When the font was last changed, seconds since 1970: the former digest is valid for outputs written since then."""


@dataclass(frozen=True)
class CrashReport:
    """What killed processes of a run left behind, for the process that resumes it."""

    settled: frozenset[str] = frozenset()
    """Inputs that are finished and need no further look."""
    fatal: dict[str, str] = field(default_factory=dict)
    """Inputs that kill the process, and so are not tried again; each with the reason for its row."""
    suspect: tuple[str, ...] = ()
    """Inputs in work when a process was killed: they are tried first, one at a time."""


def line(record: Record) -> str:
    """The record as one line of the manifest, without empty fields."""
    empty: tuple[object, ...] = (None, "", (), {})
    values = {
        key: value
        for key, value in asdict(record).items()
        if key in ("output", "reason") or (value is not False and value not in empty)
    }
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8: its raw bytes travel as escapes
        text = json.dumps(values, ensure_ascii=True)
    return text + "\n"


Totals = Counter[tuple[str, str]]
"""How many rows there are of each (status, reason)."""


def totals(rows: Iterable[Record]) -> Totals:
    """Counts rows by status and reason. A finished row with a problem counts as failed."""
    return Counter((FAILED, row.problem) if row.problem else (row.status, row.reason) for row in rows)
