"""Looks for a learning rate with fastai's Learner: a short training whose rate grows from step to step (Smith 2017).

It sees the very batches, network, L1, optimiser, precision and clipping of a pre-training, so that what it suggests
holds there; of the losses that may stand beside L1 it knows nothing. Nothing of it is kept.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archivecolor import files
from archivecolor.errors import MissingDependencyError, UsageError
from archivecolor.options import StageOptions
from archivecolor.training.dataset import PhotoSet, training_batch
from archivecolor.training.loop import autocast
from archivecolor.training.pretrain import weighted_l1

LOWEST, HIGHEST = 1e-6, 1.0


@dataclass(frozen=True)
class Found:
    """What the finder saw."""

    rates: list[float]
    losses: list[float]
    """Smoothed, one for each rate."""
    valley: float
    """The suggestion: two thirds down the longest valley of the curve."""
    steep: float
    """Where the loss falls fastest."""


class Batches:
    """So many batches as (l_net, ab_net), for the Learner: an epoch of the stage at its first size."""

    def __init__(self, photos: PhotoSet, stage: StageOptions, steps: int, device: torch.device) -> None:
        self.photos, self.stage, self.steps, self.device = photos, stage, steps, device
        self.dataset = range(steps * stage.batch)  # the Learner asks how long it is
        self.n, self.bs = len(self.dataset), stage.batch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        stage = self.stage
        for k in range(self.steps):
            start, side = k * stage.batch, stage.sizes[0][0]
            batch = training_batch(self.photos, start, stage.batch, side, stage.aging, stage.seed)
            yield batch.l_net.to(self.device), batch.ab_net.to(self.device)


class Mixed(nn.Module):
    """The network in the stage's precision, with float32 answers."""

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        super().__init__()
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision, self.device = precision, device

    def forward(self, l_net: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            ab_net: Tensor = self.network(l_net.to(memory_format=torch.channels_last))
        return ab_net.float()


def find(
    network: nn.Module, photos: PhotoSet, stage: StageOptions, chroma_weight: float, steps: int, device: torch.device
) -> Found:
    """Trains the network for at most `steps` steps at rates from 1e-6 to 1, until the loss is four times its best.

    Raises:
        MissingDependencyError: fastai is not installed.
        UsageError: the loss exploded before there was a curve to read.
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
    batches = Batches(photos, stage, steps, device)
    with tempfile.TemporaryDirectory() as scratch:
        learner = Learner(
            DataLoaders(batches, batches, device=device), Mixed(network, stage.precision, device),
            loss_func=functools.partial(weighted_l1, chroma_weight=chroma_weight),
            opt_func=functools.partial(OptimWrapper, opt=torch.optim.AdamW),  # type: ignore[arg-type]
            wd=1e-2,
            cbs=GradientClip(1.0), path=scratch,
        )  # fmt: skip
        with learner.no_bar(), learner.no_logging():
            learner.lr_find(LOWEST, HIGHEST, num_it=steps, show_plot=False, suggest_funcs=None)
    # Without the start, where the smoothing has not settled, and the end, where the loss explodes, as in fastai.
    trimmed = slice(steps // 10, -5)
    rates, losses = (torch.tensor(seen[trimmed]) for seen in (learner.recorder.lrs, learner.recorder.losses))
    if len(rates) < 5:
        raise UsageError(f"the loss exploded within {len(learner.recorder.lrs)} steps; raise --steps or --batch")
    suggested = [
        float(function(rates, losses, steps)[0])  # type: ignore[arg-type]
        for function in (valley, steep)
    ]
    return Found(rates.tolist(), losses.tolist(), *suggested)


def plot(found: Found, path: Path) -> None:
    """Loss over rate, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axis.semilogx(found.rates, found.losses)
    for name, rate in (("valley", found.valley), ("steep", found.steep)):
        axis.axvline(rate, linestyle=":" if name == "steep" else "--", color="grey", label=f"{name} {rate:.2g}")
    axis.set(xlabel="learning rate", ylabel="loss, smoothed")
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=100)
    pyplot.close(figure)


def report(found: Found) -> dict[str, Any]:
    """For people and programs."""
    return {
        "valley": float(f"{found.valley:.2g}"), "steep": float(f"{found.steep:.2g}"), "steps": len(found.rates),
        "least_loss": round(min(found.losses), 4),
    }  # fmt: skip
