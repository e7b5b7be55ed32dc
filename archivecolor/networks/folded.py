"""Networks for inference on a GPU, with their batch norms folded into the convolutions before them."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that gives the same numbers, up to rounding, in fewer passes over memory.

    A norm is folded if its module was added right after the convolution whose output it takes, as all norms after
    convolutions are in `archivecolor.networks`. On a CPU, `fused.Fused` does this and more.
    """
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return folded
