"""Measures colorizers against the truth: colour pictures are made grey, coloured again, and compared.

Every number stands beside the same number of the grey picture: an answer without any colour is the floor to rise from.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor import weights
from archivecolor.errors import NoInputError, UsageError
from archivecolor.evaluation.scoring import GREY, TRUTH, Evaluated, Scores
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import ByteArray, FloatArray
from archivecolor.networks import STRIDES
from archivecolor.networks.encoders import Lite0Classifier, imagenet_lite0
from archivecolor.options import EvaluationOptions
from archivecolor.training import dataset, figures
from archivecolor.training.dataset import Batch
from archivecolor.training.encoder_weights import lite0_checkpoint
from archivecolor.training.loop import predict

BATCH = 12
CLASSIFIER_SIZE = 224
"""EfficientNet-Lite0's own resolution."""
SHEET_PICTURES = 12
PROTOCOL = (
    "Centre crops of colour photographs, made grey by their true L* (D65), coloured at the crop's size and merged with "
    "that L* (gamut fitted at constant luminance), compared in sRGB without rounding to 8 bits. Means over pictures of "
    "PSNR, CIEDE2000 (mean over pixels) and colourfulness (Hasler and Süsstrunk 2003; the ratio is one of means). "
    "Fine chroma contrast: root mean square of ab minus its Gaussian blur (sigma 5 px). Wild pixels: chroma over 20 "
    "and more than 25 Lab units from the truth. "
    "Agreement: share of pictures that EfficientNet-Lite0 (ImageNet, 224 px) classifies as it does the true colours "
    "(after Zhang et al. 2016). Fréchet distance (Lite0): on its 1,280 pooled features; not comparable with FID, nor "
    "across different numbers of pictures."
)


class Means(NamedTuple):
    """Means over pictures."""

    psnr_db: float
    ciede2000: float
    colourfulness: float
    fine: float
    """Fine chroma contrast, Lab units."""
    wild: float
    """Share of wild pixels."""


class PictureMeasures:
    """How far one colorizer's pictures are from the truth, and how colourful they are, batch by batch."""

    def __init__(self) -> None:
        self._pictures: list[Means] = []

    def add(self, rgb: Tensor, truth: Tensor) -> None:
        """Compares pictures (N, 3, H, W) in [0, 1] with the true ones."""
        lab_pictures, lab_truth = lab.lab_from_srgb(rgb).numpy(), lab.lab_from_srgb(truth).numpy()
        differences = metrics.ciede2000_from_lab(lab_pictures, lab_truth)
        for i, (picture, true_picture) in enumerate(zip(rgb.numpy(), truth.numpy(), strict=True)):
            self._pictures.append(
                Means(
                    metrics.psnr(picture, true_picture),
                    float(differences[i]),
                    metrics.colourfulness(np.moveaxis(picture, 0, -1)),
                    metrics.fine_chroma_contrast(lab_pictures[i, 1:]),
                    metrics.wild_share(lab_pictures[i, 1:], lab_truth[i, 1:]),
                )
            )

    @property
    def count(self) -> int:
        """Pictures compared so far."""
        return len(self._pictures)

    def means(self) -> Means:
        return Means._make(float(np.mean(values)) for values in zip(*self._pictures, strict=True))


class _Rows:
    """What is noted of one colorizer's pictures, batch by batch."""

    def __init__(self) -> None:
        self.measures = PictureMeasures()
        self.classes: list[NDArray[np.int64]] = []
        self.features = metrics.Gaussian()

    def note(self, rgb: Tensor, truth: Tensor, lite0: Lite0Classifier) -> None:
        """Compares pictures (N, 3, H, W) in [0, 1] with the true ones."""
        self.measures.add(rgb, truth)
        features, classes = judgement(lite0, rgb)
        self.features.add(features)
        self.classes.append(classes)


@torch.inference_mode()
def judgement(lite0: Lite0Classifier, rgb: Tensor) -> tuple[FloatArray, NDArray[np.int64]]:
    """sRGB (N, 3, H, W) in [0, 1] -> the pooled features (N, 1280) and the likeliest classes (N,)."""
    small = F.interpolate(rgb, size=(CLASSIFIER_SIZE,) * 2, mode="bilinear", antialias=True).clamp(0, 1)
    features = lite0.features(small * 2 - 1)
    return features.numpy(), lite0.classifier(features).argmax(dim=1).numpy()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def scores(name: str, rows: _Rows, truth: _Rows, grey: Scores | None = None) -> Scores:
    """The means of one colorizer beside those of the grey pictures; without `grey`, these are the grey pictures."""
    means, true_means = rows.measures.means(), truth.measures.means()
    agreement = float(np.mean(np.concatenate(rows.classes) == np.concatenate(truth.classes)))
    frechet = metrics.frechet_distance(rows.features, truth.features)
    floor = grey.agreement if grey else agreement
    return Scores(
        name=name,
        psnr_db=means.psnr_db,
        psnr_gain_db=means.psnr_db - (grey.psnr_db if grey else means.psnr_db),
        ciede2000=means.ciede2000,
        ciede2000_drop=(grey.ciede2000 if grey else means.ciede2000) - means.ciede2000,
        colourfulness=means.colourfulness,
        colour_ratio=_ratio(means.colourfulness, true_means.colourfulness),
        agreement=agreement,
        agreement_way=_ratio(agreement - floor, 1 - floor),
        frechet=frechet,
        frechet_ratio=_ratio(frechet, grey.frechet if grey else frechet),
        fine_ratio=_ratio(means.fine, true_means.fine),
        wild=means.wild,
    )


def coloured(networks: dict[str, nn.Module], batch: Batch, precision: str) -> dict[str, Tensor]:
    """The pictures of a batch as sRGB (N, 3, H, W): grey, by each network, true; all with the true L*."""
    none = torch.zeros_like(batch.ab_net)
    answers = {GREY: none, **{name: predict(network, batch.l_net, precision) for name, network in networks.items()}}
    return {**{name: batch.colorized(ab_net) for name, ab_net in answers.items()}, TRUTH: batch.rgb}


class Tiles:
    """The pictures of the sheet, by colorizer: of so many places those spread evenly, or what comes next to them."""

    def __init__(self, names: Sequence[str], places: int) -> None:
        self.rows: dict[str, list[ByteArray]] = {name: [] for name in names}
        self.wanted = deque(dataset.evenly_spaced(places, SHEET_PICTURES))

    def take(self, places: Sequence[int], pictures: dict[str, Tensor]) -> None:
        """Keeps those of a batch (N, 3, H, W), found at these N places, that belong on the sheet."""
        for i, place in enumerate(places):
            if self.wanted and place >= self.wanted[0]:
                self.wanted.popleft()
                for name, rgb in pictures.items():
                    self.rows[name].append(figures.to_uint8(rgb[i]))


def compare(
    networks: dict[str, nn.Module], pictures: Iterable[tuple[int, ByteArray]], places: int, precision: str
) -> tuple[dict[str, _Rows], list[list[ByteArray]]]:
    """Colours all pictures as they come; what was noted of each colorizer, and the rows of the sheet.

    Args:
        pictures: squares of one size, uint8 (H, W, 3), each with its place in the source.
        places: how many places the source has.
    """
    lite0 = imagenet_lite0(lite0_checkpoint())
    rows = {name: _Rows() for name in (GREY, *networks, TRUTH)}
    tiles = Tiles(list(rows), places)
    source = iter(pictures)
    while some := list(itertools.islice(source, BATCH)):
        batch = dataset.to_batch([crop for _, crop in some], [None] * len(some))
        answers = coloured(networks, batch, precision)
        for name, rgb in answers.items():
            rows[name].note(rgb, batch.rgb, lite0)
        tiles.take([place for place, _ in some], answers)
    return rows, list(tiles.rows.values())


def load_networks(models: Sequence[str], size: int, device: torch.device) -> dict[str, nn.Module]:
    """The networks by the names they were asked for by.

    Raises:
        WeightsError: one is missing or damaged.
        UsageError: one cannot work at this size.
    """
    networks: dict[str, nn.Module] = {}
    for model in models:
        network, card = weights.load(weights.find(model))
        stride = STRIDES[card.network]
        if size % stride:
            raise UsageError(f"--size {size}: {model} needs a multiple of {stride}")
        networks[model] = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def evaluate(
    asked: EvaluationOptions,
    read: Callable[[Path], ByteArray],
    device: torch.device,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluated:
    """Measures all models on one set of photographs; grey and truth are measured once.

    Args:
        read: gives the sRGB picture of a path; raises `PictureError` where it cannot.
        seen: called with how many pictures are through, and of how many.

    Pictures are read as they are needed, so that memory hardly depends on their number: some 100 bytes of each and
    about 30 MB for each model's features are kept.

    Raises:
        NoInputError: fewer than two pictures can be used.
        UsageError, WeightsError: see `load_networks`.
    """
    networks = load_networks(asked.models, asked.size, device)
    paths = dataset.find_sample(asked.data, asked.limit)
    left_out: Counter[str] = Counter()

    def pictures() -> Iterator[tuple[int, ByteArray]]:
        for place, (_, rgb, reason) in enumerate(dataset.stream(paths, read, asked.size)):
            if rgb is None:
                left_out[reason] += 1
            else:
                yield place, dataset.centre_crop(rgb, asked.size)
            seen(place + 1, len(paths))

    rows, tiles = compare(networks, pictures(), len(paths), asked.precision)
    count = rows[TRUTH].measures.count
    if count < 2:
        raise (
            dataset.all_rejected_error(len(paths), left_out)
            if not count
            else NoInputError(f"{asked.data}: one picture is too few to evaluate on; give at least two")
        )
    if asked.sheet:
        figures.write_sheet(asked.sheet, tiles, captions(asked.models) if asked.compare else ())
    grey = scores(GREY, rows[GREY], rows[TRUTH])
    truth, *models = (scores(name, rows[name], rows[TRUTH], grey) for name in (TRUTH, *asked.models))
    return Evaluated(
        PROTOCOL, asked.data.name, asked.size, count, dict(left_out), asked.precision, grey, truth, tuple(models)
    )


ROADS = {
    "pretrain": "without adversarial training",
    "gan": "with adversarial training",
    "baseline": "pix2pix",
    "imported": "imported",
}


def captions(models: Sequence[str]) -> list[str]:
    """What stands above the rows of the sheet that compares models: their names and how they were trained."""
    cards = [weights.read_card(weights.find(model)) for model in models]
    roads = ["L1 fine-tuning" if c.stage == "pretrain" and c.history else ROADS.get(c.stage, c.stage) for c in cards]
    return ["grey", *(f"{card.name}: {road}" for card, road in zip(cards, roads, strict=True)), "true colours"]
