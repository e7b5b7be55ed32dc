"""fused: the U-Nets as a CPU computes them answer as the U-Nets do, at every size, from any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from archivecolor import Colorizer, weights
from archivecolor.networks import NETWORKS
from archivecolor.networks.fused import Fused, fusible
from archivecolor.options import ColorizerOptions

pytestmark = pytest.mark.skipif(not fusible(NETWORKS["lite"]()), reason="this PyTorch has no oneDNN")
NAMES = ("lite", "slim", "resnet18")


def lived_in(name: str) -> nn.Module:
    """A network whose norms have statistics of their own, as after a training; with fresh ones, folding is trivial."""
    torch.manual_seed(3)
    network = NETWORKS[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            for of, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5)):
                nn.init.uniform_(of, low, high)
            module.running_mean, module.running_var = torch.randn(n) / 4, torch.rand(n) + 0.5
    return network


def shipped(name: str) -> nn.Module:
    """A network with the weights that come with the program; one without any is `lived_in`."""
    for folder in weights.available():
        network, card = weights.load(folder)
        if card.network == name:
            return network
    return lived_in(name)


def looked(height: int, width: int, count: int = 1) -> Tensor:
    return torch.rand(count, 1, height, width) * 2 - 1


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_those_of_the_network(name: str) -> None:
    network = lived_in(name)
    fused = Fused(network, torch.float32)
    with torch.inference_mode():
        for x in (looked(64, 96), looked(96, 64), looked(32, 32), looked(64, 96), looked(32, 160, count=3)):
            expected, result = network(x), fused(x)
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor cannot compute in bf16")
@pytest.mark.parametrize("name", NAMES)
def test_in_bf16_it_is_as_near_to_the_truth_as_autocast(name: str) -> None:
    network = shipped(name)
    fused, x = Fused(network, torch.bfloat16), looked(64, 96)
    with torch.inference_mode():
        exact, result = network(x), fused(x)
        with torch.autocast("cpu", torch.bfloat16):
            usual = network(x).float()
    assert result.dtype == torch.bfloat16
    assert (result.float() - exact).abs().mean() <= 1.5 * (usual - exact).abs().mean()


def test_what_it_is_given_stays_as_it_is() -> None:
    x = looked(64, 64)
    network = lived_in("lite")
    before, kept = x.clone(), {key: value.clone() for key, value in network.state_dict().items()}
    with torch.inference_mode():
        first, second = Fused(network, torch.float32)(x), Fused(network, torch.float32)(x)
    assert torch.equal(x, before)
    assert torch.equal(first, second)
    assert all(torch.equal(value, kept[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_threads_and_sizes_do_not_disturb_each_other(name: str) -> None:
    network = lived_in(name)
    fused = Fused(network, torch.float32)
    requests = [looked(64 + 32 * (i % 3), 96 - 32 * (i % 2)) for i in range(12)]

    def answer(x: Tensor) -> Tensor:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return fused(x)

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(answer, requests))
    alone = [answer(x) for x in requests]
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


def test_sizes_that_want_the_same_order_of_filters_share_it() -> None:
    fused = Fused(lived_in("lite"), torch.float32)
    with torch.inference_mode():
        for width in (64, 96, 128, 160):
            fused(looked(64, width))
    orders = fused._decode._first._packed
    assert len(orders) == 4
    assert len({id(filters) for filters in orders.values()}) < 4


def test_networks_that_it_does_not_know_are_left_alone() -> None:
    assert not fusible(NETWORKS["pix2pix"]())
    assert not fusible(nn.Identity())


def test_a_colorizer_on_a_cpu_uses_it() -> None:
    with Colorizer("lite", ColorizerOptions(device="cpu", precision="fp32")) as colorizer:
        assert isinstance(colorizer.engine.network, Fused)
