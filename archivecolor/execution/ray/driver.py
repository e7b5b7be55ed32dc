"""The driver: sends batches of jobs to the actors, and receives rows."""

from __future__ import annotations

import itertools
import pickle
import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar, cast

from archivecolor import provenance, weights
from archivecolor.errors import ArchivecolorError
from archivecolor.execution import log
from archivecolor.execution.ray.connect import RayModule, connected, library
from archivecolor.execution.ray.manifest_actor import ManifestActor, ManifestClient
from archivecolor.execution.ray.worker import Outcome, Worker, WorkerSetup
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import check_files, find_jobs
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import Totals

JOBS_PER_TASK = 64
"""Jobs that an actor receives at a time. When it dies, all of them are done again."""
_TASKS_AT_A_TIME = 2000
"""Batches of jobs that are submitted to Ray at a time: its memory grows with them."""
_CORES_PER_ACTOR = 4
"""CPU cores of an actor without a GPU, when --workers is not given."""
_ACTORS_PER_FILM_ACTOR = 4
"""One of this many actors colours films (at least one does) while there are photographs too. When one kind is finished,
its resources are free for the other."""
_TASKS_PER_ACTOR = 2
"""Batches that wait at one actor; few, because no other actor can take them over."""
_POLL_S = 0.2

_T = TypeVar("_T")


def drive(options: RunOptions, observer: RunObserver, jobs_per_task: int = JOBS_PER_TASK) -> Totals:
    """`runner.drive` on a Ray cluster; on one that is started on this machine where `options.address` is empty.

    Args:
        observer: as for `runner.drive`; `picture_started` and `film_progress` are not called, because they happen in
            the actors.
        jobs_per_task: jobs that an actor receives at a time.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: nothing answers at the address.
        ArchivecolorError: as `runner.drive`; also when a machine of the cluster sees another output folder,
            or has other weights.
    """
    ray = library()
    todo = find_jobs(options, observer)
    check_files(options)
    card = weights.check(weights.find(options.model))
    with redirect_stdout(sys.stderr), connected(ray, options.address):  # Ray prints too; stdout is for rows
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        manifest_actor = (
            ray.remote(ManifestActor).options(num_cpus=0, scheduling_strategy=here).remote(options, str(Path.cwd()))
        )
        manifest = ManifestClient(ray, manifest_actor)
        try:
            lock, lock_text = manifest.call("open")
            if not options.overwrite:
                for part in _chunks(todo, 10_000):
                    manifest.call("refuse_another_collection", {job.name: job.source for job in part})
            with _stop_forwarded(observer, manifest):
                setup = WorkerSetup(options, str(Path.cwd()), card.sha256, lock, lock_text, log.level())
                _follow(_outcomes(ray, todo, setup, manifest, jobs_per_task), manifest, observer, len(todo))
            manifest.call("close")
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchivecolorError(f"Ray gave up ({lines[-1]}); the same command resumes the run") from error
        finally:
            ray.kill(manifest_actor)
    rows = provenance.known_rows(options.out, options.shard)
    return provenance.totals(rows[job.name] for job in todo if job.name in rows)


def _follow(
    outcomes: Iterator[tuple[str, Outcome]], manifest: ManifestClient, observer: RunObserver, total: int
) -> None:
    """Records each outcome. When the output folder cannot be written, the run stops after the jobs in work.

    Raises:
        ArchivecolorError: the first error of an actor.
    """
    broken: ArchivecolorError | None = None
    for name, outcome in outcomes:
        if isinstance(outcome, ArchivecolorError):
            broken = broken or outcome
            manifest.call("stop")
            continue
        if outcome:
            manifest.call("append", outcome)
        observer.picture_finished(name, outcome, total)
    if broken:
        manifest.call("close")
        raise broken


def _outcomes(
    ray: RayModule, todo: list[Job], setup: WorkerSetup, manifest: ManifestClient, jobs_per_task: int
) -> Iterator[tuple[str, Outcome]]:
    """Yields each job's outcome, as soon as its batch is done. Films have actors of their own, so that photographs do
    not wait for hours of film; where there is only one actor, films come last."""
    resources, actors = _actor_resources(ray, setup.options)
    films = [job for job in todo if job.kind.is_film]
    among = set(films)
    left = [job for job in todo if job not in among]
    size = max(1, min(jobs_per_task, len(left) // (2 * actors)))  # so that no actor is idle while others work
    photographs = _chunks(left, size)
    of_films = max(1, actors // _ACTORS_PER_FILM_ACTOR)

    def lane(job_batches: Iterable[list[Job]], size: int) -> Iterator[tuple[str, Outcome]]:
        return _run_on_actors(ray, list(job_batches), setup, manifest, resources, size)

    one_by_one = [[job] for job in films]
    if not films or len(films) == len(todo) or actors == 1:
        yield from itertools.chain(lane(photographs, actors), lane(one_by_one, actors))
    else:
        yield from _interleaved(lane(one_by_one, of_films), lane(photographs, actors - of_films))


def _run_on_actors(
    ray: RayModule,
    job_batches: list[list[Job]],
    setup: WorkerSetup,
    manifest: ManifestClient,
    resources: dict[str, float],
    actors: int,
) -> Iterator[tuple[str, Outcome]]:
    for wave in _chunks([{"job_batch": pickle.dumps(jobs)} for jobs in job_batches], _TASKS_AT_A_TIME):
        if manifest.call("is_stopped"):
            return
        pool = ray.data.ActorPoolStrategy(
            min_size=1, initial_size=actors, max_size=None, max_tasks_in_flight_per_actor=_TASKS_PER_ACTOR
        )
        done = ray.data.from_items(wave, override_num_blocks=len(wave)).map_batches(
            Worker,
            fn_constructor_args=(setup, manifest.actor),
            batch_size=1,
            batch_format="numpy",
            compute=pool,
            **resources,
        )
        for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for answer in batch["outcomes"]:
                outcomes, records = pickle.loads(answer)
                for record in records:
                    log.handle(record)
                yield from outcomes


def _interleaved(*streams: Iterator[_T]) -> Iterator[_T]:
    """Yields the items of several iterators as they come, each read by its own thread. The first error is raised."""
    come: queue.SimpleQueue[tuple[bool, _T | BaseException | None]] = queue.SimpleQueue()

    def drain(stream: Iterator[_T]) -> None:
        try:
            for item in stream:
                come.put((True, item))
            come.put((False, None))
        except BaseException as error:
            come.put((False, error))

    for stream in streams:
        threading.Thread(target=drain, args=(stream,), name="archivecolor-lane", daemon=True).start()
    left = len(streams)
    while left:
        is_item, what = come.get()
        if is_item:
            yield cast(_T, what)
        elif isinstance(what, BaseException):
            raise what
        else:
            left -= 1


def _actor_resources(ray: RayModule, options: RunOptions) -> tuple[dict[str, float], int]:
    """The resources of one actor, and how many actors the cluster has resources for now; it may grow later."""
    has = ray.cluster_resources()
    if options.device.startswith("cuda") or (options.device == "auto" and has.get("GPU", 0) >= 1):
        return {"num_gpus": 1, "num_cpus": options.workers or 1}, max(1, int(has.get("GPU", 0)))
    cores = max(1, int(has.get("CPU", 1)))
    each = options.workers or min(_CORES_PER_ACTOR, cores)
    return {"num_cpus": each}, max(1, cores // each)


@contextmanager
def _stop_forwarded(observer: RunObserver, manifest: ManifestClient) -> Iterator[None]:
    """Forwards a requested stop to the actors, also while the driver waits for their outcomes."""
    over = threading.Event()

    if observer.stop_requested():
        manifest.call("stop")

    def listen() -> None:
        while not over.wait(_POLL_S):
            if observer.stop_requested():
                manifest.call("stop")
                return

    thread = threading.Thread(target=listen, name="archivecolor-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _chunks(whole: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])
