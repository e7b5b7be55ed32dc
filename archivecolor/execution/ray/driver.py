"""The driver: gives out parcels, takes back rows."""

from __future__ import annotations

import itertools
import pickle
import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar, cast

from archivecolor import log, provenance, weights
from archivecolor.errors import ArchivecolorError
from archivecolor.execution.ray.connect import connected, library
from archivecolor.execution.ray.manifest_actor import ManifestActor, ManifestClient
from archivecolor.execution.ray.worker import Outcome, Worker, WorkerSetup
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.runner import check_files
from archivecolor.provenance import Totals

PARCEL = 64
"""Pictures that an actor is given at a time, and does again when it dies over them."""
_WAVE = 2000
"""Parcels that Ray knows of at a time: its own books grow with them."""
_CORES = 4
"""Of an actor without a GPU, when --workers does not say."""
_SHARE_OF_FILMS = 4
"""One in so many actors is for films, at least one, as long as there are photographs too; when one kind is through, the
other may grow into the room that it leaves."""
_IN_LINE = 2
"""Parcels that one actor is given ahead: no more, since nobody else can take them over while it lives."""
_LOOK_EVERY_S = 0.2

_T = TypeVar("_T")


def drive(options: RunOptions, observer: RunObserver, parcel: int = PARCEL) -> Totals:
    """`runner.drive` on a Ray cluster; on one that is started on this machine where `options.address` is empty.

    Args:
        observer: as for `runner.drive`; `picture_started` and `film_progress` are not called, because they happen in
            the actors.
        parcel: pictures that an actor is given at a time.

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
    with redirect_stdout(sys.stderr), connected(ray, options.address):  # Ray's own words; stdout is for rows
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        ledger = (
            ray.remote(ManifestActor).options(num_cpus=0, scheduling_strategy=here).remote(options, str(Path.cwd()))
        )
        post = ManifestClient(ray, ledger)
        try:
            lock, lock_text = post.ask("open")
            if not options.overwrite:
                for part in _parts(todo, 10_000):
                    post.ask("refuse_another_collection", {job.name: job.source for job in part})
            with _relayed(observer, post):
                orders = WorkerSetup(options, str(Path.cwd()), card.sha256, lock, lock_text, log.level())
                _follow(_outcomes(ray, todo, orders, post, parcel), post, observer, len(todo))
            post.ask("close")
        except ray.exceptions.RayError as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchivecolorError(f"Ray gave up ({told[-1]}); the same command goes on from here") from error
        finally:
            ray.kill(ledger)
    rows = provenance.known_rows(options.out, options.shard)
    return provenance.totals(rows[job.name] for job in todo if job.name in rows)


def _follow(outcomes: Iterator[tuple[str, Outcome]], post: ManifestClient, observer: RunObserver, total: int) -> None:
    """Takes what comes back, row by row. A broken output folder ends it when what is in hand is finished."""
    broken: ArchivecolorError | None = None
    for name, outcome in outcomes:
        if isinstance(outcome, ArchivecolorError):
            broken = broken or outcome
            post.ask("stop")
            continue
        if outcome:
            post.ask("append", outcome)
        observer.picture_finished(name, outcome, total)
    if broken:
        post.ask("close")
        raise broken


def _outcomes(
    ray: Any, todo: list[Job], orders: WorkerSetup, post: ManifestClient, parcel: int
) -> Iterator[tuple[str, Outcome]]:
    """What became of each job, in the order in which parcels are done. Films have actors of their own, so that
    photographs do not wait for hours of film; where there is room for one actor, they come last."""
    need, actors = _room(ray, orders.options)
    films = [job for job in todo if job.kind.is_film]
    among = set(films)
    left = [job for job in todo if job not in among]
    photographs = _parts(left, max(1, min(parcel, len(left) // (2 * actors))))  # so that none is idle while others work
    of_films = max(1, actors // _SHARE_OF_FILMS)

    def lane(parcels: Iterable[list[Job]], size: int) -> Iterator[tuple[str, Outcome]]:
        return _lane(ray, list(parcels), orders, post, need, size)

    one_by_one = [[job] for job in films]
    if not films or len(films) == len(todo) or actors == 1:
        yield from itertools.chain(lane(photographs, actors), lane(one_by_one, actors))
    else:
        yield from _together(lane(one_by_one, of_films), lane(photographs, actors - of_films))


def _lane(
    ray: Any, parcels: list[list[Job]], orders: WorkerSetup, post: ManifestClient, need: dict[str, float], actors: int
) -> Iterator[tuple[str, Outcome]]:
    for wave in _parts([{"parcel": pickle.dumps(jobs)} for jobs in parcels], _WAVE):
        if post.ask("is_stopped"):
            return
        pool = ray.data.ActorPoolStrategy(
            min_size=1, initial_size=actors, max_size=None, max_tasks_in_flight_per_actor=_IN_LINE
        )
        done = ray.data.from_items(wave, override_num_blocks=len(wave)).map_batches(
            Worker, fn_constructor_args=(orders, post.ledger), batch_size=1, batch_format="numpy", compute=pool, **need
        )
        for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for answer in batch["outcomes"]:
                outcomes, records = pickle.loads(answer)
                for record in records:
                    log.handle(record)
                yield from outcomes


def _together(*streams: Iterator[_T]) -> Iterator[_T]:
    """What several streams give, as it comes; the first error of one ends it."""
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


def _room(ray: Any, options: RunOptions) -> tuple[dict[str, float], int]:
    """What an actor needs, and how many the cluster has room for now; it may grow later."""
    has = ray.cluster_resources()
    if options.device.startswith("cuda") or (options.device == "auto" and has.get("GPU", 0) >= 1):
        return {"num_gpus": 1, "num_cpus": options.workers or 1}, max(1, int(has.get("GPU", 0)))
    cores = max(1, int(has.get("CPU", 1)))
    each = options.workers or min(_CORES, cores)
    return {"num_cpus": each}, max(1, cores // each)


@contextmanager
def _relayed(observer: RunObserver, post: ManifestClient) -> Iterator[None]:
    """Lets the actors know when somebody asks to stop, also while the driver waits for them."""
    over = threading.Event()

    if observer.stop_requested():
        post.ask("stop")

    def listen() -> None:
        while not over.wait(_LOOK_EVERY_S):
            if observer.stop_requested():
                post.ask("stop")
                return

    thread = threading.Thread(target=listen, name="archivecolor-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _parts(whole: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])
