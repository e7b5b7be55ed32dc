"""A disk that misbehaves: `storage.c`, compiled once per session and loaded into one process that runs what a test
hands it. That process imports torch once, so a run with a fault costs a tenth of a second.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from archivecolor.errors import ArchivecolorError
from archivecolor.options import Disclosure
from archivecolor.provenance import Record

T = TypeVar("T")
SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    rows: dict[str, Record]
    error: ArchivecolorError | None
    hits: int
    """How often the fault happened."""


def compiled(folder: Path) -> Path:
    """The shared library; the test that asks for it skips where it cannot be made or loaded."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("storage faults need Linux and a C compiler (cc): NO FAULT OF A DISK IS TESTED HERE")
    library = folder / f"storage{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"storage.c cannot be compiled: NO FAULT OF A DISK IS TESTED HERE ({done.stderr[:300]})")
    return library


@contextmanager
def misbehaving(library: Path) -> Iterator[Callable[..., Any]]:
    """A function that calls another one, with its arguments, in a process whose disk can misbehave."""
    os.environ["LD_PRELOAD"], before = str(library), os.environ.get("LD_PRELOAD")
    try:
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin)
        loaded = pool.submit(_is_loaded).result(120)
    finally:
        os.environ.pop("LD_PRELOAD")
        if before is not None:
            os.environ["LD_PRELOAD"] = before
    with pool:
        if not loaded:
            pytest.skip("this system ignores LD_PRELOAD: NO FAULT OF A DISK IS TESTED HERE")
        yield lambda function, *arguments, **more: pool.submit(function, *arguments, **more).result(300)


def _begin() -> None:
    from support.doubles import register_ink

    register_ink()


def _is_loaded() -> bool:
    return hasattr(_library(), "storage_faults")


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


# --- called in that process -------------------------------------------------------------------------------------------


@contextmanager
def faults(text: str) -> Iterator[Callable[[], int]]:
    """Within the block these faults happen (`storage.c` says how they are written); yields a counter of them."""
    _library().storage_faults(os.fsencode(text))
    try:
        yield lambda: int(_library().storage_hits())
    finally:
        _library().storage_faults(b"")


def run_with(text: str, src: Path, out: Path, ink: Path, options: Mapping[str, Any]) -> Outcome:
    """A run on a disk with these faults; its rows are those that the folder has afterwards, without faults."""
    from archivecolor.provenance import known_rows
    from support.doubles import colour

    error: ArchivecolorError | None = None
    with faults(text) as hits:
        try:
            colour(src, out=out, model=ink, **{"disclosure": Disclosure(), **options})
        except ArchivecolorError as raised:
            error = raised
        count = hits()
    return Outcome(dict(known_rows(out)) if out.exists() else {}, error, count)


def journal_of(src: Path, out: Path, ink: Path, journal: Path, options: Mapping[str, Any]) -> None:
    """Colours, and records every operation below `out` in the file `journal`."""
    from support.doubles import colour

    _library().storage_journal(os.fsencode(journal), os.fsencode(out))
    try:
        colour(src, out=out, model=ink, **{"disclosure": Disclosure(), "workers": 1, **options})
    finally:
        _library().storage_journal(b"", b"")


def folded(out: Path, function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function while names below `out` that differ only in case are one name."""
    _library().storage_fold(os.fsencode(out))
    try:
        return function(*arguments)
    finally:
        _library().storage_fold(b"")
