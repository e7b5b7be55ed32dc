"""folded: without the norms after its convolutions, a network gives the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archivecolor.networks import NETWORKS, STRIDES
from archivecolor.networks.folded import fold_norms


def trained(name: str) -> nn.Module:
    """A network whose norms have statistics of their own; with fresh ones, folding is trivial."""
    torch.manual_seed(3)
    network = NETWORKS[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean, module.running_var = (
                torch.randn(module.num_features) / 4,
                torch.rand(module.num_features) + 0.5,
            )
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_stay_and_the_norms_after_convolutions_go(name: str) -> None:
    network = trained(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_norms(network)
    x = torch.rand(1, 1, STRIDES[name], STRIDES[name]) * 2 - 1
    with torch.inference_mode():
        expected = network(x)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in each.modules()) for each in (network, folded)]
    assert norms[1] <= norms[0] / 3 if name != "pix2pix" else norms[1] < norms[0]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
