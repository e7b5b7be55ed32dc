"""Copies the accepted outputs of a run into another folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from archivecolor import files, sequences
from archivecolor.errors import NoInputError, OutputError
from archivecolor.provenance import MANIFEST, decisions, is_sidecar, read_rows, sidecar_of


def export(out: Path, accepted: Path, to: Path) -> tuple[int, int, list[tuple[str, str]]]:
    """Copies the accepted outputs of a run with their sidecars, under the same names.

    No file in `to` is replaced: if there is another file of that name, the picture is left out.

    Args:
        out: the output folder of the run.
        accepted: the decisions of its review.

    Returns:
        The number of pictures that were copied, of those that were there already, and (name, reason) of those left out.

    Raises:
        NoInputError: there is no manifest, or nothing is accepted.
        OutputError: `to` overlaps with `out`, or cannot be written.
        UsageError: the decisions cannot be read.
    """
    rows = read_rows(out)
    wanted = [d for d in decisions.read(accepted, "--accepted").values() if d.decision == decisions.ACCEPTED]
    if not rows:
        raise NoInputError(f"{out}: contains no {MANIFEST} with a row; name the --out of a run")
    if not wanted:
        raise NoInputError(f"--accepted {accepted}: accepts nothing, so there is nothing to copy")
    place, results = to.resolve(), out.resolve()
    if place.is_relative_to(results) or results.is_relative_to(place):
        raise OutputError(f"--to {to}: must not overlap with {out}; choose another folder")
    copied = there = 0
    left: list[tuple[str, str]] = []
    for decision in wanted:
        row = rows.get(decision.input)
        try:
            reason = decisions.why_not(row, decision, out)
        except OSError as error:
            reason = str(files.read_error(error, str(row and row.output)))
        if reason or row is None or row.output is None:
            left.append((decision.input, reason))
            continue
        try:
            outcome = copy(out, row.output, row.access, to)
        except OSError as error:
            problem = files.write_error(to / row.output, error)
            if isinstance(problem, OutputError):
                raise problem from error
            outcome = str(problem)
        copied += outcome == "copied"
        there += outcome == "there"
        if outcome not in ("copied", "there"):
            left.append((decision.input, outcome))
    return copied, there, left


def copy(out: Path, output: str, access: Iterable[str], to: Path) -> str:
    """Copies an output with its sidecar and its small copies.

    Returns:
        `copied`, `there` (it was there already), or why it was not copied.
    """
    beside = sidecar_of(out / output)
    made = [path.relative_to(out).as_posix() for path in sequences.frame_paths(out / output)]
    names = [*made, *([beside.relative_to(out).as_posix()] if is_sidecar(beside) else [])]
    names += [name for name in access if (out / name).is_file()]
    there = {name for name in names if (to / name).exists()}
    for name in there:
        if not (to / name).is_file() or files.sha256(to / name) != files.sha256(out / name):
            return f"{to / name} is another file; move it or choose another --to"
    for name in names:
        if name not in there:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_write(to / name) as part:
                shutil.copyfile(out / name, part)
                shutil.copystat(out / name, part)
    return "there" if there.issuperset(made) else "copied"
