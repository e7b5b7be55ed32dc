"""The most memory that this process had at one time."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_megabytes() -> float:
    """Since the last `reset_peak`, or since the start where that is not possible; 0 where the system does not tell."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def now_megabytes() -> float:
    """What it has now."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def reset_peak() -> None:
    """Begins anew, where the system allows it."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return
