"""Where a training step computes, and in which precision."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

TensorOrModule = TypeVar("TensorOrModule", bound=Tensor | nn.Module)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Mixed precision: `bf16`, `fp16`, or none with `fp32`."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def to_device(value: TensorOrModule, device: torch.device) -> TensorOrModule:
    """Images (N, C, H, W) or a network, on the device and with channels last in memory, which is faster there."""
    moved: TensorOrModule = value.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,assignment]
    return moved
