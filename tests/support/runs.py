"""What tests of whole runs ask of pictures, rows and folders."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from archivecolor import photo
from archivecolor.options import ColorOptions, Disclosure, RunOptions
from archivecolor.photo import Page
from archivecolor.provenance import MANIFEST, Record
from support.doubles import (
    lightness,
)

Colour = Callable[..., list[Record]]


def save(path: Path, samples: np.ndarray, **extra: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, samples, **extra)
    else:
        Image.fromarray(samples).save(path, **extra)
    return path


def page(path: Path) -> Page:
    return photo.read(path).pages[0]


def by_name(rows: list[Record]) -> dict[str, Record]:
    assert len({row.input for row in rows}) == len(rows)
    return {row.input: row for row in rows}


def times(folder: Path) -> dict[str, int]:
    """When each output was last written; the manifest aside, which every run writes anew."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def delta_l(source: np.ndarray, result: np.ndarray) -> float:
    return float(np.abs(lightness(source) - lightness(result)).max())


# --- stopped and killed -----------------------------------------------------------------------------------------------


def options_of(src: Path, out: Path, model: Path, **more: Any) -> RunOptions:
    """A small run on the CPU in float32, without sidecars; `more` goes before."""
    options = {
        "color": ColorOptions(size=64),
        "device": "cpu",
        "precision": "fp32",
        "workers": 2,
        "disclosure": Disclosure(sidecar=False),
    }
    return RunOptions(inputs=(str(src),), out=out, model=str(model), **{**options, **more})


def own_words(path: Path) -> bool:
    """What is hidden, and what tells the time, and so differs from run to run."""
    return path.name.startswith(".") or path.name == MANIFEST or path.suffix == ".json"


def done_lines(out: Path) -> int:
    path = out / MANIFEST
    return path.read_bytes().count(b'"status": "done"') if path.exists() else 0


def wait_for_progress(out: Path, child: Any, patience_s: float = 60) -> None:
    """Until the child has finished one more picture, or is through."""
    before, end = done_lines(out), time.monotonic() + patience_s
    while done_lines(out) <= before and child.is_alive():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)
