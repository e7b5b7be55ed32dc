"""A training step waits for no GPU, which the meta device shows: no value of it can be read. Losses are read later."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_training import CARD, CPU, TinyBody, colour_picture, photo_set, tiny_stage, tiny_step
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typer.testing import CliRunner

from archivecolor import weights
from archivecolor.cli import app
from archivecolor.errors import DivergedError
from archivecolor.imaging import lab, metrics
from archivecolor.networks import NETWORKS, unet
from archivecolor.networks.unet import DynamicUnet
from archivecolor.options import AdversarialOptions, AppearanceOptions
from archivecolor.training import (
    batched_metrics,
    batches,
    checkpoint,
    compute,
    dataset,
    figures,
    gan,
    loop,
    optim_step,
    pretrain,
    trainer,
    validation,
)
from archivecolor.training.early_stopping import BestAverageStep
from archivecolor.training.packed_photos import PackedPhotos
from archivecolor.training.photographs import Photographs

META = torch.device("meta")


class BlockingCopies(TorchDispatchMode):
    """Notes copies from the host to the device that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        sent = _on(args, "cpu") and _on(result, "meta")
        is_copy = function.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_)
        if sent and is_copy and not kwargs.get("non_blocking", len(args) > 2 and args[2]):
            self.seen.append(str(function))
        return result


def _on(values: object, device: str) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.device.type == device for leaf in tree_leaves(values))


def test_batches_steps_and_the_average_wait_for_no_device(monkeypatch: pytest.MonkeyPatch):
    for module in (pretrain, gan):
        monkeypatch.setattr(module, "autocast", lambda *_: nullcontext())  # it does not know the meta device
    photos = PackedPhotos([colour_picture(i) for i in range(4)], META)
    appearance = AppearanceOptions(psnr_weight=0.1, ciede2000_weight=0.1, colour_weight=0.1)
    networks = [DynamicUnet(TinyBody(), TinyBody.channels) for _ in range(2)]
    steps = (
        pretrain.PretrainStep(networks[0], "fp32", META, 0.5, appearance=appearance),
        gan.GanStep(networks[1], AdversarialOptions(warmup=0, appearance=appearance), 1e-3, "fp32", META),
    )
    average = checkpoint.Average(steps[0].network, 0.9)
    copies = BlockingCopies()
    with copies:
        for step in steps:
            for start in (0, 8):
                losses = step(batches.device_batch(photos, start, 8, 64, 1.0, 0), 1e-3)
                assert {loss.device for loss in losses.values()} == {META}
        average.update(steps[0].network)
    assert copies.seen == []
    with copies:
        lab.RGB_FROM_XYZN.to(META)
    assert copies.seen, "the double sees a copy that waits"


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training on the CPU whose losses are read as late as on a GPU."""
    monkeypatch.setattr(figures, "plot_curves", lambda folder: None)
    made = loop._Training.__init__

    def init(training: Any, *args: Any) -> None:
        made(training, *args)
        training.losses_every = loop.LOSSES_EVERY

    monkeypatch.setattr(loop._Training, "__init__", init)


def run(out: Path, step: Any, **changes: Any) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    stage = tiny_stage(out, **changes)
    loop.run(stage, step, photo_set(6), photo_set(2), CARD, lambda p: p.validated or rows.append(p.numbers))
    return rows


def test_losses_that_are_read_late_are_the_same(on_gpu: None, tmp_path: Path):
    late = run(tmp_path / "late", tiny_step(0))
    assert "l1" not in late[0] and "l1" in late[-1], "read before the validation in the middle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOSSES_EVERY", 1)
        run(tmp_path / "each", tiny_step(0))
    folders = tmp_path / "late", tmp_path / "each"
    assert len({(folder / weights.TENSORS).read_bytes() for folder in folders}) == 1
    histories = [[{**row, "seconds": 0} for row in figures.read_history(folder)] for folder in folders]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("saved", [True, False])
def test_a_divergence_that_is_noticed_late_spoils_nothing(on_gpu: None, saved: bool, tmp_path: Path):
    step = tiny_step(0)
    step.optim_step.raises = False
    plain, calls = step.losses, []

    def losses(batch: dataset.Batch) -> dict[str, Tensor]:
        calls.append(1)
        factor = float("inf") if len(calls) == 4 else 1.0  # a finite loss, then one whose gradient is none
        return {name: loss * factor for name, loss in plain(batch).items()}

    step.losses = losses  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=f"after {12 if saved else 0} pictures"):
        run(tmp_path, step, validate_every=24, checkpoint_minutes=0 if saved else 9)
    state = checkpoint.read_about(tiny_stage(tmp_path))
    assert state and state["pictures"] == (12 if saved else 0)
    assert all(torch.isfinite(value).all() for value in step.network.state_dict().values())


def test_a_gradient_that_is_not_a_number_makes_the_losses_nan_where_nothing_is_raised():
    layer = torch.nn.Linear(2, 1)
    step = optim_step.OptimStep(torch.optim.AdamW(layer.parameters()), "fp32", CPU)
    assert float(step(layer(torch.ones(1, 2)).sum(), 1e-3)) == 1
    step.raises = False
    assert torch.isnan(step((layer(torch.zeros(1, 2)) * 0).sqrt().sum(), 1e-3))


def test_a_state_of_plain_adam_is_resumed_by_the_fused_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "plot_curves", lambda folder: None)
    plain = run(tmp_path / "a", tiny_step(0))
    losses: list[float] = []

    def on_progress(progress: loop.TrainingProgress) -> None:
        if not progress.validated:
            losses.append(progress.numbers["l1"])

    for fused in (None, True):
        monkeypatch.setattr(pretrain, "fused", lambda device, fused=fused: fused)
        stop = 3 if fused is None else 99
        loop.run(
            tiny_stage(tmp_path / "b"), tiny_step(0), photo_set(6), photo_set(2), CARD, on_progress,
            lambda stop=stop: len(losses) >= stop,
        )  # fmt: skip
    assert losses == pytest.approx([row["l1"] for row in plain], rel=1e-3)


# What replaces the functions that would wait


def test_colours_are_brought_into_the_gamut_without_a_question():
    linear = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.5
    asked, plain = (linear.clone().requires_grad_() for _ in range(2))
    expected, result = lab.fit_gamut(asked), lab._fit_gamut_everywhere(plain)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    for fitted in (expected, result):
        (fitted * torch.arange(3.0).view(3, 1, 1)).sum().backward()
    torch.testing.assert_close(plain.grad, asked.grad, rtol=1e-3, atol=1e-3)
    for matrix in (lab.XYZN_FROM_RGB, lab.RGB_FROM_XYZN):
        torch.testing.assert_close(lab._mix_by_sums(matrix, linear), lab._mix(matrix, linear), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["lite", "resnet18"])
def test_more_channels_of_zeros_change_no_number(name: str, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    network, l_net = NETWORKS[name]().eval(), torch.rand(1, 1, 64, 32) * 2 - 1
    with torch.inference_mode():
        plain = network(l_net)
        monkeypatch.setattr(unet, "channel_multiple", lambda device: 8)
        torch.testing.assert_close(network(l_net), plain, rtol=1e-4, atol=1e-6)


def test_a_shuffle_keeps_channels_last():
    x = torch.rand(2, 16, 3, 5).contiguous(memory_format=torch.channels_last)
    shuffled = unet.shuffle_channels_last(x, 2)
    assert torch.equal(shuffled, torch.nn.functional.pixel_shuffle(x, 2))
    assert shuffled.is_contiguous(memory_format=torch.channels_last)


def test_a_validation_on_the_device_has_the_numbers_of_numpy():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    ab_net = batch.ab_net * 0.7 + 0.02
    rows = validation.picture_numbers(batch, ab_net)
    rgb, grey = batch.colorized(ab_net), batch.colorized(ab_net * 0)
    ab, true_ab = (lab.lab_from_srgb(pictures)[:, 1:].numpy() for pictures in (rgb, batch.rgb))
    for i, row in enumerate(rows):
        ours, none, truth = (pictures[i].permute(1, 2, 0).numpy() for pictures in (rgb, grey, batch.rgb))
        assert row.psnr_gain == pytest.approx(metrics.psnr(ours, truth) - metrics.psnr(none, truth), abs=1e-9)
        assert row.colour == pytest.approx(metrics.colourfulness(ours))
        assert row.true_colour == pytest.approx(metrics.colourfulness(truth))
        assert row.fine == pytest.approx(metrics.fine_chroma_contrast(ab[i]))
        assert row.true_fine == pytest.approx(metrics.fine_chroma_contrast(true_ab[i]))
        assert row.wild == pytest.approx(metrics.wild_share(ab[i], true_ab[i]))
        assert row.l1 == pytest.approx(float((ab_net - batch.ab_net)[i].abs().mean()))
    strong = torch.from_numpy(np.stack([true_ab[0] * 3, true_ab[0]]))
    assert batched_metrics.wild_share(strong, strong.flip(0))[0] == pytest.approx(
        metrics.wild_share(strong[0].numpy(), strong[1].numpy())
    )
    small = torch.rand(1, 2, 12, 15, dtype=torch.float64)  # smaller than the filter: mirrored more than once
    assert float(batched_metrics.fine_chroma_contrast(small)[0]) == pytest.approx(
        metrics.fine_chroma_contrast(small[0].numpy())
    )


# torch.compile


def test_a_compiled_network_keeps_its_names_and_is_copied_plain(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: lambda *args: calls.append(1) or call(*args))
    network = tiny_step(0).network.eval()
    names, l_net = list(network.state_dict()), torch.zeros(1, 1, 32, 32)
    plain = network(l_net)
    compute.compile_network(network)
    assert torch.equal(network(l_net), plain) and calls == [1]
    assert list(network.state_dict()) == names
    assert torch.equal(copy.deepcopy(network)(l_net), plain)


@pytest.mark.parametrize(
    ("flags", "expected"), [((), (False, "auto")), (("--compile", "--data-on", "host"), (True, "host"))]
)
def test_the_flags_reach_the_training(
    flags: tuple[str, ...], expected: tuple[bool, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[trainer.TrainingContext] = []
    monkeypatch.setattr(trainer, "pretrain", lambda options, out, text, context: seen.append(context) or {})
    (tmp_path / "in").mkdir()
    words = ["train", "pretrain", "--data", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    result = CliRunner().invoke(app, [*words, *flags])
    assert result.exit_code == 0, result.output
    assert [(context.compiles, context.data_on) for context in seen] == [expected]
    compiled: list[object] = []
    monkeypatch.setattr(trainer, "compile_network", compiled.append)
    monkeypatch.setattr(trainer.loop, "run", lambda *_: {})
    monkeypatch.setattr(trainer, "report_best", lambda *_: {})
    step = BestAverageStep(tiny_step(0), None, "")
    photographs = Photographs("in", photo_set(2), photo_set(1))
    trainer._run_best(step, tiny_stage(tmp_path), photographs, {}, seen[0])
    assert compiled == [step.network] * expected[0]
