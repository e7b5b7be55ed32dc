"""The jobs of a run: its inputs with their kinds, after --redo, --limit and --shard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

import joblib

from archivecolor import film, photo, provenance
from archivecolor.errors import NoInputError, UsageError
from archivecolor.film.shots import read_cuts
from archivecolor.imaging import watermark
from archivecolor.options import RunOptions
from archivecolor.pipeline import access_copies, inputs, media
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import decisions

_OPENED_AT_ONCE = 16
"""Sources whose first bytes are read at the same time. On a network drive each open takes about a millisecond."""


def find_jobs(options: RunOptions, observer: RunObserver | None = None) -> list[Job]:
    """The jobs of a run, or of its shard, in a fixed order.

    Names and targets are decided before the jobs are divided among shards, so that all shards agree on them.

    Args:
        observer: told of every file in the input folders that is skipped. If it requests a stop while the kinds of the
            sources are examined, no further source is opened; the jobs must not be worked on.

    Raises:
        StoppedError: a stop was requested while the inputs were searched.
        NoInputError, OutputError, UsageError: the run cannot start.
    """
    observer = observer or RunObserver()
    jobs = find_sources(options, observer)
    if options.redo:
        jobs = _rejected_only(jobs, options.redo)
    jobs = jobs[: options.limit]
    for flag in options.color.of_one_picture() if len(jobs) > 1 else ():
        raise UsageError(f"{flag}: is for one picture, and there are {len(jobs)}; name the one it is meant for")
    if options.shard:
        jobs = [job for job in jobs if options.shard.has(job.name)]
    jobs = with_kinds(jobs, observer)
    timed = options.color.film_hints
    if timed and jobs and not jobs[0].kind.is_film and not observer.stop_requested():
        raise UsageError(
            f"--hint {timed[0]}: names a time, and {jobs[0].source.name} is a photograph; leave the time out"
        )
    return jobs


def find_sources(options: RunOptions, observer: RunObserver) -> list[Job]:
    """All inputs of a run, in a fixed order, as jobs whose kind is not known yet.

    Raises:
        StoppedError, NoInputError, OutputError: see `inputs.find_inputs`.
    """
    new_suffix = "" if options.format == "same" else photo.suffix_for(options.format, "")
    is_frame = media.is_numbered_picture if options.film.sequences else film.is_frame
    search = inputs.Search(
        media.is_input, is_frame, observer.file_ignored, observer.stop_requested, options.exclude, options.include
    )
    jobs = inputs.find_inputs(options.inputs, options.out, search, options.suffix, new_suffix)
    if options.access and any(PurePath(job.name).parts[0] == access_copies.FOLDER for job in jobs):
        raise UsageError(
            f"--access: the inputs have a folder {access_copies.FOLDER!r}, which is the name of the one for the small "
            "copies; rename it"
        )
    return jobs


def with_kinds(jobs: list[Job], observer: RunObserver) -> list[Job]:
    """The jobs with the kinds of their sources. Once a stop is requested, no further source is opened."""

    def with_kind(job: Job) -> Job:
        return job if observer.stop_requested() else replace(job, kind=media.kind_of(job.source))

    threads = joblib.Parallel(_OPENED_AT_ONCE, backend="threading", batch_size=32)
    return list(threads(joblib.delayed(with_kind)(job) for job in jobs))


def _rejected_only(jobs: list[Job], path: Path) -> list[Job]:
    """The jobs that a decisions file rejects, each with the output that was rejected.

    Raises:
        NoInputError: the file rejects none of them.
        UsageError: the file contains no decisions.
    """
    rejected = decisions.rejected(path)
    if not rejected:
        raise NoInputError(f"--redo {path}: rejects nothing, so there is nothing to do again")
    chosen = [replace(job, rejected=rejected[job.name]) for job in jobs if job.name in rejected]
    if not chosen:
        raise NoInputError(
            f"--redo {path}: none of its {len(rejected)} rejected pictures is among the inputs; give the same INPUT"
        )
    return chosen


def check_files(options: RunOptions) -> None:
    """Checks the files that the options name, before the first picture.

    Raises:
        UsageError: a font, a certificate, a list of cuts or a folder of references cannot be used.
        MissingDependencyError: the package for content credentials is not installed.
    """
    disclosure = options.disclosure
    if disclosure.mark:
        watermark.check_font(watermark.mark_text(disclosure.mark), disclosure.mark_font)
    if options.film.title_card:
        watermark.check_font(watermark.title_card_text(options.film.title_card), disclosure.mark_font, "--title-card")
    if disclosure.c2pa:
        provenance.check_credentials(disclosure, TOOL)
    if options.film.cuts:
        read_cuts(options.film.cuts)
    if options.film.references:
        from archivecolor.film.reference_files import check_references  # needs torch

        check_references(options.film.references)
