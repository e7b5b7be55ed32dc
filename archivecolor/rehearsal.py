"""`run --dry-run`: what would be done, and why; nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from archivecolor import files, film, provenance, reel, weights
from archivecolor.options import RunOptions
from archivecolor.provenance import DONE, SKIPPED, Identity, Record
from archivecolor.run import TOOL, check_files, digest, find_jobs


def rehearse(options: RunOptions, as_json: bool) -> int:
    """Says for each input what a run would do, and why; writes nothing."""
    card = weights.check(weights.find(options.model))
    check_files(options)
    rows = provenance.known_rows(options.out, options.shard)
    for job in find_jobs(options):
        identity = Identity(card.sha256, digest(job.source, options))
        target = reel.target(job, card, options, TOOL) if film.is_film(job.source) else job.target
        row = rows.get(job.name)
        what = _intention(row, job.source, options, identity)
        if provenance.moved_on(row, job.rejected):
            what = f"leave as it is ({provenance.MOVED_ON})"
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
    if row.output is not None and not provenance.all_there(options.out, row):
        return "colour again (the output is gone)"
    if row.output is not None and options.disclosure.sidecar:
        beside = provenance.sidecar_of(options.out / row.output)
        if not provenance.is_sidecar(beside):
            return "colour again (the sidecar is gone)"
    return f"leave as it is ({row.reason or row.status})"
