"""What an actor does: it colours one batch of jobs after the other."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from archivecolor.errors import ArchivecolorError, OutputError, WeightsError
from archivecolor.execution import log
from archivecolor.execution.ray.connect import ActorHandle, library
from archivecolor.execution.ray.manifest_actor import ManifestClient
from archivecolor.imaging.arrays import Samples
from archivecolor.inference import malloc
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.runner import work
from archivecolor.provenance import FAILED, Record

_MOST_DEATHS = 3
"""A picture that this many actors died over is given up. From the first death on it is coloured alone."""

Outcome = Record | ArchivecolorError | None


@dataclass(frozen=True)
class WorkerSetup:
    """What every actor needs to know."""

    options: RunOptions
    folder: str
    """The driver's working folder, which relative names mean."""
    weights_sha256: str
    lock: Path
    """A file in the output folder. A machine that reads `lock_text` from it sees the same folder."""
    lock_text: str
    log_level: int = logging.WARNING


class Worker:
    """One actor: one GPU, or some cores, and the weights, loaded once.

    What hinders it on its machine is its answer to everything, so that the run ends by saying so.
    """

    def __init__(self, setup: WorkerSetup, manifest_actor: ActorHandle) -> None:
        malloc.keep_freed_memory()
        self.manifest = ManifestClient(library(), manifest_actor)
        self.observer = ActorObserver(self.manifest)
        self.options, self.fault, self.log_level = setup.options, None, setup.log_level
        if self.options.device.startswith("cuda"):  # of those of the machine, Ray shows an actor its own alone
            self.options = replace(self.options, device="cuda")
        cores = os.environ.get("OMP_NUM_THREADS", "")  # Ray says with it how many it gave
        if cores.isdigit() and int(cores):
            os.environ["LOKY_MAX_CPU_COUNT"] = cores
        try:
            check_shared_output(setup.folder, setup.lock, setup.lock_text)
            requested = self.options
            self.colorizer = Colorizer(requested.model, requested)
            if self.colorizer.card.sha256 != setup.weights_sha256:
                raise WeightsError(f"{socket.gethostname()}: its weights {requested.model} are not those of the driver")
        except ArchivecolorError as error:
            self.fault = type(error)(f"{socket.gethostname()}: {error}")

    def __call__(self, batch: Mapping[str, Iterable[bytes]]) -> dict[str, Samples]:
        """Batches of jobs -> their outcomes, and the log records that were made meanwhile."""
        done = []
        for job_batch in batch["job_batch"]:
            with log.collected(self.log_level) as records:
                outcomes = self._color_jobs(pickle.loads(job_batch))
            done.append(pickle.dumps((outcomes, records)))
        return {"outcomes": np.array(done, dtype=object)}

    def _color_jobs(self, jobs: list[Job]) -> list[tuple[str, Outcome]]:
        if self.fault:
            return [(jobs[0].name, self.fault)]
        self.observer.refresh_stop()
        deaths = self.manifest.call("deaths", [job.name for job in jobs])
        done: list[tuple[str, Outcome]] = [
            (job.name, _given_up_row(job)) for job in jobs if deaths.get(job.name, 0) >= _MOST_DEATHS
        ]
        new = [job for job in jobs if job.name not in deaths]
        suspects = [job for job in jobs if 0 < deaths.get(job.name, 0) < _MOST_DEATHS]
        for part, options in ((new, self.options), (suspects, replace(self.options, workers=1))):
            for job, outcome in work(part, self.colorizer, options, self.manifest, self.observer):
                self.manifest.call("let_go", job.name)
                done.append((job.name, with_host_reason(job, outcome)))
        return done


class ActorObserver(RunObserver):
    """Tells the manifest actor which pictures one actor has started, and learns from it whether to stop."""

    def __init__(self, manifest: ManifestClient) -> None:
        self.manifest, self.stopped, self.refreshed_at = manifest, False, 0.0

    def refresh_stop(self) -> None:
        """Asks the manifest actor now whether to stop."""
        self.stopped, self.refreshed_at = bool(self.manifest.call("is_stopped")), time.monotonic()

    def picture_started(self, name: str) -> None:
        self.stopped = self.manifest.call("take", name)

    def stop_requested(self) -> bool:
        """Films call this at every frame, so the manifest's actor is asked only once a second."""
        if time.monotonic() - self.refreshed_at > 1:
            self.refresh_stop()
        return self.stopped


def check_shared_output(folder: str, lock: Path, lock_text: str) -> None:
    """Changes to the folder of the driver, and checks that its output folder is the same one here.

    Raises:
        OutputError: it is another folder, so the driver would not see what is written here.
    """
    try:
        os.chdir(folder)
        there = lock.read_text(encoding="ascii")
    except OSError as error:
        raise OutputError(
            f"{error.filename}: is not seen from here ({error.strerror}); it must lie in the same place everywhere"
        ) from error
    if there != lock_text:
        raise OutputError(f"{lock.parent}: is another folder here than on the driver's machine; share it between them")


def with_host_reason(job: Job, outcome: Record | OutputError | None) -> Outcome:
    """The outcome. If the driver found a source that this machine does not see, the reason says so."""
    if isinstance(outcome, Record) and outcome.status == FAILED and not os.path.lexists(job.source):
        return replace(
            outcome,
            reason=f"{socket.gethostname()} does not see {job.source}, which the driver has found; sources "
            "must lie in the same place on every machine",
        )
    return outcome


def _given_up_row(job: Job) -> Record:
    reason = f"{_MOST_DEATHS} workers died over it; convert it with another program, or report it"
    return Record(job.name, str(job.source), None, FAILED, reason)
