"""Early stopping of adversarial training: which average is kept, and when the training ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.needs import package
from support.pocket_gan import CARD, numbers, photo_set, pocket_stage, snapshot, stoppable_step
from support.tiny_training import tiny_stage, tiny_step
from torch import Tensor, nn

from archivecolor import weights
from archivecolor.errors import UsageError
from archivecolor.options import StopWhen, parse_stop_when
from archivecolor.training import early_stopping, loop
from archivecolor.training.early_stopping import PRETRAINING_COST, BestAverageStep, CostParts, EarlyStopping, gain_error

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

    def measure_average(network: nn.Module, average, photos, stage) -> tuple[dict[str, float], None]:
        averages.append({key: value.clone() for key, value in average.values.items()})
        return numbers(*next(results)), None

    monkeypatch.setattr(early_stopping, "measure_average", measure_average)
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


def test_weights_are_replaced_only_by_a_gain_beyond_its_own_error():
    """Twelve pictures gain 1 % in the mean: once some gain and some lose 10 %, once all gain the same."""
    start = [[0.1, 20.0, 40.0] for _ in range(12)]
    noisy = [[0.1 * (0.99 + 0.1 * (-1) ** i), 20.0, 40.0] for i in range(12)]
    steady = [[0.099, 20.0, 40.0] for _ in range(12)]
    assert gain_error(start, steady) < 1e-9 < 0.02 < gain_error(start, noisy) < 0.05
    for parts, kept_at in ((noisy, 0), (steady, 100)):
        stopping = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32)
        stopping.update(0, numbers(0.1, 0.5), snapshot(stopping.best), start)
        stopping.update(100, numbers(0.099, 0.5), snapshot(stopping.best), parts)
        assert stopping.state.kept_at == kept_at
    untrained = EarlyStopping(nn.Linear(1, 1), None, "")
    untrained.update(0, numbers(0.1, 0.5), snapshot(untrained.best), start)
    untrained.update(100, numbers(0.099, 0.5), snapshot(untrained.best), noisy)
    assert untrained.state.kept_at == 100, "what is not finished has nothing to keep"


def test_the_error_of_a_gain_is_that_of_the_cost():
    """Where colourfulness is the truth's, the cost is a ratio of mean L1; the jackknife equals its usual error."""
    rng = np.random.default_rng(0)
    before, after = 0.1 + 0.01 * rng.random(200), 0.09 + 0.01 * rng.random(200)
    one, other = ([[float(l1), 30.0, 30.0] for l1 in values] for values in (before, after))
    ratio = after.mean() / before.mean()
    delta = (after - ratio * before) / before.mean()
    assert gain_error(one, other) == pytest.approx(delta.std(ddof=1) / np.sqrt(200), rel=0.02)


@pytest.mark.parametrize(("wild", "fine", "worse"), [(0.05, 0.5, False), (0.07, 0.5, True), (0.05, 0.2, True)])
def test_an_average_with_far_more_wild_pixels_or_far_less_fine_colour_is_not_kept(
    wild: float, fine: float, worse: bool
):
    stopping = EarlyStopping(nn.Linear(1, 1), StopWhen(), "ab" * 32)
    for pictures, row in ((0, (0.10, 0.03, 0.5)), (100, (0.05, wild, fine)), (200, (0.05, wild, fine))):
        l1, val_wild, val_fine = row
        measured = {**numbers(l1, 0.7), "val_wild": val_wild, "val_fine": val_fine}
        stopping.update(pictures, measured, snapshot(stopping.best))
    assert (stopping.state.kept_at == 0, stopping.should_stop) == (worse, worse)


def test_a_training_that_gains_nothing_more_ends_by_patience():
    stopping = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, patience=2)
    for pictures, l1 in ((0, 0.10), (100, 0.11), (200, 0.09), (300, 0.095)):
        stopping.update(pictures, numbers(l1, 0.5), snapshot(stopping.best))
        assert not stopping.should_stop
    stopping.update(400, numbers(0.091, 0.5), snapshot(stopping.best))
    assert "2 validations in a row were no better" in stopping.reason()
    resumed = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, patience=3)
    resumed.load_state_dict(stopping.state_dict())
    assert resumed.state == stopping.state
    assert not resumed.should_stop, "a higher --patience continues"


def test_rounds_are_judged_at_their_ends():
    """The middle of a cycle is worse than its end: only a round that gained nothing at all ends the training."""
    stage = pocket_stage(Path(), pictures=700, batch=100, rounds=3)
    ends = [round(share * 700) for share in stage.round_ends()]
    assert ends == [100, 300, 700]
    rates = [loop.learning_rate(done / 700, 1.0, stage.round_ends()) for done in (0, 50, 99, 100, 120, 299, 300, 699)]
    assert [rate > 0.04 for rate in rates] == [True, True, False, True, True, False, True, False]
    assert loop.learning_rate(0.37, 2e-4) == loop.learning_rate(0.37, 2e-4, (1.0,))
    stopping = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, 1, ends)
    measured = {0: 0.10, 100: 0.09, 200: 0.12, 300: 0.08, 400: 0.12, 500: 0.11, 600: 0.09, 700: 0.085}
    stops = []
    for pictures, l1 in measured.items():
        stopping.update(pictures, numbers(l1, 0.5), snapshot(stopping.best))
        stops.append(stopping.should_stop)
    assert stops == [False] * 7 + [True]
    assert "the last round was no better" in stopping.reason()
    early = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, 1, ends)
    for pictures, l1 in {0: 0.10, 100: 0.11}.items():
        early.update(pictures, numbers(l1, 0.5), snapshot(early.best))
    assert early.should_stop, "the short first round gained nothing"


PRETRAINING_OF_SLIM = {
    0: (0.0795, 0.617, 1.31),
    10_000: (0.0797, 0.696, 1.17),
    20_000: (0.0803, 0.680, 1.14),
    30_000: (0.0793, 0.663, 1.30),
    40_000: (0.0784, 0.643, 1.41),
    50_000: (0.0781, 0.639, 1.49),
    60_000: (0.0782, 0.620, 1.49),
}
"""val_l1, val_colour and val_psnr_gain of weights/LOG.md, run 26."""


def parts_of(l1: float, colour: float, psnr: float, spread: float = 0.0) -> CostParts:
    """The parts of 40 pictures with these means. PSNR is higher by `spread` for half of them, lower for the rest."""
    return [[l1, 30 * colour, 30.0, psnr + spread * (-1) ** i] for i in range(40)]


def after_pretraining(stopping: EarlyStopping) -> EarlyStopping:
    for pictures, (l1, colour, psnr) in PRETRAINING_OF_SLIM.items():
        stopping.update(pictures, numbers(l1, colour), snapshot(stopping.best), parts_of(l1, colour, psnr))
    return stopping


def test_a_pretraining_keeps_the_end_of_the_cycle_and_not_its_colourful_middle():
    """There colourfulness falls with the learning rate, while PSNR rises."""
    rule = {"colourfulness_cost": PRETRAINING_COST}
    stopping = after_pretraining(EarlyStopping(nn.Linear(1, 1), StopWhen(), "ab" * 32, **rule))
    assert stopping.state.kept_at == 50_000
    resumed = EarlyStopping(nn.Linear(1, 1), StopWhen(), "ab" * 32)
    resumed.load_state_dict(stopping.state_dict())
    assert resumed.state == stopping.state
    adversarial = after_pretraining(EarlyStopping(nn.Linear(1, 1), StopWhen(), "ab" * 32))
    assert adversarial.state.kept_at == 10_000


@pytest.mark.parametrize(("spread", "keeps_psnr", "kept_at"), [(0.0, True, 0), (1.0, True, 100), (0.0, False, 100)])
def test_a_pretraining_does_not_replace_finished_weights_by_surely_less_accurate_ones(
    spread: float, keeps_psnr: bool, kept_at: int
):
    """L1 and colourfulness gain, PSNR loses 0.14 dB: on every picture, or 1.14 on one half and -0.86 on the other."""
    stopping = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, keeps_psnr=keeps_psnr)
    stopping.update(0, numbers(0.08, 0.6), snapshot(stopping.best), parts_of(0.08, 0.6, 1.31))
    stopping.update(100, numbers(0.078, 0.7), snapshot(stopping.best), parts_of(0.078, 0.7, 1.17, spread))
    assert stopping.state.kept_at == kept_at
    stopping.update(200, numbers(0.077, 0.7), snapshot(stopping.best), parts_of(0.077, 0.7, 1.40))
    assert stopping.state.kept_at == 200


def test_a_training_of_an_older_version_is_judged_to_its_end_as_it_began():
    old = {"judged_at": 0, "start_l1": 0.0795, "cost": 1.1724, "kept_at": 0, "numbers": numbers(0.0795, 0.617)}
    old |= {"coloured": False, "strikes": 0, "since_best": 0, "start_wild": None, "start_fine": None}
    old["start_parts"] = [row[:3] for row in parts_of(0.0795, 0.617, 0.0)]
    text = json.dumps({"parent": "ab" * 32, "standing": old})
    stopping = EarlyStopping(nn.Linear(1, 1), None, "ab" * 32, 0, (), PRETRAINING_COST, keeps_psnr=True)
    stopping.set_extra_state(torch.tensor(list(text.encode()), dtype=torch.uint8))
    assert after_pretraining(stopping).state.kept_at == 10_000


def test_a_checkpoint_of_an_older_version_is_judged_as_before():
    old = {"judged_at": 0, "start_l1": 0.1, "cost": 1.225, "kept_at": 0, "numbers": numbers(0.1, 0.5)}
    text = json.dumps({"parent": "ab" * 32, "standing": {**old, "coloured": False, "strikes": 0}})
    stopping = EarlyStopping(nn.Linear(1, 1), StopWhen(), "ab" * 32)
    stopping.set_extra_state(torch.tensor(list(text.encode()), dtype=torch.uint8))
    measured = {**numbers(0.0999, 0.5), "val_wild": 0.9, "val_fine": 0.0}
    stopping.update(100, measured, snapshot(stopping.best), [[0.1, 20.0, 40.0], [0.2, 20.0, 40.0]])
    assert stopping.state.kept_at == 100


def test_a_finished_pretraining_of_an_older_version_is_published_as_it_is(tmp_path: Path):
    """It kept no best average: the same command again published the network from before its first step."""
    package("matplotlib")
    stage, sets = tiny_stage(tmp_path), (photo_set(6), photo_set(2))
    loop.run(stage, tiny_step(0), *sets, CARD, lambda progress: None)
    trained = (tmp_path / weights.TENSORS).read_bytes()
    for _ in range(2):
        step = BestAverageStep(tiny_step(1), StopWhen(), "")
        loop.run(stage, step, *sets, CARD, lambda progress: None, validator=step.validator())
        assert (tmp_path / weights.TENSORS).read_bytes() == trained
        assert step.best_numbers()["kept_at"] == stage.pictures


def test_limits_are_read_and_written():
    assert parse_stop_when("l1:1.2,colour:0.6-1.15") == StopWhen()
    assert parse_stop_when("l1:1.3,colour:0.6-1.15,wild:3,fine:0.4") == StopWhen(1.3, wild=3.0, fine=0.4)
    for text in ("l1:1.2,colour:0.6-1.15", "l1:1.2,colour:0.6-1.15,wild:3", "l1:1.2,colour:0.6-1.15,fine:0.25"):
        limits = parse_stop_when(text)
        assert limits is not None
        assert limits.text() == text
    with pytest.raises(UsageError, match="wild:1: must be above 1"):
        parse_stop_when("l1:1.2,colour:0.6-1.15,wild:1")
