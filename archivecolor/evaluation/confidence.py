"""Which sign of doubt, known without the truth, ranks pictures as their true error does.

A person who reviews a collection wants the worst colourings first. Each candidate sign is set against the true error of
the same colouring, by Spearman's rank correlation: 1 means that it sorts the pictures as the error would, 0 that it
says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archivecolor import weights
from archivecolor.errors import NoInputError
from archivecolor.evaluation.evaluate import load_networks
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import ByteArray, FloatArray
from archivecolor.inference.confidence import mean_difference, mirror_disagreement
from archivecolor.options import EvaluationOptions
from archivecolor.training import dataset
from archivecolor.training.dataset import Batch, validation_batch
from archivecolor.training.loop import predict

BATCH = 8
FAINT = 8.0
"""Lab units that count as the chroma of an answer that has none."""
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
    network: nn.Module, l_net: Tensor, answer: Tensor, second: Tensor | None, precision: str
) -> dict[str, FloatArray]:
    """The signs of doubt of a batch: (N,) each.

    Args:
        l_net: (N, 1, H, W).
        answer: ab_net (N, 2, H, W), the network's.
        second: another network's, if there is another.
    """
    mirrored = predict(network, l_net.flip(-1), precision).flip(-1)
    lab_units = answer.numpy() * lab.AB_SCALE, mirrored.numpy() * lab.AB_SCALE
    lightness = (l_net[:, 0].numpy() + 1) * lab.L_SCALE
    found = {
        "doubt": mirror_disagreement(*lab_units, lightness),
        "mirror": mean_difference(*lab_units),
        "flatness": -lightness.std(axis=(1, 2)),
        "chroma": chroma(answer),
    }
    if second is None:
        return found
    models = apart(answer, second)
    return found | {"models": models, "relative": models / (found["chroma"] + chroma(second) + 2 * FAINT)}


def chroma(answer: Tensor) -> FloatArray:
    """Mean chroma of the pictures of an answer (N, 2, H, W), Lab units: (N,)."""
    return apart(answer, torch.zeros_like(answer))


def apart(one: Tensor, other: Tensor) -> FloatArray:
    """Mean distance in ab of the pictures of two answers (N, 2, H, W), Lab units: (N,)."""
    return mean_difference(one.numpy() * lab.AB_SCALE, other.numpy() * lab.AB_SCALE)


def errors(answer: Tensor, batch: Batch) -> tuple[FloatArray, FloatArray]:
    """The true errors of a batch: mean CIEDE2000 and mean distance in ab, (N,) each."""
    mine = batch.colorized(answer)
    ciede = metrics.ciede2000_from_lab(lab.lab_from_srgb(mine).numpy(), lab.lab_from_srgb(batch.rgb).numpy())
    return ciede, apart(answer, batch.ab_net)


@torch.inference_mode()
def rank(
    asked: EvaluationOptions,
    read: Callable[[Path], ByteArray],
    device: torch.device,
    seen: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Ranked]:
    """Measures all signs of all models on one set of photographs. The other model is for each the next one of those
    asked.

    Raises:
        NoInputError: fewer than three pictures can be used.
        UsageError, WeightsError: see `load_networks`.
    """
    networks = load_networks(asked.models, asked.size, device)
    paths = dataset.find_sample(asked.data, asked.limit)
    photos = dataset.load(paths, read, asked.size, on_decoded=lambda n: seen("reading", n, len(paths)))
    if len(photos) < 3:
        raise NoInputError(f"{asked.data}: {len(photos)} pictures are too few to rank; give at least three")
    noted: dict[str, list[dict[str, FloatArray]]] = {name: [] for name in networks}
    for start in range(0, len(photos), BATCH):
        batch = validation_batch(photos, start, BATCH, asked.size)
        for name, values in one_batch(networks, batch, asked.precision).items():
            noted[name].append(values)
        seen("colouring", start + len(batch.rgb), len(photos))
    return [correlated(name, batches) for name, batches in noted.items()]


def one_batch(networks: Mapping[str, nn.Module], batch: Batch, precision: str) -> dict[str, dict[str, FloatArray]]:
    """By model: every sign, and the true errors as `ciede2000` and `ab`."""
    answers = {name: predict(network, batch.l_net, precision) for name, network in networks.items()}
    names, noted = list(networks), {}
    for name in names:
        second = answers[names[(names.index(name) + 1) % len(names)]] if len(names) > 1 else None
        values = signs(networks[name], batch.l_net, answers[name], second, precision)
        values["ciede2000"], values["ab"] = errors(answers[name], batch)
        noted[name] = values
    return noted


def correlated(name: str, batches: list[dict[str, FloatArray]]) -> Ranked:
    """The correlations of one model."""
    whole = {key: np.concatenate([values[key] for values in batches]) for key in batches[0]}
    found = {
        error: {key: spearman(whole[key], whole[error]) for key in whole if key in SIGNS}
        for error in ("ciede2000", "ab")
    }
    return Ranked(name, len(whole["ab"]), found["ciede2000"], found["ab"], float(f"{np.median(whole['doubt']):.4g}"))


def write_cards(ranked: Sequence[Ranked], asked: EvaluationOptions) -> None:
    """Puts the median doubt of each model into its card, from which `run --confidence` takes it."""
    for one in ranked:
        correlation = one.ciede2000["doubt"]
        measured = {
            "data": asked.data.name,
            "pictures": one.pictures,
            "size": asked.size,
            "median_doubt": one.median,
            "spearman_ciede2000": None if correlation is None else round(correlation, 2),
        }
        weights.note(one.model, "confidence", measured)


def spearman(one: FloatArray, other: FloatArray) -> float | None:
    """The rank correlation; None where all values of one side are equal, which have no ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else None


def as_rows(ranked: list[Ranked]) -> list[list[str]]:
    """A table for people: a row per sign, two columns per model."""
    rows = [["sign of doubt", *(f"{one.model}: {error}" for one in ranked for error in ("CIEDE2000", "ab"))]]
    return rows + [
        [SIGNS[key], *(cell(values[key]) for one in ranked for values in (one.ciede2000, one.ab))]
        for key in ranked[0].ab
    ]


def cell(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
