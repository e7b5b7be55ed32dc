"""The scores of an evaluation, and how they are printed, compared, and written to the cards."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from archivecolor import files, weights
from archivecolor.imaging.metrics import PairedDifference

GREY, TRUTH = "grey", "truth"


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
    """On a scale where the grey pictures' share is 0 and full agreement is 1."""
    frechet: float
    """Fréchet distance (Lite0) to the true pictures."""
    frechet_ratio: float
    """÷ the grey pictures' distance."""
    fine_ratio: float
    """Fine chroma contrast ÷ the truth's."""
    wild: float
    """Share of the pixels that are strongly coloured and far from the truth."""


@dataclass(frozen=True)
class Evaluated:
    """The scores of grey, truth and all models, and how they were measured."""

    protocol: str
    data: str
    size: int
    pictures: int
    left_out: dict[str, int]
    precision: str
    grey: Scores
    truth: Scores
    models: tuple[Scores, ...]
    learnt: dict[str, int] = field(default_factory=dict)
    """How many of the pictures each model was trained on, by name or content; models without any are left out."""
    per_picture: tuple[PictureScores, ...] = ()
    enlarged: int = 0
    """Pictures smaller than `size`."""

    def values(self, model: str, measure: str) -> list[float]:
        """One measure of every picture, in order: `psnr_db`, `ciede2000`, ..."""
        return [getattr(row, measure) for row in self.per_picture if row.model == model]


@dataclass(frozen=True)
class PictureScores:
    """The measures of one picture, as one model colorized it."""

    picture: str
    model: str
    psnr_db: float
    psnr_gain_db: float
    ciede2000: float
    ciede2000_drop: float
    colourfulness: float
    fine: float
    """Fine chroma contrast, Lab units."""
    wild: float
    """Share of wild pixels."""


LABELS = {
    "psnr_db": ("PSNR, dB", 2),
    "psnr_gain_db": ("  gain over grey", 2),
    "ciede2000": ("CIEDE2000", 2),
    "ciede2000_drop": ("  drop below grey", 2),
    "colourfulness": ("colourfulness", 1),
    "colour_ratio": ("  ÷ truth", 3),
    "agreement": ("agreement (Lite0)", 3),
    "agreement_way": ("  way from grey to 1", 3),
    "frechet": ("Fréchet distance (Lite0)", 2),
    "frechet_ratio": ("  ÷ grey", 3),
    "fine_ratio": ("fine chroma contrast ÷ truth", 3),
    "wild": ("wild pixels, share", 4),
}
"""The name of each score in a table, and its number of digits."""


def numbers(one: Scores) -> dict[str, float | None]:
    """The scores rounded for a card or a table; None where a number is infinite or has no meaning."""
    values = {key: float(getattr(one, key)) for key in LABELS}
    return {key: round(value, LABELS[key][1]) if math.isfinite(value) else None for key, value in values.items()}


def write_cards(result: Evaluated, models: Sequence[str]) -> None:
    """Writes the scores to the card of each model, with the protocol."""
    about = {
        "data": Path(result.data).name,
        "pictures": result.pictures,
        "left_out": result.left_out,
        "size": result.size,
        "precision": result.precision,
        "protocol": result.protocol,
    }
    for model, one in zip(models, result.models, strict=True):
        weights.note(model, "test", {**about, **numbers(one)})


def differences(result: Evaluated) -> dict[str, float | None]:
    """The second model's scores minus the first's, rounded."""
    one, other = (numbers(model) for model in result.models[:2])

    def minus(key: str) -> float | None:
        a, b = one[key], other[key]
        return None if a is None or b is None else round(b - a, LABELS[key][1])

    return {key: minus(key) for key in LABELS}


FEW_PICTURES = 50
"""With fewer pictures, Fréchet distance and agreement say little."""


def paired(result: Evaluated) -> dict[str, PairedDifference]:
    """How the second model differs from the first, picture by picture."""
    first, second = (model.name for model in result.models[:2])
    return {
        measure: PairedDifference.of(result.values(first, measure), result.values(second, measure))
        for measure in ("psnr_db", "ciede2000")
    }


def remarks(result: Evaluated) -> list[str]:
    """What a reader of the table should know: comparisons that may be chance, pictures that a model was trained on."""
    lines = []
    if len(result.models) == 2:
        for measure, pair in paired(result).items():
            better = pair.increased if measure == "psnr_db" else pair.pictures - pair.increased
            lines.append(
                f"{LABELS[measure][0]}, second - first, picture by picture: {pair.mean:+.2f} ± {pair.error:.2f} "
                f"(standard error), better on {better} of {pair.pictures}"
                + (": may be chance" if pair.may_be_chance else "")
            )
    for model, count in result.learnt.items():
        lines.append(f"{model} was trained on {count} of these pictures: its numbers look too good")
    if result.enlarged:
        lines.append(
            f"{result.enlarged} of {result.pictures} pictures are smaller than {result.size} px and were enlarged: "
            "their numbers are those of blurred pictures; lower --size"
        )
    if result.pictures < FEW_PICTURES:
        lines.append(f"{result.pictures} pictures are few: small differences are chance")
    return lines


def write_csv(result: Evaluated, path: Path) -> None:
    """Writes the measures of every picture and model, one row each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(PictureScores)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in result.per_picture)


def as_json(result: Evaluated, compared: bool = False) -> str:
    """Everything as a JSON object, with rounded scores; `models` in the order of the sheet's rows."""
    whole: dict[str, Any] = {
        key: value for key, value in asdict(result).items() if key not in (GREY, TRUTH, "models", "per_picture")
    }
    whole |= {GREY: numbers(result.grey), TRUTH: numbers(result.truth)}
    whole["models"] = {one.name: numbers(one) for one in result.models}
    if compared:
        whole["difference"] = differences(result)
        whole["paired"] = {measure: asdict(pair) for measure, pair in paired(result).items()}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def as_rows(result: Evaluated, compared: bool = False) -> list[list[str]]:
    """A table: the header, then a row per score. The columns are grey, the models, the truth and, if two models are
    compared, their difference."""
    columns = {one.name: numbers(one) for one in (result.grey, *result.models, result.truth)}

    def cell(value: float | None, digits: int, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}.{digits}f}"

    rows = [["", *columns]] + [
        [label, *(cell(column[key], digits) for column in columns.values())] for key, (label, digits) in LABELS.items()
    ]
    if compared:
        gains = differences(result)
        last = ["second - first", *(cell(gains[key], digits, "+") for key, (_, digits) in LABELS.items())]
        rows = [[*row, more] for row, more in zip(rows, last, strict=True)]
    return rows
