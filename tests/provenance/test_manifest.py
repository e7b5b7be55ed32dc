"""One row per input whatever happens, one run at a time, and resuming from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archivecolor import files
from archivecolor.errors import OutputError, PictureError
from archivecolor.provenance import (
    DONE,
    FAILED,
    LOCK,
    MANIFEST,
    SKIPPED,
    STARTED,
    Identity,
    Manifest,
    Record,
    RowIndex,
    disclosure,
    locks,
    read_rows,
    sidecar_of,
    totals,
)
from archivecolor.provenance.ours import is_ours

ME = Identity("weights", "options")


def done(name: str = "a.png", **changes: object) -> Record:
    row = Record(
        name, f"/scans/{name}", name, DONE, source_sha256="source", output_sha256="output", weights_sha256="weights",
        options="options", width=3, notes=("one", "two"), seconds={"decode": 0.5}, max_delta_l=0.1,
    )  # fmt: skip
    return replace(row, **changes)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text(encoding="utf-8").splitlines()]


# --- rows -------------------------------------------------------------------------------------------------------------

LETTERS = st.characters(exclude_categories=("Cs",)) | st.sampled_from("\udc80\udcff")  # with bytes that are not UTF-8
TEXT = st.text(LETTERS, min_size=1, max_size=12)
NAME = TEXT.filter(lambda name: "\0" not in name)
"""A file can have it."""
OUTPUT = NAME.filter(lambda name: name[0] not in "/\\" and ".." not in name and name.strip("./\\"))
"""Stays inside the output folder."""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(
            Record, input=NAME, source=NAME, output=st.none() | OUTPUT, status=st.sampled_from([DONE, FAILED, SKIPPED]),
            reason=TEXT, notes=st.lists(TEXT, max_size=2).map(tuple), max_delta_l=st.none() | st.floats(0, 1),
            width=st.integers(0, 9), seconds=st.dictionaries(st.just("decode"), st.floats(0, 9)),
        ),
        max_size=5,
    )
)  # fmt: skip
def test_rows_come_back_as_they_were(tmp_path: Path, rows: list[Record]) -> None:
    (tmp_path / MANIFEST).unlink(missing_ok=True)
    with Manifest(tmp_path) as manifest:
        for row in rows:
            manifest.append(row)
        assert read_rows(tmp_path).keys() == {row.input for row in rows}
    back = read_rows(tmp_path)
    assert back.keys() == {row.input for row in rows}
    for row in rows:
        assert replace(back[row.input], earlier=()) == [other for other in rows if other.input == row.input][-1]


def test_the_file_holds_one_line_per_input_after_the_run(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        for status in (FAILED, FAILED, DONE):
            for name in ("a.png", "b.png"):
                manifest.append(done(name, status=status))
        assert len(lines(tmp_path)) == 6
    assert [(line["input"], line["status"]) for line in lines(tmp_path)] == [("a.png", DONE), ("b.png", DONE)]


def test_a_row_is_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done())
        assert read_rows(tmp_path) == {"a.png": done()}


def test_rows_survive_a_run_that_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Manifest(tmp_path) as manifest:
        manifest.append(done())
        raise KeyboardInterrupt
    assert read_rows(tmp_path) == {"a.png": done()}


def test_rows_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:

        def work(worker: int) -> None:
            for i in range(20):
                manifest.append(done(f"{worker}-{i}", reason="x" * 5000))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lines(tmp_path)) == 160
    assert len(read_rows(tmp_path)) == 160


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 400))
def test_a_line_cut_short_by_a_kill_costs_only_itself(tmp_path: Path, cut: int) -> None:
    (tmp_path / MANIFEST).unlink(missing_ok=True)
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
        manifest.append(done("é.png"))
    content = (tmp_path / MANIFEST).read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    (tmp_path / MANIFEST).write_bytes(content[: max(last, len(content) - cut)])
    with Manifest(tmp_path) as manifest:
        assert manifest.rows["a.png"] == done("a.png")
        manifest.append(done("c.png"))
        assert {"a.png", "c.png"} <= read_rows(tmp_path).keys()
    assert {"a.png", "c.png"} <= {str(line["input"]) for line in lines(tmp_path)}


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done())
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'[]\n3\nnull\n{"status": "done"}\n\xff\xfe\n\n{"input": "z", "source": "z", "output": null}\n')
        whole = b'{"input": "y", "source": "y", "output": null, "status": "done"'
        file.write(whole + b', "notes": "one"}\n' + whole + b"} {}\n" + whole + b"}\x0b\n" + whole[:-9] + b"\n")
    assert read_rows(tmp_path) == {"a.png": done()}
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b" \t" + whole + b"}\r\n")
    assert set(read_rows(tmp_path)) == {"a.png", "y"}


def test_a_row_of_a_later_version_can_be_read(tmp_path: Path) -> None:
    row = {"input": "a", "source": "/a", "output": "a", "status": DONE, "mood": "blue"}
    (tmp_path / MANIFEST).write_text(json.dumps(row) + "\n")
    assert read_rows(tmp_path)["a"].status == DONE


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"non\xff utf\n\xc3\xa9.png")
    with Manifest(tmp_path) as manifest:
        manifest.append(done(name))
    assert [os.fsencode(key) for key in read_rows(tmp_path)] == [b"non\xff utf\n\xc3\xa9.png"]
    (tmp_path / MANIFEST).read_bytes().decode("utf-8")  # other tools must be able to read the file


def test_totals() -> None:
    rows = [done("a"), done("b"), done("c", status=FAILED, reason="damaged")]
    assert totals(rows) == {(DONE, ""): 2, (FAILED, "damaged"): 1}


# --- one run at a time ------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from archivecolor.provenance import Manifest
with Manifest(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_what_a_kill_interrupted_reads_as_failed(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin("a.png", "/scans/a.png", tmp_path / "a.png")
        text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text)  # as the kill left it
    assert '"started"' in text
    row = read_rows(tmp_path)["a.png"]
    assert (row.status, row.reason) == (FAILED, "interrupted while it was being written")


def test_a_second_run_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(OutputError, match=rf"pid {holder.pid}\b"):
                Manifest(tmp_path)
            assert (tmp_path / LOCK).exists(), "refusing must not take the holder's lock away"
            with pytest.raises(OutputError):
                Manifest(tmp_path)
        finally:
            holder.kill()
    with Manifest(tmp_path) as manifest:  # a killed run leaves nothing that would have to be removed by hand
        manifest.append(done())


def test_a_second_run_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with Manifest(tmp_path), pytest.raises(OutputError, match=rf"pid {os.getpid()}\b"):
        Manifest(tmp_path)
    assert not (tmp_path / LOCK).exists()
    with Manifest(tmp_path):
        pass


def test_an_output_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="file"):
            Manifest(folder)


def test_parts_of_a_killed_run_are_cleared_away(tmp_path: Path) -> None:
    part = files.part_path(tmp_path / "deep" / "a.png")
    part.parent.mkdir()
    part.write_bytes(b"half")
    other = tmp_path / "deep" / "mine.archivecolor-part"
    other.write_bytes(b"kept: not hidden, so not ours")
    with Manifest(tmp_path):
        assert not part.exists()
        assert other.exists()


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(b"colour")
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
        manifest.append(done("colour.png", status=SKIPPED, output=None))
        manifest.append(done("broken.png", status=FAILED, output=None))
        manifest.append(done("begun.png", status=STARTED))
        manifest.append(done("removed.png"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", True), ("colour.png", True), ("broken.png", False), ("begun.png", False), ("removed.png", False),
     ("new.png", False)],
)  # fmt: skip
def test_what_is_settled(out: Path, name: str, expected: bool) -> None:
    with Manifest(out) as manifest:
        assert bool(manifest.settled(name, "source", ME)) is expected


@pytest.mark.parametrize("name", ["a.png", "colour.png"])
def test_what_is_settled_no_longer_when_anything_differs(out: Path, name: str) -> None:
    with Manifest(out) as manifest:
        assert not manifest.settled(name, "another source", ME)
        assert not manifest.settled(name, "source", Identity("other weights", "options"))
        assert not manifest.settled(name, "source", Identity("weights", "other options"))


def test_a_foreign_target_is_refused(out: Path) -> None:
    (out / "new.png").write_bytes(b"somebody's")
    with Manifest(out) as manifest:
        with pytest.raises(PictureError, match=r"new\.png.*--overwrite"):
            manifest.begin("new.png", "/scans/new.png", out / "new.png")
        assert "new.png" not in manifest.rows
        manifest.begin("new.png", "/scans/new.png", out / "new.png", overwrite=True)
        assert manifest.rows["new.png"].status == STARTED


def test_what_a_run_began_or_made_is_its_own(out: Path) -> None:
    (out / "begun.png").write_bytes(b"whole, but its row was never written")
    with Manifest(out) as manifest:
        for name in ("a.png", "begun.png", "removed.png"):
            manifest.begin(name, f"/scans/{name}", out / name)
            assert manifest.rows[name].status == STARTED


def test_a_target_made_for_another_input_is_not_its_own(out: Path) -> None:
    with Manifest(out) as manifest, pytest.raises(PictureError):
        manifest.begin("other.png", "/scans/other.png", out / "a.png")


def test_two_inputs_of_one_run_cannot_share_an_output(out: Path) -> None:
    with Manifest(out) as manifest:
        for _ in range(2):
            manifest.begin("x.gif", "/scans/x.gif", out / "x.gif.png")
        for overwrite in (False, True):
            with pytest.raises(PictureError, match=r"x\.gif\.png is already that of x\.gif"):
                manifest.begin("x.gif.png", "/scans/x.gif.png", out / "x.gif.png", overwrite)


@pytest.mark.parametrize(
    "pair", [("f_%04d.png", "f_0001.png"), ("f_0001.png", "f_%04d.png"), ("f_%d.png", "f_%04d.png")]
)
def test_a_number_pattern_has_every_name_that_fits_it(out: Path, pair: tuple[str, str]) -> None:
    first, second = pair
    with Manifest(out) as manifest:
        manifest.begin("one", "/scans/one", out / "box" / first, frames="%" in first)
        with pytest.raises(PictureError, match="is already that of one"):
            manifest.begin("two", "/scans/two", out / "box" / second, True, frames="%" in second)
        for name in ("g_0001.png", "f_a.png", "h_%04d.png", "f_%04d.png.json", "f1_%d.png"):
            manifest.begin(name, f"/scans/{name}", out / "box" / name, frames="%" in name)
        manifest.begin("three", "/scans/three", out / "f_%04d.tif", frames=False)
        manifest.begin("four", "/scans/four", out / "f_0001.tif")


def test_an_output_stays_its_own_whatever_became_of_the_input_since(out: Path) -> None:
    with Manifest(out) as manifest:
        manifest.append(done("a.png", output="a.jpg"))  # --format jpeg
        manifest.append(done("a.png", output=None, status=FAILED, reason="damaged"))
    with Manifest(out) as manifest:
        manifest.append(done("a.png", output=None, status=SKIPPED))
    with Manifest(out) as manifest:
        (out / "a.jpg").write_bytes(b"colour")
        for target in ("a.png", "a.jpg"):
            manifest.begin("a.png", "/scans/a.png", out / target)
        with pytest.raises(PictureError):
            (out / "a.webp").write_bytes(b"somebody's")
            manifest.begin("a.png", "/scans/a.png", out / "a.webp")


def test_what_was_begun_and_never_finished_counts_as_failed_but_is_still_ours(out: Path) -> None:
    row = read_rows(out)["begun.png"]
    assert row.status == FAILED
    assert "interrupted" in row.reason
    assert row.output == "begun.png"


def test_a_full_disk_at_the_end_is_an_error_of_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"), Manifest(tmp_path) as manifest:
        manifest.append(done())
        monkeypatch.setattr(files.os, "replace", full)
    assert not (tmp_path / LOCK).exists()
    assert read_rows(tmp_path) == {"a.png": done()}, "the rows appended so far are there"


def test_rows_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    """Only where a row begins is kept: rows of any size cost the same, and the newest counts."""
    with Manifest(tmp_path) as manifest:
        for i in range(300):
            manifest.append(done(f"{i}.png"))
        manifest.append(replace(done("7.png"), notes=("again",)))
        assert manifest.rows["7.png"].notes == ("again",)
        assert len(manifest.rows) == 300
        assert set(vars(manifest.rows)) == {"path", "_begins"}
        assert all(type(at) is int for at in manifest.rows._begins.values())
    with Manifest(tmp_path) as manifest:
        assert manifest.rows["7.png"].notes == ("again",)
        assert list(manifest.rows) == [f"{i}.png" for i in range(300)]
        (tmp_path / MANIFEST).write_text("something else\n")
        with pytest.raises(OutputError, match=r"changed.*start it again"):
            manifest.rows["7.png"]
        manifest._own = RowIndex(tmp_path / MANIFEST)


# --- what was done stays done -----------------------------------------------------------------------------------------


def test_a_failure_does_not_replace_the_row_of_a_finished_input(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"output")
    failure = Record("a.png", "/scans/a.png", None, FAILED, "the disk reports a read error")
    with Manifest(tmp_path) as manifest:
        manifest.append(done(redone=True))
        manifest.append(failure)
        row = manifest.row("a.png")
        assert row == done(redone=True, problem="the disk reports a read error")
        assert totals([row]) == {(FAILED, "the disk reports a read error"): 1}
        assert manifest.settled("a.png", "source", ME), "it is as finished as before"
        assert manifest.row("a.png") == done(redone=True), "and the problem is over"
    (tmp_path / "a.png").unlink()
    with Manifest(tmp_path) as manifest:
        manifest.append(failure)
        assert manifest.row("a.png") == replace(failure, earlier=("a.png",)), "there is no output any more"


def test_a_failure_after_the_output_was_replaced_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"output")
    first = done(output_sha256=files.sha256(path))
    failure = Record("a.png", "/scans/a.png", None, FAILED, "the certificate is not valid")
    with Manifest(tmp_path) as manifest:
        manifest.append(first)
        manifest.begin("a.png", "/scans/a.png", path)
        manifest.append(failure)
        assert manifest.row("a.png") == replace(first, problem=failure.reason), "nothing was written yet"
        manifest.begin("a.png", "/scans/a.png", path)
        path.write_bytes(b"another output")
        manifest.append(failure)
        row = manifest.row("a.png")
        assert row is not None
        assert (row.status, row.reason) == (FAILED, failure.reason)


def test_a_row_is_on_the_disk_before_its_output_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    true = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        true(handle)

    with Manifest(tmp_path) as manifest:
        monkeypatch.setattr(os, "fsync", fsync)
        manifest.begin("a.png", "/scans/a.png", tmp_path / "a.png")
        assert flushed == [MANIFEST]
        assert b'"started"' in (tmp_path / MANIFEST).read_bytes()


def test_a_manifest_with_a_byte_order_mark_loses_no_row(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
        manifest.append(done("b.png"))
    path = tmp_path / MANIFEST
    path.write_bytes("\ufeff".encode() + path.read_bytes())
    assert read_rows(tmp_path).keys() == {"a.png", "b.png"}


@pytest.mark.parametrize("proof", ["sidecar", "disclosure"])
def test_an_output_without_a_row_is_done_again_where_it_says_that_it_is_ours(tmp_path: Path, proof: str) -> None:
    path = tmp_path / "a.jpg"
    if proof == "sidecar":
        path.write_bytes(b"output")
        body = json.dumps({"output": {"sha256": files.sha256(path)}})
        sidecar_of(path).write_text(f'{{\n "made_by": "archivecolor 1",{body.removeprefix("{")}')
    else:
        xmp, _ = disclosure(None, "archivecolor 1", "lite", "00")
        path.write_bytes(b"\xff\xd8" + bytes(5000) + xmp)
    with Manifest(tmp_path, sidecars=True) as manifest:
        manifest.begin("a.jpg", "/scans/a.jpg", path)
    path.write_bytes(b"somebody's own")
    if proof == "sidecar":
        assert not is_ours(path), "it was changed since the sidecar was written"
    (tmp_path / MANIFEST).unlink()
    with Manifest(tmp_path) as manifest, pytest.raises(PictureError, match="not made by this program"):
        manifest.begin("a.jpg", "/scans/a.jpg", path)


def test_a_manifest_whose_disk_is_gone_is_an_error_of_the_output(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
        (tmp_path / MANIFEST).rename(tmp_path / "away")
        with pytest.raises(OutputError, match="cannot be read any more"):
            manifest.row("a.png")
        (tmp_path / "away").rename(tmp_path / MANIFEST)


# --- a folder from a stranger -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        {"width": "abc"}, {"output": 5}, {"output": "../outside.png"}, {"output": "/etc/passwd"}, {"notes": "text"},
        {"earlier": ["../../outside"]}, {"film": []}, {"seconds": 3}, {"status": None}, {"max_delta_l": "small"},
        {"source": 7}, {"output": "a/../../b"}, {"output": "..\\b"}, {"earlier": [3]}, {"redone": "yes"},
    ],
)  # fmt: skip
def test_a_forged_row_is_no_row(tmp_path: Path, forged: dict[str, object]) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
        manifest.append(done("b.png"))
    first, second = lines(tmp_path)
    (tmp_path / MANIFEST).write_text(f"{json.dumps({**first, **forged})}\n{json.dumps(second)}\n")
    assert read_rows(tmp_path).keys() == {"b.png"}
    with Manifest(tmp_path) as manifest:
        assert manifest.row("a.png") is None


def test_rows_nested_without_end_are_no_rows(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(done("a.png"))
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"film": ' + "[" * 100_000 + "\n")
    assert read_rows(tmp_path).keys() == {"a.png"}


@pytest.mark.parametrize("name", [MANIFEST, LOCK])
def test_a_link_is_not_written_through(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source.tif"
    source.write_bytes(b"a scan")
    out = tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(source)
    with pytest.raises(OutputError, match="is a link"):
        Manifest(out)
    assert source.read_bytes() == b"a scan"


def test_output_folders_do_not_lie_in_one_another(tmp_path: Path) -> None:
    for folder in (tmp_path / "outer", tmp_path / "other/inner"):
        with Manifest(folder) as manifest:
            manifest.append(done("a.png"))
    part = files.part_path(tmp_path / "other/inner/b.png")
    part.write_bytes(b"half")
    with pytest.raises(OutputError, match=r"lies in .*outer"):
        Manifest(tmp_path / "outer/inner")
    with pytest.raises(OutputError, match=r"contains .*inner"):
        Manifest(tmp_path / "other")
    assert part.exists(), "another run may be writing it"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / MANIFEST).write_text('{"some": "dataset"}\n')
    with Manifest(tmp_path / "foreign/inner"):
        pass


def test_whether_a_run_is_on_can_be_asked(tmp_path: Path) -> None:
    assert not locks.is_running(tmp_path)
    with Manifest(tmp_path):
        assert locks.is_running(tmp_path)
    assert not locks.is_running(tmp_path)
    (tmp_path / LOCK).write_text("1")  # left by a kill
    assert not locks.is_running(tmp_path)
