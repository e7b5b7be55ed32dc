"""--engine openvino: the same colours, from several threads at once; and a plain word where it is not installed."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.doubles import grey
from support.needs import package

from archivecolor import Colorizer
from archivecolor.errors import MissingDependencyError, UsageError
from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.metrics import ciede2000
from archivecolor.inference.openvino import OpenVinoNetwork
from archivecolor.networks import NETWORKS
from archivecolor.options import ColorizerOptions


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_colours_are_those_of_torch(precision: str) -> None:
    package("openvino")
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor cannot compute in bf16")
    samples = grey(220, 330)

    def coloured(engine: str) -> Samples:
        with Colorizer("lite", ColorizerOptions(device="cpu", precision=precision, engine=engine)) as colorizer:
            return colorizer.colorize(samples)

    exact, result = coloured("torch"), coloured("openvino")
    assert ciede2000(result / 255.0, exact / 255.0) < 0.5
    assert np.ptp(result.astype(int), axis=-1).max() > 0, "it has colour"


def test_many_threads_and_sizes() -> None:
    package("openvino")
    torch.manual_seed(1)
    network = NETWORKS["lite"]().eval()
    stand_in = OpenVinoNetwork(network, "fp32", 32)
    requests = [torch.rand(1, 1, 64 + 32 * (i % 3), 96) for i in range(9)]
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(stand_in, requests))
    with torch.inference_mode():
        for x, answer in zip(requests, answers, strict=True):
            torch.testing.assert_close(answer, network(x), rtol=0, atol=2e-3)


def test_without_it_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"archivecolor\[openvino\].*--engine torch"):
        Colorizer("lite", ColorizerOptions(device="cpu", engine="openvino"))


def test_it_is_for_cpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from archivecolor.inference import devices

    monkeypatch.setattr(devices, "choose_device", lambda requests: torch.device("meta"))
    with pytest.raises(UsageError, match="--device cpu"):
        Colorizer("lite", ColorizerOptions(precision="fp32", engine="openvino"))
