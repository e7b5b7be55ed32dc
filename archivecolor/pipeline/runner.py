"""One machine: read -> colour -> write, bounded and resumable. The way of a photograph is `color_one`.

Each worker thread takes one picture all the way, but for the network, which has threads of its own (`engine.py`), and
for the full-size pass, which a large picture shares out to all cores (`painting.py`). Memory is bounded in megapixels:
a worker waits until its picture fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import torch

from archivecolor import provenance
from archivecolor.errors import OutputError
from archivecolor.film.shots import read_cuts
from archivecolor.imaging import watermark
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import RunOptions
from archivecolor.pipeline import film as film_pipeline
from archivecolor.pipeline.attempt import RunContext
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.pipeline.photo import color_one
from archivecolor.pipeline.scheduling import Budgets, SlowLast
from archivecolor.provenance import FAILED, CrashReport, FilmProgressCallback, Manifest, ManifestWriter, Record

IN_FLIGHT_MEGAPIXELS = 400.0
"""Decoded pictures held at one time; one larger than this goes alone."""


def drive(
    options: RunOptions,
    watch: Callable[[str, Record | None, int], None] = lambda name, row, total: None,
    stop: Callable[[], bool] = lambda: False,
    passed_over: Callable[[Path], None] = lambda path: None,
    begun: Callable[[str], None] = lambda name: None,
    known: CrashReport | None = None,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """Colours everything that is not settled and keeps the manifest.

    Args:
        watch: called once per input as it is finished, with its name, its row (None when it was settled already), and
            the number of inputs.
        stop: asked before each picture; when true, those in hand are finished and the rest is left for the next run.
            Films stop after a few seconds of film, and go on from there.
        passed_over: told of each file in the input folders that is no picture.
        begun: told the name of each input that is taken in hand, by the thread that takes it.
        known: from processes that were killed over the same run.
        film_watch: told of a film's name, what is done with it, frames done and in all, and seconds of film done.

    Returns:
        The rows of this run's inputs, old and new, in input order.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    todo = find_jobs(options, passed_over)
    check_files(options)
    with (
        Colorizer(
            options.model,
            options.color,
            options.device,
            options.precision,
            options.batch,
            options.engine,
            options.confidence,
        ) as colorizer,
        Manifest(options.out, options.disclosure.sidecar, options.shard) as manifest,
    ):
        if not options.overwrite:
            manifest.refuse_another_collection({job.name: job.source for job in todo})
        broken: OutputError | None = None

        def over() -> bool:
            return broken is not None or stop()

        suspects, rest = _settle_crashes(known or CrashReport(), todo, manifest, watch)
        alone = replace(options, workers=1)
        for job, outcome in itertools.chain.from_iterable(
            work(part, colorizer, how, manifest, begun, over, film_watch)
            for part, how in ((suspects, alone), (rest, options))
        ):
            if isinstance(outcome, OutputError):
                broken = outcome
                continue
            if outcome:
                manifest.append(outcome)
            watch(job.name, outcome, len(todo))
        if broken:
            raise broken
        return [manifest.rows[job.name] for job in todo if job.name in manifest.rows]


def check_files(options: RunOptions) -> None:
    """What can be wrong with every picture or film is found before the first one.

    Raises:
        UsageError: a font, a certificate or a list of cuts is not what it should be.
    """
    told = options.disclosure
    if told.mark:
        watermark.check_font(watermark.mark_text(told.mark), told.mark_font)
    if options.film.title_card:
        watermark.check_font(watermark.title_card_text(options.film.title_card), told.mark_font, "--title-card")
    if told.c2pa:
        provenance.check_credentials(told, TOOL)
    if options.film.cuts:
        read_cuts(options.film.cuts)


def _settle_crashes(
    known: CrashReport, todo: list[Job], manifest: Manifest, watch: Callable[[str, Record | None, int], None]
) -> tuple[list[Job], list[Job]]:
    """Those to try one at a time, and the rest; those that kill get their row at once."""
    for job in todo:
        if job.name in known.killers and job.name not in known.settled:
            row = Record(job.name, str(job.source), None, FAILED, known.killers[job.name])
            manifest.append(row)
            watch(job.name, row, len(todo))
    left = [job for job in todo if job.name not in known.killers and job.name not in known.settled]
    suspects = set(known.suspects)
    return [job for job in left if job.name in suspects], [job for job in left if job.name not in suspects]


def work(
    todo: Iterable[Job],
    colorizer: Colorizer,
    options: RunOptions,
    manifest: ManifestWriter,
    begun: Callable[[str], None] = lambda name: None,
    stop: Callable[[], bool] = lambda: False,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> Iterator[tuple[Job, Record | OutputError | None]]:
    """Each job with its outcome, in the order in which they are ready. One film at a time is in hand beside the
    photographs; other films wait until these are through, and so do all films where there is one worker.

    Args:
        stop: asked before each job; what is in hand is finished, but for films, which stop within seconds.
    """
    workers = options.workers or joblib.cpu_count() + 1
    context = RunContext(colorizer, options, manifest, Budgets.of(IN_FLIGHT_MEGAPIXELS / options.beside))
    lanes = SlowLast(todo, lambda job: job.kind.is_film, min(1, workers - 1))
    pool = joblib.Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=2 * workers)

    def task(job: Job) -> tuple[Job, Record | OutputError | None]:
        begun(job.name)
        watch = film_pipeline.FilmObserver(partial(film_watch, job.name), stop)
        try:
            torch.set_num_threads(1)  # the other cores belong to the network and the other workers
            return job, color_one(job, context, watch)
        finally:
            lanes.finished(job)

    yield from pool(joblib.delayed(task)(job) for job in lanes if not stop())
