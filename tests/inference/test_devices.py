"""Devices and precisions: what this machine cannot compute in is refused before any work, with the way out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from archivecolor import Colorizer
from archivecolor.errors import UsageError
from archivecolor.inference import colorizer, devices
from archivecolor.inference.devices import activate, choose_precision
from archivecolor.options import ColorizerOptions

CPU = torch.device("cpu")


def test_a_cpu_without_bf16_kernels_refuses_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match=r"no AVX-512.*use fp32"):
        choose_precision("bf16", CPU)
    assert choose_precision("fp32", CPU) == "fp32"


def test_a_cpu_with_bf16_kernels_takes_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert choose_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(("index", "expected"), [(0, "bf16"), (1, "fp16"), (2, "fp16")])
def test_auto_asks_the_gpu_that_computes_and_does_not_count_emulation(
    index: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An H100, a T4 and a V100 in one machine; PyTorch's own question is about the first, and T4 and V100 emulate."""
    majors = (9, 7, 7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=majors[torch.device(device).index])
    )
    assert choose_precision("auto", torch.device("cuda", index)) == expected


def test_fp32_is_float32_on_a_gpu_and_a_cpu_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    flags = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = True
        activate(CPU)
        assert (chosen, [flag.allow_tf32 for flag in flags]) == ([], [True, True])
        activate(torch.device("cuda:1"))
        assert (chosen, [flag.allow_tf32 for flag in flags]) == ([torch.device("cuda:1")], [False, False])
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def test_a_colorizer_on_a_gpu_chooses_it_first_and_folds_the_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []

    class Scheduler:
        def __init__(self, network: torch.nn.Module, *_: object, **__: object) -> None:
            steps.append(sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()))

    monkeypatch.setattr(devices, "choose_device", lambda asked: torch.device(asked))
    monkeypatch.setattr(devices, "activate", steps.append)
    monkeypatch.setattr(colorizer, "BatchScheduler", Scheduler)
    Colorizer("lite", ColorizerOptions(device="cuda:1", precision="fp16"))
    assert steps == [torch.device("cuda:1"), 5], "the bottleneck's and those of the skip connections follow no filter"
