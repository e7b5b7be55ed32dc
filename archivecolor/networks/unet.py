"""The ResNet18 U-Net of the tutorial (fastai's DynamicUnet), and the same decoder on a lighter encoder.

fastai builds this network with forward hooks and carries the input along as an attribute of the tensor; neither
survives ``torch.export`` or ``torch.compile``. Here the skip connections are plain arguments. The modules are nested
so that the state dict has fastai's keys (``layers.0`` ... ``layers.12``) and its numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor.networks.initialization import he_normal_


def conv(n_in: int, n_out: int, size: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size; He initialisation, zero bias."""
    layer = nn.Conv2d(n_in, n_out, size, padding=size // 2)
    he_normal_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def conv_relu(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(conv(n_in, n_out), nn.ReLU(inplace=True))


def channel_multiple(device: torch.device) -> int:
    """Convolutions are fast on this device for numbers of channels that are multiples of this one. The tensor cores of
    a GPU take eight half-precision numbers at a time."""
    return 1 if device.type == "cpu" else 8


class PixelShuffle(nn.PixelShuffle):
    """Pixel shuffle whose result keeps the memory layout of its input.

    PyTorch's own gives contiguous NCHW on a GPU, and every convolution after it would have to turn it round again.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.is_cpu else shuffle_channels_last(x, self.upscale_factor)


def shuffle_channels_last(x: Tensor, factor: int) -> Tensor:
    """(N, C f², H, W) -> (N, C, f H, f W), channels last in memory."""
    n, c, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).unflatten(3, (c // factor**2, factor, factor)).permute(0, 1, 4, 2, 5, 3)
    return pixels.reshape(n, h * factor, w * factor, c // factor**2).permute(0, 3, 1, 2)


def shuffle_up(n_in: int, n_out: int) -> nn.Sequential:
    """Doubles the size by pixel shuffle. The four sub-pixels start equal (ICNR, Aitken et al. 2017), which prevents
    checkerboard patterns in an untrained network."""
    expand = conv(n_in, n_out * 4, size=1)
    with torch.no_grad():
        expand.weight.copy_(expand.weight[::4].repeat_interleave(4, dim=0))
    return nn.Sequential(nn.Sequential(expand, nn.ReLU(inplace=True)), PixelShuffle(2))


def contiguous_gradient(x: Tensor) -> Tensor:
    """Returns x, whose gradient is made contiguous first.

    The gradient of a part of a concatenation is a slice of a larger map. The backward pass of batch norm is slow on it:
    5 % of a training step of the ResNet18 U-Net.
    """
    if x.requires_grad:
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        x.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return x


class UnetBlock(nn.Module):
    """Decoder block: pixel shuffle of the deep map to twice its size, concatenation with the skip connection, two
    convolutions."""

    def __init__(self, n_deep: int, n_skip: int, last: bool) -> None:
        super().__init__()
        n_up = n_deep // 2
        n_mid = n_up + n_skip
        self.n_out = n_mid // 2 if last else n_mid
        self.shuf = shuffle_up(n_deep, n_up)
        self.bn = nn.BatchNorm2d(n_skip)
        self.conv1 = conv_relu(n_mid, self.n_out)
        self.conv2 = conv_relu(self.n_out, self.n_out)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        normalized = self.bn(skip)
        if self.training:  # a hook cannot be exported
            normalized = contiguous_gradient(normalized)
        joined = torch.cat([self.shuf(deep), normalized], dim=1).relu()
        return self.conv2(self.conv1(joined))


class ResBlock(nn.Module):
    """Residual block: two convolutions and an identity, at the input's size."""

    def __init__(self, n: int) -> None:
        super().__init__()
        second = conv(n, n)
        with torch.no_grad():
            second.weight.mul_(0.1)  # near the identity, so that the first steps train the decoder before it, not noise
        self.convpath = nn.Sequential(conv_relu(n, n), nn.Sequential(second))

    def forward(self, x: Tensor) -> Tensor:
        return (self.convpath(x) + x).relu()


def widened_end(cross: nn.Module, head: nn.Module, x: Tensor, l_net: Tensor, missing: int) -> Tensor:
    """`head(cross(x and l_net joined))` with so many more channels, all of them 0: the same numbers.

    These convolutions are two fifths of the network's arithmetic.
    """
    l_net = l_net.to(x.dtype)
    zeros = l_net.new_zeros(()).expand(len(x), missing, *x.shape[-2:])
    joined = torch.cat([x, l_net, zeros], dim=1).contiguous(memory_format=torch.channels_last)

    def widened(conv: nn.Conv2d, x: Tensor, more_out: int) -> Tensor:
        weight = F.pad(conv.weight, (0, 0, 0, 0, 0, missing, 0, more_out))
        bias = None if conv.bias is None else F.pad(conv.bias, (0, more_out))
        return F.conv2d(x, weight, bias, padding=conv.padding)

    first, second, last = (layer for part in (cross, head) for layer in part.modules() if isinstance(layer, nn.Conv2d))
    y = widened(second, widened(first, joined, missing).relu(), missing)
    return widened(last, (y + joined).relu(), 0)


class DynamicUnet(nn.Module):
    """fastai's ``DynamicUnet(encoder, 2, ...)`` for inputs whose sides are multiples of 32: the encoders halve five
    times.

    The encoder has a method `taps`: (N, 1, H, W) -> one feature map for each number of `channels`, the first at
    half of the input's size, the last (the bottleneck) at 1/32.

    Input: (N, 1, H, W), L/50 - 1. Output: (N, 2, H, W), ab/110, unbounded.
    """

    def __init__(self, encoder: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        *skips, n = channels
        middle = nn.Sequential(conv_relu(n, n * 2), conv_relu(n * 2, n))
        blocks: list[UnetBlock] = []
        n_deep = n
        for i, n_skip in enumerate(reversed(skips)):
            blocks.append(UnetBlock(n_deep, n_skip, last=i == len(skips) - 1))
            n_deep = blocks[-1].n_out
        n_last = n_deep + 1  # the grey input is concatenated at full size
        head = conv(n_last, 2, size=1)
        with torch.no_grad():
            head.weight.mul_(0.01)  # an untrained network predicts nearly grey
        # fastai's 9 and 10 (resize to the input, merge with it) have no parameters: the identities keep their numbers.
        self.layers = nn.ModuleList(
            [
                encoder, nn.BatchNorm2d(n), nn.ReLU(), middle, *blocks,
                shuffle_up(n_deep, n_deep), nn.Identity(), nn.Identity(), ResBlock(n_last), nn.Sequential(head),
            ]
        )  # fmt: skip
        self.n_blocks = len(blocks)

    @property
    def encoder(self) -> nn.Module:
        return self.layers[0]

    def forward(self, l_net: Tensor) -> Tensor:
        return self.decode(self.encoder.taps(l_net), l_net)  # type: ignore[operator]

    def decode(self, taps: list[Tensor], l_net: Tensor) -> Tensor:
        """The encoder's feature maps (`taps`, the finest first) and its input (N, 1, H, W) -> ab/110 (N, 2, H, W). For
        callers that need the feature maps too."""
        *skips, x = taps
        for layer in self.layers[1:4]:
            x = layer(x)
        for block, skip in zip(self.layers[4 : 4 + self.n_blocks], reversed(skips), strict=True):
            x = block(x, skip)
        shuffle, _, _, cross, head = self.layers[4 + self.n_blocks :]
        x = shuffle(x)
        missing = -(x.shape[1] + 1) % channel_multiple(x.device)
        if missing:
            return widened_end(cross, head, x, l_net, missing)
        return head(cross(torch.cat([x, l_net], dim=1)))
