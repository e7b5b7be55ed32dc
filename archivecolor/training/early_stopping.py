"""The best average of a training is kept, and a collapsed training ends early."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from archivecolor.errors import UsageError
from archivecolor.options import StageOptions, StopWhen
from archivecolor.training import checkpoint, figures, loop
from archivecolor.training.checkpoint import Average, JsonObject, Step
from archivecolor.training.dataset import Batch, PhotoSet

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
        if not (math.isfinite(l1) and math.isfinite(colour)):
            return True
        pale = self.state.coloured and colour < self.limits.colour_low
        return l1 > self.limits.l1 * start_l1 or colour > self.limits.colour_high or pale

    def has_only_untrained(self) -> bool:
        """Whether the best average so far is that of a network from before its first step."""
        return not self.parent and self.state.kept_at == 0

    def is_better(self, numbers: dict[str, float]) -> bool:
        """Whether the average of this validation is better than the best one so far."""
        state = self.state
        if not state.numbers:
            return True
        cost = validation_cost(numbers, state.start_l1)  # if it is not a number, the comparison is false
        return cost < state.cost and not self.is_outside_limits(numbers, state.start_l1)

    def update(self, pictures: int, numbers: dict[str, float], values: Mapping[str, Tensor]) -> None:
        """Counts a validation of the average `values`. The same validation again changes nothing."""
        state = self.state
        if pictures <= state.judged_at:
            return
        start_l1 = state.start_l1 if state.numbers else numbers["val_l1"]
        outside = self.is_outside_limits(numbers, start_l1)
        if self.is_better(numbers):
            cost = validation_cost(numbers, start_l1)
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
            first, now = (
                f"the weights {sha256[:16]}…" if sha256 else "nothing" for sha256 in (about["parent"], self.parent)
            )
            raise UsageError(
                f"--from: the training in --out started from {first}, not from {now}; repeat the first command, or "
                "choose another --out"
            )
        self.state = StoppingState(**about["standing"])


class BestAverageStep:
    """A step whose best average is published, with early stopping. The average before the first step counts too.

    The history shows the present average; samples and weights are the best one's.

    Args:
        step: how the network learns.
        limits: see `EarlyStopping`; None: the training never ends early.
        parent: the SHA-256 of the weights that it starts from; empty if it starts from nothing.
    """

    def __init__(self, step: Step, limits: StopWhen | None, parent: str) -> None:
        self.step = step
        self.early_stopping = EarlyStopping(step.network, limits, parent)
        self._uncounted: StoppingState | None = None
        """The validation that Ctrl-C caused, if its average is better than all that count."""
        self._uncounted_values: dict[str, Tensor] = {}

    @property
    def network(self) -> nn.Module:
        return self.step.network

    def modules(self) -> dict[str, nn.Module]:
        return {**self.step.modules(), checkpoint.BEST: self.early_stopping}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return self.step.optimizers()

    def __call__(self, batch: Batch, lr: float) -> dict[str, float]:
        return self.step(batch, lr)

    @property
    def best(self) -> StoppingState:
        """The validation of the average that is published."""
        return self._uncounted or self.early_stopping.state

    def best_numbers(self) -> dict[str, float]:
        """The numbers of the average that is published."""
        return {**(self.best.numbers or {}), "kept_at": self.best.kept_at}

    def best_values(self) -> dict[str, Tensor]:
        """The parameters and buffers of the average that is published."""
        return self._uncounted_values if self._uncounted else self.early_stopping.best.state_dict()

    def validate(
        self, network: nn.Module, average: Average, validation: PhotoSet, stage: StageOptions, pictures: int
    ) -> dict[str, float]:
        """The numbers of the average, and `kept_at`, how many pictures the best one had seen.

        The validation that Ctrl-C causes does not count for early stopping, because an unbroken training would not have
        it. Else the best average would depend on where the training was interrupted. It is published all the same if
        the only other average is that of an untrained network.
        """
        numbers = loop.validate(network, average, validation, stage, pictures)
        self._uncounted = None
        if pictures % stage.validate_every < stage.batch or pictures >= stage.pictures:
            self.early_stopping.update(pictures, numbers, average.values)
        elif self.early_stopping.has_only_untrained() and self.early_stopping.is_better(numbers):
            self._uncounted = replace(self.early_stopping.state, kept_at=pictures, numbers=numbers)
            self._uncounted_values = {key: value.clone() for key, value in average.values.items()}
        return {**numbers, "kept_at": self.best.kept_at}

    def write_samples(self, folder: Path, network: nn.Module, _: dict[str, Tensor], validation: PhotoSet) -> None:
        """Writes sample pictures of the best average."""
        figures.write_samples(folder, network, self.best_values(), validation)

    def publish(self, folder: Path, network: nn.Module, _: Mapping[str, Tensor], card: JsonObject) -> None:
        """Writes the best average as a weights folder, with its own numbers on the card."""
        best = self.best
        training = card["numbers"]["training"] | {"validation": best.numbers, "kept_at": best.kept_at}
        if self.early_stopping.should_stop:
            training["stopped"] = f"{EarlyStopping.MAX_STRIKES} validations in a row were outside the limits"
        if self.is_unchanged():
            training["unchanged"] = "no average was better than the weights it began from"
        checkpoint.publish(folder, network, self.best_values(), {**card, "numbers": {"training": training}})

    def is_unchanged(self) -> bool:
        """Whether no average so far was better than the weights that the training started from."""
        return bool(self.early_stopping.parent) and self.best.kept_at == 0 and self.best.judged_at > 0

    def validator(self) -> loop.Validator:
        return loop.Validator(self.validate, self.write_samples, self.publish)
