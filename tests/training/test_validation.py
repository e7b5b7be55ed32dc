"""What a validation measures, and how two networks are compared: by pairs, with the error of their difference."""

from __future__ import annotations

import math

import pytest
import torch
from support.pocket_gan import CARD, photo_set, pocket_stage, pocket_step
from torch import nn

from archivecolor import weights
from archivecolor.imaging.metrics import PairedDifference
from archivecolor.options import Pretraining
from archivecolor.training import dataset, early_stopping, loop, validation
from archivecolor.training.early_stopping import BestAverageStep
from archivecolor.training.validation import Comparison, PictureNumbers

pytestmark = pytest.mark.usefixtures("pocket_networks")


class Grey(nn.Module):
    """Predicts no colour."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, l_net: torch.Tensor) -> torch.Tensor:
        return torch.cat([l_net, l_net], dim=1) * 0


def test_grey_gains_nothing_and_has_no_colour(tmp_path):
    network = Grey().eval()
    rows = validation.measure(
        network, network.state_dict(), photo_set(3), pocket_stage(tmp_path, validation_pictures=3)
    )
    numbers = validation.summary(rows)
    assert len(rows) == 3
    assert numbers["val_psnr_gain"] == numbers["val_wild"] == 0
    assert numbers["val_colour"] < 0.02 and numbers["val_fine"] < 0.02
    batch = dataset.validation_batch(photo_set(3), 0, 3, 32)
    assert numbers["val_l1"] == pytest.approx(float(batch.ab_net.abs().mean()), abs=1e-5)


def test_a_paired_difference_has_the_error_of_its_pairs():
    one, other = [1.0, 5.0, 9.0, 2.0], [1.5, 5.7, 9.2, 2.6]
    pair = PairedDifference.of(one, other)
    assert (pair.pictures, pair.increased) == (4, 4)
    assert pair.mean == pytest.approx(0.5)
    assert pair.error == pytest.approx(math.sqrt(sum((d - 0.5) ** 2 for d in (0.5, 0.7, 0.2, 0.6)) / 3 / 4))
    assert not pair.may_be_chance
    assert PairedDifference.of([1.0, 2.0], [2.0, 1.5]).may_be_chance
    assert PairedDifference.of([1.0], [2.0]).may_be_chance, "one picture decides nothing"


def row(gain: float) -> PictureNumbers:
    return PictureNumbers(0.1, gain, 10, 20, 1, 2, 0)


def test_the_last_line_says_whether_it_got_better():
    better = validation.compare([row(1.0), row(2.0), row(1.5)], [row(1.5), row(2.6), row(2.1)])
    assert better.sentence() == (
        "PSNR above grey on 3 held-out photographs: 1.50 dB before, 2.07 dB now (+0.57 ± 0.03, better on 3 of 3): "
        "better"
    )
    worse = Comparison(2.0, 1.0, PairedDifference(9, -1.0, 0.1, 0))
    assert worse.sentence().endswith(": worse")
    chance = Comparison(2.0, 2.1, PairedDifference(9, 0.1, 0.1, 6))
    assert chance.sentence().endswith(": may be chance")


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1.0, 2.0, 1.5], [1.5, 2.6, 2.1], "In short: better. "),
        ([1.0, 2.0, 1.5], [1.5, 1.6, 1.5], "In short: no sure gain. "),
        ([1.5, 2.6, 2.1], [1.0, 2.0, 1.5], "In short: less accurate than before"),
    ],
)
def test_the_last_line_is_a_plain_verdict(before: list[float], after: list[float], verdict: str):
    lines = validation.compare([row(psnr) for psnr in before], [row(psnr) for psnr in after]).lines()
    assert lines[-1].startswith(verdict)
    assert sum(line.startswith("In short") for line in lines) == 1


def test_a_pretraining_publishes_its_best_average_and_never_less_than_its_start(tmp_path, monkeypatch):
    results = iter([(0.10, 0.8), (0.13, 0.8), (0.09, 0.8), (0.12, 0.8), (0.15, 0.8)])
    averages = []

    def measure_average(network, average, photos, stage):
        averages.append({key: value.clone() for key, value in average.values.items()})
        return dict(zip(("val_l1", "val_colour"), next(results), strict=True)), None

    monkeypatch.setattr(early_stopping, "measure_average", measure_average)
    stage = pocket_stage(tmp_path / "a", name="pretrain")
    step = BestAverageStep(pocket_step(), None, "ab" * 32)
    loop.run(stage, step, photo_set(6), photo_set(2), CARD, lambda p: None, lambda: False, step.validator())
    network, card = weights.load(stage.out)
    assert card.numbers["training"]["kept_at"] == 16
    for key, value in network.state_dict().items():
        assert torch.equal(value, averages[2][key].half().float() if value.dim() > 1 else averages[2][key])


def test_weights_that_only_got_worse_are_those_of_the_start(tmp_path, monkeypatch):
    results = iter([0.10, 0.13, 0.14, 0.12, 0.15])
    measured = lambda *_: ({"val_l1": next(results), "val_colour": 0.8}, None)  # noqa: E731
    monkeypatch.setattr(early_stopping, "measure_average", measured)
    stage = pocket_stage(tmp_path / "a", name="pretrain")
    step = BestAverageStep(pocket_step(), None, "ab" * 32)
    start = {key: value.clone() for key, value in step.network.state_dict().items()}
    loop.run(stage, step, photo_set(6), photo_set(2), CARD, lambda p: None, lambda: False, step.validator())
    network, card = weights.load(stage.out)
    assert step.is_unchanged()
    assert "no average was better" in card.numbers["training"]["unchanged"]
    for key, value in network.state_dict().items():
        assert torch.equal(value, start[key].half().float() if value.dim() > 1 else start[key])


def test_the_decoder_may_learn_at_a_rate_of_its_own(tmp_path):
    from archivecolor.networks import NETWORKS
    from archivecolor.training.pretrain import PretrainStep

    network = NETWORKS["slim"]()
    step = PretrainStep(network, "fp32", torch.device("cpu"), decoder_lr_ratio=2.5)
    encoder, decoder = step.optimizer.param_groups
    assert {id(p) for p in encoder["params"]} == {id(p) for p in network.encoder.parameters()}
    assert len(encoder["params"]) + len(decoder["params"]) == len(list(network.parameters()))
    step(dataset.training_batch(photo_set(4), 0, 4, 32, 0.0, 0), 2e-4)
    assert (encoder["lr"], decoder["lr"]) == (2e-4, 5e-4)
    assert Pretraining(decoder_lr_ratio=2.5).stage(tmp_path, "fp32").settings["decoder_lr_ratio"] == 2.5
