"""Clocks that are set while a run works."""

from __future__ import annotations

import datetime as dates
from typing import Any

import pytest

from archivecolor.pipeline import scheduling


@pytest.mark.parametrize("jump", [-20 * 365, 20 * 365])
def test_a_clock_that_is_set_moves_no_end_before_its_beginning(monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    today = dates.datetime(2026, 11, 1, tzinfo=dates.UTC)
    days = [0]

    class Clock(dates.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> dates.datetime:  # type: ignore[override]
            return today + dates.timedelta(days=days[0])

    ticks = [50.0]
    monkeypatch.setattr(scheduling, "datetime", Clock)
    monkeypatch.setattr(scheduling.time, "monotonic", lambda: ticks[0])
    timer = scheduling.StageTimer()
    days[0], ticks[0] = jump, 62.5
    assert (timer.now() - timer.started_at).total_seconds() == 12.5
    assert timer.started_at == today
