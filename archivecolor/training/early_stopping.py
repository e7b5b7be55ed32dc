"""Early stopping of adversarial training: the best average is kept, and a collapsed training ends."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from archivecolor.errors import UsageError
from archivecolor.options import AdversarialOptions, StageOptions, StopWhen
from archivecolor.training import checkpoint, figures, loop
from archivecolor.training.checkpoint import Average, JsonObject
from archivecolor.training.dataset import PhotoSet
from archivecolor.training.gan import GanStep

COLOURFULNESS_COST = 0.45
"""The cost of one per cent of colourfulness, in per cent of L1.

A network that becomes bolder without knowing more pays about this much L1 (weights/LOG.md, run 18). With a higher cost,
the boldest average always wins. The most accurate one, at the end of the learning rate's cycle, never does.
"""


def validation_cost(numbers: dict[str, float], start_l1: float) -> float:
    """The cost of a validation, by which averages are compared.

    Args:
        start_l1: val_l1 of the weights that the training started from.
    """
    return numbers["val_l1"] / start_l1 + COLOURFULNESS_COST * abs(1 - numbers["val_colour"])


@dataclass(frozen=True)
class StoppingState:
    """What is known of the validations so far. The names of the fields are keys in the checkpoint."""

    judged_at: int = -1
    """Pictures seen at the last validation that counted."""
    start_l1: float = 0.0
    """val_l1 of the weights that the training started from."""
    cost: float = float("inf")
    """Of the best average."""
    kept_at: int = 0
    """Pictures seen by the best average."""
    numbers: dict[str, float] | None = None
    """The best average's validation."""
    coloured: bool = False
    """Whether the lower limit of colourfulness applies already."""
    strikes: int = 0
    """Validations outside the limits in a row."""


class EarlyStopping(nn.Module):
    """Keeps the best average, and decides when the training has collapsed.

    The cost of an average is val_l1 / the start's val_l1 + `COLOURFULNESS_COST` · |1 - colourfulness / truth's|. The
    average of least cost within the limits (`StopWhen`) is kept; at first it is the start. After two validations in a
    row outside the limits the training ends. One alone may come from the jolt after the warm-up.

    The start may be less colourful than the lower limit, and a good training may waver around it on its way up. So that
    limit applies only after it was exceeded by a tenth.

    It is a module so that the checkpoint contains it.
    """

    MAX_STRIKES = 2
    EXCEEDED = 1.1

    def __init__(self, network: nn.Module, limits: StopWhen | None, parent: str) -> None:
        super().__init__()
        self.best = copy.deepcopy(network).requires_grad_(False)
        self.limits, self.parent, self.state = limits, parent, StoppingState()

    @property
    def should_stop(self) -> bool:
        return self.state.strikes >= self.MAX_STRIKES

    def is_outside_limits(self, numbers: dict[str, float], start_l1: float) -> bool:
        """Whether a validation is outside the limits."""
        if self.limits is None:
            return False
        l1, colour = numbers["val_l1"], numbers["val_colour"]
        pale = self.state.coloured and colour < self.limits.colour_low
        return l1 > self.limits.l1 * start_l1 or colour > self.limits.colour_high or pale

    def update(self, pictures: int, numbers: dict[str, float], values: Mapping[str, Tensor]) -> None:
        """Counts a validation of the average `values`. The same validation again changes nothing."""
        state = self.state
        if pictures <= state.judged_at:
            return
        start_l1 = state.start_l1 if state.numbers else numbers["val_l1"]
        outside = self.is_outside_limits(numbers, start_l1)
        cost = validation_cost(numbers, start_l1)
        if not state.numbers or (cost < state.cost and not outside):
            state = replace(state, cost=cost, kept_at=pictures, numbers=numbers)
            self.best.load_state_dict(values)
        coloured = self.limits is not None and numbers["val_colour"] >= self.EXCEEDED * self.limits.colour_low
        self.state = replace(
            state,
            judged_at=pictures,
            start_l1=start_l1,
            coloured=state.coloured or coloured,
            strikes=state.strikes + 1 if outside else 0,
        )

    def get_extra_state(self) -> Tensor:
        """State and parent as JSON in bytes, because a checkpoint contains tensors only."""
        text = json.dumps({"parent": self.parent, "standing": asdict(self.state)})
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Resumes from a checkpoint.

        Raises:
            UsageError: that training started from other weights.
        """
        about = json.loads(bytes(state.tolist()))
        if about["parent"] != self.parent:
            raise UsageError(
                f"--from: the training in --out started from the weights {about['parent'][:16]}…, not from "
                f"{self.parent[:16]}…; repeat the first command, or choose another --out"
            )
        self.state = StoppingState(**about["standing"])


class FinetuningStep(GanStep):
    """A `GanStep` that starts from finished weights, with early stopping.

    History and samples show the present average. The best average is published.
    """

    def __init__(
        self,
        network: nn.Module,
        options: AdversarialOptions,
        lr: float,
        precision: str,
        device: torch.device,
        parent: str,
        norms_frozen: bool = True,
    ) -> None:
        super().__init__(network, options, lr, precision, device, norms_frozen)
        self.early_stopping = EarlyStopping(self.network, options.stop_when, parent)

    def best_numbers(self) -> dict[str, float]:
        """The numbers of the average that is published."""
        state = self.early_stopping.state
        return {**(state.numbers or {}), "kept_at": state.kept_at}

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "guard": self.early_stopping}  # the name is a key in the checkpoint

    def validate(
        self, network: nn.Module, average: Average, validation: PhotoSet, stage: StageOptions
    ) -> dict[str, float]:
        """The numbers of the average, and `kept_at`, how many pictures the best one had seen.

        The validation that Ctrl-C causes does not count for early stopping, because an unbroken training would not have
        it. Else the best average would depend on where the training was interrupted.
        """
        numbers, pictures = loop.validate(network, average, validation, stage), int(self.pictures)
        if pictures % stage.validate_every < stage.batch or pictures >= stage.pictures:
            self.early_stopping.update(pictures, numbers, average.values)
        return {**numbers, "kept_at": self.early_stopping.state.kept_at}

    def publish(self, folder: Path, network: nn.Module, _: Mapping[str, Tensor], card: JsonObject) -> None:
        """Writes the best average as a weights folder, with its own numbers on the card."""
        state = self.early_stopping.state
        training = card["numbers"]["training"] | {"validation": state.numbers, "kept_at": state.kept_at}
        if self.early_stopping.should_stop:
            training["stopped"] = f"{EarlyStopping.MAX_STRIKES} validations in a row were outside the limits"
        if state.kept_at == 0 and state.judged_at > 0:
            training["unchanged"] = "no average was better than the weights it began from"
        best = self.early_stopping.best.state_dict()
        checkpoint.publish(folder, network, best, {**card, "numbers": {"training": training}})

    def validator(self) -> loop.Validator:
        return loop.Validator(self.validate, figures.write_samples, self.publish)
