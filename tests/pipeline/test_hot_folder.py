"""A folder that is filled while it is watched."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.arrivals import readings
from support.command_line import exit_code
from support.doubles import grey
from support.needs import needs

from archivecolor import provenance
from archivecolor.errors import OutputError, UsageError
from archivecolor.options import ColorOptions, Hint, RunOptions, Shard, WatchOptions, check_watchable
from archivecolor.pipeline import hot_folder
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import DONE, FAILED, Record, Totals

SOON = WatchOptions(settle=0.3, poll=0.2)
PATIENCE_S = 60.0


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(48, 64, seed=seed)).save(path)
    return path


def arrivals(src: Path, out: Path, settle: float = 0.0, **options: object) -> hot_folder.Arrivals:
    return hot_folder.Arrivals(RunOptions(inputs=(str(src),), out=out, **options), settle, RunObserver())


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


class Watched(RunObserver):
    """Keeps the rows, and can end the watch."""

    def __init__(self, on_start: Callable[[str], None] = lambda name: None) -> None:
        self.rows: list[Record] = []
        self.ended = threading.Event()
        self._on_start = on_start

    def picture_started(self, name: str) -> None:
        self._on_start(name)

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        if row:
            self.rows.append(row)

    def stop_requested(self) -> bool:
        return self.ended.is_set()

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.rows) >= count)


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@contextmanager
def watching(
    src: Path, out: Path, ink: Path, watch: WatchOptions = SOON, on_start: Callable[[str], None] = lambda name: None
) -> Iterator[Watched]:
    """The folder is watched while the block runs."""
    observer, errors = Watched(on_start), list[BaseException]()

    def run() -> None:
        try:
            hot_folder.drive(watch, RunOptions(inputs=(str(src),), out=out, model=str(ink)), observer)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield observer
    finally:
        observer.ended.set()
        thread.join(PATIENCE_S)
    assert errors == []


# --- when a file is taken ---------------------------------------------------------------------------------------------


def test_a_file_is_taken_once_it_has_come_to_rest(src: Path, out: Path) -> None:
    found = arrivals(src, out, settle=0.3)
    path = save(src / "a.png")
    assert found.take_stable() == [] and found.pending == 1
    path.write_bytes(path.read_bytes() + b"more")
    time.sleep(0.2)
    assert found.take_stable() == [], "it has grown: the time begins again"
    assert 0 < found.seconds_until_stable(time.monotonic()) <= 0.3
    time.sleep(0.35)
    assert names(found.take_stable()) == ["a.png"]
    assert found.take_stable() == [] and found.pending == 0
    save(path, seed=1)
    assert found.take_stable() == []
    time.sleep(0.35)
    assert names(found.take_stable()) == ["a.png"], "it was replaced"


@pytest.mark.parametrize("name", ["a.png.part", "a.png~", "~a.png", "a.png.filepart", "a.png.tmp", ".a.png"])
def test_a_file_that_is_still_written_has_another_name(src: Path, out: Path, name: str) -> None:
    found = arrivals(src, out)
    save(src / "b.png").rename(src / name)
    assert found.take_stable() == []
    (src / name).rename(src / "a.png")
    assert names(found.take_stable()) == ["a.png"]


def test_a_share_that_is_gone_for_a_while_loses_nothing(src: Path, out: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = arrivals(src, out)
    save(src / "box/a.png")
    assert names(found.take_stable()) == ["box/a.png"]
    away = src.rename(src.with_name("away"))
    assert found.take_stable() == found.take_stable() == []
    assert [record.message for record in caplog.records if "waiting for it" in record.message] == [
        f"{src}: no such file or folder; waiting for it"
    ]
    src.mkdir()  # where the share is mounted, before it is
    assert found.take_stable() == []
    src.rmdir()
    save(away.rename(src) / "box/b.png")
    assert names(found.take_stable()) == ["box/b.png"], "what was taken is not taken again"


def test_a_share_whose_server_is_down_is_waited_for(
    src: Path, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is still mounted, and every call fails."""
    found, stat, scandir = arrivals(src, out), os.stat, os.scandir

    def is_down(path: object) -> None:
        if str(path).startswith(str(src)):
            raise OSError(errno.EHOSTDOWN, os.strerror(errno.EHOSTDOWN), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda path, **more: (is_down(path), stat(path, **more))[1])
        patch.setattr(os, "scandir", lambda path: (is_down(path), scandir(path))[1])
        check_watchable(RunOptions(inputs=(str(src),), out=out))
        assert found.take_stable() == []
        patch.setattr(hot_folder, "find_sources", lambda *arguments: is_down(src))  # whatever call fails first
        assert found.take_stable() == []
    assert "waiting for it" in caplog.text
    save(src / "a.png")
    assert names(found.take_stable()) == ["a.png"]


@pytest.mark.long
def test_five_thousand_arrivals_take_no_memory(src: Path, out: Path) -> None:
    """The scanner's folder is emptied by somebody from time to time."""
    found, held = arrivals(src, out), list[int]()
    tracemalloc.start(8)
    try:
        for batch in range(50):
            for path in src.iterdir():
                path.unlink()
            for i in range(100):
                (src / f"{batch:03d}_{i:03d}.png").write_bytes(b"x")
            assert len(found.take_stable()) == 100
            if batch in (9, 49):
                held.append(held_by_the_package())
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 400_000, held


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory and time are read from /proc")
def test_the_watching_processes_do_not_grow(tmp_path: Path) -> None:
    """`python -m support.arrivals` measures the same with 5,000."""
    first, _, last = readings(tmp_path, 300, every=100)
    assert last.memory - first.memory < 12, "MB for 200 arrivals"
    assert (last.cpu - first.cpu) / 200 < 0.5, "seconds of processor time each; the network's start is before"


def held_by_the_package() -> int:
    """Bytes of objects that it made. Threads that earlier tests have left in this process do not count."""
    here = tracemalloc.Filter(True, f"{Path(hot_folder.__file__).parents[1]}/*", all_frames=True)
    found = tracemalloc.take_snapshot().filter_traces([here])
    return sum(one.size for one in found.statistics("filename"))


# --- what becomes of it -----------------------------------------------------------------------------------------------


def test_what_is_there_and_what_arrives_is_coloured(src: Path, out: Path, ink: Path) -> None:
    save(src / "a.png")
    with watching(src, out, ink) as seen:
        seen.wait_for(1)
        save(src / "box/b.png", seed=1)
        seen.wait_for(2)
        save(src / "a.png", seed=2)
        seen.wait_for(3)
        (src / "box/b.png").rename(src / "box/c.png")
        seen.wait_for(4)
    assert [(row.input, row.status) for row in seen.rows] == [
        ("a.png", DONE),
        ("box/b.png", DONE),
        ("a.png", DONE),
        ("box/c.png", DONE),
    ]
    assert seen.rows[3].notes == ("the same picture as box/b.png, which is gone: renamed",)
    rows = provenance.read_rows(out)
    assert rows["a.png"] == seen.rows[2]
    assert {path.name for path in out.rglob("*.png")} == {"a.png", "b.png", "c.png"}
    options = RunOptions(inputs=(str(src),), out=out, model=str(ink))
    assert hot_folder.drive(WatchOptions(settle=0, once=True), options) == Totals(), "an earlier run had finished them"


def test_a_share_that_vanishes_under_a_picture_fails_nothing(src: Path, out: Path, ink: Path) -> None:
    save(src / "a.png")
    away = src.with_name("away")

    def vanish(name: str) -> None:
        if not out.joinpath("came_back").exists():
            src.rename(away)

    with watching(src, out, ink, on_start=vanish) as seen:
        until(away.exists)
        time.sleep(0.5)
        assert seen.rows == []
        (out / "came_back").touch()
        away.rename(src)
        seen.wait_for(1)
    assert [(row.input, row.status) for row in seen.rows] == [("a.png", DONE)]


def test_a_file_whose_copy_pauses_is_not_called_damaged(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = save(src / "a.png").read_bytes()
    (src / "a.png").write_bytes(whole[: len(whole) // 2])
    with watching(src, out, ink) as seen:
        time.sleep(1.5)
        assert seen.rows == []
        (src / "a.png").write_bytes(whole)
        seen.wait_for(1)
        assert seen.rows[0].status == DONE
        monkeypatch.setattr(hot_folder, "STILL_GROWING_S", 1.0)
        (src / "b.png").write_bytes(whole[: len(whole) // 2])
        seen.wait_for(2)
    assert (seen.rows[1].input, seen.rows[1].status) == ("b.png", FAILED), "it is at rest for good"


def test_it_ends_when_it_is_told_to(src: Path, out: Path, ink: Path) -> None:
    save(src / "a.png")
    options = RunOptions(inputs=(str(src),), out=out, model=str(ink))
    assert hot_folder.drive(WatchOptions(settle=0.1, once=True), options) == Totals({(DONE, ""): 1})
    started = time.monotonic()
    assert hot_folder.drive(WatchOptions(settle=0, poll=60, idle_exit=0.5), options) == Totals()
    assert 0.4 < time.monotonic() - started < 20
    with pytest.raises(OutputError, match="lies in the source folder"):
        hot_folder.drive(SOON, RunOptions(inputs=(str(src),), out=src / "color", model=str(ink)))


@needs("watchdog")
def test_events_are_seen_before_the_next_look(src: Path, out: Path, ink: Path) -> None:
    with watching(src, out, ink, WatchOptions(settle=0.1, poll=600)) as seen:
        time.sleep(1)
        save(src / "new_folder/a.png")
        seen.wait_for(1)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_sigterm_finishes_the_picture_in_hand(src: Path, out: Path) -> None:
    """It comes when the first picture is begun and not finished; the second one is left for the next time."""
    samples = np.random.default_rng(0).integers(0, 256, (3000, 4000), np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(samples).save(src / name, compress_level=1)
    options = ("--settle", "0.1", "--poll", "0.2", "--workers", "1", "--size", "64")
    command = [sys.executable, "-m", "archivecolor", "watch", str(src), "--out", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    manifest = out / provenance.MANIFEST
    until(lambda: manifest.exists() and b"\n" in manifest.read_bytes())
    assert [json.loads(line)["status"] for line in manifest.read_text().splitlines()] == ["started"]
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "a.png: coloured in " in stdout
    assert "1 coloured, 0 skipped, 0 failed" in stderr
    assert {name: row.status for name, row in provenance.read_rows(out).items()} == {"a.png": DONE}
    with Image.open(out / "a.png") as made:
        assert made.convert("RGB").size == (4000, 3000)
    assert {path.name for path in out.iterdir()} == {"a.png", "a.png.json", provenance.MANIFEST}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shard": Shard(1, 2)}, "--shard"),
        ({"limit": 3}, "--limit"),
        ({"redo": Path("d.json")}, "--redo"),
        ({"device": "cuda:0,cuda:1"}, "one device"),
        ({"color": ColorOptions(hints=(Hint(1, 1, "#ff0000"),))}, "--hint"),
        ({"inputs": ("-",)}, "takes folders"),
        ({"inputs": ("@list.txt",)}, "takes folders"),
        ({"inputs": (__file__,)}, "takes folders"),
    ],
)
def test_what_only_a_run_can_do_is_refused(changes: dict[str, object], words: str) -> None:
    values: dict[str, object] = {"inputs": ("scans",), "out": Path("color"), **changes}
    with pytest.raises(UsageError, match=words):
        check_watchable(RunOptions(**values))


def test_the_command_refuses_what_makes_no_sense(src: Path, out: Path) -> None:
    assert exit_code("watch", str(src), "--out", str(out), "--dry-run") == 2
    assert exit_code("watch", str(src), "--out", str(out), "--settle", "-1") == 2
    assert exit_code("watch", str(src), "--out", str(src / "inside"), "--once") == 5
