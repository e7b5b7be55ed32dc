"""The networks by name. Each takes (N, 1, H, W) L/50 - 1 and returns (N, 2, H, W) ab/110."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from archivecolor.networks.encoders import Lite0Body, ResNet18Body
from archivecolor.networks.pix2pix import Pix2PixUnet
from archivecolor.networks.slim import SlimUnet
from archivecolor.networks.unet import DynamicUnet


def resnet18_unet() -> DynamicUnet:
    """The ResNet18 U-Net: 31.1 M parameters, 28.4 GMAC at 256 x 256."""
    return DynamicUnet(ResNet18Body(), ResNet18Body.channels)


def lite_unet() -> DynamicUnet:
    """The same decoder on EfficientNet-Lite0: 9.3 M parameters, 5.0 GMAC at 256 x 256."""
    return DynamicUnet(Lite0Body(), Lite0Body.channels)


def slim_unet() -> SlimUnet:
    """A narrow decoder that ends at half size, on EfficientNet-Lite0: 4.2 M parameters, 1.4 GMAC at 256 x 256."""
    return SlimUnet(Lite0Body(), Lite0Body.channels)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": resnet18_unet,
    "lite": lite_unet,
    "slim": slim_unet,
    "pix2pix": Pix2PixUnet,
}

STRIDES = {"resnet18": 32, "lite": 32, "slim": 32, "pix2pix": 256}
"""Height and width of an input must be multiples of this."""
