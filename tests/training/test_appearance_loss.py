"""The losses of the colorized picture: features, colourfulness, PSNR, CIEDE2000."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny_training import CPU, photo_set

from archivecolor.imaging import metrics
from archivecolor.networks import NETWORKS
from archivecolor.options import AppearanceOptions
from archivecolor.training import appearance_loss, dataset, lite0_features
from archivecolor.training.appearance_loss import Prediction, appearance_losses
from archivecolor.training.pretrain import PretrainStep


def test_a_picture_in_its_true_colours_looks_true_and_a_grey_one_does_not(lite0: lite0_features.Lite0):
    """The colorized picture has the true luminance, even if the network saw an aged one."""
    batch = dataset.training_batch(photo_set(3), 0, 3, 64, 1.0, 0)

    def feature_loss(weight: float, ab_net: torch.Tensor) -> torch.Tensor:
        losses = appearance_losses(AppearanceOptions(feature_weight=weight), Prediction(batch, ab_net, lite0))
        assert set(losses) == {"features"}
        return losses["features"]

    assert float(feature_loss(2.0, batch.ab_net)) == pytest.approx(0, abs=2e-3)
    grey = (batch.ab_net * 0).requires_grad_(True)
    loss = feature_loss(2.0, grey)
    loss.backward()
    assert float(loss.detach()) > 0.05
    assert float(feature_loss(1.0, batch.ab_net * 0)) == pytest.approx(float(loss.detach()) / 2, rel=1e-5)
    assert torch.isfinite(grey.grad).all()
    assert bool((grey.grad != 0).any())


def test_the_feature_loss_is_made_small_beside_l1(lite0: lite0_features.Lite0):
    torch.manual_seed(0)
    step = PretrainStep(NETWORKS["lite"](), "fp32", CPU, appearance=AppearanceOptions(feature_weight=0.5), lite0=lite0)
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    losses = [step(batch, 1e-3) for _ in range(12)]
    assert set(losses[0]) == {"l1", "features"}
    assert losses[-1]["features"] < 0.9 * losses[0]["features"]


def test_the_learned_colourfulness_is_the_measured_one_and_so_is_psnr():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    rgb = batch.colorized(batch.ab_net * 0.6)
    for one, value in zip(rgb, appearance_loss.colourfulness(rgb), strict=True):
        assert float(value) == pytest.approx(metrics.colourfulness(one.permute(1, 2, 0).numpy()), rel=1e-3)
    for one, true, value in zip(rgb, batch.rgb, appearance_loss.psnr(rgb, batch.rgb), strict=True):
        assert float(value) == pytest.approx(metrics.psnr(one.numpy(), true.numpy()), abs=0.2)


@pytest.mark.parametrize("chroma", [1, 5, 20, 60])
def test_ciede2000_is_that_of_scikit_image_and_has_a_finite_slope(chroma: float):
    random = np.random.default_rng(chroma)
    ab, truth = random.normal(0, chroma, (2, 3, 2, 40, 40))
    ab[0], truth[:2] = 0, [[[[0]]], [[[-4]]]]
    wanted = metrics.ciede2000_from_lab(*(np.insert(one, 0, 50, axis=1) for one in (ab, truth)))
    options = torch.from_numpy(ab).requires_grad_(True)
    result = appearance_loss.ciede2000(options, torch.from_numpy(truth))
    assert result.detach().mean(dim=(1, 2)).numpy() == pytest.approx(wanted, abs=0.02)
    result.sum().backward()
    assert torch.isfinite(options.grad).all()
    assert float(options.grad.abs().max()) < 10


def test_a_dull_picture_costs_its_shortfall_squared_and_a_colourful_one_nothing():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    ab_net = (batch.ab_net * 0.5).requires_grad_(True)
    rgb = batch.colorized(ab_net)
    ratio = float(appearance_loss.colourfulness(rgb.detach()).mean() / appearance_loss.colourfulness(batch.rgb).mean())
    cost = appearance_loss.dullness(rgb, batch.rgb, 0.9)
    assert float(cost.detach()) == pytest.approx((0.9 - ratio) ** 2, rel=1e-4)
    cost.backward()
    assert float((ab_net.grad * ab_net.detach()).sum()) < 0, "more colour costs less"
    assert float(appearance_loss.dullness(batch.rgb, batch.rgb, 0.9)) == 0


def test_a_grey_picture_of_a_grey_thing_has_a_finite_slope():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    batch = replace(batch, ab_net=batch.ab_net * 0, rgb=batch.colorized(batch.ab_net * 0))
    grey = torch.zeros_like(batch.ab_net, requires_grad=True)
    options = AppearanceOptions(psnr_weight=0.02, ciede2000_weight=0.01, colour_weight=0.3)
    torch.stack(list(appearance_losses(options, Prediction(batch, grey)).values())).sum().backward()
    assert torch.isfinite(grey.grad).all()


def test_ciede2000_alone_leads_to_the_true_colours():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    grey = torch.zeros_like(batch.ab_net, requires_grad=True)
    adam, options = torch.optim.Adam([grey], 0.02), AppearanceOptions(ciede2000_weight=1.0)
    differences = []
    for _ in range(60):
        adam.zero_grad()
        difference = appearance_losses(options, Prediction(batch, grey))["ciede2000"]
        difference.backward()
        adam.step()
        differences.append(float(difference.detach()))
    assert differences[0] > 5
    assert differences[-1] < 1


@pytest.mark.long
def test_psnr_and_colourfulness_rise_and_ciede2000_falls_when_they_are_asked_for():
    """A network that begins grey, on two pictures."""
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    torch.manual_seed(0)
    options = AppearanceOptions(psnr_weight=0.02, ciede2000_weight=0.01, colour_weight=0.3)
    step = PretrainStep(NETWORKS["lite"](), "fp32", CPU, appearance=options)
    losses = [step(batch, 1e-3) for _ in range(40)]
    assert set(losses[0]) == {"l1", "psnr", "ciede2000", "dull"}
    assert losses[-1]["ciede2000"] < losses[0]["ciede2000"] - 0.01, "one unit at least"
    assert losses[-1]["psnr"] < losses[0]["psnr"] - 0.02, "one dB at least"
    assert losses[-1]["dull"] < losses[0]["dull"] / 2
