"""What was made from what, by what: the manifest, resuming from it, and the disclosure inside every file."""

from __future__ import annotations

from archivecolor.provenance.disclosure import (
    SOURCE_TYPE,
    caption,
    disclosure,
    has_caption,
    own_source_type,
)
from archivecolor.provenance.manifest import LOCK, Manifest
from archivecolor.provenance.record import (
    DONE,
    FAILED,
    MANIFEST,
    SKIPPED,
    STARTED,
    Aftermath,
    Identity,
    Record,
    read_rows,
    totals,
)
from archivecolor.provenance.sidecar import is_sidecar, sidecar_of, write_sidecar

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MANIFEST",
    "SKIPPED",
    "SOURCE_TYPE",
    "STARTED",
    "Aftermath",
    "Identity",
    "Manifest",
    "Record",
    "caption",
    "disclosure",
    "has_caption",
    "is_sidecar",
    "own_source_type",
    "read_rows",
    "sidecar_of",
    "totals",
    "write_sidecar",
]
