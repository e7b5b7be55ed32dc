"""The U-Nets on a CPU, with fused layers: the same numbers in fewer passes over memory.

In plain PyTorch a third of the time is spent outside the convolutions: normalising, adding, clipping, concatenating and
copying maps that do not fit into the caches, and packing the weights again for every picture. Here the norms are folded
into the weights. oneDNN applies what follows a convolution (a bias, a sum, a clip) while the result is in the cache.
The weights are packed once, and maps that will be concatenated are written into their place directly.
"""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from archivecolor.imaging.arrays import ByteArray
from archivecolor.networks.encoders import (
    BasicBlock,
    InvertedResidual,
    Lite0Body,
    ResNet18Body,
    SamePadConv2d,
    SeparableConv,
)
from archivecolor.networks.slim import DecoderStage, SlimUnet, apply_to_map
from archivecolor.networks.unet import DynamicUnet, UnetBlock

_onednn: Any = torch.ops.mkldnn
PostOp = tuple[object, ...]
"""What oneDNN applies to a convolution's result, as the last arguments of its operators."""
Taps = Callable[[Tensor], list[Tensor]]
"""L/50 - 1 (N, 1, H, W) -> the encoder's feature maps, the finest first."""
Decoder = Callable[[list[Tensor], Tensor], Tensor]
"""The feature maps and L/50 - 1 (N, 1, H, W) -> ab/110 (N, 2, H, W)."""
_NOTHING: PostOp = ("none", [], "")
_RELU: PostOp = ("relu", [], "")
_RELU6: PostOp = ("hardtanh", [0.0, 6.0], "")
_SUM: PostOp = ("add", 1.0, None, [], None)
_SUM_RELU: PostOp = ("add", 1.0, "relu", [], None)


def fusible(network: nn.Module) -> bool:
    """Whether `Fused` can replace this network on this machine's CPU."""
    known = isinstance(network, DynamicUnet | SlimUnet) and isinstance(network.encoder, Lite0Body | ResNet18Body)
    return known and torch.backends.mkldnn.is_available() and hasattr(_onednn, "_convolution_pointwise")


class Fused(nn.Module):
    """A `DynamicUnet` or `SlimUnet` with its present weights, in one precision, on the CPU. Safe to call from many
    threads.

    Input: (N, 1, H, W), L/50 - 1. Output: (N, 2, H, W), ab/110, in `dtype`.

    Args:
        network: one that is `fusible`.
        dtype: `torch.float32` or `torch.bfloat16`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(network, DynamicUnet | SlimUnet)
        encoder = network.encoder
        self.dtype = dtype
        self._taps = fused_taps(encoder, dtype)
        decoder = _DynamicDecoder(network, dtype) if isinstance(network, DynamicUnet) else _SlimDecoder(network, dtype)
        self._decode: Decoder = decoder

    def forward(self, l_net: Tensor) -> Tensor:
        taps = self._taps(l_net.to(self.dtype).contiguous(memory_format=torch.channels_last))
        return self._decode(taps, l_net)


def fused_taps(encoder: nn.Module, dtype: torch.dtype) -> Taps:
    """The method `taps` of an encoder whose network is `fusible`; its input is in `dtype` and channels_last."""
    return _lite0_taps(encoder, dtype) if isinstance(encoder, Lite0Body) else _resnet18_taps(encoder, dtype)


class _DynamicDecoder:
    """`DynamicUnet.decode`."""

    def __init__(self, network: DynamicUnet, dtype: torch.dtype) -> None:
        _, norm, _, middle, *rest = network.layers
        shuffle, _, _, cross, head = rest[network.n_blocks :]
        self._norm = norm.eval()
        self._middle = [_Conv(conv, dtype, _RELU) for conv in _convs(middle)]
        self._blocks = [_Block(block, dtype) for block in rest if isinstance(block, UnetBlock)]
        self._shuffle_up = _ShuffleUp(shuffle, dtype)
        first, second = _convs(cross)
        self._first, self._second = _Conv(first, dtype, _RELU), _Conv(second, dtype)
        [last] = _convs(head)
        self._head = _Conv(last, dtype)

    def __call__(self, taps: list[Tensor], l_net: Tensor) -> Tensor:
        *skips, x = taps
        x = self._norm(x).relu_()
        for conv in self._middle:
            x = conv(x)
        for block, skip in zip(self._blocks, reversed(skips), strict=True):
            x = block(x, skip)
        joined = self._shuffle_up(x, 1)
        joined[:, -1:] = l_net
        return self._head(self._second.add_to(joined, self._first(joined), _SUM_RELU))


class _SlimDecoder:
    """`SlimUnet.decode`."""

    def __init__(self, network: SlimUnet, dtype: torch.dtype) -> None:
        self._bottleneck = _Conv(network.bottleneck, dtype)
        self._transformer = copy.deepcopy(network.transformer).to(dtype).requires_grad_(False)
        self._stages = [_SlimStage(stage, dtype) for stage in network.stages]
        self._head = _Conv(network.head, dtype)

    def __call__(self, taps: list[Tensor], l_net: Tensor) -> Tensor:
        *skips, deepest = taps
        x = apply_to_map(self._transformer, self._bottleneck(deepest))
        for stage, skip in zip(self._stages, reversed(skips), strict=True):
            x = stage(x, skip)
        return F.interpolate(self._head(x), size=l_net.shape[-2:], mode="bilinear")


class _SlimStage:
    """`slim.DecoderStage`."""

    def __init__(self, stage: nn.Module, dtype: torch.dtype) -> None:
        assert isinstance(stage, DecoderStage)
        self._deep, self._skip = _Conv(stage.deep, dtype), _Conv(stage.skip, dtype)
        self._convs = [_Conv(part[0], dtype, _RELU, part[1]) for part in (stage.conv1, stage.conv2)]

    def __call__(self, deep: Tensor, skip: Tensor) -> Tensor:
        upsampled = F.interpolate(self._deep(deep), size=skip.shape[-2:], mode="bilinear")
        x = self._skip.add_to(upsampled, skip, _SUM)
        for conv in self._convs:
            x = conv(x)
        return x


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    """All convolutions in a module, in order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


class _Conv:
    """A convolution for oneDNN, with its norm folded in and a post-op.

    Args:
        conv: an `nn.Conv2d`.
        norm: the `nn.BatchNorm2d` that follows it, if any.
    """

    def __init__(
        self, conv: nn.Module, dtype: torch.dtype, post_op: PostOp = _NOTHING, norm: nn.Module | None = None
    ) -> None:
        assert isinstance(conv, nn.Conv2d)
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        fused = conv if norm is None else fuse_conv_bn_eval(conv, norm)
        weight, padding = fused.weight.detach(), [int(side) for side in fused.padding]
        if isinstance(conv, SamePadConv2d):
            # It pads one pixel less at the top and left. Zeros in the weights take that pixel's place, so that the
            # input need not be copied for padding.
            weight = F.pad(weight, (1, 0, 1, 0))
            padding = [(side - stride) // 2 for side, stride in zip(weight.shape[2:], conv.stride, strict=True)]
        self._weight = weight.to(dtype)
        self._bias = None if fused.bias is None else fused.bias.detach().to(dtype)
        self._geometry = (padding, list(conv.stride), list(conv.dilation), conv.groups)
        self._post_op = post_op
        self._packed: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        weight = self._packed_weight(x.shape)
        return _onednn._convolution_pointwise(x, weight, self._bias, *self._geometry, *self._post_op)

    def add_to(self, other: Tensor, x: Tensor, post_op: PostOp) -> Tensor:
        """Adds the result for `x` to `other`, in place, and returns `other`."""
        weight = self._packed_weight(x.shape)
        return _onednn._convolution_pointwise_.binary(other, x, weight, self._bias, *self._geometry, *post_op)

    def _packed_weight(self, shape: torch.Size) -> Tensor:
        """The weight in oneDNN's memory layout for inputs of this shape. Most shapes share one."""
        if shape not in self._packed:
            new = _onednn._reorder_convolution_weight(self._weight, *self._geometry, list(shape))
            known = tuple(self._packed.values())
            self._packed[shape] = next((old for old in known if np.array_equal(_memory(old), _memory(new))), new)
        return self._packed[shape]


def _memory(packed: Tensor) -> ByteArray:
    """The bytes (N,) of a tensor in a memory layout of oneDNN."""
    block = (ctypes.c_uint8 * _onednn._nbytes(packed)).from_address(_onednn.data_ptr(packed))
    return np.frombuffer(block, np.uint8)


class _ShuffleUp:
    """`unet.shuffle_up`, which leaves space for further channels behind its own."""

    def __init__(self, shuffle_up: nn.Module, dtype: torch.dtype) -> None:
        [conv] = _convs(shuffle_up)
        self.n_out = conv.out_channels // 4
        self._conv = _Conv(_grouped_by_subpixel(conv), dtype, _RELU)

    def __call__(self, x: Tensor, n_extra: int) -> Tensor:
        """(N, C, h, w) -> (N, n_out + n_extra, 2 h, 2 w). The last `n_extra` channels are not yet written."""
        count, _, h, w = x.shape
        upsampled = x.new_empty((count, 2 * h, 2 * w, self.n_out + n_extra))
        pixels = self._conv(x).permute(0, 2, 3, 1).view(count, h, w, 2, 2, self.n_out)
        upsampled.view(count, h, 2, w, 2, -1)[..., : self.n_out] = pixels.transpose(2, 3)
        return upsampled.permute(0, 3, 1, 2)


def _grouped_by_subpixel(conv: nn.Conv2d) -> nn.Conv2d:
    """The same filters in another order: those of one sub-pixel are adjacent, so that its channels are copied in one
    piece."""
    grouped = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    for target, source in ((grouped.weight, conv.weight), (grouped.bias, conv.bias)):
        target.data = source.detach().unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1).contiguous()  # type: ignore
    return grouped


class _Block:
    """`unet.UnetBlock`."""

    def __init__(self, block: UnetBlock, dtype: torch.dtype) -> None:
        self._shuffle_up = _ShuffleUp(block.shuf, dtype)
        self._norm = block.bn.eval()
        self._convs = [_Conv(conv, dtype, _RELU) for part in (block.conv1, block.conv2) for conv in _convs(part)]

    def __call__(self, deep: Tensor, skip: Tensor) -> Tensor:
        joined = self._shuffle_up(deep, skip.shape[1])
        torch.clamp_min(self._norm(skip), 0, out=joined[:, self._shuffle_up.n_out :])
        for conv in self._convs:
            joined = conv(joined)
        return joined


def _resnet18_taps(body: nn.Module, dtype: torch.dtype) -> Taps:
    """`ResNet18Body.taps`."""
    assert isinstance(body, ResNet18Body)
    stem, pool = _Conv(body[0], dtype, _RELU, body[1]), body[3]
    layers = [
        [
            (
                _Conv(block.conv1, dtype, _RELU, block.bn1),
                _Conv(block.conv2, dtype, norm=block.bn2),
                _Conv(block.downsample[0], dtype, norm=block.downsample[1]) if block.downsample else None,
            )
            for block in layer.children()
            if isinstance(block, BasicBlock)
        ]
        for layer in list(body)[4:]
    ]

    def taps(x: Tensor) -> list[Tensor]:
        maps = [stem(x)]
        x = pool(maps[0])
        for layer in layers:
            for first, second, downsample in layer:
                # Added in place: nothing else reads this map. A layer's last map is read again, but there the next
                # layer has a downsample; maps[0] is protected by the pooling.
                x = second.add_to(downsample(x) if downsample else x, first(x), _SUM_RELU)
            maps.append(x)
        return maps

    return taps


def _lite0_taps(body: Lite0Body, dtype: torch.dtype) -> Taps:
    """`Lite0Body.taps`."""
    stem = _Conv(body.conv_stem, dtype, _RELU6, body.bn1)
    stages = [[_mobile_block(block, dtype) for block in stage.children()] for stage in body.blocks]

    def taps(x: Tensor) -> list[Tensor]:
        x, maps = stem(x), []
        for i, stage in enumerate(stages):
            for convs, last, residual in stage:
                y = x
                for conv in convs:
                    y = conv(y)
                x = last.add_to(x, y, _SUM) if residual else last(y)
            if i in body.tapped:
                maps.append(x)
        return maps

    return taps


def _mobile_block(block: nn.Module, dtype: torch.dtype) -> tuple[list[_Conv], _Conv, bool]:
    """`SeparableConv` or `InvertedResidual`: all convolutions but the last, the last, whether the input is added."""
    if isinstance(block, SeparableConv):
        depthwise = _Conv(block.conv_dw, dtype, _RELU6, block.bn1)
        return [depthwise], _Conv(block.conv_pw, dtype, norm=block.bn2), False
    assert isinstance(block, InvertedResidual)
    expand = _Conv(block.conv_pw, dtype, _RELU6, block.bn1)
    depthwise = _Conv(block.conv_dw, dtype, _RELU6, block.bn2)
    return [expand, depthwise], _Conv(block.conv_pwl, dtype, norm=block.bn3), block.residual
