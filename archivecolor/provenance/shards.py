"""The manifests of shards: one for each while they work, joined into one when they are done."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from archivecolor import files
from archivecolor.errors import NoInputError, OutputError
from archivecolor.options import Shard
from archivecolor.provenance.records import FAILED, MANIFEST, STARTED, Record, line
from archivecolor.provenance.row_index import LayeredRows, RowIndex, newest_rows

_NAME = re.compile(r"manifest\.(\d+)-of-(\d+)\.jsonl")
_LOCKS = ".archivecolor.*-of-*.lock"


def manifest_of(shard: Shard | None) -> str:
    """The name of a shard's manifest, `manifest.3-of-8.jsonl`; of the whole one when it is None."""
    return f"manifest.{shard.index}-of-{shard.count}.jsonl" if shard else MANIFEST


def lock_of(shard: Shard) -> str:
    """The name of the lock that keeps two processes from running the same shard."""
    return f".archivecolor.{shard.index}-of-{shard.count}.lock"


def unmerged(folder: Path) -> list[Path]:
    """The manifests of shards in a folder, in the order of the shards."""
    found = [(match, path) for path in folder.glob("manifest.*.jsonl") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: (int(pair[0][2]), int(pair[0][1])))]


def refuse_other_shares(folder: Path, shard: Shard) -> None:
    """Raises OutputError if the folder has manifests of shards of another count. A picture could then have rows in two
    of them, and nothing would say which one is newer."""
    others = sorted(
        {match[2] for path in unmerged(folder) if (match := _NAME.fullmatch(path.name))} - {str(shard.count)}
    )
    if others:
        raise OutputError(
            f"{folder}: shards of {others[0]} lie here, and this one is of {shard.count}; when they are finished, "
            f"type: archivecolor manifest merge {folder}"
        )


def read_rows(folder: Path) -> dict[str, Record]:
    """The newest row of each input of a finished run. A last line that a kill cut short is skipped.

    Raises:
        NoInputError: some of its shards are not merged yet.
    """
    if waiting := unmerged(folder):
        raise NoInputError(
            f"{folder}: {len(waiting)} of its shards not merged yet ({waiting[0].name}{', …' * (len(waiting) > 1)}); "
            f"type: archivecolor manifest merge {folder}"
        )
    return {name: finished(row) for name, row in newest_rows(folder / MANIFEST).items()}


def known_rows(folder: Path, shard: Shard | None = None) -> Mapping[str, Record]:
    """The rows that a run, or a shard, would find if it began now."""
    own = [folder / manifest_of(shard)] if shard else unmerged(folder)
    return LayeredRows(*map(RowIndex, own), RowIndex(folder / MANIFEST))


def finished(row: Record) -> Record:
    """A row when nothing works on it any more: one that was only begun has failed."""
    if row.status != STARTED:
        return row
    return replace(row, status=FAILED, reason="interrupted while it was being written")


def join(folder: Path) -> None:
    """Joins all manifests into one. The caller must hold the folder's lock alone.

    A shard's row is newer than the merged row of the same picture, because nothing else writes the merged manifest
    while there are shards. After a kill between writing it and removing the others, joining again gives the same
    result.
    """
    waiting = unmerged(folder)
    if waiting:
        shards = [RowIndex(path) for path in waiting]
        before = (row for row in RowIndex(folder / MANIFEST).newest() if not any(row.input in rows for rows in shards))
        with files.atomic_write(folder / MANIFEST) as part, part.open("wb") as file:
            for row in itertools.chain(before, *(rows.newest() for rows in shards)):
                file.write(line(finished(row)).encode())
    _remove([*waiting, *folder.glob(_LOCKS)])


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
