"""A network computed by OpenVINO instead of PyTorch: the same colours, on some CPUs in less time."""

from __future__ import annotations

import importlib
import threading
import warnings
from typing import Any

import joblib
import torch
from torch import Tensor, nn

from archivecolor.errors import MissingDependencyError

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoNetwork(nn.Module):
    """Stands in for a network, for inputs (1, 1, H, W) of any size that it takes; from as many threads as there are
    cores, each call on one core.

    Offered because it has won on some processors and lost on others against `Fused`: `archivecolor bench` tells on the
    machine at hand. onnxruntime and torch.compile were tried as well and lost to both wherever they were.

    Args:
        precision: `fp32` or `bf16`.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """

    def __init__(self, network: nn.Module, precision: str, stride: int) -> None:
        super().__init__()
        try:
            openvino: Any = importlib.import_module("openvino")
        except ImportError:
            raise MissingDependencyError(
                "--engine openvino needs one more package: pip install 'archivecolor[openvino]', or use --engine torch"
            ) from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # how OpenVINO asks torch for its graph is OpenVINO's affair
            graph = openvino.convert_model(
                network.eval(),
                example_input=torch.zeros(1, 1, 2 * stride, 3 * stride),
                input=[openvino.PartialShape([1, 1, -1, -1])],
            )
        cores = joblib.cpu_count()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,
        }
        self._compiled = openvino.Core().compile_model(graph, "CPU", settings)
        self._own = threading.local()

    def forward(self, l_net: Tensor) -> Tensor:
        """(1, 1, H, W) L/50 - 1 -> (1, 2, H, W) ab/110, float32."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        answer = self._own.request.infer([l_net.float().contiguous().numpy()])
        return torch.from_numpy(answer[self._compiled.output(0)].copy())
