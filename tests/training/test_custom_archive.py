"""The story of somebody's own archive: a short fine-tuning on its colour photographs helps on those it has not seen.

Helped means less `validation_cost`, as in the early stopping of `train gan`: L1 ÷ the start's and the distance of the
colourfulness from the truth's, both on validation-out pictures that had no part in choosing the average that is kept.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support.needs import needs
from support.paths import SHARED
from typer.testing import CliRunner

from archivecolor import weights
from archivecolor.cli import app
from archivecolor.options import StageOptions
from archivecolor.training import dataset, figures, loop, photographs
from archivecolor.training.checkpoint import Average
from archivecolor.training.early_stopping import validation_cost

PHOTOS = SHARED / "photos"
SOURCE = "isomerpages/nparks-gardening"


def numbers(model: str | Path, validation: list[Path], side: int) -> dict[str, float]:
    """L1, PSNR gained over grey and colourfulness ÷ truth's of some weights on validation-out pictures."""
    network, _ = weights.load(weights.find(str(model)))
    stage = StageOptions("gan", "lite", Path(), validation_size=side)
    return loop.validate(network, Average(network, 0.0), dataset.load(validation, photographs.read_rgb, side), stage)


def fine_tune(root: Path, photos: list[Path], side: int, pictures: int, *words: str) -> Path:
    """`train gan --from lite` on a list of photographs, some of which it keeps for its own validation."""
    (root / "mine.txt").write_text("\n".join(map(str, photos)))
    arguments = (
        f"train gan --from lite --data {root}/mine.txt --out {root}/mine --sizes {side} --batch 16 --warmup 32 "
        f"--pictures {pictures} --validate-every {pictures // 3} --lr 2e-4 --l1-weight 100 --ema 0.9 --precision fp32"
    )
    result = CliRunner().invoke(app, [*arguments.split(), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return root / "mine"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(figures, "write_samples", lambda *args: None)


def one_palette(seed: int) -> np.ndarray:
    """A scene of hills in the colours of one archive: what is dark is deep blue, what is light is orange."""
    random = np.random.default_rng(seed)
    soft = cv2.resize(random.random((4, 5)), (96, 80), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(random.random((20, 24)), (96, 80), interpolation=cv2.INTER_LINEAR)
    light = (0.8 * soft + 0.2 * fine).clip(0, 1)[..., None]
    hue = cv2.resize(random.uniform(-0.04, 0.04, (2, 3, 3)), (96, 80), interpolation=cv2.INTER_LINEAR)
    deep, warm = np.array([0.05, 0.12, 0.35]), np.array([1.0, 0.72, 0.40])
    return np.rint(((1 - light) * deep + light * warm + hue).clip(0, 1) * 255).astype(np.uint8)


@needs("matplotlib")
@pytest.mark.long
def test_a_short_fine_tuning_learns_an_archive_s_palette(tmp_path: Path):
    paths = [tmp_path / f"{i:02}.png" for i in range(32)]
    for i, path in enumerate(paths):
        Image.fromarray(one_palette(i)).save(path)
    before = numbers("lite", paths[1::2], 64)
    after = numbers(fine_tune(tmp_path, paths[::2], 64, 192), paths[1::2], 64)
    assert after["val_l1"] < 0.8 * before["val_l1"]
    assert abs(1 - after["val_colour"]) < abs(1 - before["val_colour"])


@needs("matplotlib")
@pytest.mark.long
def test_photographs_of_one_source_help_on_those_of_it_that_are_held_out(tmp_path: Path):
    """A fraction of the story: 128 pictures at 128 px. `lite` has seen those that are train from (among 8,828), and
    never the validation-out ones."""
    if not (PHOTOS / "manifest.csv").exists():
        pytest.skip(f"needs the photographs of {PHOTOS.parent.name}/{PHOTOS.name} beside the checkout")
    with (PHOTOS / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source_repo"] == SOURCE]
    validation = [PHOTOS / row["file"] for row in rows if row["split"] != "train"]
    own = [PHOTOS / row["file"] for row in rows if row["split"] == "train"][:300]
    assert (len(own), len(validation)) == (300, 56)
    before = numbers("lite", validation, 128)
    # Chosen here, since what a training holds out by itself depends on where the photographs lie.
    (tmp_path / "val.txt").write_text("\n".join(map(str, own[::9])))
    train = [path for path in own if path not in own[::9]]
    words = ("--val", f"{tmp_path}/val.txt", "--psnr-weight", "2", "--colour-weight", "20", "--lr", "1e-4")
    after = numbers(fine_tune(tmp_path, train, 128, 128, *words), validation, 128)
    assert after["val_l1"] < 0.97 * before["val_l1"]
    assert after["val_psnr_gain"] > before["val_psnr_gain"] + 0.2
    assert after["val_colour"] > before["val_colour"] - 0.02
    assert validation_cost(after, before["val_l1"]) < validation_cost(before, before["val_l1"]) - 0.05
