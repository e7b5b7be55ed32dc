"""The numbers of an evaluation: what they are, and how they are printed, kept and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archivecolor import weights

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
    """Of the way from the grey pictures' share (0) to full agreement (1)."""
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
"""What each score is called in a table, and its digits."""


def numbers(one: Scores) -> dict[str, float | None]:
    """The scores rounded for a card or a table; None where a number is infinite or has no meaning."""
    values = {key: float(getattr(one, key)) for key in LABELS}
    return {key: round(value, LABELS[key][1]) if math.isfinite(value) else None for key, value in values.items()}


def write_cards(result: Evaluated, models: Sequence[str]) -> None:
    """Puts the numbers into the card of each model, with the protocol they were measured by."""
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


def difference(result: Evaluated) -> dict[str, float | None]:
    """How the second model's scores, rounded, differ from the first's."""
    one, other = (numbers(model) for model in result.models[:2])

    def minus(key: str) -> float | None:
        a, b = one[key], other[key]
        return None if a is None or b is None else round(b - a, LABELS[key][1])

    return {key: minus(key) for key in LABELS}


def as_json(result: Evaluated, compared: bool = False) -> str:
    """Everything, the scores rounded, as a JSON object; `models` in the order of the sheet's rows."""
    whole: dict[str, Any] = {key: value for key, value in asdict(result).items() if key not in (GREY, TRUTH, "models")}
    whole |= {GREY: numbers(result.grey), TRUTH: numbers(result.truth)}
    whole["models"] = {one.name: numbers(one) for one in result.models}
    if compared:
        whole["difference"] = difference(result)
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def as_rows(result: Evaluated, compared: bool = False) -> list[list[str]]:
    """A table for people: the header, then a row per score; columns for grey, the models, truth, and for two that are
    compared, what the second gains over the first."""
    columns = {one.name: numbers(one) for one in (result.grey, *result.models, result.truth)}

    def cell(value: float | None, digits: int, sign: str = "") -> str:
        return "–" if value is None else f"{value:{sign}.{digits}f}"

    rows = [["", *columns]] + [
        [label, *(cell(column[key], digits) for column in columns.values())] for key, (label, digits) in LABELS.items()
    ]
    if compared:
        gains = difference(result)
        last = ["second - first", *(cell(gains[key], digits, "+") for key, (_, digits) in LABELS.items())]
        rows = [[*row, more] for row, more in zip(rows, last, strict=True)]
    return rows
