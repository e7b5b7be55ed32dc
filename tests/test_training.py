"""Training: what it takes in, that it learns, that it goes on where it stopped; and what `evaluate` says of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import cv2
import joblib
import numpy as np
import pytest
import torch
from doubles import INK, ConstantInk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from archivecolor import lab, metrics, weights
from archivecolor.cli import app
from archivecolor.errors import INTERRUPTED, NoInputError, UsageError, WeightsError
from archivecolor.networks import NETWORKS
from archivecolor.networks.encoders import Lite0Body, ResNet18Body
from archivecolor.networks.unet import DynamicUnet, conv_relu
from archivecolor.options import Appearance, Evaluation, Stage, Teaching, parse_sizes, validation_side
from archivecolor.training import (
    aging,
    appearance,
    checkpoint,
    damage,
    dataset,
    evaluate,
    features,
    loop,
    plates,
    pretrain,
    recipe,
    school,
    scoring,
    sheets,
    teacher,
)
from archivecolor.training.aging import aged_batch
from archivecolor.training.appearance import AppearanceLoss
from archivecolor.training.descent import Descent
from archivecolor.training.pretrain import Pretrain, SoftTarget, start_encoder, weighted_l1
from archivecolor.training.recipe import Pretraining

CPU = torch.device("cpu")


def colour_picture(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    """Soft blobs of many colours: enough hues and tones to pass for a photograph."""
    blobs = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(blobs, (width, height), interpolation=cv2.INTER_LINEAR)


def photo_set(count: int, **size: int) -> dataset.PhotoSet:
    return dataset.PhotoSet([colour_picture(i, **size) for i in range(count)], [f"{i}.png" for i in range(count)], {})


def photo_folder(folder: Path, count: int, **size: int) -> Path:
    """The same pictures as files."""
    folder.mkdir()
    for i in range(count):
        Image.fromarray(colour_picture(i, **size)).save(folder / f"{i}.png")
    return folder


class TinyBody(nn.Module):
    """Five halvings in a few hundred thousand parameters, with the dropout that the real encoders lack."""

    channels = (16, 16, 32, 32, 64)

    def __init__(self) -> None:
        super().__init__()
        sides = zip((1, *self.channels), self.channels, strict=False)
        self.layers = nn.ModuleList(
            nn.Sequential(conv_relu(n_in, n_out), nn.BatchNorm2d(n_out), nn.AvgPool2d(2), nn.Dropout(0.1))
            for n_in, n_out in sides
        )

    def taps(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x)
            kept.append(x)
        return kept


def tiny_step(seed: int) -> Pretrain:
    torch.manual_seed(seed)
    return Pretrain(DynamicUnet(TinyBody(), TinyBody.channels), "fp32", CPU)


def tiny_stage(out: Path, **changes) -> Stage:
    values = {
        "name": "pretrain", "model": "lite", "out": out, "pictures": 24, "sizes": ((32, 0.5), (64, 0.5)), "batch": 4,
        "aging": 0.5, "validate_every": 12, "validation_pictures": 2, "validation_size": 32, "settings": {},
    }  # fmt: skip
    return Stage(**{**values, **changes})


CARD = {"name": "tiny", "network": "lite", "sha256": "", "stage": "pretrain", "recipe": {}, "data": {}}


# What goes in


@pytest.fixture
def mixed_folder(tmp_path: Path) -> Path:
    """Three good photographs (one in a subfolder) and one of every kind that cannot teach colour."""
    folder = tmp_path / "mixed"
    (folder / "sub").mkdir(parents=True)
    tone = np.linspace(0, 255, 96, dtype=np.uint8)
    grey = np.repeat(np.tile(tone, (72, 1))[..., None], 3, axis=2)
    sepia = (grey * [1.0, 0.8, 0.55]).astype(np.uint8)
    pictures = {
        "a.png": colour_picture(1), "b.png": colour_picture(2), "sub/c.jpg": colour_picture(3),
        "grey.png": grey, "sepia.png": sepia, "small.png": colour_picture(4, height=40),
    }  # fmt: skip
    for name, rgb in pictures.items():
        Image.fromarray(rgb).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "sub/c.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_what_cannot_teach_colour_is_left_out_and_counted(mixed_folder: Path):
    seen: list[int] = []
    photos = dataset.load(dataset.find(mixed_folder), school.read_rgb, 64, mixed_folder, seen.append)
    assert photos.names == ["a.png", "b.png", "sub/c.jpg"]
    assert photos.reasons["broken.jpg"] == "unreadable"
    assert photos.left_out == {"grey": 1, "tinted in one tone": 1, "under 64 pixels": 1, "unreadable": 1}
    assert all(min(rgb.shape[:2]) == 64 for rgb in photos.pictures)
    assert seen == list(range(1, 8))


def test_nothing_usable_is_an_error_that_counts_the_reasons(mixed_folder: Path):
    with pytest.raises(NoInputError, match="1 grey"):
        dataset.load([mixed_folder / "grey.png"], school.read_rgb, 64)
    with pytest.raises(NoInputError):
        dataset.find(mixed_folder / "nowhere")


def test_a_list_names_photographs_relative_to_itself(mixed_folder: Path):
    (mixed_folder / "list.txt").write_text("sub/c.jpg\n\na.png\n")
    assert dataset.find(mixed_folder / "list.txt") == [mixed_folder / "sub/c.jpg", mixed_folder / "a.png"]


def test_the_split_depends_on_names_alone():
    names = [Path(f"/photos/{i:04}.jpg") for i in range(2000)]
    train, held = dataset.split(names, Path("/photos"))
    assert not set(train) & set(held)
    assert sorted(train + held) == names
    assert 0.02 < len(held) / len(names) < 0.06
    moved = [Path("/elsewhere") / path.name for path in reversed(names[:500])]
    _, held_moved = dataset.split(moved, Path("/elsewhere"))
    assert {p.name for p in held_moved} == {p.name for p in held} & {p.name for p in moved}


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (10, 2), (60, 12), (300, 16)])
def test_of_few_pictures_more_than_the_share_is_held(count: int, expected: int):
    names = [Path(f"/photos/{i:04}.jpg") for i in range(count)]
    train, held = dataset.split(names, Path("/photos"))
    assert sorted(train + held) == names
    assert expected <= len(held) <= expected + count * 0.05


def test_a_batch_is_a_function_of_seed_and_place():
    photos = photo_set(5)

    def batch(start: int, seed: int = 0) -> dataset.Batch:
        return dataset.training_batch(photos, start, 4, 32, 0.5, seed)

    first, later = batch(0), batch(8)
    for name in ("l_net", "ab_net", "rgb"):
        assert torch.equal(getattr(batch(8), name), getattr(later, name))
        assert not torch.equal(getattr(first, name), getattr(later, name))
        assert not torch.equal(getattr(batch(8, seed=1), name), getattr(later, name))


def test_every_epoch_shows_every_photograph_once():
    flat = [np.full((64, 64, 3), i * 20, np.uint8) for i in range(6)]
    photos = dataset.PhotoSet(flat, [str(i) for i in range(6)], {})
    for epoch in range(3):
        shown = dataset.training_batch(photos, epoch * 6, 6, 32, 0.0, 0).rgb[:, 0, 0, 0] * 255 / 20
        assert sorted(shown.round().int().tolist()) == list(range(6))


def test_a_batch_holds_the_lab_of_its_pictures():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    assert batch.l_net.shape == (3, 1, 64, 64)
    assert batch.ab_net.shape == (3, 2, 64, 64)
    rgb = lab.srgb_from_lab(lab.lab_from_net(batch.l_net, batch.ab_net))
    assert (rgb - batch.rgb).abs().max() < 1e-3


# Aging


def linear_batch(count: int = 8) -> torch.Tensor:
    rgb = np.stack([colour_picture(i, 40, 40) for i in range(count)])
    return lab.linear_from_srgb(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255)


def aged(linear: torch.Tensor, *seeds: int) -> torch.Tensor:
    """l of each picture, aged by a generator of its own."""
    light = lab.lab_from_linear(linear)[:, :1] / 100
    return aged_batch(linear, light, [np.random.default_rng(seed) for seed in seeds])


def test_aging_keeps_shape_and_range_and_follows_its_seed():
    linear = linear_batch()
    true = aged_batch(linear, lab.lab_from_linear(linear)[:, :1] / 100, [None] * 8)
    assert torch.equal(true, lab.lab_from_linear(linear)[:, :1] / 100)
    old, again, other = (aged(linear, *range(first, first + 8)) for first in (5, 5, 50))
    assert old.shape == (8, 1, 40, 40)
    assert old.min() >= 0
    assert old.max() <= 1
    assert torch.isfinite(old).all()
    assert torch.equal(old, again)
    assert not torch.equal(old, other)
    assert (old - true).abs().mean() > 0.03


def test_an_emulsion_sees_between_ortho_and_too_much_red_and_grey_as_grey():
    """Red, green, blue and middle grey: darkest, as the eye sees it, and lightest over many draws."""
    patches = torch.tensor([[1.0, 0, 0, 0.2], [0, 1.0, 0, 0.2], [0, 0, 1.0, 0.2]])[:, None]
    seen = np.stack([aging.emulsion(patches, np.random.default_rng(seed))[0] for seed in range(200)])
    eye = lab.lightness_from_luminance(torch.tensor([*lab.LUMA, 0.2])).numpy() / 100
    low, high = seen.min(axis=0), seen.max(axis=0)
    assert low[0] < 0.3 < eye[0] < 0.7 < high[0], "red is nearly black on an orthochromatic plate"
    assert eye[2] - 1e-3 < low[2] < 0.4
    assert high[2] > 0.65, "and blue nearly white"
    np.testing.assert_allclose(seen[:, 3], eye[3], atol=1e-5)


def test_a_picture_ages_alike_whatever_stands_beside_it():
    linear = linear_batch(3)
    whole = aged(linear, 1, 2, 3)
    assert torch.equal(aged(linear[1:2], 2), whole[1:2])
    photos = photo_set(5)
    batch = dataset.training_batch(photos, 8, 4, 32, 0.5, 0)
    halves = [dataset.training_batch(photos, start, 2, 32, 0.5, 0) for start in (8, 10)]
    for name in ("l_net", "ab_net", "rgb"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(batch, name))


def test_a_half_share_ages_about_half_and_leaves_the_rest_true():
    crop = colour_picture(0, 64, 64)
    drawn = [dataset.aged_or_not(crop, 0.5, np.random.default_rng(seed)) for seed in range(200)]
    old = [random is not None for _, random in drawn]
    assert 0.35 < np.mean(old) < 0.65
    assert all(one is crop for (one, _), aged in zip(drawn, old, strict=True) if not aged)


# How much of the picture one kind of damage may change by more than a trace, and by how much on the average.
DAMAGE = {
    "scratches": (0.35, 0.15), "dust": (0.35, 0.15), "halftone": (1.0, 0.2), "jpeg": (1.0, 0.08), "grain": (1.0, 0.1),
    "blur": (1.0, 0.1), "fade": (1.0, 0.4),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("size", [32, 96])
def test_damage_is_bounded_seeded_and_there(kind: str, size: int):
    step = getattr(damage, kind, None) or getattr(aging, kind)
    light = (lab.lab_from_linear(linear_batch(1))[0, 0] / 100).numpy()
    light = cv2.resize(light, (size, size)).clip(0, 1)
    most, mean = DAMAGE[kind]
    before, touched = light.copy(), 0
    for seed in range(30):
        once, twice = (step(light, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(once, twice)
        assert once.shape == light.shape
        change = np.abs(once - light)
        touched += change.max() > 0.01
        assert (change > 0.01).mean() <= most
        assert change.mean() <= mean
    assert np.array_equal(light, before)
    assert touched > 20


@given(seed=st.integers(0, 2**32), height=st.integers(32, 90), width=st.integers(32, 90))
@settings(max_examples=60, deadline=None)
def test_a_margin_is_neutral_narrow_and_leaves_the_rest(seed: int, height: int, width: int):
    rgb = colour_picture(1, height, width)
    framed = damage.margin(rgb, np.random.default_rng(seed))
    changed = (framed != rgb).any(axis=-1)
    assert np.ptp(framed[changed], axis=-1).max(initial=0) == 0
    side = min(height, width)
    deepest = int(np.ceil(damage.DEEPEST_MARGIN * side))
    assert not changed[deepest:-deepest, deepest:-deepest].any()
    assert np.array_equal(framed[~changed], rgb[~changed])


def test_the_target_has_no_colour_in_a_margin_and_the_true_one_elsewhere():
    rgb = colour_picture(2, 64, 64)
    framed = damage.margin(rgb, np.random.default_rng(4))
    inside = torch.from_numpy((framed == rgb).all(axis=-1))
    assert 0.3 < inside.float().mean() < 0.99
    ab = dataset.to_batch([framed], [np.random.default_rng(0)]).ab_net[0]
    true = dataset.to_batch([rgb], [None]).ab_net[0]
    assert torch.equal(ab[:, inside], true[:, inside])
    assert ab[:, ~inside].abs().max() < 1e-5


# The loop


def losses_of(stage: Stage, step: checkpoint.Step, stop_after: int = 99, fall_at: int = 99) -> list[float]:
    """Runs a training; stops it politely after so many steps, or kills it in the middle of one."""
    losses: list[float] = []

    def watch(progress: loop.Progress) -> None:
        if progress.validated:
            return
        losses.append(progress.numbers["l1"])
        if len(losses) == fall_at:
            raise RuntimeError("killed")

    loop.run(stage, step, photo_set(6), photo_set(2), CARD, watch, lambda: len(losses) >= stop_after)
    return losses


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    out = tmp_path_factory.mktemp("unbroken")
    return out, losses_of(tiny_stage(out), tiny_step(0))


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    assert len(losses) == 6
    first = losses_of(tiny_stage(tmp_path), tiny_step(0), stop_after=3)
    # Another start: everything must come from the checkpoint.
    rest = losses_of(tiny_stage(tmp_path), tiny_step(1))
    assert first + rest == losses
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    stage = tiny_stage(tmp_path, checkpoint_minutes=0)  # after every step
    with pytest.raises(RuntimeError, match="killed"):
        losses_of(stage, tiny_step(0), fall_at=5)
    assert losses_of(stage, tiny_step(1)) == losses[4:]
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


CHILD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from archivecolor.training import loop, sheets
from test_training import CARD, photo_set, tiny_stage, tiny_step
sheets.curves = lambda folder: None
stage = tiny_stage(Path(sys.argv[1]), checkpoint_minutes=0)
loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, lambda p: p.validated or print(p.pictures, flush=True))
"""


def test_after_kill_9_a_training_goes_on_to_the_same_weights(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    told = [child.stdout.readline() for _ in range(4)]
    child.kill()
    child.wait()
    assert told[-1] == "16\n"
    rest = losses_of(tiny_stage(tmp_path), tiny_step(1))
    assert 0 < len(rest) <= 3  # the third step was saved before the fourth began
    assert rest == losses[-len(rest) :]
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_finished_training_learns_nothing_more(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    before = (out / weights.TENSORS).read_bytes()
    assert losses_of(tiny_stage(out), tiny_step(1)) == []
    assert (out / weights.TENSORS).read_bytes() == before


def test_a_training_leaves_history_curves_samples_and_card(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    rows = sheets.read_history(out)
    assert [row["pictures"] for row in rows] == [0, 12, 24]
    assert {"val_l1", "val_psnr_gain", "val_colour"} <= set(rows[-1])
    for name in ("curves.png", "samples.png"):
        Image.open(out / name).verify()
    card = weights.check(out)
    assert card.numbers["training"]["pictures"] == 24
    assert card.numbers["training"]["validation"]["val_l1"] == rows[-1]["val_l1"]


@pytest.mark.filterwarnings("ignore:.*no-op")
def test_a_state_is_restored_to_where_the_network_computes(tmp_path: Path):
    """The meta device stands in for a GPU: the file gives tensors of the CPU."""
    stage, step = tiny_stage(tmp_path), tiny_step(0)
    checkpoint.save(tmp_path, stage, step, checkpoint.Average(step.network, 0.9), checkpoint.State(4))
    elsewhere = tiny_step(0)
    elsewhere.network.to("meta")
    average = checkpoint.Average(elsewhere.network, 0.9)
    assert checkpoint.restore(stage, elsewhere, average).pictures == 4
    assert {value.device.type for value in average.values.values()} == {"meta"}
    average.update(elsewhere.network)


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path):
    photos = photo_folder(tmp_path / "photos", 2)
    words = (
        f"-m archivecolor train pretrain --model lite --encoder none --data {photos} --val {photos} "
        f"--out {tmp_path}/out --batch 2 --sizes 32 --device cpu --precision fp32 --json --pictures"
    )
    command = [sys.executable, *words.split()]
    with subprocess.Popen([*command, "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            begun = any('"validation"' in line for line in child.stdout)
            time.sleep(2)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=120)
        finally:
            child.kill()
    assert begun, err
    assert child.returncode == INTERRUPTED, err
    assert "stopping: the state is saved" in err
    assert json.loads(out.splitlines()[-1])["event"] == "interrupted"
    seen = weights.check(tmp_path / "out").numbers["training"]["pictures"]
    assert 0 < seen < 100000
    again = subprocess.run([*command, str(seen + 2)], capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert f"Until picture {seen}: pictures = 100000" in " ".join(again.stderr.split())
    assert [row["pictures"] for row in sheets.read_history(tmp_path / "out")] == [0, seen, seen + 2]


def test_a_command_memorises_two_pictures_and_leaves_them_in_its_weights(tmp_path: Path):
    """From the command to the averaged, rounded and published network; crops differ each time, so not to the pixel."""
    photos = photo_folder(tmp_path / "photos", 2, height=64, width=64)
    words = (
        f"train pretrain --model lite --encoder none --data {photos} --val {photos} --out {tmp_path}/out --batch 2 "
        "--sizes 64 --pictures 240 --lr 3e-3 --aging 0 --chroma-weight 0 --precision fp32"
    )
    assert CliRunner().invoke(app, words.split(), catch_exceptions=False).exit_code == 0
    network, _ = weights.load(tmp_path / "out")
    batch = dataset.validation_batch(dataset.load(dataset.find(photos), school.read_rgb, 64), 0, 2, 64)
    error = float((loop.predict(network, batch.l_net, "fp32") - batch.ab_net).abs().mean())
    one_colour = float((batch.ab_net - batch.ab_net.mean((0, 2, 3), keepdim=True)).abs().mean())
    assert error < 0.55 * one_colour


def test_finished_weights_are_not_trained_over(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    finished = tmp_path / "finished"
    finished.mkdir()
    for name in (weights.TENSORS, weights.CARD):
        (finished / name).write_bytes((folder / name).read_bytes())
    before = (finished / weights.TENSORS).read_bytes()
    words = f"train pretrain --encoder none --data {photos} --val {photos} --pictures 2 --batch 2 --sizes 64 --out"
    result = CliRunner().invoke(app, [*words.split(), str(finished)])
    assert "holds finished weights and no checkpoint.safetensors" in str(result.exception)
    assert (finished / weights.TENSORS).read_bytes() == before
    assert {path.name for path in finished.iterdir()} == {weights.TENSORS, weights.CARD}


@pytest.mark.parametrize("cut_at", [12, 24])
def test_a_validation_that_was_cut_short_is_made_up_for(tmp_path: Path, cut_at: int):
    """The state is saved before the last one, and may be before any."""

    def watch(progress: loop.Progress) -> None:
        if progress.validated and progress.pictures == cut_at:
            raise KeyboardInterrupt

    stage = tiny_stage(tmp_path, checkpoint_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, watch)
    numbers = loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, lambda progress: None)
    rows = sheets.read_history(tmp_path)
    assert [row["pictures"] for row in rows] == [0, 12, 24]
    assert numbers["val_l1"] == rows[-1]["val_l1"]
    assert weights.read_card(tmp_path).numbers["training"]["validation"] == numbers


def test_a_history_forgets_what_a_killed_training_did_not_save(tmp_path: Path):
    for pictures in (0, 12, 24, 12, 24, 24):
        sheets.log(tmp_path, {"pictures": pictures, "val_l1": pictures / 100})
    assert [row["pictures"] for row in sheets.read_history(tmp_path)] == [0, 12, 24]


def test_a_watcher_is_told_of_each_validation_when_it_is_made(tmp_path: Path):
    told: list[loop.Progress] = []
    stage = tiny_stage(tmp_path)
    loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, told.append)
    validated = [p for p in told if p.validated]
    assert [p.pictures for p in validated] == [row["pictures"] for row in sheets.read_history(tmp_path)]
    assert all(p.numbers.keys() == {"val_l1", "val_psnr_gain", "val_colour"} for p in validated)
    assert {p.size for p in validated} == {stage.validation_size}


def test_of_many_held_out_pictures_those_looked_at_are_spread_and_the_others_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for i in range(6):
        Image.fromarray(colour_picture(i)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(Stage, "validation_pictures", 2)
    found = school.load_photographs(tmp_path, tmp_path, 64)
    assert found.held.names == ["0.png", "3.png"]
    assert found.held.left_out == {"beyond the 2 that validations look at": 4}
    assert (found.in_both, found.counts()["in_both"]) == (2, 2)


def test_a_photograph_in_the_place_of_a_list_is_named(tmp_path: Path):
    Image.fromarray(colour_picture(0)).save(tmp_path / "a.png")
    with pytest.raises(NoInputError, match=r"a\.png: is neither a folder nor a text file"):
        dataset.find(tmp_path / "a.png")


def test_a_damaged_download_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth: is damaged"):
        pretrain.imagenet_resnet18()


def test_a_folder_with_another_training_is_refused(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    with pytest.raises(UsageError, match="another --out"):
        losses_of(tiny_stage(out, name="gan"), tiny_step(0))
    with pytest.raises(UsageError, match="another --out"):
        losses_of(tiny_stage(out, model="resnet18"), tiny_step(0))


def test_the_learning_rate_warms_up_and_cools_down():
    rates = [loop.learning_rate(i / 200, 1.0) for i in range(201)]
    top = int(np.argmax(rates))
    assert max(rates) == pytest.approx(1.0)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_sizes_take_their_shares_in_order():
    sizes = parse_sizes("64:0.5,96:0.3,128:0.2")
    shown = [loop.size_at(i / 100, sizes) for i in range(100)]
    assert shown == [64] * 50 + [96] * 30 + [128] * 20
    assert loop.size_at(1.0, sizes) == 128
    with pytest.raises(UsageError, match="add up"):
        parse_sizes("64:0.5,96:0.4")


# Learning


def test_the_loss_counts_a_colourful_pixel_more_and_is_l1_otherwise():
    truth = torch.zeros(1, 2, 4, 4)
    truth[..., :2] = 0.3
    grey_missed, colour_missed = truth.clone(), truth.clone()
    grey_missed[..., 2:] += 0.1
    colour_missed[..., :2] += 0.1
    plain = [float(weighted_l1(answer, truth, 0.0)) for answer in (grey_missed, colour_missed)]
    assert plain == pytest.approx([0.05, 0.05])
    grey, colour = (float(weighted_l1(answer, truth, 0.5)) for answer in (grey_missed, colour_missed))
    assert grey < 0.04 < 0.06 < colour
    # The mean weight is 1: an error that is the same everywhere weighs what it weighs in L1.
    assert float(weighted_l1(truth + 0.1, truth, 0.5)) == pytest.approx(0.1)


def test_two_pictures_can_be_memorised():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 32)
    step = tiny_step(0)
    for module in step.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    losses = [step(batch, loop.learning_rate(i / 60, 5e-3))["l1"] for i in range(60)]
    assert losses[0] > 0.2
    assert losses[-1] < 0.06


# The U-Nets need two steps: their residual block starts as the identity, and until its last filters move, none below
# them can.
@pytest.mark.parametrize(("model", "size", "steps"), [("lite", 64, 2), ("resnet18", 64, 2), ("pix2pix", 256, 1)])
def test_every_parameter_learns(model: str, size: int, steps: int):
    torch.manual_seed(0)
    step = Pretrain(NETWORKS[model](), "fp32", CPU)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    batch = dataset.validation_batch(photo_set(2), 0, 2, size)
    for _ in range(steps):
        step(batch, 1e-3)
    # Weight decay alone moves parameters, so their gradients are looked at; those of the last step are still there.
    still = [n for n, p in step.network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []
    after = step.network.state_dict()
    assert [name for name, value in before.items() if torch.equal(value, after[name])] == []


# The teacher


@pytest.fixture(scope="module")
def lite0() -> features.Lite0:
    return features.Lite0("fp32", CPU)


def test_the_encoder_comes_to_see_what_its_teacher_sees(lite0: features.Lite0):
    torch.manual_seed(0)
    step = teacher.Teach(ResNet18Body(), lite0)
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.5, 0)
    before = [value.clone() for value in lite0.body.state_dict().values()]
    losses = [step(batch, 1e-3) for _ in range(6)]
    for name in features.TAPS.values():
        assert losses[-1][name] < losses[0][name] - 0.1
    assert all(torch.equal(a, b) for a, b in zip(before, lite0.body.state_dict().values(), strict=True))


def test_distances_are_cosines():
    one = [torch.randn(2, 5, 3, 3) for _ in range(3)]
    for scale, expected in ((3.0, 0.0), (-0.5, 2.0)):
        for value in features.distances([x * scale for x in one], one).values():
            assert float(value) == pytest.approx(expected, abs=1e-5)


def test_a_taught_encoder_is_a_file_that_a_unet_starts_from(tmp_path: Path, lite0: features.Lite0):
    stage = tiny_stage(tmp_path / "a", settings={"encoder": "none"})
    teaching = Teaching("lite0", pictures=8, sizes=((64, 1.0),))
    card = {**CARD, "recipe": {"seed": 0}}

    def teach(seed: int, stop_after: int = 99) -> tuple[Lite0Body, int]:
        torch.manual_seed(seed)
        body, told = Lite0Body(), []
        teacher.teach(
            stage, teaching, body, lite0, photo_set(4), photo_set(2), card,
            lambda progress: None if progress.validated else told.append(progress), lambda: len(told) >= stop_after,
        )  # fmt: skip
        return body, len(told)

    first, steps = teach(0, stop_after=1)
    assert steps == 1
    body, steps = teach(1)
    assert steps == 1
    assert not torch.equal(first.conv_stem.weight, body.conv_stem.weight)
    network = NETWORKS["lite"]()
    start_encoder(network, str(tmp_path / "a" / teacher.FOLDER))
    for name, value in network.layers[0].state_dict().items():
        assert torch.equal(value, body.state_dict()[name])
    about = teacher.read_about(tmp_path / "a" / teacher.FOLDER)
    assert about["pictures"] == 8
    assert about["recipe"] == {"seed": 0}
    with pytest.raises(UsageError, match="no such file"):
        start_encoder(network, str(tmp_path / "b"))


def test_a_teaching_that_goes_on_with_other_options_or_photographs_is_noticed(tmp_path: Path):
    stage = tiny_stage(tmp_path, settings={"teacher_pictures": 128})
    photographs, told = school.Photographs("photos", photo_set(4), photo_set(2)), []
    old = recipe.as_toml(Pretraining(teacher="lite0", teacher_lr=1e-3), "a command")
    new = recipe.as_toml(Pretraining(teacher="lite0", teacher_lr=1e-4), "a command")
    school.begin(stage, photographs, old, told.append)
    step = Pretrain(ConstantInk(), "fp32", CPU)
    own = replace(stage, name="teach", out=tmp_path / teacher.FOLDER)
    checkpoint.save(own.out, own, step, checkpoint.Average(step.network, 0.9), checkpoint.State(64))
    card = school.begin(stage, photographs, new, told.append)
    line = "Until picture 64 of the teaching: teacher_lr = 0.001"
    assert card["recipe"]["changed"] == [line]
    assert [text.split(" (")[0] for text in told] == [f"goes on with other options. {line}"]
    with pytest.raises(UsageError, match="began with other photographs"):
        school.begin(stage, replace(photographs, train=photo_set(3)), new, told.append)
    untaught = tiny_stage(tmp_path, settings={})
    assert "changed" not in school.begin(untaught, photographs, old, told.append)["recipe"], "nothing of it was taught"


def test_beside_l1_the_teacher_reaches_the_encoder_too(lite0: features.Lite0):
    torch.manual_seed(0)
    step = teacher.GuidedPretrain(NETWORKS["lite"](), lite0, weight=0.1, chroma_weight=0.5)
    assert step.norms_frozen is False
    assert teacher.GuidedPretrain(NETWORKS["lite"](), lite0, 0.1, 0.5, norms_frozen=True).norms_frozen
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    losses = [step(batch, 3e-4) for _ in range(4)]
    for name in features.TAPS.values():
        assert losses[-1][name] < losses[0][name]
    assert set(losses[0]) == {"l1", *features.TAPS.values()}
    assert all(p.grad.abs().max() > 0 for p in step.projections.parameters())


def test_a_picture_in_its_true_colours_looks_true_and_a_grey_one_does_not(lite0: features.Lite0):
    """Whatever luminance the answer was given to: the painted picture has the true one."""
    batch = dataset.training_batch(photo_set(3), 0, 3, 64, 1.0, 0)

    def painted(weight: float, ab_net: torch.Tensor) -> torch.Tensor:
        losses = AppearanceLoss(Appearance(feature_weight=weight), lite0)(batch, ab_net)
        assert set(losses) == {"features"}
        return losses["features"]

    assert float(painted(2.0, batch.ab_net)) == pytest.approx(0, abs=2e-3)
    grey = (batch.ab_net * 0).requires_grad_(True)
    loss = painted(2.0, grey)
    loss.backward()
    assert float(loss.detach()) > 0.05
    assert float(painted(1.0, batch.ab_net * 0)) == pytest.approx(float(loss.detach()) / 2, rel=1e-5)
    assert torch.isfinite(grey.grad).all()
    assert bool((grey.grad != 0).any())


def test_the_feature_loss_is_made_small_beside_l1(lite0: features.Lite0):
    torch.manual_seed(0)
    step = Pretrain(NETWORKS["lite"](), "fp32", CPU, painted=AppearanceLoss(Appearance(feature_weight=0.5), lite0))
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    losses = [step(batch, 1e-3) for _ in range(12)]
    assert set(losses[0]) == {"l1", "features"}
    assert losses[-1]["features"] < 0.9 * losses[0]["features"]


def test_the_learned_colourfulness_is_the_measured_one_and_so_is_psnr():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    rgb = batch.painted(batch.ab_net * 0.6)
    for one, value in zip(rgb, appearance.colourfulness(rgb), strict=True):
        assert float(value) == pytest.approx(metrics.colourfulness(one.permute(1, 2, 0).numpy()), rel=1e-3)
    for one, true, value in zip(rgb, batch.rgb, appearance.psnr(rgb, batch.rgb), strict=True):
        assert float(value) == pytest.approx(metrics.psnr(one.numpy(), true.numpy()), abs=0.2)


@pytest.mark.parametrize("chroma", [1, 5, 20, 60])
def test_ciede2000_is_that_of_scikit_image_and_has_a_finite_slope(chroma: float):
    random = np.random.default_rng(chroma)
    ab, truth = random.normal(0, chroma, (2, 3, 2, 40, 40))
    ab[0], truth[:2] = 0, [[[[0]]], [[[-4]]]]
    wanted = metrics.ciede2000_from_lab(*(np.insert(one, 0, 50, axis=1) for one in (ab, truth)))
    asked = torch.from_numpy(ab).requires_grad_(True)
    got = appearance.ciede2000(asked, torch.from_numpy(truth))
    assert got.detach().mean(dim=(1, 2)).numpy() == pytest.approx(wanted, abs=0.02)
    got.sum().backward()
    assert torch.isfinite(asked.grad).all()
    assert float(asked.grad.abs().max()) < 10


def test_a_dull_picture_costs_its_shortfall_squared_and_a_colourful_one_nothing():
    batch = dataset.validation_batch(photo_set(3), 0, 3, 64)
    ab_net = (batch.ab_net * 0.5).requires_grad_(True)
    rgb = batch.painted(ab_net)
    ratio = float(appearance.colourfulness(rgb.detach()).mean() / appearance.colourfulness(batch.rgb).mean())
    cost = appearance.dullness(rgb, batch.rgb, 0.9)
    assert float(cost.detach()) == pytest.approx((0.9 - ratio) ** 2, rel=1e-4)
    cost.backward()
    assert float((ab_net.grad * ab_net.detach()).sum()) < 0, "more colour costs less"
    assert float(appearance.dullness(batch.rgb, batch.rgb, 0.9)) == 0


def test_a_grey_picture_of_a_grey_thing_has_a_finite_slope():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    batch = replace(batch, ab_net=batch.ab_net * 0, rgb=batch.painted(batch.ab_net * 0))
    grey = torch.zeros_like(batch.ab_net, requires_grad=True)
    asked = Appearance(psnr_weight=0.02, ciede2000_weight=0.01, colour_weight=0.3)
    torch.stack(list(AppearanceLoss(asked, None)(batch, grey).values())).sum().backward()
    assert torch.isfinite(grey.grad).all()


def test_validations_look_at_the_largest_side_that_is_trained_at():
    sizes = parse_sizes("64:0.5,192:0.5")
    assert (validation_side("lite", sizes), validation_side("lite", sizes[:1])) == (192, 128)
    assert validation_side("pix2pix") == 256
    assert Pretraining(sizes="192:0.6,256:0.4").stage(Path("x"), "fp32").validation_size == 256


def test_what_is_said_of_the_painted_picture_is_checked():
    with pytest.raises(UsageError, match="--teacher-weight: goes with none of"):
        Pretraining(teacher="lite0", teacher_weight=0.1, psnr_weight=0.02).appearance()
    with pytest.raises(UsageError, match="--colour-weight -1: must be 0 or more"):
        Appearance(colour_weight=-1)
    with pytest.raises(UsageError, match="--colour-target 0: must be above 0"):
        Appearance(colour_target=0)
    assert Appearance(ciede2000_weight=0.01).settings() == {"ciede2000_weight": 0.01}
    assert Appearance(psnr_weight=0.02).settings() == {"psnr_weight": 0.02}
    assert Appearance(colour_weight=0.3).settings() == {"colour_weight": 0.3, "colour_target": 0.9}


def test_ciede2000_alone_leads_to_the_true_colours():
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    grey = torch.zeros_like(batch.ab_net, requires_grad=True)
    adam, loss = torch.optim.Adam([grey], 0.02), AppearanceLoss(Appearance(ciede2000_weight=1.0), None)
    found = []
    for _ in range(60):
        adam.zero_grad()
        difference = loss(batch, grey)["ciede2000"]
        difference.backward()
        adam.step()
        found.append(float(difference.detach()))
    assert found[0] > 5
    assert found[-1] < 1


@pytest.mark.parametrize(
    ("asked", "norms"),
    [
        (Pretraining(), "learnt"),
        (Pretraining(origin="lite"), "frozen"),
        (Pretraining(origin="lite", norms="learnt"), "learnt"),
        (Pretraining(origin="lite", teacher="lite0"), "learnt"),
        (Pretraining(origin="lite", teacher="lite0", teacher_pictures=0, teacher_weight=0.1), "frozen"),
    ],
)
def test_norms_are_frozen_where_they_fit_the_weights(asked: Pretraining, norms: str):
    assert asked.decided_norms() == asked.stage(Path("x"), "fp32").settings["norms"] == norms


def test_psnr_and_colourfulness_rise_and_ciede2000_falls_when_they_are_asked_for():
    """A network that begins grey, on two pictures."""
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    torch.manual_seed(0)
    asked = Appearance(psnr_weight=0.02, ciede2000_weight=0.01, colour_weight=0.3)
    step = Pretrain(NETWORKS["lite"](), "fp32", CPU, painted=AppearanceLoss(asked, None))
    losses = [step(batch, 1e-3) for _ in range(40)]
    assert set(losses[0]) == {"l1", "psnr", "ciede2000", "dull"}
    assert losses[-1]["ciede2000"] < losses[0]["ciede2000"] - 0.01, "one unit at least"
    assert losses[-1]["psnr"] < losses[0]["psnr"] - 0.02, "one dB at least"
    assert losses[-1]["dull"] < losses[0]["dull"] / 2


def test_a_soft_target_is_learned_beside_the_true_colours_from_the_true_luminance():
    """The ink answers one colour; a student that only follows it forgets the pictures and comes to that colour."""
    seen: list[torch.Tensor] = []

    class Ink(ConstantInk):
        def forward(self, l_net: torch.Tensor) -> torch.Tensor:
            seen.append(l_net)
            return super().forward(l_net)

    batch = dataset.training_batch(photo_set(2), 0, 2, 64, 1.0, 0)
    soft = SoftTarget(Ink(), 0.75, "fp32", torch.device("cpu"))
    torch.manual_seed(0)
    student = ConstantInk()
    with torch.no_grad():
        student.tint.zero_()
    step = Pretrain(student, "fp32", torch.device("cpu"), soft=soft)
    losses = {name: float(loss.detach()) for name, loss in step.losses(batch).items()}
    assert losses["l1"] == pytest.approx(0.25 * float(batch.ab_net.abs().mean()))
    assert losses["soft"] == pytest.approx(0.75 * sum(INK) / 2 / 110, rel=1e-5)
    true_l = lab.net_from_lab(lab.lab_from_srgb(batch.rgb))[0]
    assert torch.equal(seen[0], true_l)
    assert not torch.allclose(true_l, batch.l_net, atol=0.02), "the student's luminance is aged"
    only = SoftTarget(ConstantInk(), 1.0, "fp32", torch.device("cpu"))
    step = Pretrain(student, "fp32", torch.device("cpu"), soft=only)
    for _ in range(80):
        step(batch, 5e-3)
    assert (student.tint.detach() * 110).tolist() == pytest.approx(INK, abs=1.5)
    assert only.network.tint.grad is None


def test_only_a_unet_can_be_taught():
    with pytest.raises(UsageError, match="--teacher none"):
        teacher.encoder_of(NETWORKS["pix2pix"]())


# The commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of photographs, and a lite trained on them for two steps by the command, its encoder taught before."""
    root = tmp_path_factory.mktemp("command")
    (root / "photos").mkdir()
    for i in range(3):
        Image.fromarray(colour_picture(i)).save(root / "photos" / f"{i}.png")
    arguments = (
        f"train pretrain --data {root}/photos --val {root}/photos --out {root}/lite --pictures 4 --batch 2 --sizes 64 "
        "--teacher lite0 --teacher-pictures 2 --teacher-sizes 64 --teacher-weight 0.1 --precision fp32"
    )
    result = CliRunner().invoke(app, arguments.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return root / "photos", root / "lite"


def test_the_card_tells_of_the_teacher(trained: tuple[Path, Path]):
    _, folder = trained
    network, card = weights.load(folder)
    assert isinstance(network, DynamicUnet)
    assert card.recipe["encoder"] == "imagenet"
    assert (card.recipe["teacher"], card.recipe["teacher_weight"]) == ("lite0", 0.1)
    assert card.recipe["taught"]["pictures"] == 2
    assert set(card.recipe["taught"]["validation"]) == {"val_cos8", "val_cos16", "val_cos32"}
    assert card.data == {"folder": "photos", "pictures": 3, "left_out": {}}


def test_a_pretraining_goes_on_from_finished_weights(trained: tuple[Path, Path], tmp_path: Path):
    data, folder = trained
    command = (
        f"train pretrain --from {folder} --data {data} --val {data} --pictures 2 --batch 2 --sizes 64 --lr 1e-9 "
        "--precision fp32 --out"
    ).split()
    assert CliRunner().invoke(app, [*command, str(tmp_path / "on")]).exit_code == 0
    parent, card = weights.read_card(folder), weights.read_card(tmp_path / "on")
    assert (card.network, card.recipe["from"]) == (parent.network, parent.name)
    assert card.history == [*parent.history, parent.sha256]
    before, after = (weights.load(path)[0].state_dict() for path in (folder, tmp_path / "on"))
    conv = "layers.0.conv_stem.weight"
    assert torch.allclose(before[conv], after[conv], atol=1e-4)
    norms = [key for key in before if key.endswith(("running_mean", "running_var"))]
    assert norms
    assert all(torch.equal(before[key], after[key]) for key in norms), "its norms keep their statistics"
    assert card.recipe["norms"] == "frozen"
    learnt = [*command, str(tmp_path / "learnt"), "--norms", "learnt"]
    assert CliRunner().invoke(app, learnt).exit_code == 0
    after = weights.load(tmp_path / "learnt")[0].state_dict()
    assert not any(torch.equal(before[key], after[key]) for key in norms)
    again = CliRunner().invoke(app, [*command, str(folder)])
    assert "choose another folder" in str(again.exception)


def test_evaluate_prints_json_and_draws_a_sheet(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    arguments = f"evaluate --data {photos} --model {folder} --size 64 --limit 2 --json --sheet {tmp_path}/s/sheet.png"
    result = CliRunner().invoke(app, arguments.split(), catch_exceptions=False)
    told = json.loads(result.stdout)
    assert (told["pictures"], told["size"], told["left_out"]) == (2, 64, {})
    assert set(told["models"][str(folder)]) == set(scoring.LABELS)
    assert told["truth"]["psnr_db"] is None
    # Rows of grey, the model, truth; 64 px and a gap of 2 on every side.
    assert Image.open(tmp_path / "s/sheet.png").size == (2 * 68, 3 * 68)


def test_two_weights_are_compared_on_a_captioned_sheet(trained: tuple[Path, Path], tmp_path: Path, monkeypatch):
    photos, folder = trained
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "--data", str(photos), "--compare", "lite", str(folder), "--size", "64"]
    table = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "second - first" in table.stdout
    sheet = Image.open("compare.png")
    assert sheet.size == (3 * 68, 4 * (68 + sheets.CAPTION_PX))
    assert evaluate.captions(["lite", str(folder)])[1] == "lite: with adversarial training"
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    gain = told["models"][str(folder)]["colour_ratio"] - told["models"]["lite"]["colour_ratio"]
    assert told["difference"]["colour_ratio"] == pytest.approx(gain, abs=1e-3)


def test_evaluation_holds_no_more_pictures_than_it_works_on(tmp_path: Path):
    (tmp_path / "list.txt").write_text("\n".join(f"{i}.png" for i in range(200)))
    read: list[str] = []

    def picture(path: Path) -> np.ndarray:
        read.append(path.name)
        return colour_picture(int(path.stem) % 7)

    paths = dataset.find(tmp_path / "list.txt")
    for taken, (path, rgb, reason) in enumerate(dataset.stream(paths, picture, 64)):
        assert path == paths[taken]
        assert rgb is not None, reason
        assert len(read) <= taken + 3 * joblib.cpu_count() + 1


def test_a_sheet_shows_the_next_picture_where_one_is_useless():
    tiles = evaluate.Tiles(["grey"], places=120)
    for place in [*range(5), *range(15, 120)]:
        tiles.take([place], {"grey": torch.full((1, 3, 2, 2), place / 255)})
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
    photos = photo_set(8, height=64, width=64)
    networks = {name: Oracle(photos, 64, share) for name, share in (("all", 1.0), ("half", 0.5), ("none", 0.0))}
    rows, tiles = evaluate.compare(networks, enumerate(photos.pictures), 8, "fp32")
    assert [len(row) for row in tiles] == [8] * 5
    grey = evaluate.scores("grey", rows["grey"], rows["truth"])
    others = {name: evaluate.scores(name, rows[name], rows["truth"], grey) for name in (*networks, "truth")}
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


def test_a_sample_is_spread_evenly_and_fixed():
    assert dataset.spread(5, 12) == [0, 1, 2, 3, 4]
    assert dataset.spread(100, 4) == [0, 25, 50, 75]


def test_what_cannot_be_evaluated_is_refused(trained: tuple[Path, Path]):
    photos, folder = trained
    with pytest.raises(UsageError, match="twice"):
        Evaluation(photos, ("lite", "lite"))
    with pytest.raises(UsageError, match="--compare"):
        Evaluation(photos, ("lite", "resnet18", "mine"), compare=True)
    with pytest.raises(UsageError, match="--size 100"):
        Evaluation(photos, ("lite",), size=100)
    (photos.parent / "one.txt").write_text("photos/0.png\n")
    with pytest.raises(NoInputError, match="at least two"):
        evaluate.evaluate(Evaluation(photos.parent / "one.txt", (str(folder),), size=64), school.read_rgb, CPU)


def test_a_missing_network_is_said_with_the_ways_round_it(monkeypatch: pytest.MonkeyPatch):
    def offline(*given: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models.ResNet18_Weights.get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"--encoder FILE.*--teacher lite0.*--encoder none"):
        start_encoder(NETWORKS["resnet18"](), "imagenet")


# Float16


def test_in_fp16_the_loss_is_scaled_and_an_overflow_skips_the_step():
    layer = nn.Linear(4, 4)
    learn = Descent(torch.optim.SGD(layer.parameters()), "fp16", CPU)
    x = torch.ones(2, 4)

    def step(factor: float) -> bool:
        before = layer.weight.detach().clone()
        with torch.autocast("cpu", torch.float16):
            answer = layer(x)
        learn(answer.float().mean() * factor, 1e3)
        return not torch.equal(layer.weight, before)

    assert step(1e-7)  # its gradient is 0 in float16 unless it is scaled
    scale = learn.scale.scaler.get_scale()
    assert not step(float("inf"))
    assert learn.scale.scaler.get_scale() == scale / 2
    other = Descent(torch.optim.SGD(layer.parameters()), "fp16", CPU)
    other.modules()["scale"].load_state_dict(learn.modules()["scale"].state_dict())
    assert other.scale.scaler.get_scale() == scale / 2
    assert Descent(learn.optimizer, "bf16", CPU).modules() == {}


def test_a_network_for_other_sizes_is_refused(tmp_path: Path):
    card = {"name": "p", "network": "pix2pix", "sha256": "", "stage": "baseline"}
    weights.save(tmp_path, NETWORKS["pix2pix"](), card)
    with pytest.raises(UsageError, match="multiple of 256"):
        evaluate.load_networks([str(tmp_path)], 128, CPU)


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
    batch = plates.batch_of(kinds["blue"][0], 64, school.read_rgb)
    grey = dataset.centre_crop(np.repeat(colour_picture(0, 80, 70)[..., 2:], 3, axis=2), 64)
    assert torch.equal(batch.l_net, dataset.to_batch([grey], [None]).l_net)
    assert not torch.allclose(batch.l_net, batch.l_true, atol=0.02)
    seen: list[torch.Tensor] = []

    class Ink(ConstantInk):
        def forward(self, l_net: torch.Tensor) -> torch.Tensor:
            seen.append(l_net)
            return super().forward(l_net) * 0

    answer = evaluate.coloured({"ink": Ink()}, batch, "fp32")
    assert torch.equal(seen[0], batch.l_net)
    assert torch.equal(answer["ink"], answer["grey"])
    true_l = lab.lab_from_srgb(batch.rgb)[:, :1]
    assert torch.allclose(lab.lab_from_srgb(answer["ink"])[:, :1], true_l, atol=0.01)


def test_evaluate_prints_a_row_for_each_plate_and_model(trained: tuple[Path, Path], tmp_path: Path):
    save_plates(tmp_path)
    _, folder = trained
    words = f"evaluate --plates {tmp_path} --model {folder} --size 64 --sheet {tmp_path}/s.png".split()
    told = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert [(one["plate"], one["model"], one["pictures"]) for one in told] == [
        (plates.TRUE_LIGHTNESS, str(folder), 2), ("blue", str(folder), 2)
    ]  # fmt: skip
    # Two plates, each with the model below it, and the truth.
    assert Image.open(tmp_path / "s.png").size == (2 * 68, 5 * (68 + sheets.CAPTION_PX))
    table = CliRunner().invoke(app, f"evaluate --plates {tmp_path} --model lite --size 64".split()).stdout
    assert "blue" in table
    assert "pictures" in table


def test_plates_go_alone(tmp_path: Path):
    for words in (f"--data {tmp_path}", "--limit 3", "--confidence", "--write-card", "--compare lite lite"):
        result = CliRunner().invoke(app, ["evaluate", "--plates", str(tmp_path), *words.split()])
        assert "--plates" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--plot p.png", "--plot: goes with --film alone"),
        ("--confidence --sheet s.png", "--confidence: draws no sheet"),
        ("--confidence --compare lite lite", "--confidence: draws no sheet"),
    ],
)
def test_what_would_change_nothing_is_refused(tmp_path: Path, words: str, told: str):
    result = CliRunner().invoke(app, ["evaluate", "--data", str(tmp_path), *words.split()])
    assert told in str(result.exception)


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


def test_weights_to_go_on_from_have_an_encoder():
    with pytest.raises(UsageError, match="leave one of them out"):
        Pretraining(origin="lite", encoder="imagenet").start()


def test_plates_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(NoInputError, match="holds no pairs"):
        plates.find(tmp_path)
    save_plates(tmp_path)
    Image.new("L", (10, 10)).save(tmp_path / "p0__input_blue.png")
    with pytest.raises(NoInputError, match=r"p0__input_blue.png: is not of the size"):
        plates.batch_of(plates.find(tmp_path)["blue"][0], 64, school.read_rgb)
