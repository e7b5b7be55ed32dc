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
from archivecolor.provenance.manifest import LOCK, Manifest
from archivecolor.provenance.premis import premis
from archivecolor.provenance.record import (
    DONE,
    FAILED,
    MANIFEST,
    SKIPPED,
    STARTED,
    Aftermath,
    Identity,
    Record,
    totals,
)
from archivecolor.provenance.rows import Rows, read_rows
from archivecolor.provenance.sidecar import is_sidecar, sidecar_of, write_sidecar

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MANIFEST",
    "SKIPPED",
    "SOURCE_TYPE",
    "STARTED",
    "TERMS",
    "Aftermath",
    "Identity",
    "Manifest",
    "Record",
    "Rows",
    "caption",
    "check_credentials",
    "disclosure",
    "has_caption",
    "is_sidecar",
    "own_source_type",
    "premis",
    "read_rows",
    "sidecar_of",
    "sign",
    "totals",
    "write_sidecar",
]
