"""Pre-training: its loss, its schedule, that every parameter learns, and where it starts from."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.doubles import INK, ConstantInk
from support.needs import needs
from support.tiny_training import CPU, photo_folder, photo_set, tiny_step
from torch import nn
from typer.testing import CliRunner

from archivecolor import weights
from archivecolor.cli import app
from archivecolor.errors import UsageError, WeightsError
from archivecolor.imaging import lab
from archivecolor.networks import NETWORKS
from archivecolor.options import Pretraining, parse_sizes
from archivecolor.training import batches, checkpoint, dataset, encoder_weights, loop, photographs, validation
from archivecolor.training.encoder_weights import initialize_encoder
from archivecolor.training.optim_step import OptimStep
from archivecolor.training.pretrain import PretrainStep, SoftTarget, chroma_weighted_l1


@needs("matplotlib")
@pytest.mark.long
def test_a_command_memorises_two_pictures_and_leaves_them_in_its_weights(tmp_path: Path):
    """From the command to the averaged, rounded and published network; crops differ each time, so not to the pixel."""
    photos = photo_folder(tmp_path / "photos", 2, height=64, width=64)
    words = (
        f"train pretrain --model lite --encoder none --data {photos} --val {photos} --out {tmp_path}/out --batch 2 "
        "--sizes 64 --pictures 240 --lr 3e-3 --aging 0 --chroma-weight 0 --precision fp32"
    )
    assert CliRunner().invoke(app, words.split(), catch_exceptions=False).exit_code == 0
    network, _ = weights.load(tmp_path / "out")
    batch = dataset.validation_batch(dataset.load(dataset.find(photos), photographs.read_rgb, 64), 0, 2, 64)
    error = float((validation.predict(network, batch.l_net, "fp32") - batch.ab_net).abs().mean())
    one_colour = float((batch.ab_net - batch.ab_net.mean((0, 2, 3), keepdim=True)).abs().mean())
    assert error < 0.55 * one_colour


@needs("torchvision")
def test_a_damaged_download_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth: is damaged"):
        encoder_weights.imagenet_resnet18()


def test_the_learning_rate_warms_up_and_cools_down():
    rates = [loop.learning_rate(i / 200, 1.0) for i in range(201)]
    top = int(np.argmax(rates))
    assert max(rates) == pytest.approx(1.0)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_sizes_take_their_shares_in_order():
    sizes = parse_sizes("64:0.5,96:0.3,128:0.2")
    shown = [batches.size_at(i / 100, sizes) for i in range(100)]
    assert shown == [64] * 50 + [96] * 30 + [128] * 20
    assert batches.size_at(1.0, sizes) == 128
    with pytest.raises(UsageError, match="add up"):
        parse_sizes("64:0.5,96:0.4")


# Learning


def test_the_loss_counts_a_colourful_pixel_more_and_is_l1_otherwise():
    truth = torch.zeros(1, 2, 4, 4)
    truth[..., :2] = 0.3
    grey_missed, colour_missed = truth.clone(), truth.clone()
    grey_missed[..., 2:] += 0.1
    colour_missed[..., :2] += 0.1
    plain = [float(chroma_weighted_l1(answer, truth, 0.0)) for answer in (grey_missed, colour_missed)]
    assert plain == pytest.approx([0.05, 0.05])
    grey, colour = (float(chroma_weighted_l1(answer, truth, 0.5)) for answer in (grey_missed, colour_missed))
    assert grey < 0.04 < 0.06 < colour
    # The mean weight is 1: an error that is the same everywhere weighs what it weighs in L1.
    assert float(chroma_weighted_l1(truth + 0.1, truth, 0.5)) == pytest.approx(0.1)


def test_two_pictures_can_be_memorised():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 32)
    step = tiny_step(0)
    for module in step.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    losses = [step(batch, loop.learning_rate(i / 60, 5e-3))["l1"] for i in range(60)]
    assert losses[0] > 0.2
    assert losses[-1] < 0.06


# The U-Nets need two steps: their residual block starts as the identity, and until its last filters move, none below
# them can.
@pytest.mark.parametrize(("model", "size", "steps"), [("lite", 64, 2), ("resnet18", 64, 2), ("pix2pix", 256, 1)])
def test_every_parameter_learns(model: str, size: int, steps: int):
    torch.manual_seed(0)
    step = PretrainStep(NETWORKS[model](), "fp32", CPU)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    batch = dataset.validation_batch(photo_set(2), 0, 2, size)
    for _ in range(steps):
        step(batch, 1e-3)
    # Weight decay alone moves parameters, so their gradients are checked; those of the last step are still there.
    still = [n for n, p in step.network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []
    after = step.network.state_dict()
    assert [name for name, value in before.items() if torch.equal(value, after[name])] == []


@pytest.mark.parametrize(
    ("options", "norms"),
    [
        (Pretraining(), "learnt"),
        (Pretraining(origin="lite"), "frozen"),
        (Pretraining(origin="lite", norms="learnt"), "learnt"),
        (Pretraining(origin="lite", teacher="lite0"), "learnt"),
        (Pretraining(origin="lite", teacher="lite0", teacher_pictures=0, teacher_weight=0.1), "frozen"),
    ],
)
def test_norms_are_frozen_where_they_fit_the_weights(options: Pretraining, norms: str):
    assert options.resolve_norms() == options.stage(Path("x"), "fp32").settings["norms"] == norms


def test_a_soft_target_is_learned_beside_the_true_colours_from_the_true_luminance():
    """The soft target predicts one colour; a student that follows it alone predicts that colour too."""
    seen: list[torch.Tensor] = []

    class Ink(ConstantInk):
        def forward(self, l_net: torch.Tensor) -> torch.Tensor:
            seen.append(l_net)
            return super().forward(l_net)

    batch = dataset.training_batch(photo_set(2), 0, 2, 64, 1.0, 0)
    soft = SoftTarget(Ink(), 0.75, "fp32", torch.device("cpu"))
    torch.manual_seed(0)
    student = ConstantInk()
    with torch.no_grad():
        student.tint.zero_()
    step = PretrainStep(student, "fp32", torch.device("cpu"), soft=soft)
    losses = {name: float(loss.detach()) for name, loss in step.losses(batch).items()}
    assert losses["l1"] == pytest.approx(0.25 * float(batch.ab_net.abs().mean()))
    assert losses["soft"] == pytest.approx(0.75 * sum(INK) / 2 / 110, rel=1e-5)
    true_l = lab.net_from_lab(lab.lab_from_srgb(batch.rgb))[0]
    assert torch.equal(seen[0], true_l)
    assert not torch.allclose(true_l, batch.l_net, atol=0.02), "the student's luminance is aged"
    only = SoftTarget(ConstantInk(), 1.0, "fp32", torch.device("cpu"))
    step = PretrainStep(student, "fp32", torch.device("cpu"), soft=only)
    for _ in range(80):
        step(batch, 5e-3)
    assert (student.tint.detach() * 110).tolist() == pytest.approx(INK, abs=1.5)
    assert only.network.tint.grad is None


@pytest.mark.long
def test_a_pretraining_starts_from_finished_weights(trained: tuple[Path, Path], tmp_path: Path):
    data, folder = trained
    command = (
        f"train pretrain --from {folder} --data {data} --val {data} --pictures 2 --batch 2 --sizes 64 --lr 1e-9 "
        "--precision fp32 --out"
    ).split()
    assert CliRunner().invoke(app, [*command, str(tmp_path / "on")]).exit_code == 0
    parent, card = weights.read_card(folder), weights.read_card(tmp_path / "on")
    assert (card.network, card.recipe["from"]) == (parent.network, parent.name)
    assert card.history == [*parent.history, parent.sha256]
    before, after = (weights.load(path)[0].state_dict() for path in (folder, tmp_path / "on"))
    conv = "layers.0.conv_stem.weight"
    assert torch.allclose(before[conv], after[conv], atol=1e-4)
    norms = [key for key in before if key.endswith(("running_mean", "running_var"))]
    assert norms
    assert all(torch.equal(before[key], after[key]) for key in norms), "its norms keep their statistics"
    assert card.recipe["norms"] == "frozen"
    learnt = [*command, str(tmp_path / "learnt"), "--norms", "learnt"]
    assert CliRunner().invoke(app, learnt).exit_code == 0
    state = load_file(tmp_path / "learnt" / checkpoint.FILE)  # the folder has the best average, perhaps the start
    assert not any(torch.equal(before[key], state[f"module/network/{key}"]) for key in norms)
    again = CliRunner().invoke(app, [*command, str(folder)])
    assert "choose another folder" in str(again.exception)


@needs("torchvision")
def test_a_missing_network_is_said_with_the_ways_round_it(monkeypatch: pytest.MonkeyPatch):
    def offline(*args: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models.ResNet18_Weights.get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"--encoder FILE.*--teacher lite0.*--encoder none"):
        initialize_encoder(NETWORKS["resnet18"](), "imagenet")


# Float16


def test_in_fp16_the_loss_is_scaled_and_an_overflow_skips_the_step():
    layer = nn.Linear(4, 4)
    learn = OptimStep(torch.optim.SGD(layer.parameters()), "fp16", CPU)
    x = torch.ones(2, 4)

    def step(factor: float) -> bool:
        before = layer.weight.detach().clone()
        with torch.autocast("cpu", torch.float16):
            answer = layer(x)
        learn(answer.float().mean() * factor, 1e3)
        return not torch.equal(layer.weight, before)

    assert step(1e-7)  # its gradient is 0 in float16 unless it is scaled
    scale = learn.scale.scaler.get_scale()
    assert not step(float("inf"))
    assert learn.scale.scaler.get_scale() == scale / 2
    other = OptimStep(torch.optim.SGD(layer.parameters()), "fp16", CPU)
    other.modules()["scale"].load_state_dict(learn.modules()["scale"].state_dict())
    assert other.scale.scaler.get_scale() == scale / 2
    assert OptimStep(learn.optimizer, "bf16", CPU).modules() == {}


def test_weights_to_start_from_have_an_encoder():
    with pytest.raises(UsageError, match="leave one of them out"):
        Pretraining(origin="lite", encoder="imagenet").resolve_encoder()
