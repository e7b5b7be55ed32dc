"""Where a training step computes, and in which precision."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from archivecolor.inference import devices

TensorOrModule = TypeVar("TensorOrModule", bound=Tensor | nn.Module)


def prepare_device(device: torch.device) -> None:
    """Makes a GPU this process's own, and lets cuDNN try its kernels on each new size: a training has few sizes, and
    the fastest kernels are a fifth faster than those that cuDNN would choose. Does nothing for a CPU."""
    devices.activate(device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def synchronize(device: torch.device) -> None:
    """Waits for a GPU to do what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compile_network(network: nn.Module) -> None:
    """Compiles the network in place; its parameters keep their names. The first step of each size takes a minute more.
    PyTorch compiles it anew for each size and for validations, which it allows eight times unless told otherwise."""
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    network.compile(dynamic=False)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Mixed precision: `bf16`, `fp16`, or none with `fp32`."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def to_device(value: TensorOrModule, device: torch.device) -> TensorOrModule:
    """Images (N, C, H, W) or a network, on the device and with channels last in memory, which is faster there."""
    moved: TensorOrModule = value.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,assignment]
    return moved
