"""The feature maps of a network's encoder, by which pictures are compared."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from archivecolor.imaging.arrays import FloatArray
from archivecolor.networks.fused import Taps, fused_taps, fusible

COMPARED = (2, 3, 4)
"""Which of the encoder's five maps: those at 1/8, 1/16 and 1/32 of the input's size."""


class FeatureExtractor:
    """Runs the encoder of a network in float32 on the CPU, beside the network: few pictures need it, and no batch waits
    for them.

    Args:
        network: its encoder has a method `taps`, as for `unet.DynamicUnet`; without one there are no maps.
    """

    def __init__(self, network: nn.Module) -> None:
        encoder = getattr(network, "encoder", None)
        self._encoder = encoder if hasattr(encoder, "taps") else None
        self._fusible = fusible(network)
        self._taps: Taps | None = None

    @torch.inference_mode()
    def maps(self, l_net: FloatArray) -> list[FloatArray]:
        """L/50 - 1 (H, W) -> feature maps (C, h, w), the finest first; [] without an encoder."""
        if self._encoder is None:
            return []
        if self._taps is None:
            encoder = copy.deepcopy(self._encoder).float().cpu().eval()
            self._taps = fused_taps(encoder, torch.float32) if self._fusible else encoder.taps
        x = torch.from_numpy(np.ascontiguousarray(l_net, np.float32))[None, None]
        found = self._taps(x.contiguous(memory_format=torch.channels_last))
        return [found[i][0].contiguous().numpy() for i in COMPARED]
