"""Which sign of doubt, computed without the true colours, ranks pictures in the order of their true error.

A person who reviews a collection wants the worst colourings first. Each sign is compared with the true error of the
same pictures by Spearman's rank correlation: 1 means that it sorts the pictures in the order of the error, 0 that it
has nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archivecolor import weights
from archivecolor.errors import NoInputError
from archivecolor.evaluation.evaluate import load_networks
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import FloatArray
from archivecolor.inference.confidence import mean_difference, mirror_disagreement
from archivecolor.options import EvaluationOptions
from archivecolor.training import dataset
from archivecolor.training.dataset import Batch, validation_batch
from archivecolor.training.validation import predict

BATCH = 8
FAINT = 8.0
"""Lab units that are added to the chroma, so that a grey prediction does not divide by 0."""
SIGNS = {
    "doubt": "answer to the mirror image, how far, ÷ contrast (run --confidence)",
    "mirror": "the same, whatever the contrast",
    "flatness": "low contrast of the picture",
    "chroma": "mean chroma of the answer",
    "models": "another model's answer, how far",
    "relative": "the same ÷ chroma of both",
}
"""The last two need more than one model."""


@dataclass(frozen=True)
class Ranked:
    """Of one model: Spearman's correlation of each sign with the true error, over `pictures` pictures."""

    model: str
    pictures: int
    ciede2000: dict[str, float | None]
    """With the mean CIEDE2000 difference, by sign."""
    ab: dict[str, float | None]
    """With the mean distance in ab."""
    median: float
    """Median of `doubt`, to four digits, which `median_disagreement` reads from the card."""


def signs(
    network: nn.Module, l_net: Tensor, ab_net: Tensor, other_ab_net: Tensor | None, precision: str
) -> dict[str, FloatArray]:
    """The signs of doubt of a batch: (N,) each.

    Args:
        l_net: (N, 1, H, W).
        ab_net: the network's prediction (N, 2, H, W).
        other_ab_net: another network's, if there is one.
    """
    mirrored = predict(network, l_net.flip(-1), precision).flip(-1)
    lab_units = ab_net.numpy() * lab.AB_SCALE, mirrored.numpy() * lab.AB_SCALE
    lightness = (l_net[:, 0].numpy() + 1) * lab.L_SCALE
    values = {
        "doubt": mirror_disagreement(*lab_units, lightness),
        "mirror": mean_difference(*lab_units),
        "flatness": -lightness.std(axis=(1, 2)),
        "chroma": chroma(ab_net),
    }
    if other_ab_net is None:
        return values
    models = mean_distance(ab_net, other_ab_net)
    return values | {"models": models, "relative": models / (values["chroma"] + chroma(other_ab_net) + 2 * FAINT)}


def chroma(ab_net: Tensor) -> FloatArray:
    """Mean chroma of each picture of ab_net (N, 2, H, W), Lab units: (N,)."""
    return mean_distance(ab_net, torch.zeros_like(ab_net))


def mean_distance(one: Tensor, other: Tensor) -> FloatArray:
    """Mean distance of each picture of two predictions of ab_net (N, 2, H, W), Lab units: (N,)."""
    return mean_difference(one.numpy() * lab.AB_SCALE, other.numpy() * lab.AB_SCALE)


def errors(ab_net: Tensor, batch: Batch) -> tuple[FloatArray, FloatArray]:
    """The true errors of a batch: mean CIEDE2000 and mean distance in ab, (N,) each."""
    rgb = batch.colorized(ab_net)
    ciede = metrics.ciede2000_from_lab(lab.lab_from_srgb(rgb).numpy(), lab.lab_from_srgb(batch.rgb).numpy())
    return ciede, mean_distance(ab_net, batch.ab_net)


@torch.inference_mode()
def rank(
    options: EvaluationOptions,
    read: dataset.ReadRgb,
    device: torch.device,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Ranked]:
    """Measures all signs of all models on one set of photographs. The other model of each is the next one.

    Raises:
        NoInputError: fewer than three pictures can be used.
        UsageError, WeightsError: see `load_networks`.
    """
    networks = load_networks(options.models, options.size, device)
    paths = dataset.find_sample(options.data, options.limit)
    photos = dataset.load(paths, read, options.size, on_decoded=lambda n: on_progress("reading", n, len(paths)))
    if len(photos) < 3:
        raise NoInputError(f"{options.data}: {len(photos)} pictures are too few to rank; give at least three")
    measured: dict[str, list[dict[str, FloatArray]]] = {name: [] for name in networks}
    for start in range(0, len(photos), BATCH):
        batch = validation_batch(photos, start, BATCH, options.size)
        for name, values in measure_batch(networks, batch, options.precision).items():
            measured[name].append(values)
        on_progress("colouring", start + len(batch.rgb), len(photos))
    return [correlate(name, batches) for name, batches in measured.items()]


def measure_batch(networks: Mapping[str, nn.Module], batch: Batch, precision: str) -> dict[str, dict[str, FloatArray]]:
    """By model: every sign, and the true errors as `ciede2000` and `ab`."""
    predictions = {name: predict(network, batch.l_net, precision) for name, network in networks.items()}
    names, measured = list(networks), {}
    for name in names:
        other = predictions[names[(names.index(name) + 1) % len(names)]] if len(names) > 1 else None
        values = signs(networks[name], batch.l_net, predictions[name], other, precision)
        values["ciede2000"], values["ab"] = errors(predictions[name], batch)
        measured[name] = values
    return measured


def correlate(name: str, batches: list[dict[str, FloatArray]]) -> Ranked:
    """The correlations of one model."""
    whole = {key: np.concatenate([values[key] for values in batches]) for key in batches[0]}
    correlations = {
        error: {key: spearman(whole[key], whole[error]) for key in whole if key in SIGNS}
        for error in ("ciede2000", "ab")
    }
    return Ranked(
        name, len(whole["ab"]), correlations["ciede2000"], correlations["ab"], float(f"{np.median(whole['doubt']):.4g}")
    )


def write_cards(ranked: Sequence[Ranked], options: EvaluationOptions) -> None:
    """Writes the median doubt of each model to its card, where `run --confidence` reads it."""
    for one in ranked:
        correlation = one.ciede2000["doubt"]
        measured = {
            "data": options.data.name,
            "pictures": one.pictures,
            "size": options.size,
            "median_doubt": one.median,
            "spearman_ciede2000": None if correlation is None else round(correlation, 2),
        }
        weights.note(one.model, "confidence", measured)


def spearman(one: FloatArray, other: FloatArray) -> float | None:
    """The rank correlation; None if all values of one side are equal: they have no ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else None


def as_rows(ranked: list[Ranked]) -> list[list[str]]:
    """A table: a row per sign, two columns per model."""
    rows = [["sign of doubt", *(f"{one.model}: {error}" for one in ranked for error in ("CIEDE2000", "ab"))]]
    return rows + [
        [SIGNS[key], *(cell(values[key]) for one in ranked for values in (one.ciede2000, one.ab))]
        for key in ranked[0].ab
    ]


def cell(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
