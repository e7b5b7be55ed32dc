"""How fast this machine coloured photographs last time, for the estimate of `run --dry-run`. Imports nothing heavy."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from archivecolor import files
from archivecolor.options import RunOptions


@dataclass(frozen=True)
class Rate:
    """Of all workers together."""

    seconds_a_picture: float
    """In the network, which sees every picture at about the same size."""
    seconds_a_megapixel: float
    """For everything else."""

    @classmethod
    def of(cls, pictures: int, megapixels: float, stages: dict[str, float], wall: float) -> Rate:
        """From a run: the seconds of all workers by stage, and the seconds that it took."""
        working = sum(seconds for stage, seconds in stages.items() if stage != "wait")
        share = wall / working
        network = stages.get("network", 0.0)
        return cls(share * network / pictures, share * (working - network) / megapixels)

    def seconds(self, pictures: int, megapixels: float) -> float:
        """For so many pictures of so many megapixels together."""
        return pictures * self.seconds_a_picture + megapixels * self.seconds_a_megapixel


def _file() -> Path:
    return files.user_cache() / "rates.json"


def _key(options: RunOptions) -> str:
    """What decides the speed most."""
    parts = (options.model, options.device, options.color.size, options.on, options.confidence or options.color.mirror)
    return " ".join(map(str, parts))


def _known() -> dict[str, dict[str, float]]:
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: there is no home
        values = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def last(options: RunOptions) -> Rate | None:
    """The rate of the last run with such options; None if there was none."""
    with suppress(TypeError, KeyError):
        return Rate(**_known()[_key(options)])
    return None


def remember(options: RunOptions, rate: Rate) -> None:
    """Keeps the rate for the next estimate. A disk that refuses it does no harm."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path, durable=False) as part:
            part.write_text(json.dumps({**_known(), _key(options): asdict(rate)}, indent=1), encoding="utf-8")


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`, `4 days`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{round(seconds / 86400)} days"
