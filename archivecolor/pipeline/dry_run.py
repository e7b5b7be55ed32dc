"""`run --dry-run`: what would be done, and why; nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from archivecolor import files, film, provenance, weights
from archivecolor.options import RunOptions
from archivecolor.pipeline import film as film_pipeline
from archivecolor.pipeline.runner import TOOL, check_files, find_jobs, options_digest
from archivecolor.provenance import DONE, SKIPPED, Identity, Record


def print_dry_run(options: RunOptions, as_json: bool) -> int:
    """Says for each input what a run would do, and why; writes nothing."""
    card = weights.check(weights.find(options.model))
    check_files(options)
    rows = provenance.known_rows(options.out, options.shard)
    for job in find_jobs(options):
        identity = Identity(card.sha256, options_digest(job.source, options))
        target = film_pipeline.film_target(job, card, options, TOOL) if film.is_film(job.source) else job.target
        row = rows.get(job.name)
        what = _intention(row, job.source, options, identity)
        if provenance.is_superseded(row, job.rejected):
            what = f"leave as it is ({provenance.SUPERSEDED})"
        if as_json:
            what_json = {"input": job.name, "source": str(job.source), "target": str(target), "would": what}
            sys.stdout.write(json.dumps(what_json) + "\n")
        else:
            sys.stdout.write(f"{what}: {job.source} -> {target}\n")
    return 0


def _intention(row: Record | None, source: Path, options: RunOptions, identity: Identity) -> str:
    if row is None:
        return "colour (new)"
    if options.overwrite:
        return "colour again (--overwrite)"
    if row.status not in (DONE, SKIPPED):
        return f"try again ({row.reason or 'not finished'})"
    try:
        changed = files.sha256(source) != row.source_sha256
    except OSError as error:
        return f"fail ({error.strerror})"
    if changed:
        return "colour again (the source changed)"
    chosen = row.redone and options.redo is None
    if row.weights_sha256 != identity.weights_sha256 and not chosen:
        return "colour again (other weights)"
    if row.options != identity.options and not chosen:
        return "colour again (other options)"
    if row.output is not None and not provenance.output_exists(options.out, row):
        return "colour again (the output is gone)"
    if row.output is not None and options.disclosure.sidecar:
        beside = provenance.sidecar_of(options.out / row.output)
        if not provenance.is_sidecar(beside):
            return "colour again (the sidecar is gone)"
    return f"leave as it is ({row.reason or row.status})"
