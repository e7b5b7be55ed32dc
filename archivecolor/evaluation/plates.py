"""How true the colours are that old plates are given: of a three-colour photograph each plate alone is an old
black-and-white one, and the three together are the truth (Prokudin-Gorskii, 1905 to 1915).

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
from archivecolor.evaluation.evaluate import PictureMeasures, coloured, load_networks
from archivecolor.evaluation.scoring import GREY, TRUTH
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray
from archivecolor.options import EvaluationOptions
from archivecolor.training import dataset, figures
from archivecolor.training.dataset import Batch

TRUE_LIGHTNESS = "true L*"
"""What stands for a plate that sees as the eye does."""
Read = Callable[[Path], ByteArray]


@dataclass(frozen=True)
class PlateScores:
    """How true a model's colours for one kind of plate are, beside no colour at all. Means over the pictures."""

    plate: str
    model: str
    pictures: int
    psnr_gain_db: float
    ciede2000_drop: float
    colour_ratio: float


@dataclass(frozen=True)
class Plate:
    """One plate and the picture that tells its colours."""

    truth: Path
    input: Path


def find(folder: Path) -> dict[str, list[Plate]]:
    """The plates of a folder by their kind, first the truths themselves.

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
        raise NoInputError(f"{folder}: holds no pairs of NAME__truth.EXT and NAME__input_PLATE.EXT")
    return kinds


def batch_of(plate: Plate, size: int, read: Read) -> Batch:
    """A plate as a batch of one: `l_net` is the plate's lightness, all else the truth's.

    Raises:
        PictureError: one of the two cannot be read.
        NoInputError: the two are not of one size.
    """
    rgb, seen = read(plate.truth), read(plate.input)
    if rgb.shape != seen.shape:
        raise NoInputError(f"{plate.input}: is not of the size of {plate.truth.name}")
    true, old = (dataset.to_batch([dataset.centre_crop(picture, size)], [None]) for picture in (rgb, seen))
    return Batch(old.l_true, true.l_true, true.ab_net, true.rgb)


class _PlateKind:
    """All plates of one kind, coloured by every model; and the rows of the sheet."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        self.networks = networks
        self.measures = {name: PictureMeasures() for name in (GREY, *networks, TRUTH)}
        self.plates: list[ByteArray] = []
        self.tiles: dict[str, list[ByteArray]] = {name: [] for name in self.measures}

    def colour(self, batch: Batch, precision: str) -> None:
        for name, rgb in coloured(self.networks, batch, precision).items():
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
    asked: EvaluationOptions,
    read: Read,
    device: torch.device,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> list[PlateScores]:
    """Colours every plate from its own lightness and compares the colours, on the true lightness, with the true ones.

    Args:
        asked: its `data` is the folder of plates; `limit` and `compare` have no part in it.
        read: gives the sRGB picture of a path; raises `PictureError` where it cannot.
        seen: called with how many plates are through, and of how many.

    Raises:
        NoInputError: see `find` and `batch_of`.
        PictureError: a plate cannot be read.
        UsageError, WeightsError: see `load_networks`.
    """
    kinds = find(asked.data)
    networks = load_networks(asked.models, asked.size, device)
    total, done = sum(len(plates) for plates in kinds.values()), 0
    scores: list[PlateScores] = []
    rows: list[list[ByteArray]] = []
    captions: list[str] = []
    for name, plates in kinds.items():
        kind = _PlateKind(networks)
        for plate in plates:
            kind.colour(batch_of(plate, asked.size, read), asked.precision)
            done += 1
            seen(done, total)
        scores += kind.scores(name)
        rows += [kind.plates, *(kind.tiles[model] for model in networks)]
        captions += [f"plate: {name}", *(f"{model}, from {name}" for model in networks)]
    if asked.sheet:
        truths = [figures.to_uint8(batch_of(plate, asked.size, read).rgb[0]) for plate in kinds[TRUE_LIGHTNESS]]
        figures.write_sheet(asked.sheet, [*rows, truths], [*captions, "true colours"])
    return scores


def as_rows(scores: Sequence[PlateScores]) -> list[list[str]]:
    """A table for people: the header, then a row for each kind of plate and model."""
    header = ["plate", "model", "pictures", "PSNR gain, dB", "CIEDE2000 drop", "colour ÷ truth"]
    return [header, *([str(value) for value in asdict(one).values()] for one in scores)]
