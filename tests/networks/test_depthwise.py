"""Depthwise convolutions take their gradients from the fast kernels; everything else about them stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archivecolor.networks import depthwise
from archivecolor.networks.depthwise import DepthwiseConv2d
from archivecolor.networks.encoders import Lite0Body, SamePadConv2d, SamePadDepthwiseConv2d
from archivecolor.networks.unet import contiguous_gradient

CASES = {"3x3": (3, 1), "5x5": (5, 1), "3x3 stride 2": (3, 2), "5x5 stride 2": (5, 2)}


def pair(size: int, stride: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A plain depthwise convolution and ours, with the same filters."""
    torch.manual_seed(0)
    if stride == 1:
        plain = nn.Conv2d(24, 24, size, padding=size // 2, groups=24, bias=False)
        ours = DepthwiseConv2d(24, 24, size, padding=size // 2, groups=24, bias=False)
    else:
        plain = SamePadConv2d(24, 24, size, stride=stride, groups=24, bias=False)
        ours = SamePadDepthwiseConv2d(24, 24, size, stride=stride, groups=24, bias=False)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def results(layer: nn.Conv2d, precision: torch.dtype | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The output of a layer, and the gradients of its input and of its filters, all in float32."""
    torch.manual_seed(1)
    x = torch.randn(3, 24, 20, 20).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
        y = layer(x)
    y.float().square().mean().backward()
    return y.detach().float(), x.grad.float(), layer.weight.grad.float()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative to the size of the other."""
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_in_bf16_are_those_of_a_plain_convolution(case: str, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    fast = depthwise._FastBackward.apply
    monkeypatch.setattr(depthwise._FastBackward, "apply", lambda *args: calls.append(case) or fast(*args))
    plain, ours = pair(*CASES[case])
    exact = results(plain, None)
    plain.zero_grad()
    for one, other, true in zip(results(ours, torch.bfloat16), results(plain, torch.bfloat16), exact, strict=True):
        assert distance(one, other) < 0.01
        assert distance(one, true) < 0.01
    assert calls == [case]


@pytest.mark.parametrize("case", CASES)
def test_in_float32_nothing_changes(case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(depthwise._FastBackward, "apply", pytest.fail)
    plain, ours = pair(*CASES[case])
    for one, other in zip(results(ours, None), results(plain, None), strict=True):
        assert torch.equal(one, other)


def test_inference_in_bf16_runs_the_plain_convolution(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(depthwise._FastBackward, "apply", pytest.fail)
    _, ours = pair(3, 1)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(torch.randn(1, 24, 8, 8)).dtype == torch.bfloat16


def test_the_encoder_has_the_same_loss_and_gradients_in_bf16_as_with_plain_convolutions(
    monkeypatch: pytest.MonkeyPatch,
):
    torch.manual_seed(0)
    body = Lite0Body(n_in=3)
    assert sum(isinstance(module, DepthwiseConv2d) for module in body.modules()) == 16
    x = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)

    def step() -> tuple[float, dict[str, torch.Tensor]]:
        body.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            taps = body.eval().taps(x)
        loss = torch.stack([tap.float().square().mean() for tap in taps]).sum()
        loss.backward()
        return float(loss.detach()), {name: p.grad.clone() for name, p in body.named_parameters()}

    fast_loss, fast = step()
    monkeypatch.setattr(DepthwiseConv2d, "_conv_forward", nn.Conv2d._conv_forward)
    plain_loss, plain = step()
    assert fast_loss == plain_loss
    for name, gradient in plain.items():
        assert distance(fast[name], gradient) < 0.03, name


def test_frozen_filters_pass_the_gradient_on_and_get_none():
    plain, ours = pair(3, 2)
    for layer in (plain, ours):
        layer.requires_grad_(False)
    grads = []
    for layer in (plain, ours):
        x = torch.randn(1, 24, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x).float().square().mean().backward()
        grads.append(x.grad)
        assert layer.weight.grad is None
    assert distance(grads[1], grads[0]) < 0.01


def test_the_gradient_of_a_slice_reaches_the_norm_contiguous():
    seen: list[bool] = []
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    y = contiguous_gradient(x * 2)
    y.register_hook(lambda gradient: seen.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    torch.cat([x.detach(), y], dim=1).square().sum().backward()
    assert seen == [True]
    assert torch.equal(x.grad, x.detach() * 8)
