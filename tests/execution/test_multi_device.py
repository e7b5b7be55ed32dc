"""several: a run on more than one device is the same run: the same files and rows, one manifest, one end."""

from __future__ import annotations

import io
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
from support.doubles import colour, contents, save_grey_tree
from support.observers import Recorder, drive_of
from support.paths import SUPPORT
from support.runs import options_of

import archivecolor
from archivecolor.errors import NoInputError, OutputError, UsageError
from archivecolor.execution import multi_device
from archivecolor.execution.multi_device import drive
from archivecolor.execution.supervise import child, parent
from archivecolor.options import RunOptions, Shard
from archivecolor.pipeline import runner
from archivecolor.provenance import DONE, MANIFEST, Record, Totals, read_rows
from archivecolor.provenance.records import line
from archivecolor.provenance.shards import manifest_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere a run has no process of its own")

CHILD = (sys.executable, str(SUPPORT / "deadly_child.py"), "real")
"""Which knows the ink."""
LIGHT = (*CHILD[:-1], "light")
"""Which starts in a moment and keeps only the manifest."""


@pytest.fixture
def options(src: Path, out: Path, ink: Path) -> RunOptions:
    return options_of(src, out, ink, device="cpu,cpu", workers=1)


@pytest.mark.long
def test_two_processes_do_what_one_does(options: RunOptions, src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    save_grey_tree(src, 9)
    (src / "notes.txt").write_text("no picture")
    observer = Recorder()
    rows = drive_of(drive, options, observer, CHILD)
    assert [row.input for row in rows] == sorted(observer.names)
    assert {row.status for row in rows} == {DONE}
    assert (len(rows), observer.total, observer.ignored) == (9, 9, ["notes.txt"])
    assert read_rows(out) == {row.input: row for row in rows}
    colour(src, out=tmp_path / "alone", model=ink)
    assert contents(out, lambda p: p.name == MANIFEST) == contents(tmp_path / "alone", lambda p: p.name == MANIFEST)
    again = Recorder()
    assert drive_of(drive, options, again, CHILD) == rows


def test_what_other_shares_left_is_joined_before(options: RunOptions, src: Path, out: Path) -> None:
    """Killed on three devices, gone on with on two."""
    save_grey_tree(src, 6)
    left = Record("a", "/elsewhere/a.png", "a.png", DONE)
    out.mkdir()
    (out / manifest_of(Shard(2, 3))).write_text(line(left))
    rows = drive_of(drive, options, Recorder(), CHILD)
    assert set(read_rows(out)) == {"a", *(row.input for row in rows)}


def test_a_list_on_standard_input_reaches_all(
    options: RunOptions, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = save_grey_tree(src, 5)
    listed = io.BytesIO("".join(f"{path}\n" for path in paths).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=listed, closed=False))
    totals = drive(replace(options, inputs=("-",)), Recorder(), CHILD)
    assert totals == {(DONE, ""): 5}
    assert [row.status for row in read_rows(out).values()] == [DONE] * 5


def test_what_is_wrong_with_one_device_ends_all(options: RunOptions, src: Path) -> None:
    save_grey_tree(src, 40)
    observer = Recorder()
    before = set(threading.enumerate())  # an earlier test's threads may still wait for the end of their process
    with pytest.raises(UsageError, match="abacus"):
        drive(replace(options, device="cpu,abacus"), observer, CHILD)
    assert not any(t.name.startswith("ThreadPool") for t in set(threading.enumerate()) - before)


def test_what_is_refused_leaves_nothing_behind(options: RunOptions, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    before = contents(src)
    with pytest.raises(OutputError, match="source"):
        drive(replace(options, out=src / "color"), Recorder(), LIGHT)
    assert contents(src) == before and not (src / "color").exists()
    with pytest.raises(NoInputError):
        drive(replace(options, inputs=(str(src / "none"),)), Recorder(), LIGHT)
    assert not out.exists()


def test_workers_cores_and_memory_are_shared_out(options: RunOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[RunOptions] = []

    def noting(own: RunOptions, *rest: object) -> Totals:
        started.append(own)
        return Totals()

    monkeypatch.setattr(parent, "drive", noting)
    for workers in (0, 1, 7):
        multi_device.drive(replace(options, device="cpu,cpu,cpu", workers=workers), Recorder())
    assert [(own.workers, own.local_processes) for own in started] == [(0, 3)] * 3 + [(1, 3)] * 3 + [(2, 3)] * 3
    limits: list[float] = []
    monkeypatch.setattr(runner.Budgets, "of", lambda megapixels: limits.append(megapixels))
    assert list(runner.work([], None, replace(started[0], workers=1), None, Recorder())) == []  # type: ignore[arg-type]
    assert limits == [runner.IN_FLIGHT_MEGAPIXELS / 3]
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "")
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
    cores = joblib.cpu_count()
    child._limit_cores(1)
    assert joblib.cpu_count() == cores
    child._limit_cores(2)
    assert joblib.cpu_count() == max(1, cores // 2)


def test_from_python_it_is_one_device_and_several_are_named(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(UsageError, match=r"--device cpu,cpu: several.*command line"):
        archivecolor.run(src, out=out, model=str(ink), device="cpu,cpu")
    assert not out.exists()


def test_asked_to_stop_all_stop(options: RunOptions, src: Path, out: Path) -> None:
    save_grey_tree(src, 60)
    observer = Recorder()
    observer.stop = lambda: len(observer.names) >= 4
    rows = drive_of(drive, options, observer, CHILD)
    assert 4 <= len(rows) < 60
    assert set(read_rows(out)) >= {row.input for row in rows}


def test_it_goes_neither_with_shards_nor_with_ray(out: Path) -> None:
    with pytest.raises(UsageError, match=r"--device cpu,cpu.*--shard"):
        RunOptions(inputs=("a",), out=out, device="cpu,cpu", shard=Shard(1, 2))
    with pytest.raises(UsageError, match=r"--device cpu,cpu.*--on ray"):
        RunOptions(inputs=("a",), out=out, device="cpu,cpu", on="ray")
