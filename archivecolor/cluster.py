"""Many machines, through Ray: the same way of a picture as on one, in actors that load the weights once.

Paths travel, pictures do not. What the actors have done streams back to the driver, which alone hands rows to the
ledger, the one process that holds the manifest; actors ask it before they write. When an actor dies, Ray starts another
one, and the parcel that it had in hand is done again from its beginning.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from archivecolor import photo, provenance, weights
from archivecolor.colorize import Colorizer
from archivecolor.errors import ArchivecolorError, MissingDependencyError, OutputError, UsageError, WeightsError
from archivecolor.jobs import Job
from archivecolor.options import RunOptions
from archivecolor.provenance import FAILED, Identity, Manifest, Record
from archivecolor.run import check_disclosure, find_jobs, work

PARCEL = 64
"""Pictures that an actor is given at a time, and does again when it dies over them."""
_WAVE = 2000
"""Parcels that Ray knows of at a time: its own books grow with them."""
_CORES = 4
"""Of an actor without a GPU, when --workers does not say."""
_DEATHS = 3
"""A picture that was in hand whenever so many actors died is not tried again; from the first on it is tried alone."""
_STORE_BYTES = 200 * 1024**2
_LOOK_EVERY_S = 0.2
_ANSWERS_IN_S = 10.0

_T = TypeVar("_T")
Outcome = Record | ArchivecolorError | None
Watch = Callable[[str, Record | None, int], None]


def drive(
    options: RunOptions,
    watch: Watch,
    stop: Callable[[], bool],
    passed_over: Callable[[Path], None],
    parcel: int = PARCEL,
    film_watch: Callable[[str, str, int, int, float], None] = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """`run.drive` on a Ray cluster; on one that is started on this machine where `options.address` is empty.

    Args:
        options, watch, stop, passed_over: as for `run.drive`.
        parcel: pictures that an actor is given at a time.
        film_watch: taken like every drive's, and never called: how far a film is, its actor alone knows.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: nothing answers at the address.
        ArchivecolorError: whatever `run.drive` raises; also when a machine of the cluster sees another output folder,
            or has other weights.
    """
    ray = _library()
    todo = find_jobs(options, passed_over)
    check_disclosure(options.disclosure)
    card = weights.check(weights.find(options.model))
    with redirect_stdout(sys.stderr), _connected(ray, options.address):  # Ray's own words; stdout is for rows
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        ledger = ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote(options, str(Path.cwd()))
        post = _Post(ray, ledger)
        try:
            lock = post.ask("open")
            if not options.overwrite:
                for part in _parts(todo, 10_000):
                    post.ask("refuse_another_collection", {job.name: job.source for job in part})
            with _relayed(stop, post):
                orders = _Orders(options, str(Path.cwd()), card.sha256, *lock)
                _follow(_outcomes(ray, todo, orders, post, parcel), post, watch, len(todo))
            post.ask("close")
        except ray.exceptions.RayError as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchivecolorError(f"Ray gave up ({told[-1]}); the same command goes on from here") from error
        finally:
            ray.kill(ledger)
    rows = provenance.known_rows(options.out, options.shard)
    return [rows[job.name] for job in todo if job.name in rows]


def _follow(outcomes: Iterator[tuple[str, Outcome]], post: _Post, watch: Watch, total: int) -> None:
    """Takes what comes back, row by row. A broken output folder ends it when what is in hand is finished."""
    broken: ArchivecolorError | None = None
    for name, outcome in outcomes:
        if isinstance(outcome, ArchivecolorError):
            broken = broken or outcome
            post.ask("stop")
            continue
        if outcome:
            post.ask("append", outcome)
        watch(name, outcome, total)
    if broken:
        post.ask("close")
        raise broken


@dataclass(frozen=True)
class _Orders:
    """What every actor is told."""

    options: RunOptions
    folder: str
    """The driver's working folder, which relative names mean."""
    weights_sha256: str
    lock: Path
    """In the output folder; where it is seen, with these words in it, the folder is the same one."""
    words: str


def _outcomes(ray: Any, todo: list[Job], orders: _Orders, post: _Post, parcel: int) -> Iterator[tuple[str, Outcome]]:
    """What became of each job, in the order in which parcels are done."""
    need, actors = _room(ray, orders.options)
    for wave in _parts([{"parcel": pickle.dumps(jobs)} for jobs in _parcels(todo, parcel)], _WAVE):
        if post.ask("is_stopped"):
            return
        done = ray.data.from_items(wave, override_num_blocks=len(wave)).map_batches(
            Worker, fn_constructor_args=(orders, post.ledger), batch_size=1, batch_format="numpy", **need,
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=actors, max_size=None),
        )  # fmt: skip
        for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for answer in batch["outcomes"]:
                yield from pickle.loads(answer)


def _parcels(todo: list[Job], size: int) -> Iterator[list[Job]]:
    """Films one by one, pictures so many at a time."""
    pictures = []
    for job in todo:
        if photo.is_picture(job.source):
            pictures.append(job)
        else:
            yield [job]
    yield from _parts(pictures, size)


def _room(ray: Any, options: RunOptions) -> tuple[dict[str, float], int]:
    """What an actor needs, and how many the cluster has room for now; it may grow later."""
    has = ray.cluster_resources()
    if options.device.startswith("cuda") or (options.device == "auto" and has.get("GPU", 0) >= 1):
        return {"num_gpus": 1, "num_cpus": options.workers or 1}, max(1, int(has.get("GPU", 0)))
    cores = max(1, int(has.get("CPU", 1)))
    each = options.workers or min(_CORES, cores)
    return {"num_cpus": each}, max(1, cores // each)


# --- in an actor ------------------------------------------------------------------------------------------------------


class Worker:
    """One actor: one GPU, or some cores, and the weights, loaded once.

    What hinders it on its machine is its answer to everything, so that the run ends by saying so.
    """

    def __init__(self, orders: _Orders, ledger: Any) -> None:
        self.post = _Post(_library(), ledger)
        self.options, self.stopped, self.fault = orders.options, False, None
        if self.options.device.startswith("cuda"):  # of those of the machine, Ray shows an actor its own alone
            self.options = replace(self.options, device="cuda")
        cores = os.environ.get("OMP_NUM_THREADS", "")  # Ray says with it how many it gave
        if cores.isdigit() and int(cores):
            os.environ["LOKY_MAX_CPU_COUNT"] = cores
        try:
            check_place(orders.folder, orders.lock, orders.words)
            asked = self.options
            self.colorizer = Colorizer(
                asked.model, asked.color, asked.device, asked.precision, asked.batch, asked.engine, asked.confidence
            )
            if self.colorizer.card.sha256 != orders.weights_sha256:
                raise WeightsError(f"{socket.gethostname()}: its weights {asked.model} are not those of the driver")
        except ArchivecolorError as error:
            self.fault = type(error)(f"{socket.gethostname()}: {error}")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Parcels of jobs -> what became of them."""
        done = [pickle.dumps(self._do(pickle.loads(parcel))) for parcel in batch["parcel"]]
        return {"outcomes": np.array(done, dtype=object)}

    def _do(self, jobs: list[Job]) -> list[tuple[str, Outcome]]:
        if self.fault:
            return [(jobs[0].name, self.fault)]
        self.stopped = self.post.ask("is_stopped")
        deaths = self.post.ask("deaths", [job.name for job in jobs])
        done: list[tuple[str, Outcome]] = [
            (job.name, _given_up(job)) for job in jobs if deaths.get(job.name, 0) >= _DEATHS
        ]
        new = [job for job in jobs if job.name not in deaths]
        suspects = [job for job in jobs if 0 < deaths.get(job.name, 0) < _DEATHS]
        for part, options in ((new, self.options), (suspects, replace(self.options, workers=1))):
            wanted = (job for job in part if not self.stopped)
            for job, outcome in work(wanted, self.colorizer, options, self.post, self._take, self._is_stopped):
                self.post.ask("let_go", job.name)
                done.append((job.name, seen_from_here(job, outcome)))
        return done

    def _is_stopped(self) -> bool:
        return bool(self.post.ask("is_stopped"))

    def _take(self, name: str) -> None:
        self.stopped = self.post.ask("take", name)


def check_place(folder: str, lock: Path, words: str) -> None:
    """Goes where the driver is, and makes sure that its output folder is the same one here.

    Raises:
        OutputError: it is not; what is written here would be seen by nobody.
    """
    try:
        os.chdir(folder)
        there = lock.read_text(encoding="ascii")
    except OSError as error:
        raise OutputError(
            f"{error.filename}: is not seen from here ({error.strerror}); it must lie in the same place everywhere"
        ) from error
    if there != words:
        raise OutputError(f"{lock.parent}: is another folder here than on the driver's machine; share it between them")


def seen_from_here(job: Job, outcome: Record | OutputError | None) -> Outcome:
    """The outcome; the reason of a source that the driver found, and this machine does not see, says so."""
    if isinstance(outcome, Record) and outcome.status == FAILED and not os.path.lexists(job.source):
        return replace(
            outcome, reason=f"{socket.gethostname()} does not see {job.source}, which the driver has found; sources "
            "must lie in the same place on every machine",
        )  # fmt: skip
    return outcome


def _given_up(job: Job) -> Record:
    reason = f"{_DEATHS} workers died over it; convert it with another program, or report it"
    return Record(job.name, str(job.source), None, FAILED, reason)


# --- the ledger -------------------------------------------------------------------------------------------------------


class Ledger:
    """The open manifest, in a process of its own on the driver's machine; and what the actors have in hand.

    Errors of ours are answers, because those that are raised come through Ray as something else.
    """

    def __init__(self, options: RunOptions, folder: str) -> None:
        os.chdir(folder)
        self.options = options
        self.in_hand: Counter[str] = Counter()
        self.stopped = False

    def open(self) -> tuple[Path, str]:
        """Opens the manifest; gives the lock and what is written in it."""
        self.manifest = Manifest(self.options.out, self.options.disclosure.sidecar, self.options.shard)
        lock = self.manifest.own_lock
        return lock, lock.read_text(encoding="ascii")

    def refuse_another_collection(self, sources: dict[str, Path]) -> None:
        self.manifest.refuse_another_collection(sources)

    def settled(self, name: str, source_sha256: str, identity: Identity, redo: bool) -> bool:
        return self.manifest.settled(name, source_sha256, identity, redo)

    def row(self, name: str) -> Record | None:
        return self.manifest.row(name)

    def begin(self, name: str, source: str, target: Path, overwrite: bool) -> None:
        self.manifest.begin(name, source, target, overwrite)

    def append(self, row: Record) -> None:
        self.manifest.append(row)

    def close(self) -> None:
        self.manifest.__exit__(None, None, None)

    def take(self, name: str) -> bool:
        """A picture is taken in hand; whether no more should be."""
        self.in_hand[name] += 1
        return self.stopped

    def let_go(self, name: str) -> None:
        """It is finished, and nobody died."""
        del self.in_hand[name]

    def deaths(self, names: list[str]) -> dict[str, int]:
        """Of those that were taken in hand and never let go: how often."""
        return {name: self.in_hand[name] for name in names if name in self.in_hand}

    def stop(self) -> None:
        """No picture is to be taken in hand any more."""
        self.stopped = True

    def is_stopped(self) -> bool:
        return self.stopped

    def answer(self, method: str, *given: Any) -> tuple[Any, ArchivecolorError | None]:
        """What a method returns, and the error of ours that it raises."""
        try:
            return getattr(self, method)(*given), None
        except ArchivecolorError as error:
            return None, error


class _Post:
    """Asks the ledger, from wherever; to the way of a picture it is the manifest (`provenance.Keeper`)."""

    def __init__(self, ray: Any, ledger: Any) -> None:
        self.ray, self.ledger = ray, ledger

    def ask(self, method: str, *given: Any) -> Any:
        """Calls a method of the ledger and waits for its answer; errors of ours are raised here."""
        answer, error = self.ray.get(self.ledger.answer.remote(method, *given))
        if error:
            raise error
        return answer

    def settled(self, name: str, source_sha256: str, identity: Identity, redo: bool = False) -> bool:
        """As of a `Manifest`."""
        return bool(self.ask("settled", name, source_sha256, identity, redo))

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False) -> None:
        """As of a `Manifest`."""
        self.ask("begin", name, source, target, overwrite)

    def row(self, name: str) -> Record | None:
        """As of a `Manifest`."""
        row: Record | None = self.ask("row", name)
        return row


# --- Ray --------------------------------------------------------------------------------------------------------------


def _library() -> Any:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
        importlib.import_module("ray.util.scheduling_strategies")
    except ImportError as error:
        raise MissingDependencyError("--on ray needs a package: pip install 'archivecolor[ray]'") from error
    return ray


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Ray, the one that this process has already, that at the address, or one started here and ended afterwards."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # an archive's machine reports to nobody
    local = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _knock(address)
        ray.init(address or "local", log_to_driver=False, logging_level=logging.WARNING, **({} if address else local))
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from error
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray has put its own in their place
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at `host:port`; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_IN_S).close()


@contextmanager
def _relayed(stop: Callable[[], bool], post: _Post) -> Iterator[None]:
    """Lets the actors know when somebody asks to stop, also while the driver waits for them."""
    over = threading.Event()

    if stop():
        post.ask("stop")

    def listen() -> None:
        while not over.wait(_LOOK_EVERY_S):
            if stop():
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
