"""supervise: a working process that is really killed costs the picture that killed it, and nothing else."""

from __future__ import annotations

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.doubles import colour, contents, save_grey_tree
from support.observers import Recorder, drive_of
from support.paths import ROOT, SUPPORT
from support.runs import options_of

from archivecolor.errors import ArchivecolorError, NoInputError, OutputError, StoppedError, shortage_error
from archivecolor.execution.multi_device import drive
from archivecolor.execution.supervise import parent
from archivecolor.execution.supervise.messages import DecodeFinished, DecodeStarted
from archivecolor.execution.supervise.parent import CHILD
from archivecolor.options import RunOptions
from archivecolor.pipeline import runner
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, CrashReport, Record, read_rows

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere a run has no process of its own")
DEADLY = (sys.executable, str(SUPPORT / "deadly_child.py"))
LIGHT, REAL = (*DEADLY, "light"), (*DEADLY, "real")


@pytest.fixture
def options(src: Path, out: Path, ink: Path) -> RunOptions:
    return options_of(src, out, ink)


def go(options: RunOptions, seen: Recorder, child: Sequence[str] = LIGHT) -> dict[str, Record]:
    return {row.input: row for row in drive_of(drive, options, seen, child)}


def name_it(path: Path, word: str) -> str:
    path.rename(path.with_stem(word))
    return f"{path.parent.name}/{word}{path.suffix}"


@pytest.mark.long
def test_a_decoder_that_crashes_costs_one_picture(
    options: RunOptions, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    """For real: a segmentation fault in the thread that decodes, while the others are at work."""
    paths = save_grey_tree(src, 8)
    deadly = name_it(paths[2], "segfault")
    seen = Recorder()
    rows = go(options, seen, child=REAL)
    assert {name: row.status for name, row in rows.items() if row.status != DONE} == {deadly: FAILED}
    assert "SIGSEGV" in rows[deadly].reason
    assert (len(rows), sorted(seen.names)) == (8, sorted(rows))
    assert read_rows(out) == rows
    assert not (out / LOCK).exists()
    colour(src, out=tmp_path / "here", model=ink)  # nothing kills in this process
    expected = contents(tmp_path / "here", lambda path: path.name == MANIFEST)
    del expected[deadly]
    assert contents(out, lambda path: path.name == MANIFEST) == expected


def test_those_that_kill_fail_by_name_those_that_were_near_do_not(options: RunOptions, src: Path, out: Path) -> None:
    paths = save_grey_tree(src, 12)
    (src / "notes.txt").write_text("no picture")
    deadly = {name_it(paths[1], "segfault"): "SIGSEGV", name_it(paths[8], "kill"): "SIGKILL"}
    innocent = name_it(paths[5], "once")
    seen = Recorder()
    rows = go(options, seen)
    assert {name for name, row in rows.items() if row.status == FAILED} == set(deadly)
    assert all(sign in rows[name].reason for name, sign in deadly.items())
    assert rows[innocent].status == DONE
    assert sorted(seen.names) == sorted(rows), "each is shown once, however many processes it took"
    assert len(rows) == 12
    assert seen.ignored == ["notes.txt"]
    assert read_rows(out) == rows


def test_two_that_kill_side_by_side(options: RunOptions, src: Path) -> None:
    paths = save_grey_tree(src, 3)
    deadly = {name_it(paths[0], "segfault"), name_it(paths[2], "kill")}
    rows = go(options, Recorder())
    assert {name for name, row in rows.items() if row.status == FAILED} == deadly
    assert len(rows) == 3


def test_a_list_on_standard_input_is_there_for_the_second_child_too(
    options: RunOptions, src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = save_grey_tree(src, 3)
    paths[1] = paths[1].rename(paths[1].with_name("kill.png"))
    (tmp_path / "list").write_text("\n".join(map(str, paths)))
    with (tmp_path / "list").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        totals = drive(replace(options, inputs=("-",)), Recorder(), LIGHT)
    assert sorted((status, count) for (status, _), count in totals.items()) == [(DONE, 2), (FAILED, 1)]
    assert sorted(row.status for row in read_rows(options.out).values()) == [DONE, DONE, FAILED]


def test_errors_of_the_child_are_those_of_the_run(options: RunOptions, src: Path, out: Path) -> None:
    with pytest.raises(NoInputError, match="no pictures"):
        go(options, Recorder())
    save_grey_tree(src, 1)
    with pytest.raises(OutputError, match="source folder"):
        go(replace(options, out=src / "below"), Recorder())


@pytest.mark.parametrize(
    ("command", "words"),
    [("raise KeyError('a fault')", "ended with code 1"), ("import os; os.abort()", "SIGABRT")],
)
def test_a_child_that_dies_over_nothing_is_not_started_for_ever(
    options: RunOptions, src: Path, command: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    save_grey_tree(src, 1)
    seen = Recorder()
    with pytest.raises(ArchivecolorError, match=words):
        drive(options, seen, (sys.executable, "-c", command))
    assert seen.names == []


def test_a_fault_of_the_program_is_not_tried_again_and_again(options: RunOptions, src: Path) -> None:
    paths = save_grey_tree(src, 9)
    name_it(paths[4], "bug")
    seen = Recorder()
    with pytest.raises(ArchivecolorError, match="ended with code 1"):
        go(options, seen)
    assert len(seen.names) < 9


def test_a_decoder_that_never_ends_costs_one_picture(options: RunOptions, src: Path, out: Path) -> None:
    """Also one that keeps every other thread of its process waiting. The pictures beside it are done."""
    paths = save_grey_tree(src, 6)
    late = {name_it(paths[1], "hangs"), name_it(paths[4], "stuck")}
    seen = Recorder()
    rows = go(replace(options, decode_timeout=0.5), seen)
    assert {name for name, row in rows.items() if row.status == FAILED} == late
    assert all("longer than --decode-timeout 0.5 seconds" in rows[name].reason for name in late)
    assert (len(rows), sorted(seen.names)) == (6, sorted(rows)), "each is shown once"
    assert read_rows(out) == rows


def test_a_picture_that_ends_just_as_its_time_is_over_ends_no_run() -> None:
    """Its messages were in the pipe when the child was killed."""
    session = parent.ChildSession(settled={"a.png"}, timed_out={"a.png"}, exit_code=-signal.SIGKILL)
    crashes = parent._updated(CrashReport(), session, 5)
    assert (crashes.settled, crashes.fatal, crashes.suspect) == ({"a.png"}, {}, ())


def test_the_time_in_which_nobody_ran_is_no_decoding_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-Z and an hour; after a pager that let the parent wait."""
    now = [100.0]
    monkeypatch.setattr(parent.time, "monotonic", lambda: now[0])
    session = parent.ChildSession()
    parent._handle(DecodeStarted("a.png"), session, Recorder())
    now[0] += 3600
    session.advance()
    assert session.overdue(5) == set()
    for _ in range(30):
        now[0] += 0.2
        session.advance()
    assert session.overdue(5) == {"a.png"}
    assert session.overdue(0) == set(), "no limit"
    parent._handle(DecodeFinished("a.png"), session, Recorder())
    assert session.overdue(5) == set()


def test_a_photograph_reports_when_it_is_decoded(src: Path, out: Path, ink: Path) -> None:
    (path,) = save_grey_tree(src, 1)
    warnings: list[str] = []

    class Clock(Recorder):
        def decode_started(self, name: str) -> None:
            warnings.append(f"{name} started")

        def decode_finished(self, name: str) -> None:
            warnings.append(f"{name} finished")

    path.write_bytes(path.read_bytes()[:100])  # also where it fails
    runner.drive(options_of(src, out, ink), Clock())
    assert warnings == [f"box0/00.tif {word}" for word in ("started", "finished") * 2]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RuntimeError("can't start new thread"), "no more threads.*--workers"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more threads"),
        (MemoryError(), "memory is short"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory is short"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory is short"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory is short"),
    ],
)
def test_a_machine_that_has_no_more_to_give_is_no_fault_of_the_program(fault: Exception, words: str) -> None:
    error = shortage_error(fault)
    assert error is not None
    assert re.search(words, str(error))
    try:
        try:
            raise fault
        except Exception:
            raise AttributeError("while clearing up")  # noqa: B904
    except AttributeError as after:
        assert str(shortage_error(after)) == str(error)
    assert shortage_error(KeyError("a fault")) is None
    assert shortage_error(FileNotFoundError(errno.ENOENT, "No such file or directory")) is None


def test_a_child_without_memory_or_threads_says_so(options: RunOptions, src: Path) -> None:
    """Really: `ulimit -v` before the child loads its libraries."""
    save_grey_tree(src, 1)
    limited = ("sh", "-c", 'ulimit -v 700000; exec "$0" -m archivecolor.execution.supervise.child "$1"', sys.executable)
    with pytest.raises(ArchivecolorError, match="memory") as caught:
        drive(options, Recorder(), limited)
    assert "fault of this program" not in str(caught.value) or "ulimit -v" in str(caught.value)


def test_a_stop_reaches_the_child_and_what_is_in_hand_is_finished(
    options: RunOptions, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLY_DELAY_S", "0.03")
    save_grey_tree(src, 40)
    seen = Recorder()
    seen.stop = lambda: bool(seen.names)
    rows = go(options, seen)
    assert 0 < len(rows) < 40
    assert {row.status for row in rows.values()} == {DONE}


def test_a_child_that_somebody_else_asks_to_stop(
    options: RunOptions, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pid that a second run is told is the child's, and a user may send it a SIGTERM."""
    monkeypatch.setenv("DEADLY_DELAY_S", "0.03")
    save_grey_tree(src, 40)
    seen = Recorder(lambda *_: seen.names or os.kill(int((out / LOCK).read_text()), signal.SIGTERM))
    with pytest.raises(StoppedError) as caught:
        drive(options, seen, LIGHT)
    assert caught.value.exit_code == 130
    assert 0 < len(read_rows(out)) < 40
    assert {row.status for row in read_rows(out).values()} == {DONE}


WATCHED = """
import pickle, sys
from archivecolor.cli.console import catch_interrupts
from archivecolor.execution.multi_device import drive
from archivecolor.pipeline.observer import RunObserver
options, child = pickle.load(sys.stdin.buffer)
asked = catch_interrupts()
class Printing(RunObserver):
    def picture_finished(self, name, row, total):
        print("one more", flush=True)
    def stop_requested(self):
        if asked():
            print("asked", flush=True)
        return asked()
drive(options, Printing(), child)
sys.exit(130 if asked() else 0)
"""


@contextmanager
def at_work(options: RunOptions, **popen: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A parent whose child has just finished its first picture."""
    environment = {**os.environ, "DEADLY_DELAY_S": "0.03"}
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT,
        **popen,
    ) as parent:  # fmt: skip
        assert parent.stdin is not None
        assert parent.stdout is not None
        pickle.dump((options, LIGHT), parent.stdin)
        parent.stdin.close()
        parent.stdout.readline()
        yield parent
        parent.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("whom", ["parent", "group"])
def test_a_first_signal_finishes_what_is_in_hand(
    options: RunOptions, src: Path, out: Path, number: signal.Signals, whom: str
) -> None:
    """To the parent alone, as `kill` sends it; to all, as a terminal and a batch system do."""
    save_grey_tree(src, 100)
    with at_work(options, start_new_session=True) as parent:
        (os.killpg if whom == "group" else os.kill)(parent.pid, number)
        assert parent.wait(60) == 130
    assert 0 < len(read_rows(out)) < 100
    assert {row.status for row in read_rows(out).values()} == {DONE}
    assert not (out / LOCK).exists()


def test_a_second_signal_ends_it_at_once(options: RunOptions, src: Path, out: Path) -> None:
    paths = save_grey_tree(src, 40)
    name_it(paths[2], "hangs")
    with at_work(options) as parent:
        child = int((out / LOCK).read_text())
        parent.send_signal(signal.SIGINT)
        assert parent.stdout is not None
        while parent.stdout.readline() != b"asked\n":
            assert parent.poll() is None, "it should wait for the picture in hand"
        parent.send_signal(signal.SIGINT)
        assert parent.wait(30) == -signal.SIGINT
    wait_for_the_end(child)


def wait_for_the_end(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "it works on, unseen"
        time.sleep(0.02)


def test_a_child_does_not_outlive_its_parent(options: RunOptions, src: Path, out: Path) -> None:
    save_grey_tree(src, 100)
    with at_work(options) as parent:
        child = int((out / LOCK).read_text())
        parent.kill()
    wait_for_the_end(child)
    assert len(read_rows(out)) < 100


def test_the_real_command_works_in_a_child(src: Path, out: Path) -> None:
    """The shipped weights, the command line as it is, Ctrl-C as a terminal sends it: to the whole process group."""
    save_grey_tree(src, 60)
    command = [sys.executable, "-m", "archivecolor", "run", str(src), "--out", str(out), "--size", "64", "--device",
               "cpu", "--json"]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        os.killpg(run.pid, signal.SIGINT)
        _, stderr = run.communicate(timeout=120)
    assert '"status": "done"' in first
    assert run.returncode == 130
    assert "Traceback" not in stderr
    assert "the same command resumes the run" in " ".join(stderr.split())
    rows = read_rows(out)
    assert 0 < len(rows) < 60
    assert {row.status for row in rows.values()} == {DONE}


def test_no_list_of_rows_reaches_the_parent(options: RunOptions, src: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows take 2 GB: a message holds one row, and the last one the totals."""
    save_grey_tree(src, 40)
    sizes: list[int] = []
    handle = parent._handle

    def measured(message: object, *rest: Any) -> None:
        sizes.append(len(pickle.dumps(message)))
        handle(message, *rest)

    monkeypatch.setattr(parent, "_handle", measured)
    assert drive(options, Recorder(), LIGHT) == {(DONE, ""): 40}
    assert max(sizes) < 1000


def test_a_reader_that_stops_reading_ends_the_run_quietly(src: Path, out: Path) -> None:
    """`archivecolor run ... --json | head -1`"""
    save_grey_tree(src, 60)
    command = [sys.executable, "-m", "archivecolor", "run", str(src), "--out", str(out), "--size", "64", "--device",
               "cpu", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        run.stdout.close()
        assert run.stderr is not None
        stderr = run.stderr.read()
        code = run.wait(120)
    assert '"status": "done"' in first
    assert (code, stderr) == (1, "")
    rows = read_rows(out)
    assert 0 < len(rows) < 60
    assert {row.status for row in rows.values()} == {DONE}, "what was started is finished"
    assert not (out / LOCK).exists()


def test_the_parent_imports_nothing_heavy() -> None:
    code = "import archivecolor.execution.supervise, archivecolor.cli.progress, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert set(loaded.split()) & {"torch", "numpy", "cv2", "joblib", "PIL", "tifffile"} == set()


def test_the_child_is_this_interpreter() -> None:
    assert CHILD[0] == sys.executable
