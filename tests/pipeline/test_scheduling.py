"""Films beside photographs: neither takes the other's turn."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.doubles import save_grey_tree
from support.needs import needs
from support.observers import Recorder, drive
from support.runs import options_of

from archivecolor.errors import StoppedError
from archivecolor.options import RunOptions
from archivecolor.pipeline import runner
from archivecolor.pipeline.film import film_job
from archivecolor.pipeline.scheduling import SlowLast
from archivecolor.provenance import DONE, Record

PATIENCE_S = 60.0


def requested(src: Path, out: Path, ink: Path, **more: Any) -> RunOptions:
    return options_of(src, out, ink, **{"workers": 0, **more})


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 3), st.randoms(use_true_random=False))
def test_slow_ones_never_outnumber_their_turns_while_quick_ones_wait(slow: list[bool], beside: int, draw: Any) -> None:
    items = list(enumerate(slow))
    lanes = SlowLast(items, lambda item: item[1], beside)
    given_out: list[tuple[int, bool]] = []
    in_hand: list[tuple[int, bool]] = []
    for item in lanes:
        given_out.append(item)
        in_hand.append(item)
        quick_left = sum(not slow for slow in slow) - sum(not slow for _, slow in given_out)
        if quick_left:
            assert sum(slow for _, slow in in_hand) <= beside
        while in_hand and draw.random() < 0.5:
            lanes.finished(in_hand.pop(draw.randrange(len(in_hand))))
    assert sorted(given_out) == items
    assert [i for i, slow in given_out if not slow] == [i for i, slow in items if not slow], "in their order"


@needs("av", "scenedetect")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_photographs_go_on_beside_a_film(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Three films, each larger than all of the memory that is planned for, each waiting for the last photograph."""
    from support.films import save_film

    photographs = {path.relative_to(src).as_posix() for path in save_grey_tree(src, 12)}
    for i in range(3):
        save_film(src / f"a{i}.mkv", [20 * k + i for k in range(6)])
    monkeypatch.setattr("archivecolor.pipeline.runner.IN_FLIGHT_MEGAPIXELS", 3 * 40 * 56 / 1e6)
    done: list[str] = []
    all_through = threading.Event()
    color = film_job.color_film

    def patient(*values: Any) -> Any:
        assert all_through.wait(PATIENCE_S), "a film held the photographs back"
        return color(*values)

    def watch(name: str, row: Record | None, total: int) -> None:
        done.append(name)
        if photographs <= set(done):
            all_through.set()

    monkeypatch.setattr(film_job, "color_film", patient)
    rows = drive(requested(src, out, ink, workers=workers), Recorder(watch))
    assert {row.status for row in rows} == {DONE}, [row.reason for row in rows]
    assert set(done[:12]) == photographs
    assert len(done) == 15


def test_films_that_wait_are_not_begun_when_it_is_to_stop(src: Path, out: Path, ink: Path) -> None:
    from support.films import save_film

    save_grey_tree(src, 3)
    for i in range(3):
        save_film(src / f"a{i}.mkv", [20 * k + i for k in range(6)])
    done: list[str] = []
    recorder = Recorder(lambda name, row, total: done.append(name), lambda: len(done) >= 3)
    rows = drive(requested(src, out, ink, workers=1), recorder)
    assert len(done) <= 5, "what was given out already is finished or broken off, no more"
    assert not [row for row in rows if row.input.endswith("a2.mkv")]


@pytest.mark.parametrize("finished_before", [0, 2])
def test_nothing_is_opened_once_it_is_to_stop(src: Path, out: Path, ink: Path, finished_before: int) -> None:
    save_grey_tree(src, 8)
    done: list[str] = []
    opened: list[str] = []
    is_over = threading.Event()

    def stop() -> bool:
        return len(done) >= finished_before and not is_over.is_set()

    def note_open(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(str(src)) and stop():
            opened.append(arguments[0])

    sys.addaudithook(note_open)  # nobody can remove it: `is_over` silences it
    try:
        with suppress(StoppedError):  # where it is to stop before the first picture
            runner.drive(
                requested(src, out, ink, workers=1), Recorder(lambda name, row, total: done.append(name), stop)
            )
    finally:
        is_over.set()
    assert len(done) == finished_before
    assert opened == []
