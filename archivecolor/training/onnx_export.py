"""Weights as an ONNX file, for programs that do not use PyTorch."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import archivecolor
from archivecolor import files, weights
from archivecolor.errors import MissingDependencyError, WeightsError
from archivecolor.imaging.arrays import FloatArray
from archivecolor.networks import STRIDES
from archivecolor.options import require
from archivecolor.weights import Card

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Of ONNX; onnxruntime reads it since version 1.14 (2023)."""
TOLERANCE = 1e-3
"""The most that an output may differ from PyTorch's: 0.11 units of a or b."""
INPUT, OUTPUT = "l_net", "ab_net"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Export:
    """An ONNX file that was written."""

    card: Card
    stride: int
    """Height and width of an input must be multiples of it."""
    difference: float
    """The largest difference between onnxruntime's output and PyTorch's on the same input."""

    def sentence(self) -> str:
        """What is in the file, for a person."""
        return (
            f"{self.card.name} ({self.card.network}), ONNX opset {OPSET}; input {INPUT} (batch, 1, height, width), "
            f"L*/50 - 1; output {OUTPUT} (batch, 2, height, width), a* and b* divided by 110; height and width: "
            f"multiples of {self.stride}; differs from PyTorch by at most {self.difference:.0e}"
        )


def export(folder: Path, out: Path) -> Export:
    """Writes weights as an ONNX file, after onnxruntime has computed what PyTorch computes.

    Args:
        folder: a weights folder.
        out: the file, `*.onnx`.

    Raises:
        MissingDependencyError: a package of the extra `onnx` is missing.
        UsageError: `out` exists already, or does not end in `.onnx`.
        OutputError: `out` cannot be written.
        WeightsError: something in the folder is not as its card says, or the colours differ by over `TOLERANCE`.
    """
    check_packages()
    require(out.suffix.lower() == ".onnx", f"{out}: the name of an ONNX file ends in .onnx")
    require(not out.exists(), f"{out}: exists already; choose another name")
    network, card = weights.load(folder)
    files.check_writable(out)
    stride = STRIDES[card.network]
    model = convert(network, stride)
    describe(model, card, stride)
    content = model.SerializeToString()
    difference = largest_difference(network, content, stride)
    if not difference <= TOLERANCE:  # NaN is refused too
        raise WeightsError(
            f"{out}: not written: onnxruntime's colours differ from PyTorch's by {difference:.2g}, and at most "
            f"{TOLERANCE:g} is allowed; try other versions of onnxruntime and PyTorch"
        )
    with files.output_errors(out), files.atomic_write(out) as part:
        part.write_bytes(content)
    return Export(card, stride, difference)


def check_packages() -> None:
    """Raises MissingDependencyError if a package is missing."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingDependencyError(
                f"--onnx needs more packages ({error}): pip install 'archivecolor[onnx]'"
            ) from error


def convert(network: nn.Module, stride: int) -> ModelProto:
    """A network in evaluation mode as an ONNX model in float32. Batch, height and width are free.

    Args:
        stride: the height and the width of an input are multiples of it.
    """
    batch, height, width = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        program = torch.onnx.export(
            network.float().eval(),
            (torch.zeros(2, 1, 2 * stride, 3 * stride),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: batch, 2: stride * height, 3: stride * width},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def describe(model: ModelProto, card: Card, stride: int) -> None:
    """Writes into a model what it is, how it is called, and that its colours are invented."""
    from onnx import helper

    model.producer_name, model.producer_version = "archivecolor", archivecolor.__version__
    model.doc_string = f"{card.name}: invents plausible colours for a grey photograph."
    about = {
        "name": card.name,
        "network": card.network,
        "sha256": card.sha256,
        "licence": card.licence,
        "colours": "invented by a network: plausible, not those that things really had",
        "input": f"{INPUT} (batch, 1, height, width), float32: L* (CIELAB, D65) / 50 - 1, from -1, black, to 1, white",
        "output": f"{OUTPUT} (batch, 2, height, width), float32: a* and b* / 110, mostly from -1 to 1, not clipped",
        "size": f"height and width: multiples of {stride}; made for about {card.size} x {card.size} pixels",
    }
    helper.set_model_props(model, about)


def largest_difference(network: nn.Module, content: bytes, stride: int) -> float:
    """The largest difference between the outputs of a network and of its ONNX model, for inputs of several shapes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng, differences = np.random.default_rng(0), []
    for shape in ((1, 1, stride, 2 * stride), (3, 1, 2 * stride, stride)):
        l_net: FloatArray = rng.uniform(-1, 1, shape).astype(np.float32)
        (answer,) = session.run([OUTPUT], {INPUT: l_net})
        with torch.inference_mode():
            expected = network(torch.from_numpy(l_net)).numpy()
        differences.append(float(np.abs(answer - expected).max()) if answer.shape == expected.shape else float("inf"))
    return float(np.max(differences))
