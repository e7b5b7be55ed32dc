"""The data of the review page, packed tightly: 20,000 rows must load at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from archivecolor import sequences
from archivecolor.provenance import DONE, FAILED, SKIPPED, Record

FIELDS = (
    "input",
    "root",
    "output",
    "link",
    "status",
    "reason",
    "making",
    "width",
    "height",
    "pages",
    "depth",
    "format",
    "delta",
    "confidence",
    "notes",
    "guidance",
    "redone",
    "seconds",
    "before",
    "after",
    "after_all",
    "missing",
    "film",
)
"""The columns of a row in data.js. `root` and `making` are indexes into tables. `before` and `after` are the SHA-256 of
reduced pictures in the report, or ""; then `missing` says why. `after_all` is that of the output even if the report has
no picture of it: a decision names it. `film` is null for a photograph."""
STAGES = ("decode", "network", "wait", "spread", "encode")

Row = tuple[object, ...]


def as_script(
    collection: str,
    view: int,
    rows: Iterable[Record],
    reasons: Mapping[str, str],
    desk: Mapping[str, object] | None = None,
) -> str:
    """The text of data.js: one assignment. It is a script and not JSON, because a page opened from a disk may not
    fetch.

    Args:
        desk: what the page needs when it has a server behind it; plain JSON types.
    """
    data = {"collection": collection, "view": view, **as_values(rows, reasons), **({"desk": desk} if desk else {})}
    # Only ASCII: names that are not UTF-8 become escapes, and so does "<", so that no parser sees a tag in a name.
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"window.archivecolorReport = {text};\n"


def as_values(rows: Iterable[Record], reasons: Mapping[str, str] | None = None) -> dict[str, object]:
    """The rows, packed, with the tables that they refer to; plain JSON types.

    Args:
        reasons: why a picture cannot be shown, by its SHA-256.
    """
    makings: dict[tuple[str, str, str, str], int] = {}
    roots: dict[str, int] = {}
    packed = []
    for row in rows:
        making = makings.setdefault((row.model, row.weights_sha256, row.options, row.source_type), len(makings))
        root = roots.setdefault(row.source.removesuffix(row.input), len(roots))
        packed.append(_packed(row, making, root, reasons or {}))
    return {
        "fields": FIELDS,
        "stages": STAGES,
        "makings": list(makings),
        "roots": list(roots),
        "rows": packed,
    }


def _packed(row: Record, making: int, root: int, reasons: Mapping[str, str]) -> Row:
    before, after = shown(row)
    missing = [f"{what} {reasons[sha]}" for what, sha in (("source", before), ("result", after)) if sha in reasons]
    output = row.output if after and row.output else ""
    link = _first_of(row) if output else ""
    return (
        row.input,
        root,
        output,
        quote(os.fsencode(link)),
        row.status,
        row.reason,
        making,
        row.width,
        row.height,
        row.pages,
        row.depth,
        row.format,
        row.max_delta_l,
        row.confidence,
        row.notes,
        row.guidance,
        int(row.redone),
        [round(row.seconds.get(stage, 0), 3) for stage in STAGES],
        before if before not in reasons else "",
        after if after not in reasons else "",
        after,
        "; ".join(missing),
        _film(row),
    )


def _film(row: Record) -> dict[str, object] | None:
    known = ("frames", "shots", "fps", "duration", "bad_frames")
    facts: dict[str, object] = {key: row.film[key] for key in known if key in row.film}
    return facts | {"plays": not _in_files(row)} if facts else None


def _in_files(row: Record) -> bool:
    """Whether a film's output is an image sequence."""
    has_numbers = "first" in row.film or "still_numbers" in row.film
    return has_numbers and sequences.is_pattern(Path(row.output or ""))


def _first_of(row: Record) -> str:
    """The output, or the first of its files."""
    if not _in_files(row):
        return row.output or ""
    output = Path(row.output or "")
    return output.with_name(sequences.frame_name(output, row.film.get("first", 0))).as_posix()


def shown(row: Record) -> tuple[str, str]:
    """The SHA-256 of the pictures to show as before and after, "" for none. A truncated film has failed, but its
    coloured part is shown."""
    if row.status == FAILED and not (row.film and row.output and row.output_sha256):
        return "", ""
    return row.source_sha256, row.output_sha256 if row.status != SKIPPED else ""


def totals(rows: Iterable[Record]) -> list[tuple[str, str, int]]:
    """(status, reason, count): done first, then by count."""
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.status, row.reason)
        counted[key] = counted.get(key, 0) + 1
    order = (DONE, SKIPPED, FAILED)
    ranked = sorted(counted.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
    return [(status, reason, count) for (status, reason), count in ranked]
