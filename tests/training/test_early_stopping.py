"""Early stopping of adversarial training: which average is kept, and when the training ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.pocket_gan import CARD, numbers, photo_set, pocket_stage, snapshot, stoppable_step
from torch import Tensor, nn

from archivecolor import weights
from archivecolor.options import StopWhen
from archivecolor.training import loop
from archivecolor.training.early_stopping import BestAverageStep, EarlyStopping

pytestmark = pytest.mark.usefixtures("pocket_networks")


def stopping_after(*validations: tuple[float, float], limits: StopWhen | None = StopWhen()) -> EarlyStopping:  # noqa: B008
    """Early stopping after these validations, every 100 pictures; average number i holds i everywhere."""
    early_stopping = EarlyStopping(nn.Linear(1, 1), limits, "ab" * 32)
    for i, (l1, colour) in enumerate(validations):
        early_stopping.update(
            i * 100, numbers(l1, colour), {k: torch.full_like(v, i) for k, v in snapshot(early_stopping.best).items()}
        )
    return early_stopping


def kept(early_stopping: EarlyStopping) -> int:
    assert early_stopping.state.kept_at == 100 * float(early_stopping.best.weight)
    return int(early_stopping.best.weight)


def test_the_cheapest_average_is_kept():
    assert kept(stopping_after((0.10, 0.5))) == 0
    assert kept(stopping_after((0.10, 0.5), (0.105, 0.7), (0.104, 0.6), (0.11, 0.75))) == 1
    assert kept(stopping_after((0.10, 0.5), (0.11, 0.55), (0.10, 0.45))) == 0
    assert kept(stopping_after((0.0784, 0.702), (0.0821, 0.811), (0.0784, 0.717))) == 2  # weights/LOG.md, run 18


def test_an_average_outside_the_limits_is_never_kept():
    assert kept(stopping_after((0.10, 0.5), (0.1201, 1.0))) == 0
    assert kept(stopping_after((0.10, 0.5), (0.10, 1.16))) == 0
    assert kept(stopping_after((0.10, 0.5), (0.1201, 1.0), limits=None)) == 1


def test_two_validations_in_a_row_outside_the_limits_are_the_end():
    bad = (0.13, 0.9)
    assert not stopping_after((0.10, 0.5), bad).should_stop
    assert not stopping_after((0.10, 0.5), bad, (0.11, 0.9), bad).should_stop
    assert stopping_after((0.10, 0.5), bad, bad).should_stop
    assert stopping_after((0.10, 0.5), (0.10, 1.2), bad).should_stop
    assert not stopping_after((0.10, 0.5), bad, bad, limits=None).should_stop


def test_dullness_counts_only_once_colour_was_reached():
    dull = (0.10, 0.4)
    assert not stopping_after((0.10, 0.5), dull, dull).should_stop
    assert not stopping_after((0.10, 0.5), (0.10, 0.61), dull, dull).should_stop  # it only trembles around the limit
    early_stopping = stopping_after((0.10, 0.5), (0.10, 0.7), dull, dull)
    assert early_stopping.should_stop
    assert kept(early_stopping) == 1


def test_the_same_validation_twice_counts_once():
    early_stopping = stopping_after((0.10, 0.5), (0.13, 0.9))
    early_stopping.update(100, numbers(0.13, 0.9), snapshot(early_stopping.best))
    assert early_stopping.state.strikes == 1


def test_a_collapsed_training_stops_and_leaves_the_best_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = iter([(0.10, 0.5), (0.10, 0.8), (0.13, 0.9), (0.14, 0.9)] + [(0.09, 1.0)] * 9)
    averages: list[dict[str, Tensor]] = []

    def validate(network: nn.Module, average, photos, stage, pictures) -> dict[str, float]:
        averages.append({key: value.clone() for key, value in average.values.items()})
        return numbers(*next(results))

    monkeypatch.setattr(loop, "validate", validate)
    step, seen = stoppable_step(warmup=0), []
    stage = pocket_stage(tmp_path / "a", pictures=400)

    def run(step: BestAverageStep) -> None:
        loop.run(
            stage,
            step,
            photo_set(6),
            photo_set(2),
            CARD,
            lambda p: None if p.validated else seen.append(p),
            lambda: step.early_stopping.should_stop,
            step.validator(),
        )

    run(step)
    assert len(seen) == 7  # the fourth validation, at 24 pictures, and the step that followed it
    network, card = weights.load(stage.out)
    for key, value in network.state_dict().items():
        assert torch.equal(value, averages[1][key].half().float() if value.dim() > 1 else averages[1][key])
    training = card.numbers["training"]
    assert (training["kept_at"], training["validation"]) == (8, numbers(0.10, 0.8))
    assert "outside the limits" in training["stopped"]
    before = (stage.out / weights.TENSORS).read_bytes()
    run(stoppable_step(1, warmup=0))
    assert len(seen) == 7
    assert (stage.out / weights.TENSORS).read_bytes() == before
