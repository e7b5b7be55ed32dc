"""What was made from what, by what: the manifest, resuming from it, and the disclosure inside every file."""

from __future__ import annotations

from archivecolor.provenance.credentials import check_credentials, sign
from archivecolor.provenance.disclosure import (
    SOURCE_TYPE,
    TERMS,
    caption,
    disclosure,
    has_caption,
    own_source_type,
)
from archivecolor.provenance.lock import LOCK
from archivecolor.provenance.manifest import Keeper, Manifest, all_there, merge
from archivecolor.provenance.premis import premis
from archivecolor.provenance.record import (
    DONE,
    FAILED,
    MANIFEST,
    MOVED_ON,
    SKIPPED,
    STARTED,
    Aftermath,
    FilmWatch,
    Identity,
    Record,
    moved_on,
    totals,
)
from archivecolor.provenance.rows import Rows
from archivecolor.provenance.shards import known_rows, manifest_of, read_rows, unmerged
from archivecolor.provenance.sidecar import is_sidecar, sidecar_of, write_sidecar

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MANIFEST",
    "MOVED_ON",
    "SKIPPED",
    "SOURCE_TYPE",
    "STARTED",
    "TERMS",
    "Aftermath",
    "FilmWatch",
    "Identity",
    "Keeper",
    "Manifest",
    "Record",
    "Rows",
    "all_there",
    "caption",
    "check_credentials",
    "disclosure",
    "has_caption",
    "is_sidecar",
    "known_rows",
    "manifest_of",
    "merge",
    "moved_on",
    "own_source_type",
    "premis",
    "read_rows",
    "sidecar_of",
    "sign",
    "totals",
    "unmerged",
    "write_sidecar",
]
