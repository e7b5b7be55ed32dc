"""The state of a training in one safetensors file, replaced as a whole: a kill leaves the last good one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from archivecolor import files, weights
from archivecolor.errors import OutputError, UsageError, WeightsError
from archivecolor.options import StageOptions
from archivecolor.training.dataset import Batch

FILE = "checkpoint.safetensors"
BEST = "guard"
"""The name of the module that keeps the best average (`early_stopping.EarlyStopping`)."""
JsonObject = dict[str, Any]
"""A JSON object: the metadata of a file, or the fields of a `weights.Card` that are known while a stage trains."""


class Step(Protocol):
    """One stage: everything that is trained in it, and how it learns from one batch."""

    @property
    def network(self) -> nn.Module:
        """The network that is averaged and validated.

        In all stages but `teach` it is the colorizer: (N, 1, H, W) -> (N, 2, H, W).
        """
        ...

    def modules(self) -> dict[str, nn.Module]:
        """All modules that are trained or have state, by name; `network` is one of them."""
        ...

    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        """Learns from one batch at this learning rate. Returns the losses to log, on the device: ().

        Raises:
            DivergedError: on a CPU, a loss or gradient is infinite or NaN. Elsewhere, where it would have to be waited
                for, the losses are NaN then.
        """
        ...


def copy_values(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's parameters and buffers."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


class Average:
    """Exponential moving average of a network's parameters and floating-point buffers. Counters are copied."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = copy_values(network)
        self.steps = 0

    def update(self, network: nn.Module) -> None:
        """Follows the network by one step. The first steps count more, so that the initial values fade quickly."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        own, others = [], []
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                own.append(self.values[key])
                others.append(value.detach().float())
            else:
                self.values[key].copy_(value)
        torch._foreach_lerp_(own, others, 1 - decay)  # all at once: a GPU has hundreds of small tensors here


@dataclass(frozen=True)
class TrainingState:
    """The progress of a training."""

    pictures: int = 0
    """Pictures seen so far."""
    numbers: dict[str, float] = field(default_factory=dict)
    """The last validation's numbers."""
    seconds: float = 0.0
    validated_at: int = -1
    """Pictures seen at the last validation."""


def save(folder: Path, stage: StageOptions, step: Step, average: Average, state: TrainingState) -> None:
    """Writes networks, average and optimizer state, all in the precision they are trained in."""
    tensors: dict[str, Tensor] = {f"average/{key}": value for key, value in average.values.items()}
    for name, module in step.modules().items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in step.optimizers().items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{slot}": torch.as_tensor(v) for slot, v in slots.items()}
    about = {
        "pictures": state.pictures,
        "numbers": state.numbers,
        "seconds": state.seconds,
        "judged_at": state.validated_at,
        "average_steps": average.steps,
        "model": stage.model,
        "stage": stage.name,
        **({"data_on": stage.data_on} if stage.data_on != StageOptions.data_on else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(folder / FILE) as part:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, {"about": json.dumps(about)})


@contextmanager
def damaged_file(path: Path) -> Iterator[None]:
    """Reading a file of a training: what shows that it is damaged becomes a WeightsError."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: is damaged ({error}), so this training cannot be resumed; restore the file, or choose "
            "another --out"
        ) from error


def read_about(stage: StageOptions) -> JsonObject | None:
    """The metadata of the checkpoint in `stage.out`, or None if there is none.

    Raises:
        UsageError: the checkpoint belongs to another model or stage.
        WeightsError: it is damaged.
    """
    path = stage.out / FILE
    if not path.exists():
        return None
    with damaged_file(path), safe_open(path, framework="pt") as file:
        about: JsonObject = json.loads(file.metadata()["about"])
        about["model"], about["stage"], about["pictures"]  # KeyError if one is missing
    if (about["model"], about["stage"]) != (stage.model, stage.name):
        raise UsageError(
            f"{stage.out}: contains a {about['stage']} training of {about['model']}, not a {stage.name} of "
            f"{stage.model}; choose another --out"
        )
    return about


def check_fits(stage: StageOptions, step: Step) -> None:
    """Checks, before anything is written, that the checkpoint in `stage.out` has the modules of this step.

    Raises:
        UsageError: it has others, or belongs to another model or stage.
    """
    if read_about(stage) is None:
        return
    path = stage.out / FILE
    with safe_open(path, framework="pt") as file:
        keys = set(file.keys())
    for name, module in step.modules().items():
        own = {f"module/{name}/{key}" for key in module.state_dict()}
        saved = {key for key in keys if key.startswith(f"module/{name}/")}
        if own != saved and not (name == BEST and not saved):
            raise _other_modules(path, name)


def check_free_space(folder: Path, step: Step) -> None:
    """Checks, before hours of training, that the disk has room for the state: the old one and a new one beside it.

    Raises:
        OutputError: it has not.
    """
    size = sum(value.nbytes for module in step.modules().values() for value in module.state_dict().values())
    # The average, and two moments of each parameter.
    size += sum(value.nbytes for value in step.network.state_dict().values())
    size += 2 * sum(p.nbytes for module in step.modules().values() for p in module.parameters() if p.requires_grad)
    existing = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    present = (folder / FILE).stat().st_size if (folder / FILE).exists() else 0
    needed, free = 2 * size - present, shutil.disk_usage(existing).free
    if free < needed:
        raise OutputError(
            f"{folder}: the training needs about {needed / 1e6:.0f} MB there, and {free / 1e6:.0f} MB are free; make "
            "room, or choose another --out"
        )


def _other_modules(path: Path, name: str) -> UsageError:
    return UsageError(
        f"{path}: does not contain the {name} of this training (another --teacher-weight, --discriminator or "
        "--precision?); repeat the first command, or choose another --out"
    )


def restore(stage: StageOptions, step: Step, average: Average) -> TrainingState:
    """Fills `step` and `average` from the checkpoint in `stage.out`, if there is one.

    Raises:
        UsageError: the checkpoint belongs to another model or stage, or has other modules.
        WeightsError: it is damaged.
    """
    about = read_about(stage)
    if about is None:
        return TrainingState()
    path = stage.out / FILE
    with damaged_file(path):
        return _fill(stage, step, average, about, path)


def _fill(stage: StageOptions, step: Step, average: Average, about: JsonObject, path: Path) -> TrainingState:
    """Fills `step` and `average` from a checkpoint. What is wrong in it raises almost anything; see `damaged_file`."""
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    validated_at = about["judged_at"]
    for name, module in step.modules().items():
        values = _strip_prefix(tensors, f"module/{name}/")
        if name == BEST and not values:  # a pre-training of an older version, which kept no best average
            if about["pictures"] >= stage.pictures:
                validated_at = -1  # so that the final average is validated once more, and becomes the best one
            continue
        try:
            module.load_state_dict(values)
        except RuntimeError as error:
            raise _other_modules(path, name) from error
    for name, optimizer in step.optimizers().items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _strip_prefix(tensors, f"optimizer/{name}/").items():
            index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    average.values = {k: v.to(average.values[k].device) for k, v in _strip_prefix(tensors, "average/").items()}
    average.steps = about["average_steps"]
    return TrainingState(about["pictures"], about["numbers"], about["seconds"], validated_at)


def _strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@contextmanager
def temporary_values(network: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """The network has these values and is in evaluation mode while the block runs."""
    own = copy_values(network)
    was_training = network.training
    network.load_state_dict(values)
    network.eval()
    try:
        yield
    finally:
        network.load_state_dict(own)
        network.train(was_training)


def publish(folder: Path, network: nn.Module, values: dict[str, Tensor], card: JsonObject) -> weights.Card:
    """Writes a weights folder that `archivecolor run --model` takes: the averaged network and its card."""
    with temporary_values(network, values):
        return weights.save(folder, network, card)
