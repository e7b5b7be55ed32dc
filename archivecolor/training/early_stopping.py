"""The best average of a training is kept, and a collapsed training ends early."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archivecolor.errors import UsageError
from archivecolor.imaging.metrics import PairedDifference
from archivecolor.options import StageOptions, StopWhen
from archivecolor.training import checkpoint, figures, loop
from archivecolor.training.checkpoint import Average, JsonObject, Step
from archivecolor.training.dataset import Batch, PhotoSet
from archivecolor.training.validation import measure, summary

COLOURFULNESS_COST = 0.45
"""The cost of one per cent of colourfulness, in per cent of L1, in an adversarial training.

A network that becomes bolder without knowing more pays about this much L1 (weights/LOG.md, run 18). With a higher cost,
the boldest average always wins. The most accurate one, at the end of the learning rate's cycle, never does.
"""
PRETRAINING_COST = 0.1
"""The same in a training without a discriminator: it only decides between averages of nearly the same L1.

In such a training colourfulness falls with the learning rate while the network learns, by one per cent for 0.35 per
cent of L1 (weights/LOG.md, run 26). At that cost and above, an average from the middle of the cycle wins, which is
worse in PSNR.
"""
LEAST_WILD = 0.02
"""A share of wild pixels under this counts as this much: twice almost nothing is no harm."""


def validation_cost(
    numbers: dict[str, float], start_l1: float, colourfulness_cost: float = COLOURFULNESS_COST
) -> float:
    """The cost of a validation, by which averages are compared.

    Args:
        start_l1: val_l1 of the weights that the training started from.
        colourfulness_cost: of one per cent of colourfulness, in per cent of L1.
    """
    return numbers["val_l1"] / start_l1 + colourfulness_cost * abs(1 - numbers["val_colour"])


CostParts = list[list[float]]
"""Of each validation picture: L1, colourfulness, that of the true picture, and PSNR above grey in dB. Checkpoints of
older versions lack the last."""


def measure_average(
    network: nn.Module, average: Average, validation: PhotoSet, stage: StageOptions
) -> tuple[dict[str, float], CostParts | None]:
    """The numbers of a validation, and what its cost consists of."""
    rows = measure(network, average.values, validation, stage)
    return summary(rows), [[row.l1, row.colour, row.true_colour, row.psnr_gain] for row in rows]


def is_surely_less_accurate(start: CostParts, average: CostParts) -> bool:
    """Whether PSNR is lower than the start's by more than chance; see `PairedDifference.may_be_chance`."""
    gain = PairedDifference.of([row[3] for row in start], [row[3] for row in average])
    return gain.mean < 0 and not gain.may_be_chance


def gain_error(start: CostParts, average: CostParts, colourfulness_cost: float = COLOURFULNESS_COST) -> float:
    """Standard error of the difference in `validation_cost` between two networks on the same pictures.

    By the jackknife (Efron and Tibshirani 1993, chapter 11), because the cost is no mean over pictures. 0 for a single
    picture, which has no spread.
    """
    n = len(start)
    if n < 2:
        return 0.0
    # Sums over all pictures but one: (n, 3) each.
    before, after = (parts.sum(axis=0) - parts for parts in (np.array(start), np.array(average)))
    shortfall = [np.abs(1 - sums[:, 1] / np.maximum(sums[:, 2], 1e-9)) for sums in (before, after)]
    difference = after[:, 0] / np.maximum(before[:, 0], 1e-9) + colourfulness_cost * (shortfall[1] - shortfall[0])
    return float(np.sqrt((n - 1) * difference.var()))


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
    since_best: int = 0
    """Validations in a row that were no better than the best one."""
    start_wild: float | None = None
    start_fine: float | None = None
    """val_wild and val_fine of the start; None in checkpoints of older versions, as is the next one."""
    start_parts: CostParts | None = None
    colourfulness_cost: float = COLOURFULNESS_COST
    keeps_psnr: bool = False
    """How the training began to judge its averages, and judges them to its end; see `EarlyStopping`. The defaults are
    those of older versions."""


class EarlyStopping(nn.Module):
    """Keeps the best average, and decides when the training has collapsed or gains nothing more.

    The cost of an average is val_l1 / the start's val_l1 + `colourfulness_cost` · |1 - colourfulness / truth's|. The
    average of least cost within the limits (`StopWhen`) is kept; at first it is the start. After two validations in a
    row outside the limits the training ends. One alone may come from the jolt after the warm-up.

    Finished weights are replaced only by an average whose cost is less by more than the standard error of that
    difference. With a dozen validation pictures anything less is chance.

    The start may be less colourful than the lower limit, and a good training may waver around it on its way up. So that
    limit applies only after it was exceeded by a tenth.

    It is a module so that the checkpoint contains it.

    Args:
        limits: None: the training never collapses.
        parent: the SHA-256 of the weights that it starts from; empty if it starts from nothing.
        patience: after so many validations in a row without a better average the training ends; 0: never. In a training
            of several rounds those at the ends of rounds count, and a round counts as better if any average in it was.
        round_ends: pictures seen at the ends of the rounds; empty where there is one round.
        colourfulness_cost: see `validation_cost`. A resumed training keeps the one that it began with.
        keeps_psnr: finished weights are not replaced by an average whose PSNR is lower by more than chance. An
            adversarial training may give up some PSNR for colour.
    """

    MAX_STRIKES = 2
    EXCEEDED = 1.1

    def __init__(
        self,
        network: nn.Module,
        limits: StopWhen | None,
        parent: str,
        patience: int = 0,
        round_ends: Sequence[int] = (),
        colourfulness_cost: float = COLOURFULNESS_COST,
        keeps_psnr: bool = False,
    ) -> None:
        super().__init__()
        self.best = copy.deepcopy(network).requires_grad_(False)
        self.limits, self.parent, self.patience, self.round_ends = limits, parent, patience, round_ends
        self.state = StoppingState(colourfulness_cost=colourfulness_cost, keeps_psnr=keeps_psnr)

    @property
    def should_stop(self) -> bool:
        return bool(self.reason())

    @property
    def has_collapsed(self) -> bool:
        return self.state.strikes >= self.MAX_STRIKES

    def reason(self) -> str:
        """Why the training ends early; empty if it does not."""
        if self.has_collapsed:
            return f"{self.MAX_STRIKES} validations in a row were outside the limits"
        if self.patience and self.state.since_best >= self.patience:
            what = "round" if self.round_ends else "validation"
            many = (
                f"{self.state.since_best} {what}s in a row were"
                if self.state.since_best > 1
                else f"the last {what} was"
            )
            return f"{many} no better than the best one"
        return ""

    def is_outside_limits(self, numbers: dict[str, float], start_l1: float) -> bool:
        """Whether a validation is outside the limits."""
        if self.limits is None:
            return False
        l1, colour = numbers["val_l1"], numbers["val_colour"]
        if not (math.isfinite(l1) and math.isfinite(colour)):
            return True
        pale = self.state.coloured and colour < self.limits.colour_low
        return l1 > self.limits.l1 * start_l1 or colour > self.limits.colour_high or pale or self._looks_worse(numbers)

    def _looks_worse(self, numbers: dict[str, float]) -> bool:
        """Whether the pictures have far more wild pixels, or far less fine colour, than the start's."""
        limits, state = self.limits, self.state
        if limits is None or state.start_wild is None or state.start_fine is None:
            return False
        wild, fine = numbers["val_wild"], numbers["val_fine"]
        return wild > limits.wild * max(state.start_wild, LEAST_WILD) or fine < limits.fine * state.start_fine

    def has_only_untrained(self) -> bool:
        """Whether the best average so far is that of a network from before its first step."""
        return not self.parent and self.state.kept_at == 0

    def is_better(self, numbers: dict[str, float], parts: CostParts | None = None) -> bool:
        """Whether the average of this validation is better than the best one so far.

        Args:
            parts: what its cost consists of, see `measure_average`.
        """
        state = self.state
        if not state.numbers:
            return True
        # If the cost is not a number, the comparison is false.
        cost = validation_cost(numbers, state.start_l1, state.colourfulness_cost)
        least_gain = 0.0
        if self.parent and state.start_parts and parts:
            if state.kept_at == 0:
                least_gain = gain_error(state.start_parts, parts, state.colourfulness_cost)
            if state.keeps_psnr and is_surely_less_accurate(state.start_parts, parts):
                return False
        return cost < state.cost - least_gain and not self.is_outside_limits(numbers, state.start_l1)

    def update(
        self,
        pictures: int,
        numbers: dict[str, float],
        values: Mapping[str, Tensor],
        parts: CostParts | None = None,
    ) -> None:
        """Counts a validation of the average `values`. The same validation again changes nothing."""
        state = self.state
        if pictures <= state.judged_at:
            return
        if state.numbers:
            start_l1 = state.start_l1
        else:
            start_l1 = numbers["val_l1"]
            state = replace(
                state, start_wild=numbers.get("val_wild"), start_fine=numbers.get("val_fine"), start_parts=parts
            )
        outside = self.is_outside_limits(numbers, start_l1)
        if self.is_better(numbers, parts):
            cost = validation_cost(numbers, start_l1, state.colourfulness_cost)
            state = replace(state, cost=cost, kept_at=pictures, numbers=numbers)
            self.best.load_state_dict(values)
        coloured = self.limits is not None and numbers["val_colour"] >= self.EXCEEDED * self.limits.colour_low
        self.state = replace(
            state,
            judged_at=pictures,
            start_l1=start_l1,
            coloured=state.coloured or coloured,
            strikes=state.strikes + 1 if outside else 0,
            since_best=self._count_since_best(pictures, state),
        )

    def _count_since_best(self, pictures: int, state: StoppingState) -> int:
        """Validations, or rounds, in a row without a better average, after the validation at so many pictures."""
        ended = [end for end in self.round_ends if end <= pictures]
        if not self.round_ends:
            return 0 if state.kept_at == pictures else state.since_best + 1
        if not ended or ended[-1] <= state.judged_at:  # in the middle of a round
            return state.since_best
        begun = ended[-2] if len(ended) > 1 else 0
        return 0 if state.kept_at > begun else state.since_best + 1

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
        limits, parent, patience, round_ends, colourfulness_cost, keeps_psnr: see `EarlyStopping`.
    """

    def __init__(
        self,
        step: Step,
        limits: StopWhen | None,
        parent: str,
        patience: int = 0,
        round_ends: Sequence[int] = (),
        colourfulness_cost: float = COLOURFULNESS_COST,
        keeps_psnr: bool = False,
    ) -> None:
        self.step = step
        self.early_stopping = EarlyStopping(
            step.network, limits, parent, patience, round_ends, colourfulness_cost, keeps_psnr
        )
        self.start = checkpoint.copy_values(step.network) if parent else None
        """The weights that it starts from."""
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

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
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
        numbers, parts = measure_average(network, average, validation, stage)
        self._uncounted = None
        if pictures % stage.validate_every < stage.batch or pictures >= stage.pictures:
            self.early_stopping.update(pictures, numbers, average.values, parts)
        elif self.early_stopping.has_only_untrained() and self.early_stopping.is_better(numbers):
            self._uncounted = replace(self.early_stopping.state, kept_at=pictures, numbers=numbers)
            self._uncounted_values = {key: value.clone() for key, value in average.values.items()}
        return {**numbers, "kept_at": self.best.kept_at}

    def write_samples(self, folder: Path, network: nn.Module, _: dict[str, Tensor], validation: PhotoSet) -> None:
        """Writes sample pictures of the best average, below those of the weights that the training started from."""
        figures.write_samples(folder, network, self.best_values(), validation, self.start)

    def publish(self, folder: Path, network: nn.Module, _: Mapping[str, Tensor], card: JsonObject) -> None:
        """Writes the best average as a weights folder, with its own numbers on the card."""
        best = self.best
        training = card["numbers"]["training"] | {"validation": best.numbers, "kept_at": best.kept_at}
        if reason := self.early_stopping.reason():
            training["stopped"] = reason
        if self.is_unchanged():
            training["unchanged"] = "no average was better than the weights it began from"
        checkpoint.publish(folder, network, self.best_values(), {**card, "numbers": {"training": training}})

    def is_unchanged(self) -> bool:
        """Whether no average so far was better than the weights that the training started from."""
        return bool(self.early_stopping.parent) and self.best.kept_at == 0 and self.best.judged_at > 0

    def validator(self) -> loop.Validator:
        return loop.Validator(self.validate, self.write_samples, self.publish)
