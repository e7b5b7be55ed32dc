"""Measures a network on the validation pictures, and compares two networks on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from archivecolor.imaging import lab, metrics
from archivecolor.imaging.metrics import PairedDifference
from archivecolor.options import StageOptions
from archivecolor.training import batched_metrics, checkpoint
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import Batch, PhotoSet, validation_batch

VALIDATION_BATCH = 16


def predict(network: nn.Module, l_net: Tensor, precision: str) -> Tensor:
    """l_net (N, 1, H, W) -> ab_net (N, 2, H, W), float32, on the CPU. The network must be in evaluation mode."""
    return _predict_on_device(network, l_net, precision).cpu()


@torch.inference_mode()
def _predict_on_device(network: nn.Module, l_net: Tensor, precision: str) -> Tensor:
    device = next(network.parameters()).device
    with autocast(precision, device):
        ab_net: Tensor = network(to_device(l_net, device))
    return ab_net.float()


@dataclass(frozen=True)
class PictureNumbers:
    """The measures of one colorized picture."""

    l1: float
    """Of ab_net."""
    psnr_gain: float
    """PSNR above that of the grey picture, in dB."""
    colour: float
    """Colourfulness."""
    true_colour: float
    fine: float
    """Fine chroma contrast."""
    true_fine: float
    wild: float
    """Share of wild pixels."""


def measure(
    network: nn.Module, values: Mapping[str, Tensor], validation: PhotoSet, stage: StageOptions
) -> list[PictureNumbers]:
    """Measures a network on validation pictures at `stage.validation_size`.

    Args:
        values: the parameters and buffers that the network has meanwhile.
    """
    rows: list[PictureNumbers] = []
    device = next(network.parameters()).device
    with checkpoint.temporary_values(network, values):
        for start in range(0, min(len(validation), stage.validation_pictures), VALIDATION_BATCH):
            batch = validation_batch(validation, start, VALIDATION_BATCH, stage.validation_size).to(device)
            rows += picture_numbers(batch, _predict_on_device(network, batch.l_net, stage.precision))
    return rows


@torch.inference_mode()
def picture_numbers(batch: Batch, ab_net: Tensor) -> list[PictureNumbers]:
    """The measures of a batch in predicted colours, computed where it is.

    Args:
        ab_net: (N, 2, H, W), float32.
    """
    rgb, grey = batch.colorized(ab_net), batch.colorized(ab_net * 0)
    ab, true_ab = (lab.lab_from_srgb(pictures.clamp(0, 1))[:, 1:] for pictures in (rgb, batch.rgb))
    columns = {
        "l1": (ab_net - batch.ab_net).abs().mean(dim=(1, 2, 3)).double(),
        "psnr_gain": batched_metrics.psnr(rgb, batch.rgb) - batched_metrics.psnr(grey, batch.rgb),
        "colour": batched_metrics.colourfulness(rgb),
        "true_colour": batched_metrics.colourfulness(batch.rgb),
        "fine": batched_metrics.fine_chroma_contrast(ab),
        "true_fine": batched_metrics.fine_chroma_contrast(true_ab),
        "wild": batched_metrics.wild_share(ab, true_ab),
    }
    rows = torch.stack(list(columns.values()), dim=1).tolist()  # the only wait for the device
    return [PictureNumbers(**dict(zip(columns, row, strict=True))) for row in rows]


def summary(rows: list[PictureNumbers]) -> dict[str, float]:
    """The numbers of a validation.

    Returns:
        Means of `val_l1`, `val_psnr_gain` and `val_wild`; `val_colour` and `val_fine`, means divided by the true
        pictures'.
    """
    return {
        "val_l1": round(fmean(row.l1 for row in rows), 5),
        "val_psnr_gain": round(fmean(row.psnr_gain for row in rows), 3),
        "val_colour": round(metrics.ratio(sum(row.colour for row in rows), sum(row.true_colour for row in rows)), 3),
        "val_fine": round(metrics.ratio(sum(row.fine for row in rows), sum(row.true_fine for row in rows)), 3),
        "val_wild": round(fmean(row.wild for row in rows), 4),
    }


FEW_PICTURES = 30
"""With fewer held-out photographs, only large differences are more than chance."""


@dataclass(frozen=True)
class Comparison:
    """PSNR above grey of two networks on the same held-out photographs, in dB, and the other measures of both."""

    before: float
    after: float
    gain: PairedDifference
    numbers: tuple[dict[str, float], dict[str, float]] = ({}, {})
    """The summaries of both, see `summary`."""
    gains: tuple[float, ...] = ()
    """Of each picture, in dB."""

    def sentence(self) -> str:
        """The comparison for a person."""
        gain = self.gain
        better = f"{gain.increased} of {gain.pictures}"
        verdict = "may be chance" if gain.may_be_chance else "better" if gain.mean > 0 else "worse"
        return (
            f"PSNR above grey on {gain.pictures} held-out photographs: {self.before:.2f} dB before, {self.after:.2f} "
            f"dB now ({gain.mean:+.2f} ± {gain.error:.2f}, better on {better}): {verdict}"
        )

    def verdict(self) -> str:
        """Whether it got better, in one plain sentence."""
        if self.gain.may_be_chance:
            return "In short: no sure gain. The difference between the weights before and now may be chance."
        if self.gain.mean > 0:
            return "In short: better. On photographs that were held out, the gain is more than chance."
        return "In short: less accurate than before, by more than chance. Look at the pictures before you use them."

    def lines(self) -> list[str]:
        """The comparison for a person, with a table of all measures. The last line is the verdict."""
        one, other = self.numbers
        rows = [f"{'':30}{'before':>9}{'now':>9}"]
        rows += [f"{label:30}{one[key]:9.{digits}f}{other[key]:9.{digits}f}" for key, (label, digits) in LABELS.items()]
        few = (
            f"{self.gain.pictures} held-out photographs are few, and they chose the average too: only a large gain "
            "means anything. More --data, or photographs of your own choice with --val, judge better"
        )
        return [*rows, self.sentence(), *([few] if self.gain.pictures < FEW_PICTURES else []), self.verdict()]


LABELS = {
    "val_psnr_gain": ("PSNR above grey, dB (more)", 2),
    "val_l1": ("L1 of ab (less)", 4),
    "val_colour": ("colourfulness ÷ truth (1)", 2),
    "val_fine": ("fine contrast ÷ truth (1)", 2),
    "val_wild": ("wild pixels, share (less)", 3),
}
"""The name of each number in a table, which direction is better, and its number of digits."""


def compare(before: list[PictureNumbers], after: list[PictureNumbers]) -> Comparison:
    """Compares two networks by their measures of the same pictures."""
    first, second = ([row.psnr_gain for row in rows] for rows in (before, after))
    numbers = (summary(before), summary(after))
    gains = tuple(b - a for a, b in zip(first, second, strict=True))
    return Comparison(fmean(first), fmean(second), PairedDifference.of(first, second), numbers, gains)
