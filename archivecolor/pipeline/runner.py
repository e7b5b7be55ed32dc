"""A run on one machine, bounded in memory and resumable.

Each worker thread takes one job from its source to its row (`photo.color_one`). Two things happen elsewhere: the
network has threads of its own (`inference/batching.py`), and all cores share the full-size merge of a large picture
(`imaging/merge.py`). A worker waits until its picture fits into the memory budget.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeVar

import joblib

from archivecolor import provenance
from archivecolor.errors import OutputError
from archivecolor.inference import devices
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import RunOptions
from archivecolor.pipeline.attempt import RunContext
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import check_files, find_jobs
from archivecolor.pipeline.observer import FilmObserver, ForwardingObserver, RunObserver
from archivecolor.pipeline.photo import color_one
from archivecolor.pipeline.scheduling import IN_FLIGHT_MEGAPIXELS, Budgets, SlowLast
from archivecolor.provenance import FAILED, CrashReport, Manifest, ManifestWriter, Record, Totals

T = TypeVar("T")


class _UntilOutputFails(ForwardingObserver):
    """Stops the workers as soon as one of them cannot write to the output folder."""

    error: OutputError | None = None

    def stop_requested(self) -> bool:
        return self.error is not None or super().stop_requested()


def drive(options: RunOptions, observer: RunObserver | None = None, crashes: CrashReport | None = None) -> Totals:
    """Colours every input that is not finished yet, and keeps the manifest.

    Args:
        observer: told of progress, and asked whether to stop.
        crashes: what processes that were killed during this run left behind.

    Returns:
        The totals of this run's inputs, old and new. The rows themselves are in the manifest only: a million of them
        would take 2 GB of memory.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    return drive_with(provenance.totals, options, observer, crashes)


def drive_with(
    summarize: Callable[[Iterable[Record]], T],
    options: RunOptions,
    observer: RunObserver | None = None,
    crashes: CrashReport | None = None,
    colorizer: Colorizer | None = None,
) -> T:
    """`drive`, with another summary.

    Args:
        summarize: called at the end with the rows of this run's inputs, old and new, in input order. They are read from
            the manifest one by one.
        colorizer: an open one, of the same options; without it, one is opened for this run.

    Returns:
        What `summarize` returns.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    observer = observer or RunObserver()
    todo = find_jobs(options, observer)
    check_files(options)
    with (
        nullcontext(colorizer) if colorizer else Colorizer(options.model, options) as colorizer,
        Manifest(options.out, options.disclosure.sidecar, options.shard) as manifest,
    ):
        if not options.overwrite:
            manifest.refuse_another_collection({job.name: job.source for job in todo})
        suspects, rest = record_crashes(crashes or CrashReport(), todo, manifest, observer)
        for job, row in outcomes(suspects, rest, colorizer, options, manifest, observer):
            if row:
                manifest.append(row)
            observer.picture_finished(job.name, row, len(todo))
        return summarize(manifest.rows[job.name] for job in todo if job.name in manifest.rows)


def record_crashes(
    crashes: CrashReport, todo: list[Job], manifest: Manifest, observer: RunObserver
) -> tuple[list[Job], list[Job]]:
    """Records a failure for inputs that crashed their process. Returns the suspects, to be tried one at a time, and the
    other jobs."""
    for job in todo:
        if job.name in crashes.fatal and job.name not in crashes.settled:
            row = Record(job.name, str(job.source), None, FAILED, crashes.fatal[job.name])
            manifest.append(row)
            observer.picture_finished(job.name, row, len(todo))
    left = [job for job in todo if job.name not in crashes.fatal and job.name not in crashes.settled]
    suspects = set(crashes.suspect)
    return [job for job in left if job.name in suspects], [job for job in left if job.name not in suspects]


def outcomes(
    suspects: Iterable[Job],
    rest: Iterable[Job],
    colorizer: Colorizer,
    options: RunOptions,
    manifest: ManifestWriter,
    observer: RunObserver,
) -> Iterator[tuple[Job, Record | None]]:
    """Yields each job with its row as soon as it is coloured; without one if an earlier run had finished it.

    Args:
        suspects: what was in work when a process was killed; these are tried first, one at a time.

    Raises:
        OutputError: the output folder cannot be written. It comes when the pictures in work are finished.
    """
    stopping = _UntilOutputFails(observer)
    one_worker = replace(options, workers=1)
    for job, outcome in itertools.chain(
        work(suspects, colorizer, one_worker, manifest, stopping), work(rest, colorizer, options, manifest, stopping)
    ):
        if isinstance(outcome, OutputError):
            stopping.error = outcome
        else:
            yield job, outcome
    if stopping.error:
        raise stopping.error


def work(
    todo: Iterable[Job],
    colorizer: Colorizer,
    options: RunOptions,
    manifest: ManifestWriter,
    observer: RunObserver,
) -> Iterator[tuple[Job, Record | OutputError | None]]:
    """Yields each job with its outcome (see `color_one`) as soon as it is ready.

    One film at a time is coloured beside the photographs; the other films come after them. With one worker, all films
    come last. Once a stop is requested no further job is started, and those that were not started are not yielded.
    """
    workers = options.workers or joblib.cpu_count() + 1
    context = RunContext(colorizer, options, manifest, Budgets.of(IN_FLIGHT_MEGAPIXELS / options.local_processes))
    jobs = SlowLast(todo, lambda job: job.kind.is_film, min(1, workers - 1))
    pool = joblib.Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=2 * workers)

    def task(job: Job) -> tuple[Job, Record | OutputError | None] | None:
        if observer.stop_requested():  # since the job was dispatched
            return None
        observer.picture_started(job.name)
        try:
            with devices.single_thread():  # the other cores belong to the network and the other workers
                return job, color_one(job, context, FilmObserver(observer, job.name))
        finally:
            jobs.finished(job)

    wanted = itertools.takewhile(lambda job: not observer.stop_requested(), jobs)
    yield from filter(None, pool(joblib.delayed(task)(job) for job in wanted))
