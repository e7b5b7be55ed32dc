"""A second run does only what is left; stopped or killed, a run goes on as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.doubles import (
    colour_slowly,
    colourful,
    contents,
    grey,
    save_grey_tree,
    save_ink,
)
from support.observers import Recorder, drive
from support.runs import Colour, by_name, done_lines, options_of, own_words, save, times, wait_for_progress

from archivecolor.options import Disclosure
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, FAILED, MANIFEST, Record

# --- once and again ---------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 4)
    save(src / "colour.png", colourful())
    rows, before = go(), times(out)
    assert go() == rows
    assert times(out) == before


def test_only_what_changed_is_done_again(go: Colour, src: Path, out: Path) -> None:
    changed, *_ = save_grey_tree(src, 4)
    first, before = by_name(go()), times(out)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 0x10
    changed.write_bytes(content)
    second, after = by_name(go()), times(out)
    name = changed.relative_to(src).as_posix()
    assert {key for key in after if after[key] != before[key]} == {name}
    assert {key for key in second if second[key] != first[key]} == {name}
    assert second[name].source_sha256 != first[name].source_sha256


def test_what_was_removed_is_made_again(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    go()
    before = contents(out, lambda path: path.name == MANIFEST)
    (out / "box1/01.png").unlink()
    go()
    assert contents(out, lambda path: path.name == MANIFEST) == before


@pytest.mark.parametrize("options", [{"strength": 0.5}, {"size": 96}, {"tiles": "always"}, {"recolor": True}])
def test_other_options_mean_another_result(go: Colour, src: Path, out: Path, options: dict[str, Any]) -> None:
    save(src / "a.png", grey())
    (first,), before = go(), times(out)
    (second,) = go(**options)
    assert second.options != first.options
    assert times(out) != before


def test_other_weights_mean_another_result(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save(src / "a.png", grey())
    (first,) = go()
    (second,) = go(model=save_ink(tmp_path / "blue", (0.0, -30.0)))
    assert second.output_sha256 != first.output_sha256
    assert second.weights_sha256 != first.weights_sha256


def test_overwrite_does_all_again(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    go()
    before, bytes_before = times(out), contents(out, lambda path: path.name == MANIFEST)
    go(overwrite=True)
    assert all(times(out)[name] > before[name] for name in before)
    assert contents(out, lambda path: path.name == MANIFEST) == bytes_before


def test_somebody_elses_file_is_never_replaced(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    theirs = out / "box1/01.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"somebody's")
    rows = by_name(go())
    assert [rows[name].status for name in ("box0/00.tif", "box1/01.png")] == [DONE, FAILED]
    assert "--overwrite" in rows["box1/01.png"].reason
    assert theirs.read_bytes() == b"somebody's"
    assert {row.status for row in go(overwrite=True)} == {DONE}
    assert theirs.read_bytes() != b"somebody's"


def test_formats_may_be_changed_back_and_forth(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", grey())
    for format in ("same", "tiff", "jpeg", "same", "tiff"):
        (row,) = go(format=format)
        assert (row.status, row.reason) == (DONE, "")
    assert {path.name for path in out.iterdir()} == {"a.png", "a.tif", "a.jpg", MANIFEST}


def test_a_source_that_was_damaged_for_a_while(go: Colour, src: Path, out: Path) -> None:
    path = save(src / "a.png", grey())
    sound = path.read_bytes()
    go()
    path.write_bytes(sound[:60])
    (row,) = go()
    assert (row.status, row.output) == (DONE, "a.png"), "its output is there and sound"
    assert "truncated" in row.problem or "damaged" in row.problem
    path.write_bytes(sound)
    (row,) = go()
    assert (row.status, row.problem) == (DONE, "")


def test_the_bytes_do_not_depend_on_company(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save_grey_tree(src, 6)
    go(workers=1, batch=1)
    go(out=tmp_path / "crowd", workers=6, batch=8)
    assert contents(out, lambda path: path.name == MANIFEST) == contents(
        tmp_path / "crowd", lambda path: path.name == MANIFEST
    )


def test_stop_finishes_what_is_in_hand_and_leaves_the_rest(go: Colour, src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 20)
    seen: list[str] = []

    def watch(name: str, row: Record | None, total: int) -> None:
        assert row is not None
        assert row.status == DONE
        assert total == 20
        seen.append(name)

    rows = drive(options_of(src, out, ink), Recorder(watch, lambda: len(seen) >= 3))
    assert 3 <= len(seen) < 15
    assert sorted(row.input for row in rows) == sorted(seen)
    assert sorted(times(out)) == sorted(seen)
    made = times(out)
    assert len(go()) == 20
    assert made.items() <= times(out).items(), "what was made is not made again"


def test_watch_hears_of_every_input_once(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 5)
    (src / "broken.png").write_bytes(b"")
    for expected in (DONE, None):
        rows_by_name: dict[str, Record | None] = {}

        def watch(
            name: str, row: Record | None, total: int, rows_by_name: dict[str, Record | None] = rows_by_name
        ) -> None:
            assert name not in rows_by_name
            rows_by_name[name] = row

        drive(options_of(src, out, ink), Recorder(watch))
        assert len(rows_by_name) == 6
        assert {row.status if row else None for name, row in rows_by_name.items() if name != "broken.png"} == {expected}


@pytest.mark.long
def test_killed_at_30_moments_and_resumed_is_as_if_never_killed(
    go: Colour, src: Path, out: Path, tmp_path: Path
) -> None:
    """kill -9 at 30 random moments: some while it starts, most while it works."""
    save_grey_tree(src, 60, height=50, width=70)
    (src / "broken.png").write_bytes(b"")
    save(src / "colour.png", colourful())
    undisturbed = tmp_path / "undisturbed"
    expected = by_name(go(out=undisturbed))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["archivecolor.pipeline.runner"])  # so that each child starts within milliseconds
    chance, killed_midway = random.Random(), 0
    for kill in range(30):
        child = processes.Process(target=colour_slowly, args=(src, out, tmp_path / "weights/inky"))
        child.start()
        if kill % 3:
            wait_for_progress(out, child)
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
        child.join()
        killed_midway += child.exitcode != 0 and 0 < done_lines(out) < 60
        for name, content in contents(out, own_words).items():
            assert content == (undisturbed / name).read_bytes(), "a target appears whole or not at all"
    assert killed_midway >= 15, "few kills came in the midst of the work: the test tests little"
    rows = by_name(go(disclosure=Disclosure()))
    assert contents(out, own_words) == contents(undisturbed, own_words)
    plain = {name: replace(row, seconds={}, sidecar=False) for name, row in rows.items()}
    assert plain == {name: replace(row, seconds={}) for name, row in expected.items()}
    assert verify(out).sound, "no part, no lock, no sidecar too many or too few"
