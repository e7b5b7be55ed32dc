"""Plates that saw one colour, coloured and judged on the true lightness."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.doubles import ConstantInk
from support.tiny_training import colour_picture
from typer.testing import CliRunner

from archivecolor.cli import app
from archivecolor.errors import NoInputError
from archivecolor.evaluation import evaluate, plates
from archivecolor.imaging import lab
from archivecolor.training import dataset, figures
from archivecolor.training.photographs import read_rgb

# Plates


def save_plates(folder: Path) -> None:
    """Two colour pictures, each with the plate that saw its blue."""
    for i in range(2):
        rgb = colour_picture(i, 80, 70)
        Image.fromarray(rgb).save(folder / f"p{i}__truth.png")
        Image.fromarray(rgb[..., 2]).save(folder / f"p{i}__input_blue.png")


def test_a_plate_is_coloured_from_what_it_saw_and_judged_on_the_true_lightness(tmp_path: Path):
    save_plates(tmp_path)
    kinds = plates.find(tmp_path)
    assert {name: len(found) for name, found in kinds.items()} == {plates.TRUE_LIGHTNESS: 2, "blue": 2}
    batch = plates.plate_batch(kinds["blue"][0], 64, read_rgb)
    grey = dataset.centre_crop(np.repeat(colour_picture(0, 80, 70)[..., 2:], 3, axis=2), 64)
    assert torch.equal(batch.l_net, dataset.to_batch([grey], [None]).l_net)
    assert not torch.allclose(batch.l_net, batch.l_true, atol=0.02)
    seen: list[torch.Tensor] = []

    class Ink(ConstantInk):
        def forward(self, l_net: torch.Tensor) -> torch.Tensor:
            seen.append(l_net)
            return super().forward(l_net) * 0

    answer = evaluate.colorize_batch({"ink": Ink()}, batch, "fp32")
    assert torch.equal(seen[0], batch.l_net)
    assert torch.equal(answer["ink"], answer["grey"])
    true_l = lab.lab_from_srgb(batch.rgb)[:, :1]
    assert torch.allclose(lab.lab_from_srgb(answer["ink"])[:, :1], true_l, atol=0.01)


def test_evaluate_prints_a_row_for_each_plate_and_model(trained: tuple[Path, Path], tmp_path: Path):
    save_plates(tmp_path)
    _, folder = trained
    words = f"evaluate --plates {tmp_path} --model {folder} --size 64 --sheet {tmp_path}/s.png".split()
    printed = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert [(one["plate"], one["model"], one["pictures"]) for one in printed] == [
        (plates.TRUE_LIGHTNESS, str(folder), 2), ("blue", str(folder), 2)
    ]  # fmt: skip
    # Two plates, each with the model below it, and the truth.
    assert Image.open(tmp_path / "s.png").size == (2 * 68, 5 * (68 + figures.CAPTION_PX))
    table = CliRunner().invoke(app, f"evaluate --plates {tmp_path} --model lite --size 64".split()).stdout
    assert "blue" in table
    assert "pictures" in table


def test_plates_go_alone(tmp_path: Path):
    for words in (f"--data {tmp_path}", "--limit 3", "--confidence", "--write-card", "--compare lite lite"):
        result = CliRunner().invoke(app, ["evaluate", "--plates", str(tmp_path), *words.split()])
        assert "--plates" in str(result.exception)


def test_plates_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(NoInputError, match="contains no pairs"):
        plates.find(tmp_path)
    save_plates(tmp_path)
    Image.new("L", (10, 10)).save(tmp_path / "p0__input_blue.png")
    with pytest.raises(NoInputError, match=r"p0__input_blue.png: is not of the size"):
        plates.plate_batch(plates.find(tmp_path)["blue"][0], 64, read_rgb)
