"""Devices and precisions: what this machine cannot compute in is refused before any work, with the way out."""

from __future__ import annotations

import pytest
import torch

from archivecolor.errors import UsageError
from archivecolor.inference.devices import choose_precision

CPU = torch.device("cpu")


def test_a_cpu_without_bf16_kernels_refuses_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match=r"no AVX-512.*use fp32"):
        choose_precision("bf16", CPU)
    assert choose_precision("fp32", CPU) == "fp32"


def test_a_cpu_with_bf16_kernels_takes_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert choose_precision("bf16", CPU) == "bf16"
