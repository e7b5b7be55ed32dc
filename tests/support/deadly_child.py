"""A child of `archivecolor.execution.supervise` that is killed over certain pictures: what one does is in its name.

`segfault` crashes as a decoder would, `kill` is what the system does when memory runs out, `once` kills unless it was
tried before, `hangs` takes its time, `stuck` takes that of all threads. Called as `deadly_child.py real FD` it colours,
with the ink and a decoder made deadly; as `deadly_child.py light FD` it only keeps the manifest, and so starts in a
moment.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

from archivecolor.execution.supervise import child
from archivecolor.options import RunOptions
from archivecolor.pipeline import inputs
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import DONE, FAILED, CrashReport, Manifest, Record, Totals, totals

DELAY_S = float(os.environ.get("DEADLY_DELAY_S", "0"))


def perhaps_die(path: Path) -> None:
    if "hangs" in path.name:
        time.sleep(60)
    if "stuck" in path.name:
        ctypes.PyDLL(None).sleep(60)  # as a decoder that keeps all other threads waiting
    if "bug" in path.name:
        raise KeyError("a fault of the program's own")
    if "segfault" in path.name:
        ctypes.string_at(0)
    if "kill" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "once" in path.name and not (tried := path.parent.parent.parent / f"{path.name}.tried").exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def light_drive(options: RunOptions, observer: RunObserver, crashes: CrashReport) -> Totals:
    """What `runner.drive` promises, one picture after the other and without a picture; three are in hand at a time."""
    pictures = lambda path: path.suffix != ".txt"  # noqa: E731
    todo = inputs.find_inputs(options.inputs, options.out, inputs.Search(pictures, ignored=observer.file_ignored))
    with Manifest(options.out) as manifest:

        def settle(job: inputs.Job, status: str, reason: str = "") -> None:
            manifest.append(Record(job.name, str(job.source), None, status, reason))
            observer.picture_finished(job.name, manifest.rows[job.name], len(todo))

        left = [job for job in todo if job.name not in crashes.settled]
        for job in left:
            if job.name in crashes.fatal:
                settle(job, FAILED, crashes.fatal[job.name])
        left = [job for job in left if job.name not in crashes.fatal]
        first = [job for job in left if job.name in crashes.suspect]
        rest = [job for job in left if job.name not in crashes.suspect]
        for group in [*([job] for job in first), *(rest[i : i + 3] for i in range(0, len(rest), 3))]:
            if observer.stop_requested():
                break
            for job in group:
                observer.picture_started(job.name)
            for job in group:
                observer.decode_started(job.name)
                perhaps_die(job.source)
                observer.decode_finished(job.name)
                time.sleep(DELAY_S)
                settle(job, DONE)
        return totals(manifest.rows[job.name] for job in todo if job.name in manifest.rows)


def make_real() -> None:
    from archivecolor import photo
    from support.doubles import register_ink

    register_ink()
    read = photo.read

    def deadly(path: Path, *rest: Any) -> Any:
        perhaps_die(path)
        return read(path, *rest)

    photo.read = deadly


if sys.argv[1] == "real":
    make_real()
else:
    sys.modules["archivecolor.pipeline.runner"] = types.ModuleType("archivecolor.pipeline.runner")
    sys.modules["archivecolor.pipeline.runner"].drive = light_drive  # type: ignore[attr-defined]
child.main(int(sys.argv[2]))
