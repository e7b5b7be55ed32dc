"""Searches for a learning rate with fastai's Learner: a short training whose rate grows step by step (Smith 2017).

Batches, network, L1, optimizer, precision and clipping are those of a pre-training, so the suggestion is valid there.
Losses beside L1 are not included. The trained network is discarded.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from archivecolor import files
from archivecolor.errors import MissingDependencyError, UsageError
from archivecolor.options import StageOptions
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import PhotoSet, training_batch
from archivecolor.training.optim_step import set_train_mode
from archivecolor.training.pretrain import chroma_weighted_l1

LOWEST, HIGHEST = 1e-6, 1.0
LEAST_FALL = 0.05
"""A loss that falls less than this has no valley: batches differ by as much."""


@dataclass(frozen=True)
class LrCurve:
    """The loss over the learning rate, and the suggestions."""

    rates: list[float]
    losses: list[float]
    """Smoothed; one for each rate."""
    valley: float
    """The suggested rate: two thirds down the longest valley of the curve."""
    steep: float
    """The rate at which the loss falls fastest."""

    @property
    def fall(self) -> float:
        """How far the loss falls below that at the lowest rates, as a share of it."""
        return 1 - min(self.losses) / self.losses[0]

    def has_valley(self) -> bool:
        """Whether the loss falls enough for the suggestions to mean anything. Of finished weights it often does not."""
        return self.fall >= LEAST_FALL


class BatchLoader:
    """A number of batches as (l_net, ab_net), for the Learner: an epoch of the stage at its first size."""

    def __init__(self, photos: PhotoSet, stage: StageOptions, steps: int, device: torch.device) -> None:
        self.photos, self.stage, self.steps, self.device = photos, stage, steps, device
        self.dataset = range(steps * stage.batch)  # the Learner reads its length
        self.n, self.bs = len(self.dataset), stage.batch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        stage = self.stage
        for k in range(self.steps):
            start, side = k * stage.batch, stage.sizes[0][0]
            batch = training_batch(self.photos, start, stage.batch, side, stage.aging, stage.seed, stage.mounts)
            yield batch.l_net.to(self.device), batch.ab_net.to(self.device)


class MixedPrecision(nn.Module):
    """The network in the stage's precision, with float32 output."""

    def __init__(self, network: nn.Module, precision: str, device: torch.device, norms_frozen: bool) -> None:
        super().__init__()
        self.norms_frozen = norms_frozen
        self.network = to_device(network, device)
        self.precision, self.device = precision, device

    def forward(self, l_net: Tensor) -> Tensor:
        if self.training:
            set_train_mode(self.network, self.norms_frozen)
        with autocast(self.precision, self.device):
            ab_net: Tensor = self.network(to_device(l_net, self.device))
        return ab_net.float()


def find(
    network: nn.Module,
    photos: PhotoSet,
    stage: StageOptions,
    chroma_weight: float,
    steps: int,
    device: torch.device,
    norms_frozen: bool = False,
) -> LrCurve:
    """Trains the network for at most `steps` steps at rates from 1e-6 to 1. Stops at four times the least loss.

    Raises:
        MissingDependencyError: fastai is not installed.
        UsageError: the loss exploded too early to give a curve.
    """
    try:
        from fastai.callback.schedule import steep, valley
        from fastai.callback.training import GradientClip
        from fastai.data.core import DataLoaders
        from fastai.learner import Learner
        from fastai.optimizer import OptimWrapper
    except ImportError as error:
        raise MissingDependencyError(f"needs fastai ({error}): pip install 'archivecolor[train]'") from error
    torch.manual_seed(stage.seed)
    batches = BatchLoader(photos, stage, steps, device)
    adamw = functools.partial(OptimWrapper, opt=torch.optim.AdamW)
    with tempfile.TemporaryDirectory() as scratch:
        learner = Learner(
            DataLoaders(batches, batches, device=device),
            MixedPrecision(network, stage.precision, device, norms_frozen),
            loss_func=functools.partial(chroma_weighted_l1, chroma_weight=chroma_weight),
            opt_func=adamw,  # type: ignore[arg-type]
            wd=1e-2,
            cbs=GradientClip(1.0),
            path=scratch,
        )
        with learner.no_bar(), learner.no_logging():
            learner.lr_find(LOWEST, HIGHEST, num_it=steps, show_plot=False, suggest_funcs=None)
    # As fastai does: without the start, where the smoothing has not settled, and the end, where the loss explodes.
    trimmed = slice(steps // 10, -5)
    recorder = learner.recorder
    rates, losses = (torch.tensor(values[trimmed]) for values in (recorder.lrs, recorder.losses))
    if len(rates) < 5:
        raise UsageError(f"the loss exploded within {len(recorder.lrs)} steps; raise --steps or --batch")
    suggestions = (float(function(rates, losses, steps)[0]) for function in (valley, steep))  # type: ignore[arg-type]
    return LrCurve(rates.tolist(), losses.tolist(), *suggestions)


def plot(curve: LrCurve, path: Path) -> None:
    """Plots the loss over the rate, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    axis.semilogx(curve.rates, curve.losses)
    for name, rate in (("valley", curve.valley), ("steep", curve.steep)):
        axis.axvline(rate, linestyle=":" if name == "steep" else "--", color="grey", label=f"{name} {rate:.2g}")
    axis.set(xlabel="learning rate", ylabel="loss, smoothed")
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=100)


def report(curve: LrCurve) -> dict[str, float | bool]:
    """The suggestions, rounded, as the command prints them."""
    return {
        "valley": float(f"{curve.valley:.2g}"),
        "steep": float(f"{curve.steep:.2g}"),
        "steps": len(curve.rates),
        "least_loss": round(min(curve.losses), 4),
        "has_valley": curve.has_valley(),
    }
