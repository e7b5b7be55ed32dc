"""The state of a training in one safetensors file, replaced whole: a kill at any moment leaves the last good one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from archivecolor import files, weights
from archivecolor.errors import UsageError
from archivecolor.options import StageOptions
from archivecolor.training.dataset import Batch

FILE = "checkpoint.safetensors"


class Step(Protocol):
    """One stage of the road: everything that learns in it, and how it learns from one batch."""

    network: nn.Module
    """What is averaged and judged: the colorizer, (N, 1, H, W) -> (N, 2, H, W), in all stages but `teach`."""

    def modules(self) -> dict[str, nn.Module]:
        """All that is trained or carries state, by name; `network` among them."""
        ...

    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...

    def __call__(self, batch: Batch, lr: float) -> dict[str, float]:
        """Learns from one batch at this learning rate; gives the losses to log."""
        ...


class Average:
    """Exponential moving average of a network's parameters and floating-point buffers; counters are copied."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self.steps = 0

    def update(self, network: nn.Module) -> None:
        """Follows the network one step; fast at first, so that the start does not linger."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value.detach().float(), 1 - decay)
            else:
                self.values[key].copy_(value)


@dataclass(frozen=True)
class State:
    """How far a training is."""

    pictures: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    judged_at: int = -1
    """Pictures seen at the validation that `numbers` are of."""


def save(folder: Path, stage: StageOptions, step: Step, average: Average, state: State) -> None:
    """Writes networks, average and optimiser state, all in the precision they are trained in."""
    tensors: dict[str, Tensor] = {f"average/{key}": value for key, value in average.values.items()}
    for name, module in step.modules().items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in step.optimizers().items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{slot}": torch.as_tensor(v) for slot, v in slots.items()}
    about = {
        "pictures": state.pictures, "numbers": state.numbers, "seconds": state.seconds, "judged_at": state.judged_at,
        "average_steps": average.steps, "model": stage.model, "stage": stage.name,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(folder / FILE) as part:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, {"about": json.dumps(about)})


def check(stage: StageOptions) -> dict[str, Any] | None:
    """What the checkpoint in `stage.out` says of itself, or None where there is none.

    Raises:
        UsageError: it is another model's or another stage's.
    """
    path = stage.out / FILE
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
    if (about["model"], about["stage"]) != (stage.model, stage.name):
        raise UsageError(
            f"{stage.out}: holds a {about['stage']} training of {about['model']}, not a {stage.name} of {stage.model};"
            " choose another --out"
        )
    return about


def restore(stage: StageOptions, step: Step, average: Average) -> State:
    """Fills everything from the checkpoint in `stage.out`, if there is one.

    Raises:
        UsageError: the folder holds another model's or another stage's training, or one with other modules.
    """
    about = check(stage)
    if about is None:
        return State()
    path = stage.out / FILE
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for name, module in step.modules().items():
        try:
            module.load_state_dict(_below(tensors, f"module/{name}/"))
        except RuntimeError as error:
            raise UsageError(
                f"{path}: does not hold the {name} of this training (another --teacher-weight, --discriminator "
                "or --precision?); repeat the first command, or choose another --out"
            ) from error
    for name, optimizer in step.optimizers().items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimizer/{name}/").items():
            index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    average.values = {k: v.to(average.values[k].device) for k, v in _below(tensors, "average/").items()}
    average.steps = about["average_steps"]
    return State(about["pictures"], about["numbers"], about["seconds"], about["judged_at"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@contextmanager
def borrowed(network: nn.Module, values: dict[str, Tensor]) -> Iterator[None]:
    """The network with other values and in evaluation mode, until the block ends."""
    own = {key: value.clone() for key, value in network.state_dict().items()}
    was_training = network.training
    network.load_state_dict(values)
    network.eval()
    try:
        yield
    finally:
        network.load_state_dict(own)
        network.train(was_training)


def publish(folder: Path, network: nn.Module, values: dict[str, Tensor], card: dict[str, Any]) -> weights.Card:
    """Writes the weights folder that `run` takes: the averaged network and its card."""
    with borrowed(network, values):
        return weights.save(folder, network, card)
