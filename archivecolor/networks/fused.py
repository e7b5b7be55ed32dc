"""The U-Nets as a CPU computes them in the least time: the same numbers in fewer passes over memory.

In PyTorch's own way a third of the time goes beside the convolutions: into normalising, adding, clipping, joining and
copying maps that do not fit into the caches, and into putting the filters in order anew for every picture. Here the
norms are folded into the filters, what follows a convolution (a bias, a sum, a clip) is done by oneDNN while its result
is at hand, the filters are put in order once, and what is to be joined is written where it belongs at once.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from archivecolor.imaging.arrays import ByteArray
from archivecolor.networks.encoders import Lite0Body, ResNet18Body, SamePadConv2d, SeparableConv
from archivecolor.networks.unet import DynamicUnet

_onednn: Any = torch.ops.mkldnn
After = tuple[Any, ...]
"""What oneDNN does to a convolution's result, in its own words."""
_NOTHING: After = ("none", [], "")
_RELU: After = ("relu", [], "")
_RELU6: After = ("hardtanh", [0.0, 6.0], "")
_SUM: After = ("add", 1.0, None, [], None)
_SUM_RELU: After = ("add", 1.0, "relu", [], None)


def fusible(network: nn.Module) -> bool:
    """Whether `Fused` can stand for this network on this machine's CPU."""
    known = isinstance(network, DynamicUnet) and isinstance(network.layers[0], Lite0Body | ResNet18Body)
    return known and torch.backends.mkldnn.is_available() and hasattr(_onednn, "_convolution_pointwise")


class Fused(nn.Module):
    """A `DynamicUnet` with its weights as they are now, in one precision, on the CPU; safe to call from many threads.

    Input: (N, 1, H, W), L/50 - 1. Output: (N, 2, H, W), ab/110, in `dtype`.
    """

    def __init__(self, network: Any, dtype: torch.dtype) -> None:
        super().__init__()
        body, norm, _, middle, *rest = network.layers
        shuffle, _, _, cross, head = rest[network.n_blocks :]
        self.dtype = dtype
        self._taps = (_lite0 if isinstance(body, Lite0Body) else _resnet18)(body, dtype)
        self._norm = norm.eval()
        self._middle = [_Filters(part[0], dtype, _RELU) for part in middle]
        self._blocks = [_Block(block, dtype) for block in rest[: network.n_blocks]]
        self._grow = _Grow(shuffle[0][0], dtype)
        self._first = _Filters(cross.convpath[0][0], dtype, _RELU)
        self._second = _Filters(cross.convpath[1][0], dtype)
        self._head = _Filters(head[0], dtype)

    def forward(self, l_net: Tensor) -> Tensor:
        *skips, x = self._taps(l_net.to(self.dtype).contiguous(memory_format=torch.channels_last))
        x = self._norm(x).relu_()
        for filters in self._middle:
            x = filters(x)
        for block, skip in zip(self._blocks, reversed(skips), strict=True):
            x = block(x, skip)
        joined = self._grow(x, 1)
        joined[:, -1:] = l_net
        return self._head(self._second.onto(joined, self._first(joined), _SUM_RELU))


class _Filters:
    """A convolution, with a norm folded in and with what is done to its result, as oneDNN takes it."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, then: After = _NOTHING, norm: Any = None) -> None:
        whole = fuse_conv_bn_eval(conv, norm) if norm else conv
        weight, padding = whole.weight.detach(), list(whole.padding)
        if isinstance(conv, SamePadConv2d):
            # it pads by one pixel less at the beginning: zeros in its filters take that pixel's place, and nothing
            # needs to be copied to be padded
            weight = F.pad(weight, (1, 0, 1, 0))
            padding = [(side - stride) // 2 for side, stride in zip(weight.shape[2:], conv.stride, strict=True)]
        self.n_out = conv.out_channels
        self._weight = weight.to(dtype)
        self._bias = None if whole.bias is None else whole.bias.detach().to(dtype)
        self._how = (padding, list(conv.stride), list(conv.dilation), conv.groups)
        self._then = then
        self._ordered: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        return _onednn._convolution_pointwise(x, self._for(x.shape), self._bias, *self._how, *self._then)

    def onto(self, other: Tensor, x: Tensor, then: After) -> Tensor:
        """Adds the result to `other`, in place, and gives that back."""
        return _onednn._convolution_pointwise_.binary(other, x, self._for(x.shape), self._bias, *self._how, *then)

    def _for(self, shape: torch.Size) -> Tensor:
        """The filters in the order that oneDNN wants for inputs of this shape; most shapes share one."""
        if shape not in self._ordered:
            new = _onednn._reorder_convolution_weight(self._weight, *self._how, list(shape))
            known = tuple(self._ordered.values())
            self._ordered[shape] = next((old for old in known if np.array_equal(_memory(old), _memory(new))), new)
        return self._ordered[shape]


def _memory(ordered: Tensor) -> ByteArray:
    """The bytes of a tensor in an order of oneDNN's own."""
    block = (ctypes.c_uint8 * _onednn._nbytes(ordered)).from_address(_onednn.data_ptr(ordered))
    return np.frombuffer(block, np.uint8)


class _Grow:
    """`shuffle_up`: doubles the size by pixel shuffle, and leaves room for channels to be joined behind its own."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        self.n = conv.out_channels // 4
        self._filters = _Filters(_by_pixel(conv), dtype, _RELU)

    def __call__(self, x: Tensor, room: int) -> Tensor:
        """(N, C, h, w) -> (N, n + room, 2 h, 2 w), of which the last `room` channels are not yet written."""
        count, _, h, w = x.shape
        grown = x.new_empty((count, 2 * h, 2 * w, self.n + room))
        pixels = self._filters(x).permute(0, 2, 3, 1).view(count, h, w, 2, 2, self.n)
        grown.view(count, h, 2, w, 2, -1)[..., : self.n] = pixels.transpose(2, 3)
        return grown.permute(0, 3, 1, 2)


def _by_pixel(conv: nn.Conv2d) -> nn.Conv2d:
    """The same filters, those of one sub-pixel side by side, so that a pixel's channels can be copied in one piece."""
    turned = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    for mine, its in ((turned.weight, conv.weight), (turned.bias, conv.bias)):
        mine.data = its.detach().unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1).contiguous()  # type: ignore
    return turned


class _Block:
    """`UnetBlock`."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self._grow = _Grow(block.shuf[0][0], dtype)
        self._norm = block.bn.eval()
        self._convs = [_Filters(part[0], dtype, _RELU) for part in (block.conv1, block.conv2)]

    def __call__(self, deep: Tensor, skip: Tensor) -> Tensor:
        joined = self._grow(deep, skip.shape[1])
        torch.clamp_min(self._norm(skip), 0, out=joined[:, self._grow.n :])
        for conv in self._convs:
            joined = conv(joined)
        return joined


def _resnet18(body: Any, dtype: torch.dtype) -> Any:
    """`ResNet18Body.taps`."""
    stem = _Filters(body[0], dtype, _RELU, body[1])
    layers = [
        [
            (
                _Filters(block.conv1, dtype, _RELU, block.bn1),
                _Filters(block.conv2, dtype, norm=block.bn2),
                _Filters(block.downsample[0], dtype, norm=block.downsample[1]) if block.downsample else None,
            )
            for block in layer
        ]
        for layer in list(body)[4:]
    ]

    def taps(x: Tensor) -> list[Tensor]:
        kept = [stem(x)]
        x = body[3](kept[0])
        for layer in layers:
            for first, second, shorter in layer:  # only what no one else will read is added to in place
                x = second.onto(shorter(x) if shorter else x, first(x), _SUM_RELU)
            kept.append(x)
        return kept

    return taps


def _lite0(body: Any, dtype: torch.dtype) -> Any:
    """`Lite0Body.taps`."""
    stem = _Filters(body.conv_stem, dtype, _RELU6, body.bn1)
    stages = [[_mobile(block, dtype) for block in stage] for stage in body.blocks]

    def taps(x: Tensor) -> list[Tensor]:
        x, kept = stem(x), []
        for i, stage in enumerate(stages):
            for before, last, residual in stage:
                y = x
                for filters in before:
                    y = filters(y)
                x = last.onto(x, y, _SUM) if residual else last(y)
            if i in body.tapped:
                kept.append(x)
        return kept

    return taps


def _mobile(block: Any, dtype: torch.dtype) -> tuple[list[_Filters], _Filters, bool]:
    """`SeparableConv` or `InvertedResidual`: all convolutions but the last, the last, whether the input is added."""
    if isinstance(block, SeparableConv):
        deep = _Filters(block.conv_dw, dtype, _RELU6, block.bn1)
        return [deep], _Filters(block.conv_pw, dtype, norm=block.bn2), False
    wide = _Filters(block.conv_pw, dtype, _RELU6, block.bn1)
    deep = _Filters(block.conv_dw, dtype, _RELU6, block.bn2)
    return [wide, deep], _Filters(block.conv_pwl, dtype, norm=block.bn3), block.residual
