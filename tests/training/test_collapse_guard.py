"""The guard over adversarial training: which average is kept, and when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.pocket_gan import CARD, numbers, photo_set, pocket_stage, pocket_step, snapshot
from torch import Tensor, nn

from archivecolor import weights
from archivecolor.options import StopWhen
from archivecolor.training import gan, loop
from archivecolor.training.gan import EarlyStopping, GuardedGanStep

pytestmark = pytest.mark.usefixtures("pocket_networks")


def guarded(*validations: tuple[float, float], limits: StopWhen | None = StopWhen()) -> EarlyStopping:  # noqa: B008
    """A guard that has seen these validations, every 100 pictures; average number i holds i everywhere."""
    guard = EarlyStopping(nn.Linear(1, 1), limits, "ab" * 32)
    for i, (l1, colour) in enumerate(validations):
        guard.consider(
            i * 100, numbers(l1, colour), {k: torch.full_like(v, i) for k, v in snapshot(guard.best).items()}
        )
    return guard


def kept(guard: EarlyStopping) -> int:
    assert guard.standing.kept_at == 100 * float(guard.best.weight)
    return int(guard.best.weight)


def test_the_cheapest_average_is_kept():
    assert kept(guarded((0.10, 0.5))) == 0
    assert kept(guarded((0.10, 0.5), (0.105, 0.7), (0.104, 0.6), (0.11, 0.75))) == 1
    assert kept(guarded((0.10, 0.5), (0.11, 0.55), (0.10, 0.45))) == 0
    assert kept(guarded((0.0784, 0.702), (0.0821, 0.811), (0.0784, 0.717))) == 2  # weights/LOG.md, run 18


def test_an_average_outside_the_limits_is_never_kept():
    assert kept(guarded((0.10, 0.5), (0.1201, 1.0))) == 0
    assert kept(guarded((0.10, 0.5), (0.10, 1.16))) == 0
    assert kept(guarded((0.10, 0.5), (0.1201, 1.0), limits=None)) == 1


def test_two_validations_in_a_row_outside_the_limits_are_the_end():
    bad = (0.13, 0.9)
    assert not guarded((0.10, 0.5), bad).collapsed
    assert not guarded((0.10, 0.5), bad, (0.11, 0.9), bad).collapsed
    assert guarded((0.10, 0.5), bad, bad).collapsed
    assert guarded((0.10, 0.5), (0.10, 1.2), bad).collapsed
    assert not guarded((0.10, 0.5), bad, bad, limits=None).collapsed


def test_dullness_counts_only_once_colour_was_reached():
    dull = (0.10, 0.4)
    assert not guarded((0.10, 0.5), dull, dull).collapsed
    assert not guarded((0.10, 0.5), (0.10, 0.61), dull, dull).collapsed  # it only trembles around the limit
    guard = guarded((0.10, 0.5), (0.10, 0.7), dull, dull)
    assert guard.collapsed
    assert kept(guard) == 1


def test_the_same_validation_twice_counts_once():
    guard = guarded((0.10, 0.5), (0.13, 0.9))
    guard.consider(100, numbers(0.13, 0.9), snapshot(guard.best))
    assert guard.standing.strikes == 1


def test_a_collapsed_training_stops_and_leaves_the_best_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = iter([(0.10, 0.5), (0.10, 0.8), (0.13, 0.9), (0.14, 0.9)] + [(0.09, 1.0)] * 9)
    averages: list[dict[str, Tensor]] = []

    def validate(network: nn.Module, average, held, stage) -> dict[str, float]:
        averages.append({key: value.clone() for key, value in average.values.items()})
        return numbers(*next(told))

    monkeypatch.setattr(gan.loop, "validate", validate)
    step, seen = pocket_step(warmup=0), []
    stage = pocket_stage(tmp_path / "a", pictures=400)

    def run(step: GuardedGanStep) -> None:
        loop.run(
            stage, step, photo_set(6), photo_set(2), CARD, lambda p: None if p.validated else seen.append(p),
            lambda: step.guard.collapsed, step.judge(),
        )  # fmt: skip

    run(step)
    assert len(seen) == 7  # the fourth validation, at 24 pictures, and the step that followed it
    network, card = weights.load(stage.out)
    for key, value in network.state_dict().items():
        assert torch.equal(value, averages[1][key].half().float() if value.dim() > 1 else averages[1][key])
    training = card.numbers["training"]
    assert (training["kept_at"], training["validation"]) == (8, numbers(0.10, 0.8))
    assert "outside the limits" in training["stopped"]
    before = (stage.out / weights.TENSORS).read_bytes()
    run(pocket_step(1, warmup=0))
    assert len(seen) == 7
    assert (stage.out / weights.TENSORS).read_bytes() == before
