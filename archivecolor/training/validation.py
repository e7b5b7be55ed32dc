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
from archivecolor.training import checkpoint
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import PhotoSet, validation_batch

VALIDATION_BATCH = 16


@torch.inference_mode()
def predict(network: nn.Module, l_net: Tensor, precision: str) -> Tensor:
    """l_net (N, 1, H, W) -> ab_net (N, 2, H, W), float32, on the CPU. The network must be in evaluation mode."""
    device = next(network.parameters()).device
    with autocast(precision, device):
        ab_net: Tensor = network(to_device(l_net, device))
    return ab_net.float().cpu()


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
    with checkpoint.temporary_values(network, values):
        for start in range(0, min(len(validation), stage.validation_pictures), VALIDATION_BATCH):
            batch = validation_batch(validation, start, VALIDATION_BATCH, stage.validation_size)
            ab_net = predict(network, batch.l_net, stage.precision)
            errors = (ab_net - batch.ab_net).abs().mean(dim=(1, 2, 3)).tolist()
            pictures = (batch.colorized(ab_net), batch.colorized(ab_net * 0), batch.rgb)
            ab, true_ab = (lab.lab_from_srgb(p.clamp(0, 1))[:, 1:].numpy() for p in (pictures[0], batch.rgb))
            for i, (rgb, grey, truth) in enumerate(
                zip(*(p.permute(0, 2, 3, 1).numpy() for p in pictures), strict=True)
            ):
                rows.append(
                    PictureNumbers(
                        l1=errors[i],
                        psnr_gain=metrics.psnr(rgb, truth) - metrics.psnr(grey, truth),
                        colour=metrics.colourfulness(rgb),
                        true_colour=metrics.colourfulness(truth),
                        fine=metrics.fine_chroma_contrast(ab[i]),
                        true_fine=metrics.fine_chroma_contrast(true_ab[i]),
                        wild=metrics.wild_share(ab[i], true_ab[i]),
                    )
                )
    return rows


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

    def lines(self) -> list[str]:
        """The comparison for a person, with a table of all measures."""
        one, other = self.numbers
        rows = [f"{'':30}{'before':>9}{'now':>9}"]
        rows += [f"{label:30}{one[key]:9.{digits}f}{other[key]:9.{digits}f}" for key, (label, digits) in LABELS.items()]
        few = (
            f"{self.gain.pictures} held-out photographs are few, and they chose the average too: only a large gain "
            "means anything. More --data, or photographs of your own choice with --val, judge better"
        )
        return [*rows, self.sentence(), *([few] if self.gain.pictures < FEW_PICTURES else [])]


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
