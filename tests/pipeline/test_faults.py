"""Faults that are made to happen: what ends a run, what costs one picture, and that the next run puts it right."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, contents, grey, save_grey_tree
from support.observers import Recorder, drive

from archivecolor import files, photo, weights
from archivecolor.errors import OutputError
from archivecolor.options import ColorOptions, Disclosure, RunOptions
from archivecolor.pipeline import inputs
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, Manifest, Record, locks, read_rows

Colour = Callable[..., list[Record]]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="these faults are made with the means of POSIX")


def own_words(path: Path) -> bool:
    """What tells the time, and so differs from run to run."""
    return path.name == MANIFEST or path.suffix == ".json"


@pytest.fixture
def expected(src: Path, tmp_path: Path, ink: Path) -> dict[str, bytes]:
    """What an undisturbed run makes of 12 scans."""
    save_grey_tree(src, 12)
    colour(src, out=tmp_path / "undisturbed", model=ink)
    return contents(tmp_path / "undisturbed", own_words)


@pytest.fixture
def go(src: Path, ink: Path) -> Colour:
    return lambda out, **more: colour(src, out=out, model=ink, **{"disclosure": Disclosure(), **more})


def nothing_half_written(out: Path, expected: dict[str, bytes]) -> int:
    """How many pictures are there, after seeing that each is whole and that no row claims more."""
    there = contents(out, own_words)
    assert {name: content for name, content in expected.items() if name in there} == there, "no part, no lock, no half"
    done = {row.output for row in read_rows(out).values() if row.status == DONE}
    assert done <= there.keys()
    for name in done:
        assert (out / f"{name}.json").exists()
    return len(there)


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, of 60 kB."""
    place = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        place.rmdir()
        pytest.skip("no right to mount a tmpfs here: a full and a read-only file system go untested (root has it)")
    yield place
    subprocess.run(["umount", place], check=True)
    place.rmdir()


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def test_a_disk_that_is_really_full(go: Colour, small_disk: Path, expected: dict[str, bytes]) -> None:
    with pytest.raises(OutputError, match="No space left") as caught:
        go(small_disk / "out")
    assert caught.value.exit_code == 5
    assert 0 < nothing_half_written(small_disk / "out", expected) < 12
    remount(small_disk, "size=4m")
    assert {row.status for row in go(small_disk / "out")} == {DONE}
    assert contents(small_disk / "out", own_words) == expected
    assert verify(small_disk / "out").sound


def limits_hold(probe: Path) -> bool:
    """Whether the system refuses what is over the limit (some sandboxes do not)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        probe.write_bytes(bytes(200))
    except OSError:
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        probe.unlink(missing_ok=True)
    return False


def test_files_that_cannot_grow(go: Colour, out: Path, expected: dict[str, bytes]) -> None:
    """A quota, for those who may not mount: the system refuses every byte after the 5000th of a file."""
    largest = max(map(len, expected.values()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not limits_hold(out.parent / "probe"):
        pytest.skip("this system does not heed RLIMIT_FSIZE: files that cannot grow go untested")
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 100, before[1]))
    try:
        rows = go(out, workers=1)
        refused = [row for row in rows if row.status == FAILED]
        assert 0 < len(refused) < len(rows), "the others are done"
        assert all("too large for this file system" in row.reason for row in refused)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    nothing_half_written(out, expected)
    assert {row.status for row in go(out)} == {DONE}
    assert contents(out, own_words) == expected


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_whatever_the_system_answers(
    go: Colour, out: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """The last two steps of writing a file; the answer is made up, the rest is real."""
    true, left = getattr(os, call), [9]

    def answer(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return true(*arguments)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match=os.strerror(number)):
        patch.setattr(files.os, call, answer)
        go(out)
    assert nothing_half_written(out, expected) < 12
    assert {row.status for row in go(out)} == {DONE}
    assert contents(out, own_words) == expected


# --- sources that do not hold still -----------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """One bit, in place: neither size nor name change."""
    with path.open("r+b") as file:
        file.seek(-200, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-200, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:-1] + b"x")
    os.replace(other, path)


@pytest.mark.parametrize(
    "change", [flip, swap, lambda path: path.open("ab").write(b"more")], ids=["bit", "swap", "grow"]
)
@pytest.mark.parametrize("settled", [True, False], ids=["settled", "fresh"])
def test_a_source_that_changes_while_it_is_read(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Any], settled: bool
) -> None:
    """Also within one tick of the clock that stamps files, where neither size nor times tell."""
    path = src / "a.tif"
    Image.fromarray(grey()).save(path)
    if settled:
        monkeypatch.setattr(files, "_JUST_NOW_S", 0.0)  # as if it had lain there for long: its times are trusted
    read, hashed = photo.read, files.sha256(path)

    def read_and_change(arguments: Path, *rest: Any) -> Any:
        result = read(arguments, *rest)
        if settled:
            os.utime(path, ns=(1, 1))
        change(path)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(photo, "read", read_and_change)
        (row,) = go(out)
    assert (row.status, row.output) == (FAILED, None)
    assert "while it was being read" in row.reason
    assert not (out / "a.tif").exists()
    (again,) = go(out)
    assert again.source_sha256 == files.sha256(path) != hashed
    if again.status == DONE:
        assert verify(out).sound


def test_a_source_that_vanishes(go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is opened, between hash and decoder, and after it was decoded."""
    for name in ("before.png", "between.png", "after.png", "stays.png"):
        Image.fromarray(grey()).save(src / name)
    measure, read = photo.measure, photo.read

    def measure_and_remove(path: Path, *rest: Any) -> float:
        megapixels = measure(path, *rest)
        if path.name == "between.png":
            path.unlink()
        return megapixels

    def read_and_remove(path: Path, *rest: Any) -> Any:
        result = read(path, *rest)
        if path.name == "after.png":
            path.unlink()
        return result

    find = inputs.find_inputs

    def find_and_remove(*arguments: Any) -> Any:
        found = find(*arguments)
        (src / "before.png").unlink()
        return found

    monkeypatch.setattr(photo, "measure", measure_and_remove)
    monkeypatch.setattr(photo, "read", read_and_remove)
    monkeypatch.setattr(inputs, "find_inputs", find_and_remove)
    rows = {row.input: row for row in go(out)}
    gone = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert gone.keys() == {"before.png", "between.png", "after.png"}
    assert all("not there" in reason for reason in gone.values()), gone
    assert rows["stays.png"].status == DONE


# --- rights -----------------------------------------------------------------------------------------------------------


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without any right of root's, who ignores permissions."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(ink: Path, src: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everyone may enter (pytest's own are closed to all but their owner), with weights and scans.

    Whatever is imported late is imported now: the interpreter may lie where nobody may read.
    """
    place = Path(tempfile.mkdtemp())
    save_grey_tree(src, 6)
    colour(src, out=place / "first", model=ink)
    shutil.rmtree(place / "first")
    shutil.copytree(ink, place / "inky")
    shutil.copytree(src, place / "src")
    for path in (place, *place.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    monkeypatch.setattr(weights, "shipped_folder", lambda: place / "none")
    yield place
    for path in place.rglob("*"):
        path.chmod(0o777)
    shutil.rmtree(place)


def test_an_output_folder_that_becomes_read_only_midway(open_folder: Path) -> None:
    out, seen = open_folder / "out", []

    def watch(name: str, row: Record | None, total: int) -> None:
        seen.append(name)
        if len(seen) == 2:
            for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
                folder.chmod(0o555)

    options = RunOptions(
        inputs=(str(open_folder / "src"),),
        out=out,
        model=str(open_folder / "inky"),
        color=ColorOptions(size=64),
        device="cpu",
        precision="fp32",
        workers=1,
    )
    with nobody():
        with pytest.raises(OutputError, match="ermission denied") as caught:
            drive(options, Recorder(watch))
        for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
            folder.chmod(0o777)
        assert caught.value.exit_code == 5
        left = {path.name for path in out.rglob("*") if path.name.startswith(".")}
        assert left <= {LOCK}, "what could not be removed hinders nobody"
        assert {row.status for row in drive(options)} == {DONE}
    assert verify(out).sound


def test_folders_and_files_that_may_not_be_read_fail_alone(open_folder: Path) -> None:
    src = open_folder / "src"
    (src / "secret").mkdir()
    Image.fromarray(grey()).save(src / "secret/a.png")
    (src / "secret").chmod(0)
    (src / "box1/01.png").chmod(0)
    with nobody():
        rows = {row.input: row for row in colour(src, out=open_folder / "out", model=open_folder / "inky")}
    assert {name for name, row in rows.items() if row.status == FAILED} == {"secret", "box1/01.png"}
    assert "ermission denied" in rows["secret"].reason
    assert "ermission denied" in rows["box1/01.png"].reason
    (src / "secret").chmod(stat.S_IRWXU)
    (src / "box1/01.png").chmod(stat.S_IRWXU)
    rows = {row.input: row for row in colour(src, out=open_folder / "out", model=open_folder / "inky")}
    assert {row.status for row in rows.values()} == {DONE}


def test_an_output_folder_that_may_not_be_written(open_folder: Path) -> None:
    (open_folder / "out").mkdir(mode=0o555)
    with nobody(), pytest.raises(OutputError, match="ermission denied"):
        colour(open_folder / "src", out=open_folder / "out", model=open_folder / "inky")


# --- two at once ------------------------------------------------------------------------------------------------------


def test_a_lock_that_is_taken_while_its_holder_lets_go_is_one_that_others_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder removes the file after we have opened it and before we lock it: ours would be a lock on nothing."""
    lock_now, removed = locks._lock_now, []

    def late(handle: int, shared: bool) -> None:
        if not removed:
            (tmp_path / LOCK).unlink()
            removed.append(True)
        lock_now(handle, shared)

    monkeypatch.setattr(locks, "_lock_now", late)
    with Manifest(tmp_path):
        assert removed
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
        with pytest.raises(OutputError, match=f"pid {os.getpid()}"):
            Manifest(tmp_path)
