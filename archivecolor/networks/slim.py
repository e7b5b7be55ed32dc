"""A small U-Net for CPUs: the colours are decided at half size, in narrow layers.

Colour changes slowly over a picture, and `inference` brings it to the edges of the full-size L*. So the last, most
expensive stage of a U-Net can be left out. Two transformer layers at 1/32 see the whole picture instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

WIDTHS = (192, 128, 96, 64, 32)
"""Channels of the decoder at 1/32, 1/16, 1/8, 1/4 and 1/2 of the input's size: multiples of a processor's vectors."""
HEADS = 6


def conv_norm_relu(n: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU(inplace=True))


class TransformerLayer(nn.Module):
    """Self-attention between all positions of a map, then two linear layers; each adds to its input (pre-norm).

    Vaswani et al. (2017), with the norms of Xiong et al. (2020). There are no position codes, so any
    input size works; the padding of the encoder's convolutions marks the place.
    """

    def __init__(self, n: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(n), nn.LayerNorm(n)
        self.to_qkv, self.attended = nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.expand, self.project = nn.Linear(n, 2 * n), nn.Linear(2 * n, n)

    def forward(self, x: Tensor) -> Tensor:
        """(N, positions, C) -> the same shape."""
        qkv = self.to_qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        heads = F.scaled_dot_product_attention(query, key, value)
        x = x + self.attended(heads.transpose(1, 2).flatten(2))
        return x + self.project(F.gelu(self.expand(self.norm2(x))))


def apply_to_map(transformer: nn.Module, x: Tensor) -> Tensor:
    """Runs a transformer over the positions of a map (N, C, H, W); the result has the same shape."""
    positions: Tensor = transformer(x.flatten(2).transpose(1, 2))
    return positions.transpose(1, 2).unflatten(2, x.shape[-2:]).contiguous(memory_format=torch.channels_last)


class DecoderStage(nn.Module):
    """Doubles the size of the deep map, adds the skip connection, then two convolutions."""

    def __init__(self, n_deep: int, n_skip: int, n_out: int) -> None:
        super().__init__()
        self.deep, self.skip = nn.Conv2d(n_deep, n_out, 1), nn.Conv2d(n_skip, n_out, 1)
        self.conv1, self.conv2 = conv_norm_relu(n_out), conv_norm_relu(n_out)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        # The 1x1 convolution comes before the resize, where it costs a quarter; both are linear, so the order is free.
        upsampled = F.interpolate(self.deep(deep), size=skip.shape[-2:], mode="bilinear")
        return self.conv2(self.conv1(upsampled + self.skip(skip)))


class SlimUnet(nn.Module):
    """A U-Net with a narrow decoder that ends at half size, for inputs whose sides are multiples of 32.

    Input: (N, 1, H, W), L/50 - 1. Output: (N, 2, H, W), ab/110, unbounded: bilinear from (N, 2, H/2, W/2).

    Args:
        encoder: has a method `taps`, as for `unet.DynamicUnet`.
        channels: of the encoder's five maps.
    """

    def __init__(self, encoder: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        *skips, n = channels
        self.encoder = encoder
        self.bottleneck = nn.Conv2d(n, WIDTHS[0], 1)
        self.transformer = nn.Sequential(*(TransformerLayer(WIDTHS[0], HEADS) for _ in range(2)))
        widths = zip(WIDTHS, reversed(skips), WIDTHS[1:], strict=False)
        self.stages = nn.ModuleList(DecoderStage(*counts) for counts in widths)
        self.head = nn.Conv2d(WIDTHS[-1], 2, 3, padding=1)
        if not self.head.weight.is_meta:
            with torch.no_grad():  # an untrained network predicts nearly grey
                self.head.weight.mul_(0.05)
                nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, l_net: Tensor) -> Tensor:
        return self.decode(self.encoder.taps(l_net), l_net)  # type: ignore[operator]

    def decode(self, taps: list[Tensor], l_net: Tensor) -> Tensor:
        """The encoder's feature maps (the finest first) and its input (N, 1, H, W) -> ab/110 (N, 2, H, W)."""
        *skips, x = taps
        x = apply_to_map(self.transformer, self.bottleneck(x))
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(x, skip)
        return F.interpolate(self.head(x), size=l_net.shape[-2:], mode="bilinear")
