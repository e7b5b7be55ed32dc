"""Measures colorizers against the truth: colour pictures are made grey, coloured again, and compared.

Every number is shown beside that of the grey picture, which any colorizer must beat.
"""

from __future__ import annotations

import itertools
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
from archivecolor.evaluation.scoring import GREY, TRUTH, Evaluated, PictureScores, Scores
from archivecolor.imaging import lab, metrics
from archivecolor.imaging.arrays import ByteArray, FloatArray
from archivecolor.networks import STRIDES
from archivecolor.networks.encoders import Lite0Classifier, imagenet_lite0
from archivecolor.options import EvaluationOptions
from archivecolor.training import checkpoint, copies, dataset, figures, split
from archivecolor.training.dataset import Batch
from archivecolor.training.encoder_weights import lite0_checkpoint
from archivecolor.training.validation import predict

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
    def pictures(self) -> Sequence[Means]:
        """The measures of each picture, in order."""
        return self._pictures

    @property
    def count(self) -> int:
        """Pictures compared so far."""
        return len(self._pictures)

    def means(self) -> Means:
        return Means._make(float(np.mean(values)) for values in zip(*self._pictures, strict=True))


class ModelMeasures:
    """The measures of one colorizer's pictures, batch by batch."""

    def __init__(self) -> None:
        self.measures = PictureMeasures()
        self.classes: list[NDArray[np.int64]] = []
        self.features = metrics.Gaussian()

    def add(self, rgb: Tensor, truth: Tensor, lite0: Lite0Classifier) -> None:
        """Compares pictures (N, 3, H, W) in [0, 1] with the true ones."""
        self.measures.add(rgb, truth)
        features, classes = classify(lite0, rgb)
        self.features.add(features)
        self.classes.append(classes)


@torch.inference_mode()
def classify(lite0: Lite0Classifier, rgb: Tensor) -> tuple[FloatArray, NDArray[np.int64]]:
    """sRGB (N, 3, H, W) in [0, 1] -> the pooled features (N, 1280) and the likeliest classes (N,)."""
    small = F.interpolate(rgb, size=(CLASSIFIER_SIZE,) * 2, mode="bilinear", antialias=True).clamp(0, 1)
    features = lite0.features(small * 2 - 1)
    return features.numpy(), lite0.classifier(features).argmax(dim=1).numpy()


def compute_scores(name: str, rows: ModelMeasures, truth: ModelMeasures, grey: Scores | None = None) -> Scores:
    """The scores of one colorizer. Without `grey`, the scores of the grey pictures themselves."""
    means, true_means = rows.measures.means(), truth.measures.means()
    agreement = float(np.mean(np.concatenate(rows.classes) == np.concatenate(truth.classes)))
    frechet = metrics.frechet_distance(rows.features, truth.features)
    grey_agreement = grey.agreement if grey else agreement
    return Scores(
        name=name,
        psnr_db=means.psnr_db,
        psnr_gain_db=means.psnr_db - (grey.psnr_db if grey else means.psnr_db),
        ciede2000=means.ciede2000,
        ciede2000_drop=(grey.ciede2000 if grey else means.ciede2000) - means.ciede2000,
        colourfulness=means.colourfulness,
        colour_ratio=metrics.ratio(means.colourfulness, true_means.colourfulness),
        agreement=agreement,
        agreement_way=metrics.ratio(agreement - grey_agreement, 1 - grey_agreement),
        frechet=frechet,
        frechet_ratio=metrics.ratio(frechet, grey.frechet if grey else frechet),
        fine_ratio=metrics.ratio(means.fine, true_means.fine),
        wild=means.wild,
    )


def colorize_batch(networks: dict[str, nn.Module], batch: Batch, precision: str) -> dict[str, Tensor]:
    """The pictures of a batch as sRGB (N, 3, H, W): grey, by each network, true; all with the true L*."""
    predictions = {GREY: torch.zeros_like(batch.ab_net)}
    predictions |= {name: predict(network, batch.l_net, precision) for name, network in networks.items()}
    return {**{name: batch.colorized(ab_net) for name, ab_net in predictions.items()}, TRUTH: batch.rgb}


class SheetTiles:
    """The pictures of the sheet, by colorizer: those at evenly spaced places of the source, or the next ones after
    them."""

    def __init__(self, names: Sequence[str], places: int) -> None:
        self.rows: dict[str, list[ByteArray]] = {name: [] for name in names}
        self.wanted = deque(dataset.evenly_spaced(places, SHEET_PICTURES))

    def add(self, places: Sequence[int], pictures: dict[str, Tensor]) -> None:
        """Keeps the pictures of a batch (N, 3, H, W) that belong on the sheet; they are at these N places of the
        source."""
        for i, place in enumerate(places):
            if self.wanted and place >= self.wanted[0]:
                self.wanted.popleft()
                for name, rgb in pictures.items():
                    self.rows[name].append(figures.to_uint8(rgb[i]))


def compare(
    networks: dict[str, nn.Module], pictures: Iterable[tuple[int, ByteArray]], places: int, precision: str
) -> tuple[dict[str, ModelMeasures], list[list[ByteArray]]]:
    """Colorizes all pictures. Returns the measures of each colorizer, and the rows of the sheet.

    Args:
        pictures: squares of one size, uint8 (H, W, 3), each with its place in the source.
        places: how many places the source has.
    """
    lite0 = imagenet_lite0(lite0_checkpoint())
    rows = {name: ModelMeasures() for name in (GREY, *networks, TRUTH)}
    tiles = SheetTiles(list(rows), places)
    source = iter(pictures)
    while some := list(itertools.islice(source, BATCH)):
        batch = dataset.to_batch([crop for _, crop in some], [None] * len(some))
        colorized = colorize_batch(networks, batch, precision)
        for name, rgb in colorized.items():
            rows[name].add(rgb, batch.rgb, lite0)
        tiles.add([place for place, _ in some], colorized)
    return rows, list(tiles.rows.values())


def load_networks(models: Sequence[str], size: int, device: torch.device) -> dict[str, nn.Module]:
    """The networks of these models, by name.

    Raises:
        WeightsError: one is missing or damaged.
        UsageError: one does not take pictures of this size, or two are the same.
    """
    networks: dict[str, nn.Module] = {}
    folders = [weights.find(model).resolve() for model in models]
    if len(set(folders)) < len(folders):
        raise UsageError(f"--model: two of {', '.join(models)} are the same weights; name others")
    for model in models:
        network, card = weights.load(weights.find(model))
        stride = STRIDES[card.network]
        if size % stride:
            raise UsageError(f"--size {size}: {model} needs a multiple of {stride}")
        networks[model] = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def evaluate(
    options: EvaluationOptions,
    read: dataset.ReadRgb,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluated:
    """Measures all models on one set of photographs; grey and truth are measured once.

    Args:
        read: gives the sRGB picture of a path; raises `PictureError` if it cannot be read.
        on_progress: called with the number of pictures done, and of how many.

    Pictures are read when they are needed, so memory hardly depends on their number: about 100 bytes for each picture,
    and 30 MB for each model's features.

    Raises:
        NoInputError: fewer than two pictures can be used.
        UsageError, WeightsError: see `load_networks`.
    """
    networks = load_networks(options.models, options.size, device)
    paths = sample_paths(options)
    left_out: Counter[str] = Counter()
    enlarged: list[str] = []
    names: list[str] = []
    fingerprints: list[str] = []

    def pictures() -> Iterator[tuple[int, ByteArray]]:
        for place, (path, rgb, reason) in enumerate(dataset.stream(paths, read, options.size)):
            if rgb is None:
                left_out[reason] += 1
            else:
                names.append(dataset.relative_name(path, options.data))
                fingerprints.append(copies.fingerprint(rgb))
                if min(rgb.shape[:2]) < options.size:
                    enlarged.append(names[-1])
                yield place, dataset.centre_crop(rgb, options.size)
            on_progress(place + 1, len(paths))

    rows, tiles = compare(networks, pictures(), len(paths), options.precision)
    count = rows[TRUTH].measures.count
    if count < 2:
        raise (
            dataset.all_rejected_error(len(paths), left_out)
            if not count
            else NoInputError(f"{options.data}: one picture is too few to evaluate on; give at least two")
        )
    if options.sheet:
        figures.write_sheet(options.sheet, tiles, captions(options.models) if options.compare else ())
    grey = compute_scores(GREY, rows[GREY], rows[TRUTH])
    truth, *models = (compute_scores(name, rows[name], rows[TRUTH], grey) for name in (TRUTH, *options.models))
    return Evaluated(
        PROTOCOL,
        options.data.name,
        options.size,
        count,
        dict(left_out),
        options.precision,
        grey,
        truth,
        tuple(models),
        learnt_pictures(options.models, names, fingerprints),
        tuple(itertools.chain.from_iterable(picture_scores(model, names, rows) for model in options.models)),
        len(enlarged),
    )


def sample_paths(options: EvaluationOptions) -> list[Path]:
    """The photographs to measure on.

    Raises:
        NoInputError: there are none.
        UsageError: `options.held` has no record of held-out photographs.
    """
    if options.held is None:
        return dataset.find_sample(options.data, options.limit)
    held = set(split.read(options.held).val.pictures)
    paths = [path for path in dataset.find(options.data) if dataset.relative_name(path, options.data) in held]
    if not paths:
        raise NoInputError(
            f"--held {options.held}: none of its {len(held)} held-out photographs are in {options.data}; give --data "
            "as in the training"
        )
    return dataset.sample(paths, options.limit)


def learnt_pictures(models: Sequence[str], names: Sequence[str], fingerprints: Sequence[str]) -> dict[str, int]:
    """How many of the pictures each model was trained on, by their names and by their content; models without any are
    left out.

    Raises:
        WeightsError: the record of a training is damaged.
    """
    counts = {}
    for model in models:
        folder = weights.find(model)
        if (folder / dataset.SPLIT).exists():
            trained = split.read(folder).train
            known = set(trained.pictures)
            with checkpoint.damaged_file(folder / dataset.SPLIT):
                same = copies.with_copies_in(fingerprints, trained.fingerprints)
            # A name says nothing against other content.
            by_name = [not trained.fingerprints and name in known for name in names]
            counts[model] = sum(a or b for a, b in zip(by_name, same, strict=True))
    return {model: count for model, count in counts.items() if count}


def picture_scores(model: str, names: Sequence[str], rows: dict[str, ModelMeasures]) -> Iterator[PictureScores]:
    """The measures of every picture, as one model colorized it."""
    pairs = zip(names, rows[model].measures.pictures, rows[GREY].measures.pictures, strict=True)
    for name, means, grey in pairs:
        yield PictureScores(
            picture=name,
            model=model,
            psnr_gain_db=means.psnr_db - grey.psnr_db,
            ciede2000_drop=grey.ciede2000 - means.ciede2000,
            **means._asdict(),
        )


STAGE_CAPTIONS = {
    "pretrain": "without adversarial training",
    "gan": "with adversarial training",
    "baseline": "pix2pix",
    "imported": "imported",
}


def captions(models: Sequence[str]) -> list[str]:
    """The captions of the sheet that compares models: their names and how they were trained."""
    cards = [weights.read_card(weights.find(model)) for model in models]
    stages = [
        "L1 fine-tuning" if c.stage == "pretrain" and c.history else STAGE_CAPTIONS.get(c.stage, c.stage) for c in cards
    ]
    return ["grey", *(f"{card.name}: {stage}" for card, stage in zip(cards, stages, strict=True)), "true colours"]
