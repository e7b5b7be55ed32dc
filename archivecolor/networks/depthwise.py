"""Depthwise convolutions that train fast in bfloat16 on a CPU.

oneDNN (torch 2.14 on AVX512-BF16) has no fast bfloat16 kernels for the gradients of depthwise convolutions. Its float32
kernels are 5 to 100 times faster. Milliseconds for a batch of 16, channels last, on one core:

| channels, side, kernel, stride | gradient of the input: bf16, fp32 | gradient of the filters: bf16, fp32 |
|--------------------------------|-----------------------------------|-------------------------------------|
| 96, 97 px, 3x3, 2              | 109, 9                            | 5, 8                                |
| 144, 51 px, 5x5, 2             | 62, 5                             | 96, 19                              |
| 240, 24 px, 5x5, 1             | 3, 5                              | 73, 22                              |

So a third of a training step of `lite` was spent there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F  # noqa: N812


class _FastBackward(torch.autograd.Function):
    """The convolution in bfloat16; its gradients in float32, except the input's at stride 1, which is fast as it is."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding = ctx.stride, ctx.padding  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)

        def backward(dtype: torch.dtype, mask: list[bool]) -> list[Tensor | None]:
            tensors = (tensor.to(dtype) for tensor in (gradient, x, weight))
            return torch.ops.aten.convolution_backward(
                *tensors, None, stride, padding, [1, 1], False, [0, 0], len(weight), mask
            )

        needs_x, needs_weight = ctx.needs_input_grad[:2]  # type: ignore[attr-defined]
        of_x = of_weight = None
        if needs_x:
            of_x = backward(torch.bfloat16 if max(stride) == 1 else torch.float32, [True, False, False])[0]
        if needs_weight:
            of_weight = backward(torch.float32, [False, True, False])[1]
        return of_x, of_weight, None, None


class DepthwiseConv2d(nn.Conv2d):
    """One filter per channel. The gradients come from the fast kernels under bfloat16 autocast on a CPU.

    Everything else (float32, GPUs, inference, export) runs `nn.Conv2d`. The parameters have the same names.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if learns and bf16 and x.is_cpu and bias is None:
            return _FastBackward.apply(x, weight, list(self.stride), list(self.padding))
        return super()._conv_forward(x, weight, bias)
