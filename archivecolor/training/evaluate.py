"""Measures colorizers against the truth: colour pictures are made grey, coloured again, and compared.

Every number stands beside the same number of the grey picture: an answer without any colour is the floor to rise from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor import files, lab, metrics, weights
from archivecolor.errors import NoInputError, UsageError
from archivecolor.networks import STRIDES
from archivecolor.networks.encoders import Lite0Classifier, imagenet_lite0
from archivecolor.options import Evaluation
from archivecolor.training import dataset, sheets
from archivecolor.training.dataset import Batch, PhotoSet, validation_batch
from archivecolor.training.loop import predict
from archivecolor.training.pretrain import lite0_checkpoint

GREY, TRUTH = "grey", "truth"
BATCH = 12
CLASSIFIER_SIZE = 224
"""EfficientNet-Lite0's own resolution."""
SHEET_PICTURES = 12
PROTOCOL = (
    "Centre crops of colour photographs, made grey by their true L* (D65), coloured at the crop's size and merged with "
    "that L* (gamut fitted at constant luminance), compared in sRGB without rounding to 8 bits. Means over pictures of "
    "PSNR, CIEDE2000 (mean over pixels) and colourfulness (Hasler and Süsstrunk 2003; the ratio is one of means). "
    "Agreement: share of pictures that EfficientNet-Lite0 (ImageNet, 224 px) classifies as it does the true colours "
    "(after Zhang et al. 2016). Fréchet distance (Lite0): on its 1,280 pooled features; not comparable with FID, nor "
    "across different numbers of pictures."
)


@dataclass(frozen=True)
class Scores:
    """How the pictures of one colorizer compare with the truth. NaN where a ratio has no meaning."""

    name: str
    psnr_db: float
    psnr_gain_db: float
    """Over the grey pictures."""
    ciede2000: float
    ciede2000_drop: float
    """Below the grey pictures' difference."""
    colourfulness: float
    colour_ratio: float
    """Colourfulness ÷ the truth's."""
    agreement: float
    """Share of pictures classified as their true colours are."""
    agreement_way: float
    """Of the way from the grey pictures' share (0) to full agreement (1)."""
    frechet: float
    """Fréchet distance (Lite0) to the true pictures."""
    frechet_ratio: float
    """÷ the grey pictures' distance."""


@dataclass(frozen=True)
class Evaluated:
    """The scores of grey, truth and all models, and how they came about."""

    protocol: str
    data: str
    size: int
    pictures: int
    left_out: dict[str, int]
    precision: str
    grey: Scores
    truth: Scores
    models: tuple[Scores, ...]


class _Rows:
    """What is noted of one colorizer's pictures, batch by batch."""

    def __init__(self) -> None:
        self.psnr: list[float] = []
        self.ciede: list[float] = []
        self.colour: list[float] = []
        self.classes: list[NDArray[np.int64]] = []
        self.features: list[NDArray[np.float32]] = []

    def note(self, rgb: Tensor, truth: Tensor, lite0: Lite0Classifier) -> None:
        """Compares pictures (N, 3, H, W) in [0, 1] with the true ones."""
        pairs = zip(rgb.numpy(), truth.numpy(), strict=True)
        self.psnr += [metrics.psnr(one, other) for one, other in pairs]
        self.ciede += metrics.ciede2000_from_lab(
            lab.lab_from_srgb(rgb).numpy(), lab.lab_from_srgb(truth).numpy()
        ).tolist()
        self.colour += [metrics.colourfulness(one) for one in rgb.permute(0, 2, 3, 1).numpy()]
        features, classes = judgement(lite0, rgb)
        self.features.append(features)
        self.classes.append(classes)


@torch.inference_mode()
def judgement(lite0: Lite0Classifier, rgb: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """sRGB (N, 3, H, W) in [0, 1] -> the pooled features (N, 1280) and the likeliest classes (N,)."""
    small = F.interpolate(rgb, size=(CLASSIFIER_SIZE,) * 2, mode="bilinear", antialias=True).clamp(0, 1)
    features = lite0.features(small * 2 - 1)
    return features.numpy(), lite0.classifier(features).argmax(dim=1).numpy()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def scores(name: str, rows: _Rows, truth: _Rows, grey: Scores | None = None) -> Scores:
    """The means of one colorizer beside those of the grey pictures; without `grey`, these are the grey pictures."""
    psnr, ciede, colour = (float(np.mean(values)) for values in (rows.psnr, rows.ciede, rows.colour))
    agreement = float(np.mean(np.concatenate(rows.classes) == np.concatenate(truth.classes)))
    frechet = metrics.frechet_distance(np.concatenate(rows.features), np.concatenate(truth.features))
    floor = grey.agreement if grey else agreement
    return Scores(
        name=name,
        psnr_db=psnr, psnr_gain_db=psnr - (grey.psnr_db if grey else psnr),
        ciede2000=ciede, ciede2000_drop=(grey.ciede2000 if grey else ciede) - ciede,
        colourfulness=colour, colour_ratio=_ratio(colour, float(np.mean(truth.colour))),
        agreement=agreement, agreement_way=_ratio(agreement - floor, 1 - floor),
        frechet=frechet, frechet_ratio=_ratio(frechet, grey.frechet if grey else frechet),
    )  # fmt: skip


def coloured(networks: dict[str, nn.Module], batch: Batch, precision: str) -> dict[str, Tensor]:
    """The pictures of a batch as sRGB (N, 3, H, W): grey, by each network, true."""
    none = torch.zeros_like(batch.ab_net)
    answers = {GREY: none, **{name: predict(network, batch.l_net, precision) for name, network in networks.items()}}
    merged = {name: lab.srgb_from_lab(lab.lab_from_net(batch.l_net, ab_net)) for name, ab_net in answers.items()}
    return {**merged, TRUTH: batch.rgb}


def compare(
    networks: dict[str, nn.Module], photos: PhotoSet, size: int, precision: str, seen: Callable[[int], None]
) -> tuple[dict[str, _Rows], list[list[NDArray[np.uint8]]]]:
    """Colours all photographs; what was noted of each colorizer, and the rows of the sheet."""
    lite0 = imagenet_lite0(lite0_checkpoint())
    rows = {name: _Rows() for name in (GREY, *networks, TRUTH)}
    tiles: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in rows}
    shown = set(dataset.spread(len(photos), SHEET_PICTURES))
    for start in range(0, len(photos), BATCH):
        batch = validation_batch(photos, start, BATCH, size)
        pictures = coloured(networks, batch, precision)
        for name, rgb in pictures.items():
            rows[name].note(rgb, batch.rgb, lite0)
            tiles[name] += [sheets.to_bytes(rgb[i - start]) for i in range(start, start + len(rgb)) if i in shown]
        seen(start + len(batch.rgb))
    return rows, list(tiles.values())


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
    asked: Evaluation, read: Callable[[Path], dataset.Bytes], device: torch.device,
    seen: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Evaluated:  # fmt: skip
    """Measures all models on one set of photographs; grey and truth are measured once.

    Args:
        read: gives the sRGB picture of a path; raises `PictureError` where it cannot.
        seen: called with what is being done, how many pictures are through, and of how many.

    Raises:
        NoInputError: fewer than two pictures can be used. About 0.3 MB of memory per picture is taken at 256 px.
        UsageError, WeightsError: see `load_networks`.
    """
    networks = load_networks(asked.models, asked.size, device)
    paths = dataset.find(asked.data)
    paths = [paths[i] for i in dataset.spread(len(paths), asked.limit or len(paths))]
    photos = dataset.load(paths, read, asked.size, asked.data, lambda n: seen("reading", n, len(paths)))
    if len(photos) < 2:
        raise NoInputError(f"{asked.data}: one picture is too few to evaluate on; give at least two")
    rows, tiles = compare(networks, photos, asked.size, asked.precision, lambda n: seen("colouring", n, len(photos)))
    if asked.sheet:
        save_sheet(asked.sheet, tiles)
    grey = scores(GREY, rows[GREY], rows[TRUTH])
    truth, *models = (scores(name, rows[name], rows[TRUTH], grey) for name in (TRUTH, *asked.models))
    return Evaluated(
        PROTOCOL, asked.data.name, asked.size, len(photos), photos.left_out, asked.precision, grey, truth, tuple(models)
    )


def save_sheet(path: Path, tiles: list[list[NDArray[np.uint8]]]) -> None:
    """Writes the mosaic: a row each for grey, every model, truth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.written_whole(path) as part:
        Image.fromarray(sheets.mosaic(tiles)).save(part, format="png")


LABELS = {
    "psnr_db": ("PSNR, dB", 2), "psnr_gain_db": ("  gain over grey", 2),
    "ciede2000": ("CIEDE2000", 2), "ciede2000_drop": ("  drop below grey", 2),
    "colourfulness": ("colourfulness", 1), "colour_ratio": ("  ÷ truth", 3),
    "agreement": ("agreement (Lite0)", 3), "agreement_way": ("  way from grey to 1", 3),
    "frechet": ("Fréchet distance (Lite0)", 2), "frechet_ratio": ("  ÷ grey", 3),
}  # fmt: skip
"""What each score is called in a table, and its digits."""


def numbers(one: Scores) -> dict[str, float | None]:
    """The scores rounded for a card or a table; None where a number is infinite or has no meaning."""
    values = {key: float(getattr(one, key)) for key in LABELS}
    return {key: round(value, LABELS[key][1]) if math.isfinite(value) else None for key, value in values.items()}


def write_cards(result: Evaluated, models: Sequence[str]) -> None:
    """Puts the numbers into the card of each model, with the protocol they were measured by."""
    for model, one in zip(models, result.models, strict=True):
        folder = weights.find(model)
        card = weights.read_card(folder)
        test = {
            "data": Path(result.data).name,
            "pictures": result.pictures,
            "protocol": result.protocol,
            **numbers(one),
        }
        weights.write_card(folder, replace(card, numbers={**card.numbers, "test": test}))


def as_json(result: Evaluated) -> str:
    """Everything, the scores rounded, as a JSON object; `models` in the order of the sheet's rows."""
    whole: dict[str, Any] = {key: value for key, value in asdict(result).items() if key not in (GREY, TRUTH, "models")}
    whole |= {GREY: numbers(result.grey), TRUTH: numbers(result.truth)}
    whole["models"] = {one.name: numbers(one) for one in result.models}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def as_rows(result: Evaluated) -> list[list[str]]:
    """A table for people: the header, then a row per score; columns for grey, the models, truth."""
    columns = (result.grey, *result.models, result.truth)
    rounded = [numbers(one) for one in columns]

    def cell(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return [["", *(one.name for one in columns)]] + [
        [label, *(cell(column[key], digits) for column in rounded)] for key, (label, digits) in LABELS.items()
    ]
