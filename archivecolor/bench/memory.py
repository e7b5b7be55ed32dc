"""The memory of this process."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_megabytes() -> float:
    """The largest memory since the last `reset_peak`, or since the start if that is not possible; 0 if unknown."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(match[1]) / 1024 if match else 0.0


def current_megabytes() -> float:
    """The present memory; 0 if unknown."""
    try:
        match = re.search(r"VmRSS:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(match[1]) / 1024 if match else 0.0


def reset_peak() -> None:
    """Makes `peak_megabytes` begin anew, if the system allows it."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return
