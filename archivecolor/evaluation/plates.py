"""Measures the colours of old plates. Each plate of a three-colour photograph is an old black-and-white photograph;
the three together are the true colours (Prokudin-Gorskii, 1905 to 1915).

A folder holds `NAME__truth.EXT` and beside it `NAME__input_PLATE.EXT`, aligned and of one size, for any words PLATE.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from archivecolor.errors import NoInputError
from archivecolor.evaluation.evaluate import PictureMeasures, colorize_batch, load_networks
from archivecolor.evaluation.scoring import GREY, TRUTH
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray
from archivecolor.options import EvaluationOptions
from archivecolor.training import dataset, figures
from archivecolor.training.dataset import Batch

TRUE_LIGHTNESS = "true L*"
"""Stands for a plate that is as sensitive to colours as the eye."""
Read = dataset.ReadRgb


@dataclass(frozen=True)
class PlateScores:
    """How much truer a model's colours are than grey, for one kind of plate. Means over the pictures."""

    plate: str
    model: str
    pictures: int
    psnr_gain_db: float
    ciede2000_drop: float
    colour_ratio: float


@dataclass(frozen=True)
class Plate:
    """One plate and the picture with its true colours."""

    truth: Path
    input: Path


def find(folder: Path) -> dict[str, list[Plate]]:
    """The plates of a folder by their kind, beginning with the true pictures themselves.

    Raises:
        NoInputError: there are none.
    """
    truths = sorted(folder.glob("*__truth.*"))
    kinds = {TRUE_LIGHTNESS: [Plate(path, path) for path in truths]}
    for truth in truths:
        name = truth.name.split("__truth.")[0]
        for path in sorted(folder.glob(f"{glob.escape(name)}__input_*.*")):
            kinds.setdefault(path.stem.split("__input_")[1], []).append(Plate(truth, path))
    if len(kinds) == 1:
        raise NoInputError(f"{folder}: contains no pairs of NAME__truth.EXT and NAME__input_PLATE.EXT")
    return kinds


def plate_batch(plate: Plate, size: int, read: Read) -> Batch:
    """A plate as a batch of one: `l_net` is the plate's lightness, the rest is that of the true picture.

    Raises:
        PictureError: one of the two cannot be read.
        NoInputError: the two differ in size.
    """
    rgb, plate_rgb = read(plate.truth), read(plate.input)
    if rgb.shape != plate_rgb.shape:
        raise NoInputError(f"{plate.input}: is not of the size of {plate.truth.name}")
    true, aged = (dataset.to_batch([dataset.centre_crop(picture, size)], [None]) for picture in (rgb, plate_rgb))
    return Batch(aged.l_true, true.l_true, true.ab_net, true.rgb)


class _PlateKind:
    """All plates of one kind, colorized by every model, and the rows of the sheet."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        self.networks = networks
        self.measures = {name: PictureMeasures() for name in (GREY, *networks, TRUTH)}
        self.plates: list[ByteArray] = []
        self.tiles: dict[str, list[ByteArray]] = {name: [] for name in self.measures}

    def add(self, batch: Batch, precision: str) -> None:
        for name, rgb in colorize_batch(self.networks, batch, precision).items():
            self.measures[name].add(rgb, batch.rgb)
            self.tiles[name].append(figures.to_uint8(rgb[0]))
        grey = lab.srgb_from_lab(lab.lab_from_net(batch.l_net, torch.zeros_like(batch.ab_net)))
        self.plates.append(figures.to_uint8(grey[0]))

    def scores(self, plate: str) -> Iterator[PlateScores]:
        grey, truth = (self.measures[name].means() for name in (GREY, TRUTH))
        for name in self.networks:
            means = self.measures[name].means()
            yield PlateScores(
                plate,
                name,
                len(self.plates),
                round(means.psnr_db - grey.psnr_db, 2),
                round(grey.ciede2000 - means.ciede2000, 2),
                round(means.colourfulness / truth.colourfulness, 3),
            )


def evaluate(
    options: EvaluationOptions,
    read: Read,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PlateScores]:
    """Colours every plate from its own lightness and compares the colours, on the true lightness, with the true ones.

    Args:
        options: its `data` is the folder of plates; `limit` and `compare` have no part in it.
        read: gives the sRGB picture of a path; raises `PictureError` if it cannot be read.
        on_progress: called with the number of plates done, and of how many.

    Raises:
        NoInputError: see `find` and `plate_batch`.
        PictureError: a plate cannot be read.
        UsageError, WeightsError: see `load_networks`.
    """
    kinds = find(options.data)
    networks = load_networks(options.models, options.size, device)
    total, done = sum(len(plates) for plates in kinds.values()), 0
    scores: list[PlateScores] = []
    rows: list[list[ByteArray]] = []
    captions: list[str] = []
    for name, plates in kinds.items():
        kind = _PlateKind(networks)
        for plate in plates:
            kind.add(plate_batch(plate, options.size, read), options.precision)
            done += 1
            on_progress(done, total)
        scores += kind.scores(name)
        rows += [kind.plates, *(kind.tiles[model] for model in networks)]
        captions += [f"plate: {name}", *(f"{model}, from {name}" for model in networks)]
    if options.sheet:
        truths = [figures.to_uint8(plate_batch(plate, options.size, read).rgb[0]) for plate in kinds[TRUE_LIGHTNESS]]
        figures.write_sheet(options.sheet, [*rows, truths], [*captions, "true colours"])
    return scores


def as_rows(scores: Sequence[PlateScores]) -> list[list[str]]:
    """A table: the header, then a row for each kind of plate and model."""
    header = ["plate", "model", "pictures", "PSNR gain, dB", "CIEDE2000 drop", "colour ÷ truth"]
    return [header, *([str(value) for value in asdict(one).values()] for one in scores)]
