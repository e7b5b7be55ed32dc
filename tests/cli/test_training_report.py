"""What a training shows while it runs, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archivecolor.cli import training_session
from archivecolor.cli.training_session import Report, TrainingBar
from archivecolor.training.loop import TrainingProgress


def progress(pictures: int, validated: bool = False) -> TrainingProgress:
    validation = {"val_l1": 0.08, "val_psnr_gain": 2.5, "kept_at": 16.0}
    losses = {} if validated else {"l1": 0.1, "psnr": -0.44}
    return TrainingProgress("pretrain", pictures, 320, 192, {**losses, **validation}, 2.0, validated)


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch, *steps: TrainingProgress) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80, color_system=None)
    monkeypatch.setattr(training_session, "Console", lambda stderr: console)
    with TrainingBar(shown=True) as bar:
        report = Report(bar, as_json=False)
        for step in steps:
            report.step(step)
    return stream.getvalue()


def test_a_terminal_of_80_columns_shows_the_remaining_time_and_the_losses_below(monkeypatch: pytest.MonkeyPatch):
    lines = shown(True, monkeypatch, progress(32), progress(64)).splitlines()
    bar = next(line for line in reversed(lines) if "64/320" in line)
    assert ":" in bar[: bar.index("━")], "the time stands before the bar"
    assert "64/320 at 192 px, 2.0/s" in bar
    numbers = lines[lines.index(bar) + 1]
    assert numbers.startswith("weighted losses: l1 0.1, psnr -0.44; last validation: val_l1 0.08")
    assert all(len(line.rstrip()) <= 80 for line in (numbers,))


def test_a_log_has_a_line_with_the_time_now_and_then_and_no_bar(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_session, "LINE_SECONDS", 0.0)
    text = shown(False, monkeypatch, progress(32), progress(64), progress(64, validated=True))
    assert "━" not in text
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[1][2] == ":"
    assert "pretrain: about 2 minutes left, 64/320 at 192 px, 2.0/s; weighted losses: l1 0.1" in lines[1]
    assert lines[2] == "pretrain: 64/320, validated at 192 px: val_l1 0.08, val_psnr_gain 2.5, best at 16"
    monkeypatch.setattr(training_session, "LINE_SECONDS", 30.0)
    assert shown(False, monkeypatch, progress(32), progress(64)) == ""
