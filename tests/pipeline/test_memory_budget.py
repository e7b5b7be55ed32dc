"""No more pictures are in memory than the budget allows."""

from __future__ import annotations

import itertools
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import grey
from support.runs import Colour

from archivecolor import photo
from archivecolor.pipeline.scheduling import MegapixelBudget
from archivecolor.provenance import DONE

# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_budget_is_never_exceeded_and_large_ones_go_alone() -> None:
    budget, held, turn = MegapixelBudget(10), [0.0], threading.Lock()
    wrong: list[float] = []

    def take(size: float) -> None:
        with budget.hold(size):
            with turn:
                held[0] += size
                if held[0] > 10 and held[0] != size:
                    wrong.append(held[0])
            time.sleep(0.002)
            with turn:
                held[0] -= size

    sizes = [
        random.Random(i).choice([0.125, 3.25, 6, 25]) for i in range(60)
    ]  # exact in binary: their sums do not drift
    threads = [threading.Thread(target=take, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "someone waits for ever"
    assert wrong == []


def test_a_large_picture_does_not_starve_behind_small_ones() -> None:
    budget, order = MegapixelBudget(10), []
    inside = {name: threading.Event() for name in ("large", "small")}
    leave = {name: threading.Event() for name in ("large", "small")}

    def take(name: str, size: float) -> None:
        with budget.hold(size):
            order.append(name)
            inside[name].set()
            assert leave[name].wait(10)

    threads = [threading.Thread(target=take, args=task) for task in (("large", 25.0), ("small", 1.0))]
    with budget.hold(6):
        for i, thread in enumerate(threads):
            thread.start()
            end = time.monotonic() + 10
            while len(budget._queue) <= i and not any(event.is_set() for event in inside.values()):
                assert time.monotonic() < end
                time.sleep(0.001)
        assert not inside["small"].wait(0.05), "it came later, and fits beside the first"
    assert inside["large"].wait(10)
    assert not inside["small"].is_set()
    for name, thread in zip(("large", "small"), threads, strict=True):
        leave[name].set()
        thread.join(10)
    assert order == ["large", "small"]


def test_whoever_stops_waiting_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = MegapixelBudget(10)
    with budget.hold(10), monkeypatch.context() as patch:
        patch.setattr(budget, "_fits", lambda megapixels: 1 / 0)  # as an interrupt in the main thread would
        with pytest.raises(ZeroDivisionError), budget.hold(1):
            pass
    with budget.hold(10):
        pass


def test_the_budget_gives_back_after_an_error() -> None:
    budget = MegapixelBudget(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), budget.hold(0.7):
            raise ValueError("x")
    with budget.hold(25):
        pass


def test_no_more_pictures_are_in_memory_than_the_budget_allows(
    go: Colour, src: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):  # all of one size: a 16-bit one counts twice
        Image.fromarray(grey(seed=i)).save(src / f"{i:02}.png")
    monkeypatch.setattr(
        "archivecolor.pipeline.runner.IN_FLIGHT_MEGAPIXELS", 2.5 * 40 * 56 / 1e6
    )  # two of them, not three
    inside, most, turn = [0], [0], threading.Lock()
    two, begun = threading.Barrier(2), itertools.count()
    read, write = photo.read, photo.write

    def counted_read(*arguments: Any) -> Any:
        with turn:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        if next(begun) < 2:
            two.wait(60)  # until both are in memory
        time.sleep(0.01)  # so that a third one, were it let in, would be seen beside them
        return read(*arguments)

    def counted_write(*arguments: Any) -> Any:
        with turn:
            inside[0] -= 1
        return write(*arguments)

    monkeypatch.setattr(photo, "read", counted_read)
    monkeypatch.setattr(photo, "write", counted_write)
    assert {row.status for row in go(workers=6)} == {DONE}
    assert most[0] == 2


def test_pictures_that_fit_are_held_together() -> None:
    budget, both = MegapixelBudget(10), threading.Barrier(2, timeout=10)

    def take() -> None:
        with budget.hold(5):
            both.wait()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert not both.broken
