"""What was made from what, by what: the manifest, resuming from it, and the disclosure inside every file."""

from __future__ import annotations

from archivecolor.provenance.disclosure import SOURCE_TYPE, disclosure
from archivecolor.provenance.manifest import LOCK, Manifest
from archivecolor.provenance.record import (
    DONE,
    FAILED,
    MANIFEST,
    SKIPPED,
    STARTED,
    Identity,
    Record,
    read_rows,
    totals,
)

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MANIFEST",
    "SKIPPED",
    "SOURCE_TYPE",
    "STARTED",
    "Identity",
    "Manifest",
    "Record",
    "disclosure",
    "read_rows",
    "totals",
]
