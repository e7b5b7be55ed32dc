"""Whether a finished input stays as it is. Resuming asks only this, and gets the reason with the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archivecolor import files, sequences
from archivecolor.provenance.records import DONE, SKIPPED, SUPERSEDED, Identity, Record, is_superseded
from archivecolor.provenance.sidecars import is_sidecar, sidecar_of


@dataclass(frozen=True)
class Settled:
    """True where a run leaves an input as it is."""

    value: bool
    reason: str
    """What a run does with the input, and why, as `run --dry-run` prints it: `colour again (other weights)`."""

    def __bool__(self) -> bool:
        return self.value


def check_settled(
    row: Record | None,
    source_sha256: Callable[[], str],
    identity: Identity,
    folder: Path,
    sidecars: bool = False,
    rejected: str = "",
    overwrite: bool = False,
) -> Settled:
    """Whether a run leaves an input as it is: source, weights and options are the same, and the output exists.

    The weights and options of a redone input are those that a person chose with --redo. They count until the next
    --redo.

    Args:
        row: the newest row of the input; None when it has none.
        source_sha256: gives the hash of the source. It is called only where the answer depends on it: hashing reads the
            whole file.
        folder: the output folder.
        sidecars: whether each output has a sidecar.
        rejected: SHA-256 of the output that a person rejected, "" for none.
        overwrite: whether finished inputs are done again.

    Raises:
        OSError: the source cannot be hashed.
    """
    if is_superseded(row, rejected):
        return Settled(True, f"leave as it is ({SUPERSEDED})")
    if row is None:
        return Settled(False, "colour (new)")
    if overwrite:
        return Settled(False, "colour again (--overwrite)")
    if row.status not in (DONE, SKIPPED):
        return Settled(False, f"try again ({row.reason or 'not finished'})")
    if source_sha256() != row.source_sha256:
        return Settled(False, "colour again (the source changed)")
    chosen = row.redone and not rejected
    if row.weights_sha256 != identity.weights_sha256 and not chosen:
        return Settled(False, "colour again (other weights)")
    if row.options != identity.options and not chosen and not _has_former_options(row, identity, folder):
        return Settled(False, "colour again (other options)")
    if row.status == DONE and not output_exists(folder, row):
        return Settled(False, "colour again (the output is gone)")
    if row.status == DONE and sidecars and not is_sidecar(sidecar_of(folder / str(row.output))):
        return Settled(False, "colour again (the sidecar is gone)")
    return Settled(True, f"leave as it is ({row.reason or row.status})")


def _has_former_options(row: Record, identity: Identity, folder: Path) -> bool:
    """Whether a row of an earlier version has these options, and the font is the one that its mark was drawn with."""
    if not identity.former_options or row.options != identity.former_options:
        return False
    if row.output is None:
        return True
    written = [path.stat().st_mtime for path in sequences.frame_paths(folder / row.output) if path.exists()]
    return not written or min(written) >= identity.former_until


def output_exists(folder: Path, row: Record) -> bool:
    """Whether the output of a row exists, with all its frames where it is an image sequence."""
    if row.output is None:
        return False
    output = folder / row.output
    if row.film and sequences.is_pattern(output):
        return len(sequences.frame_paths(output)) == row.film.get("frames")
    return output.is_file()


def output_problem(row: Record | None, folder: Path) -> str:
    """Why a picture has no output that can be given away, or "".

    Raises:
        OSError: the output cannot be read.
    """
    if row is None or row.status != DONE or row.output is None:
        return "the manifest has no output of it any more"
    path = folder / row.output
    if not sequences.exists(path):
        return f"{path} is not there"
    if files.sha256(path) != row.output_sha256:
        return f"{path} was changed after the run"
    return ""
