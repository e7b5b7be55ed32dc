"""Disks that fail, drives that are pulled, sources that change: a shim in C makes the system calls fail for real."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, contents, grey, save_grey_tree
from support.observers import Recorder, drive
from support.runs import options_of
from support.storage import Outcome, run_with

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.options import Disclosure, Shard
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, decisions, read_rows

Run = Callable[..., Outcome]


def own_words(path: Path) -> bool:
    """What tells the time, and so differs from run to run."""
    return path.name == MANIFEST or path.suffix == ".json"


@pytest.fixture
def faulty(misbehaving: Callable[..., Any], src: Path, out: Path, ink: Path) -> Run:
    """A run of `src` into `out` with these faults."""

    def run(*rules: str, **options: Any) -> Outcome:
        outcome: Outcome = misbehaving(run_with, ";".join(rules), src, out, ink, options)
        return outcome

    return run


@pytest.fixture
def scans(src: Path) -> list[Path]:
    return save_grey_tree(src, 3)


def rule(op: str, number: int, path: Path | str, after: int = 0, times: int = 0) -> str:
    return f"{op}:{number}:{path}:{after}:{times}"


def statuses(outcome: Outcome) -> list[str]:
    return [row.status for _, row in sorted(outcome.rows.items())]


# --- what was done stays done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [("open", errno.EIO), ("read", errno.EIO), ("open", errno.ENOTCONN)])
def test_a_source_drive_that_fails_takes_nothing_away(
    faulty: Run, scans: list[Path], src: Path, out: Path, fault: tuple[str, int]
) -> None:
    first = faulty()
    assert statuses(first) == [DONE] * 3
    made = contents(out, own_words)
    second = faulty(rule(*fault, f"{src}/"))
    assert second.hits
    kept = {name: second.rows[name] for name in first.rows}  # beside rows of folders that could not be listed
    assert {name: replace(row, problem="") for name, row in kept.items()} == first.rows
    assert any(row.problem or row.status == FAILED for row in second.rows.values())
    third = faulty().rows
    assert {name: third[name] for name in first.rows} == first.rows, "the next good run finds all of it finished"
    assert contents(out, own_words) == made


def test_what_a_person_chose_outlives_a_read_error(
    faulty: Run, scans: list[Path], src: Path, out: Path, tmp_path: Path
) -> None:
    name, row = next(iter(faulty().rows.items()))
    chosen = [{"input": name, "decision": "rejected", "output_sha256": row.output_sha256}]
    (tmp_path / "decisions.json").write_text(
        f'{{"format": "{decisions.FORMAT}", "decisions": {chosen}}}'.replace("'", '"')
    )
    again = faulty(redo=tmp_path / "decisions.json", strength=0.4).rows[name]
    assert again.redone
    assert again.output_sha256 != row.output_sha256
    faulty(rule("read", errno.EIO, f"{src}/{name}"))
    last = faulty().rows[name]
    assert (last.redone, last.output_sha256) == (True, files.sha256(out / name))
    assert last.output_sha256 == again.output_sha256


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_picture_that_is_cut_while_it_is_read_is_not_called_damaged(
    faulty: Run, scans: list[Path], src: Path, out: Path
) -> None:
    Image.fromarray(grey(200, 300)).save(src / "cut.png")
    outcome = faulty(rule("shrink", 1, "cut.png", after=2, times=1))
    assert outcome.hits == 1
    assert outcome.rows["cut.png"].status == FAILED
    assert "while it was being read" in outcome.rows["cut.png"].reason
    assert statuses(outcome).count(DONE) == 3


@pytest.mark.parametrize(
    ("op", "number"),
    [("read", errno.EIO), ("open", errno.EACCES), ("open", errno.ESTALE), ("read", errno.ETIMEDOUT), ("vanish", 1)],
)
@pytest.mark.parametrize("after", [0, 2])
def test_a_picture_without_a_suffix_that_cannot_be_read_has_a_row(
    faulty: Run, scans: list[Path], src: Path, op: str, number: int, after: int
) -> None:
    Image.fromarray(grey()).save(src / "scan0001", "PNG")
    outcome = faulty(rule(op, number, "scan0001$", after))
    assert outcome.rows["scan0001"].status == FAILED
    assert statuses(outcome).count(DONE) == 3
    if op != "vanish":
        assert statuses(faulty()) == [DONE] * 4


@pytest.mark.parametrize("rules", [("shortread:1:/:0:0",), ("shortwrite:1:/out/:0:0",), ("read:4:/src/:3:5",)])
def test_a_slow_and_patchy_drive_gives_the_same_bytes(
    faulty: Run, scans: list[Path], src: Path, out: Path, ink: Path, tmp_path: Path, rules: tuple[str, ...]
) -> None:
    """Seven bytes at a time; interrupted calls."""
    outcome = faulty(*rules)
    assert outcome.hits
    assert statuses(outcome) == [DONE] * 3
    colour(src, out=tmp_path / "sound", model=ink)
    assert contents(out, own_words) == contents(tmp_path / "sound", own_words)


# --- writing ----------------------------------------------------------------------------------------------------------


def whole(out: Path, expected: dict[str, bytes]) -> None:
    """Every output there is whole, and every row that says `done` has one."""
    there = {name: content for name, content in contents(out, own_words).items() if not name.startswith(".")}
    assert there.items() <= expected.items()
    if (out / MANIFEST).exists():
        done = {row.output for row in read_rows(out).values() if row.status == DONE}
        assert done <= there.keys()


@pytest.mark.parametrize("op", ["open", "write", "fsync", "rename", "close", "mkdir", "unlink", "flock", "stat"])
def test_an_error_of_any_call_below_the_output_folder_costs_nothing(
    faulty: Run, src: Path, out: Path, ink: Path, tmp_path: Path, op: str
) -> None:
    """The first, the second, ... the last call of the run fails once; the run ends or goes on, and the next one does
    the rest."""
    save_grey_tree(src, 2)
    colour(src, out=tmp_path / "sound", model=ink)
    expected = contents(tmp_path / "sound", own_words)
    at, step, seen = 0, 1, 0
    while True:
        outcome = faulty(rule(op, errno.EIO, out, at, 1), workers=1)
        if not outcome.hits:
            break
        seen += 1
        assert outcome.error is None or isinstance(outcome.error, OutputError), outcome.error
        whole(out, expected)
        again = faulty(workers=1)
        assert (again.error, statuses(again)) == (None, [DONE] * 2), (at, again)
        assert contents(out, own_words) == expected, at
        files_left = [path.name for path in out.rglob(".*")]
        assert files_left == [], (at, files_left)
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        at += step
        step += 1 if at > 8 else 0
    assert seen


def test_one_output_that_is_too_large_for_the_file_system_fails_alone(
    faulty: Run, scans: list[Path], out: Path
) -> None:
    part = files.part_path(out / scans[1].parent.name / scans[1].name).name
    outcome = faulty(rule("write", errno.EFBIG, part), workers=1)
    assert outcome.error is None
    failed = [row for row in outcome.rows.values() if row.status == FAILED]
    assert [row.input for row in failed] == [f"box1/{scans[1].name}"]
    assert "too large for this file system" in failed[0].reason
    assert statuses(outcome).count(DONE) == 2


def test_a_file_system_that_cannot_flush_folders_is_good_enough(faulty: Run, scans: list[Path], out: Path) -> None:
    for number in (errno.EINVAL, errno.ENOTSUP):
        outcome = faulty(*(rule("fsync", number, f"{folder}$") for folder in (out, out / "box0", out / "box1")))
        assert outcome.hits
        assert (outcome.error, statuses(outcome)) == (None, [DONE] * 3)
        assert verify(out).sound


@pytest.mark.parametrize("op", ["open", "write"])
@pytest.mark.parametrize("after", [3, 4, 6])
def test_an_output_drive_that_is_pulled_ends_the_run_and_nothing_is_lost(
    faulty: Run, scans: list[Path], out: Path, op: str, after: int
) -> None:
    outcome = faulty(rule(op, errno.ESTALE, MANIFEST, after))
    if outcome.hits:
        assert isinstance(outcome.error, OutputError)
        assert outcome.error.exit_code == 5
    assert statuses(faulty()) == [DONE] * 3
    assert verify(out).sound


@pytest.mark.parametrize("reader", ["removed", "renamed"])
def test_an_output_folder_that_goes_during_the_run_ends_it(
    scans: list[Path], src: Path, out: Path, ink: Path, reader: str
) -> None:
    def go_away(*_: object) -> None:
        if out.exists():
            shutil.rmtree(out) if reader == "removed" else out.rename(out.with_name("elsewhere"))

    with pytest.raises(OutputError) as caught:
        drive(options_of(src, out, ink, workers=1), Recorder(go_away))
    assert caught.value.exit_code == 5
    if reader == "renamed":
        shutil.rmtree(out, ignore_errors=True)
        out.with_name("elsewhere").rename(out)
    assert {row.status for row in colour(src, out=out, model=ink)} == {DONE}
    assert verify(out).sound


@pytest.mark.parametrize("shard", [None, Shard(1, 1)])
def test_where_there_are_no_locks_nothing_is_left_behind(
    faulty: Run, scans: list[Path], out: Path, shard: Shard | None
) -> None:
    outcome = faulty(rule("flock", errno.ENOLCK, out), shard=shard)
    assert isinstance(outcome.error, OutputError)
    assert "has no locks" in str(outcome.error)
    assert list(out.iterdir()) == []
    (out / LOCK).write_text("left by a kill")
    assert isinstance(faulty(rule("flock", errno.ENOLCK, out)).error, OutputError)
    (out / LOCK).unlink()
    assert statuses(faulty(disclosure=Disclosure(sidecar=False))) == [DONE] * 3
