"""Where and how the network is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from archivecolor.options.colour import ColorOptions
from archivecolor.options.table import Choice, Digest, Option, Options, at_least


class Precision(Choice):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Engine(Choice):
    TORCH = "torch"
    OPENVINO = "openvino"


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """A device and the precision on it."""

    HEADING: ClassVar[str] = "Machines"

    device: Annotated[str, Option("auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto"
    precision: Annotated[
        Precision,
        Option(
            "Number format of the network; auto: the fastest that the device supports.", digest=Digest.BOTH, rare=True
        ),
    ] = Precision.AUTO


@dataclass(frozen=True, kw_only=True)
class ColorizerOptions(DeviceOptions):
    """What a `Colorizer` needs besides the weights."""

    HEADING: ClassVar[str] = "Machines"

    color: ColorOptions = ColorOptions()
    engine: Annotated[
        Engine,
        Option("What computes the network; openvino is an extra, and faster on some CPUs (see bench).", rare=True),
    ] = Engine.TORCH
    batch: Annotated[
        int,
        Option(
            "On a GPU, the most pictures that go through the network together; 0: as many as its memory allows.",
            check=at_least(1).or_zero("for what the memory allows"),
            rare=True,
        ),
    ] = 0
    confidence: Annotated[
        bool,
        Option(
            "Record how sure each picture's colours are, for the review. The network sees each picture twice; no "
            "colour changes.",
            heading="Colours",
        ),
    ] = False
