"""What was made from what, by what: the manifest, resuming from it, and the disclosure inside every file."""

from __future__ import annotations

from archivecolor.provenance.credentials import check_credentials, sign
from archivecolor.provenance.disclosure import (
    SOURCE_TYPE,
    TERMS,
    caption,
    disclosure,
    has_caption,
    is_machine_colored,
    own_source_type,
)
from archivecolor.provenance.locks import LOCK
from archivecolor.provenance.manifest import Manifest, ManifestWriter, merge
from archivecolor.provenance.ours import is_ours
from archivecolor.provenance.records import (
    DONE,
    FAILED,
    MANIFEST,
    SKIPPED,
    STARTED,
    SUPERSEDED,
    UNEXPECTED,
    CrashReport,
    Identity,
    Record,
    Totals,
    is_superseded,
    totals,
)
from archivecolor.provenance.row_index import RowIndex
from archivecolor.provenance.settled import Settled, check_settled, output_exists, output_problem
from archivecolor.provenance.shards import known_rows, manifest_of, read_rows, unmerged
from archivecolor.provenance.sidecars import (
    finished_at,
    is_sidecar,
    sidecar_of,
    sidecar_texts,
    write_sidecar,
    xmp_files_of,
)
from archivecolor.provenance.stale_xmp import without_stale
from archivecolor.provenance.xmp import faults_of

__all__ = [
    "DONE",
    "FAILED",
    "LOCK",
    "MANIFEST",
    "SKIPPED",
    "SOURCE_TYPE",
    "STARTED",
    "SUPERSEDED",
    "TERMS",
    "UNEXPECTED",
    "CrashReport",
    "Identity",
    "Manifest",
    "ManifestWriter",
    "Record",
    "RowIndex",
    "Settled",
    "Totals",
    "caption",
    "check_credentials",
    "check_settled",
    "disclosure",
    "faults_of",
    "finished_at",
    "has_caption",
    "is_machine_colored",
    "is_ours",
    "is_sidecar",
    "is_superseded",
    "known_rows",
    "manifest_of",
    "merge",
    "output_exists",
    "output_problem",
    "own_source_type",
    "read_rows",
    "sidecar_of",
    "sidecar_texts",
    "sign",
    "totals",
    "unmerged",
    "without_stale",
    "write_sidecar",
    "xmp_files_of",
]
