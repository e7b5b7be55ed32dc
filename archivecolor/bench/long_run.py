"""Measures whether a file costs the same at the end of a long run as at its beginning, and how long it takes to open a
long manifest."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from archivecolor.bench.memory import current_megabytes, peak_megabytes, reset_peak
from archivecolor.bench.pictures import synthetic_scan
from archivecolor.bench.stages import check
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorOptions, RunOptions
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.pipeline.runner import work
from archivecolor.provenance import DONE, MANIFEST, Manifest, Record


@dataclass(frozen=True)
class LongRunCost:
    """The cost of a run over many small files. Seconds are CPU time, so other programs on the machine do not count."""

    files: int
    first_s: float
    """Seconds per file of the first tenth."""
    last_s: float
    """Seconds per file of the last tenth."""
    first_megabytes: float
    """Memory of the process after the first tenth."""
    last_megabytes: float
    manifest_rows: int
    manifest_s: float
    """Seconds to open a manifest of so many rows for a resumed run."""
    manifest_megabytes: float
    """How much the process grew meanwhile."""


def measure_long_run(count: int, rows: int, model: str, device: str, folder: Path) -> LongRunCost:
    """Colours `count` small files and opens a manifest of `rows` rows; `folder` is an empty folder."""
    source = folder / "small.jpg"
    Image.fromarray(synthetic_scan(96, 64, 0)).save(source)
    out = folder / "flat"
    options = RunOptions(inputs=(str(source),), out=out, model=model, color=ColorOptions(size=64), device=device)
    todo = [Job(source, f"{i // 1000:03}/{i:07}.jpg", out / f"{i // 1000:03}" / f"{i:07}.jpg") for i in range(count)]
    tenth = max(1, count // 10)
    times, memory = [time.process_time()], []
    with Colorizer(model, options) as colorizer, Manifest(out) as manifest:
        for i, (_, outcome) in enumerate(work(todo, colorizer, options, manifest, RunObserver()), 1):
            check(outcome)
            if isinstance(outcome, Record):
                manifest.append(outcome)
            if i in (tenth, count - tenth, count):
                times.append(time.process_time())
                memory.append(current_megabytes())
    seconds, megabytes = open_long_manifest(rows, folder / "long")
    return LongRunCost(
        count,
        (times[1] - times[0]) / tenth,
        (times[-1] - times[-2]) / tenth,
        memory[0],
        memory[-1],
        rows,
        seconds,
        megabytes,
    )


def open_long_manifest(rows: int, folder: Path) -> tuple[float, float]:
    """The seconds and megabytes that it takes to open a manifest of so many rows, as a run writes them."""
    write_long_manifest(rows, folder)
    reset_peak()
    before, started = current_megabytes(), time.process_time()
    with Manifest(folder) as manifest:
        seconds = time.process_time() - started
        if len(manifest.rows) != rows:
            raise AssertionError(f"{len(manifest.rows)} of {rows} rows were read")
        return seconds, peak_megabytes() - before


def write_long_manifest(rows: int, folder: Path) -> None:
    """Writes a manifest of so many finished rows into a new folder."""
    folder.mkdir(parents=True)
    row = Record(
        "",
        "/scans/box",
        "",
        DONE,
        source_sha256="0" * 64,
        output_sha256="1" * 64,
        model="lite",
        weights_sha256="2" * 64,
        options="3" * 16,
        width=4000,
        height=3000,
        pages=1,
        depth=8,
        format="jpeg",
        max_delta_l=0.25,
        seconds={"decode": 0.1, "network": 0.2, "wait": 0.0, "spread": 0.3, "encode": 0.4},
    )
    values = asdict(row)
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        for i in range(rows):
            name = f"{i // 1000:04}/{i:09}.jpg"
            file.write(json.dumps(values | {"input": name, "source": f"/scans/{name}", "output": name}) + "\n")
