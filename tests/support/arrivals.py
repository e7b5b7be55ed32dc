"""What a long `archivecolor watch` costs: thousands of small scans arrive one after another.

`PYTHONPATH=tests:. python -m support.arrivals --count 5000` prints a line for every 500, and takes about 20 minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from support.paths import ROOT

AHEAD = 100
"""At most so many have arrived and are not coloured yet."""
REPLACED = AHEAD + 55
"""So many arrivals ago came what is replaced: it is coloured already."""


@dataclass(frozen=True)
class Reading:
    arrivals: int
    memory: float
    """Resident MB of the watching process and its child."""
    cpu: float
    """Their seconds of processor time so far."""
    seconds: float


def readings(folder: Path, count: int, every: int, options: tuple[str, ...] = ()) -> Iterator[Reading]:
    """Runs `watch` on a folder until so many pictures have arrived and are coloured. They stay there, so the folder
    grows; every tenth replaces an earlier one.

    Raises:
        RuntimeError: not every picture was coloured.
    """
    src, out = folder / "scans", folder / "color"
    src.mkdir()
    command = ("watch", str(src), "--out", str(out), "--settle", "0.2", "--poll", "0.5", "--size", "64", *options)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "archivecolor", *command], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    room, started = threading.Semaphore(AHEAD), time.monotonic()
    threading.Thread(target=_deliver, args=(src, count, room), daemon=True).start()
    try:
        for done, line in enumerate(process.stdout, 1):
            if ": coloured in " not in line:
                raise RuntimeError(line)
            room.release()
            if done % every == 0:
                pids = [process.pid, *_children(process.pid)]
                yield Reading(done, sum(map(_resident, pids)), sum(map(_cpu, pids)), time.monotonic() - started)
            if done == count:
                break
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")


def _deliver(src: Path, count: int, room: threading.Semaphore) -> None:
    """Writes each picture as a careful scanner does: under another name, then whole."""
    for number in range(count):
        room.acquire()
        name = f"{number - REPLACED if number % 10 == 9 and number > REPLACED else number:05d}.png"
        samples = np.random.default_rng(number).integers(0, 256, (8, 12), np.uint8)
        part = src / f"{name}.part"
        Image.fromarray(samples).resize((96, 64)).save(part, "png")
        part.rename(src / name)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("options", nargs="*", help="more options of watch, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cpu = 0.0
        for one in readings(Path(folder), arguments.count, arguments.every, tuple(arguments.options)):
            each = (one.cpu - cpu) / arguments.every * 1000
            line = f"{one.arrivals:6} arrivals: {one.memory:.0f} MB, {each:.0f} ms of processor time each"
            print(f"{line}, {one.seconds:.0f} s", flush=True)
            cpu = one.cpu


if __name__ == "__main__":
    main()
