"""`run --dry-run`: prints what a run would do with each input, and why. Writes nothing."""

from __future__ import annotations

import json
import sys
from functools import partial

from archivecolor import files, provenance, weights
from archivecolor.options import RunOptions
from archivecolor.pipeline import film as film_pipeline
from archivecolor.pipeline.attempt import options_digest
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.pipeline.runner import check_files
from archivecolor.provenance import Identity, Record


def print_dry_run(options: RunOptions, as_json: bool) -> int:
    """Prints one line for each input: what a run would do, why, the source and the target. Returns the exit code.

    Raises:
        NoInputError, OutputError, UsageError, WeightsError: a run could not start.
    """
    card = weights.check(weights.find(options.model))
    check_files(options)
    rows = provenance.known_rows(options.out, options.shard)
    for job in find_jobs(options):
        target = film_pipeline.film_target(job, card, options) if job.kind.is_film else job.target
        action = _action(job, rows.get(job.name), Identity(card.sha256, options_digest(job, options)), options)
        if as_json:
            line = {"input": job.name, "source": str(job.source), "target": str(target), "would": action}
            sys.stdout.write(json.dumps(line) + "\n")
        else:
            sys.stdout.write(f"{action}: {job.source} -> {target}\n")
    return 0


def _action(job: Job, row: Record | None, identity: Identity, options: RunOptions) -> str:
    source_sha256 = partial(files.sha256, job.source)
    sidecars = options.disclosure.sidecar
    try:
        return provenance.check_settled(
            row, source_sha256, identity, options.out, sidecars, job.rejected, options.overwrite
        ).reason
    except OSError as error:
        return f"fail ({error.strerror})"
