"""`run --dry-run`: what a run would do, how long it would take, and the disk it needs. Writes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from archivecolor import files, photo, provenance, weights
from archivecolor.options import OutputFormat, RunOptions
from archivecolor.pipeline import access_copies, rates
from archivecolor.pipeline.attempt import identity_of
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import check_files, find_jobs
from archivecolor.provenance import Identity, Record

_SMALL_KINDS = (".jpg", ".jpeg", ".webp", ".avif", ".jp2", ".heic")
"""Lossy, or much compressed: a grey file grows by half when it becomes a colour one (measured on JPEG)."""
_GROWTH = 1.5
_MB_A_MEGAPIXEL = {OutputFormat.JPEG: 0.6, OutputFormat.WEBP: 0.5}
"""Of lossy outputs of other sources, at the usual quality."""


@dataclass
class Estimate:
    """The totals of a run that is still to come."""

    actions: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    """Photographs to colour."""
    films: int = 0
    megapixels: float = 0.0
    """Of the photographs to colour; one of 16 bits counts twice."""
    megabytes: float = 0.0
    """That their outputs need, roughly."""
    access: int = 0
    """Small copies for the web."""

    def add(self, job: Job, action: str, options: RunOptions) -> None:
        """Counts one input. Reads the header of a photograph that would be coloured."""
        self.actions[action] += 1
        if not action.startswith("colour"):
            return
        if job.kind.is_film:
            self.films += 1
            return
        self.pictures += 1
        try:
            megapixels, size = photo.measure(job.source), job.source.stat().st_size / 1e6
        except OSError:
            return
        self.megapixels += megapixels
        self.megabytes += _output_megabytes(job, megapixels, size, options)

    def lines(self, options: RunOptions) -> list[str]:
        """The totals in words."""
        summary = [f"{count:>8} {action}" for action, count in sorted(self.actions.items())]
        summary.append(f"{self.pictures} photographs to colour, {self.megapixels:,.1f} megapixels")
        if self.pictures:
            rate = rates.last(options)
            if rate:
                seconds = rate.seconds(self.pictures, self.megapixels)
                summary.append(f"time: about {rates.duration(seconds)}, at the speed of the last run here")
            else:
                summary.append("time: not known before the first run here; run with --limit 20 first")
            free = shutil.disk_usage(_existing(options.out)).free / 1e6
            summary.append(f"disk: about {megabytes(self.megabytes)}; {megabytes(free)} are free")
            if self.megabytes > free:
                summary.append("disk: NOT ENOUGH; choose another --out, or --format jpeg")
        if self.access:
            summary.append(f"{self.access} small copies besides, in {options.out / access_copies.FOLDER}")
        if self.films:
            summary.append(f"{self.films} films to colour besides; their time and disk are not estimated")
        return summary


def print_dry_run(options: RunOptions, as_json: bool, verbosity: int = 0) -> int:
    """Prints the totals of a run that is still to come. Returns the exit code.

    Args:
        as_json: print a JSON line for each input instead: what a run would do, the source and the target.
        verbosity: from 1 on, the same as plain lines, before the totals.

    Raises:
        NoInputError, OutputError, UsageError, WeightsError: a run could not start.
    """
    card = weights.check(weights.find(options.model))
    check_files(options)
    rows = provenance.known_rows(options.out, options.shard)
    estimate = Estimate()
    for job in find_jobs(options):
        target = _target(job, card, options)
        row = rows.get(job.name)
        action = _action(job, row, identity_of(job, card.sha256, options), options)
        copies = [] if job.kind.is_film else _access_copies(target, row, action, options)
        if as_json:
            line = {"input": job.name, "source": str(job.source), "target": str(target), "would": action}
            more = {"access": copies} if copies or options.access else {}
            sys.stdout.write(json.dumps({**line, **more}) + "\n")
            continue
        if verbosity:
            targets = ", ".join(map(str, (target, *copies)))
            sys.stdout.write(files.printable(f"{action}: {job.source} -> {targets}") + "\n")
        estimate.add(job, action, options)
        estimate.access += len(copies)
    if not as_json:
        sys.stdout.write("\n".join(estimate.lines(options)) + "\n")
    return 0


def megabytes(value: float) -> str:
    """`120 MB`, `3.4 GB`."""
    return f"{value:,.0f} MB" if value < 1000 else f"{value / 1000:,.1f} GB"


def _output_megabytes(job: Job, megapixels: float, size: float, options: RunOptions) -> float:
    """The size of an output: that of its source and a half where both are much compressed, else three channels."""
    kept = options.format == OutputFormat.SAME
    if job.source.suffix.lower() in _SMALL_KINDS and (kept or options.format in _MB_A_MEGAPIXEL):
        return _GROWTH * size
    return _MB_A_MEGAPIXEL.get(options.format, 3.0) * megapixels


def _existing(folder: Path) -> Path:
    whole = folder.absolute()
    return next(path for path in (whole, *whole.parents) if path.exists())


def _access_copies(target: Path, row: Record | None, action: str, options: RunOptions) -> list[str]:
    """The paths of the small copies that would be made."""
    output = target.relative_to(options.out).as_posix()
    names = access_copies.planned_copies(output, row, options, action.startswith("colour"))
    return [str(options.out / name) for name in names]


def _target(job: Job, card: weights.Card, options: RunOptions) -> Path:
    if not job.kind.is_film:
        return job.target
    from archivecolor.pipeline.film import film_target  # much to import, for films only

    return film_target(job, card, options)


def _action(job: Job, row: Record | None, identity: Identity, options: RunOptions) -> str:
    source_sha256 = partial(files.sha256, job.source)
    sidecars = options.disclosure.sidecar
    try:
        return provenance.check_settled(
            row, source_sha256, identity, options.out, sidecars, job.rejected, options.overwrite
        ).reason
    except OSError as error:
        return f"fail ({error.strerror})"
