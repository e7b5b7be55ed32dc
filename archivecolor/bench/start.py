"""Measures the start: whole processes, from the command to its exit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from archivecolor.bench.pictures import SIZES, synthetic_scan

_REPEATS = 5
_TORCH = ("-c", "import torch")


@dataclass(frozen=True)
class ProcessCost:
    """What a process and its children cost, the best of several runs."""

    cpu_s: float
    """0 where the system does not report it."""
    wall_s: float


@dataclass(frozen=True)
class StartCost:
    """The costs of commands, measured in turn, so that other programs on the machine disturb all alike."""

    torch: ProcessCost
    """`python -c "import torch"`."""
    help: ProcessCost
    picture: ProcessCost
    """One picture of 2 megapixels from JPEG to JPEG."""


def measure_start(model: str, device: str, folder: Path) -> StartCost:
    """Runs each command several times. `folder` is empty."""
    source = folder / "one.jpg"
    Image.fromarray(synthetic_scan(*SIZES[0], 0)).save(source, quality=90)
    costs: dict[str, list[ProcessCost]] = {"torch": [], "help": [], "picture": []}
    for i in range(_REPEATS + 1):
        run = ("run", str(source), "--out", str(folder / f"out{i}"), "--model", model, "--device", device, "--quiet")
        commands = {
            "torch": _TORCH,
            "help": ("-m", "archivecolor", "--help"),
            "picture": ("-m", "archivecolor", *run),
        }
        for name, command in commands.items():
            costs[name].append(process_cost(*command))
    best = {name: _best(measured[1:]) for name, measured in costs.items()}  # the first ones fill the caches
    return StartCost(best["torch"], best["help"], best["picture"])


def process_cost(*arguments: str) -> ProcessCost:
    """The cost of one call of this interpreter.

    Raises:
        CalledProcessError: it failed.
    """
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after, wall_s = os.times(), time.perf_counter() - started
    user, system = (getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    return ProcessCost(user + system, wall_s)


def _best(costs: list[ProcessCost]) -> ProcessCost:
    return ProcessCost(min(cost.cpu_s for cost in costs), min(cost.wall_s for cost in costs))
