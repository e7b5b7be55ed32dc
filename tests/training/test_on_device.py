"""Batches made on the device: the draws, crops and aging of the host's, as tensors, whatever the batch."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.tiny_training import CARD, CPU, colour_picture, photo_set, tiny_stage, tiny_step

from archivecolor.errors import UsageError
from archivecolor.imaging import lab
from archivecolor.options import DataOn
from archivecolor.training import aging, batched_aging, batches, chance, checkpoint, damage, dataset, figures, loop
from archivecolor.training.chance import Draws, normal, picture_keys, uniform
from archivecolor.training.packed_photos import PackedPhotos
from archivecolor.training.stage_start import choose_source


def keys(count: int, seed: int = 3) -> torch.Tensor:
    return picture_keys(torch.arange(count), seed)


# The draws


def test_draws_are_fixed_for_all_time_and_any_batch():
    """Resumed trainings rely on them, so a change of one bit is a fault."""
    assert keys(3, 7).tolist() == [3447391923, 2412311822, 985673069]
    whole = uniform(keys(9), 5, 4)
    assert torch.equal(torch.cat([uniform(keys(9)[a:b], 5, 4) for a, b in ((0, 1), (1, 6), (6, 9))]), whole)
    assert (whole >= 0).all() and (whole < 1).all()
    later = picture_keys(torch.tensor([2**40 + 1]), 7)
    assert int(later[0]) != int(picture_keys(torch.tensor([1]), 7)[0]), "positions beyond 32 bits count"
    assert picture_keys(torch.tensor([5]), 2**70).dtype == torch.int64, "any seed"


def test_draws_are_uniform_normal_and_independent():
    drawn = uniform(keys(4000), 1, 8).double()
    assert drawn.mean(dim=0).sub(0.5).abs().max() < 0.02
    assert drawn.std(dim=0).sub(12**-0.5).abs().max() < 0.01
    other = [uniform(keys(4000), 2, 8), uniform(keys(4000, seed=4), 1, 8), drawn.roll(1, 0), drawn.roll(1, 1)]
    for numbers in other:
        assert np.corrcoef(drawn[:, 0], numbers[:, 0])[0, 1] == pytest.approx(0, abs=0.06)
    noise = normal(keys(40), 1, 32, 32).double()
    assert (noise.mean().item(), noise.std().item(), (noise**4).mean().item()) == pytest.approx((0, 1, 3), abs=0.08)


# Crops


@pytest.mark.parametrize("size", [32, 64, 96])
def test_crops_are_those_of_opencv(size: int):
    """Within half a level where both sides shrink; where one grows, OpenCV's fixed-point weights add a quarter."""
    rng = np.random.default_rng(size)
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((70, 90, 3), (150, 110, 3), (64, 64, 3))]
    photos = PackedPhotos(pictures, CPU)
    chosen, boxes = [], []
    for _ in range(24):
        i = int(rng.integers(len(pictures)))
        height, width = pictures[i].shape[:2]
        h = int(rng.integers(int(0.65 * min(height, width)), min(height, width) + 1))
        w = min(width, round(h * rng.uniform(0.92, 1.08)))
        chosen.append(i)
        boxes.append([rng.integers(height - h + 1), rng.integers(width - w + 1), h, w])
    crops = photos.crops(torch.tensor(chosen), torch.tensor(np.array(boxes), dtype=torch.float32), size) * 255
    means = []
    for i, (y, x, h, w), crop in zip(chosen, boxes, crops, strict=True):
        expected = dataset._resize(pictures[i][y : y + h, x : x + w], size)
        difference = np.abs(crop.permute(1, 2, 0).numpy() - expected)
        assert difference.max() < (0.51 if min(h, w) >= size else 0.8)
        means.append(difference.mean())
    assert max(means) < 0.3


def test_random_crops_are_spread_and_mirrored_like_those_of_the_host():
    """A ramp of columns shows where each crop was, how wide, and whether it is mirrored."""
    ramp = np.repeat(np.arange(240, dtype=np.uint8)[None, :, None], 96, axis=0).repeat(3, axis=2)
    photos, count = PackedPhotos([ramp], CPU), 400
    crops = photos.random_crops(torch.zeros(count, dtype=torch.int64), 32, Draws(keys(count)))[:, 0, 0] * 255
    expected = torch.from_numpy(
        np.stack([dataset.random_crop(ramp, 32, np.random.default_rng(i))[0, :, 0] for i in range(count)])
    ).float()
    for statistic in (
        lambda rows: (rows[:, 0] > rows[:, -1]).float().mean() * 10,
        lambda rows: (rows[:, 0] - rows[:, -1]).abs().mean(),
        lambda rows: (rows[:, 0] - rows[:, -1]).abs().std(),
        lambda rows: rows.mean(),
        lambda rows: rows.mean(dim=1).std(),
    ):
        assert float(statistic(crops)) == pytest.approx(float(statistic(expected)), rel=0.1)


# Aging


def light_and_linear(count: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    rgb = torch.from_numpy(np.stack([colour_picture(i, size, size) for i in range(count)])).permute(0, 3, 1, 2) / 255
    linear = lab.linear_from_srgb(rgb)
    return lab.lab_from_linear(linear)[:, :1] / 100, linear


@pytest.mark.parametrize("quality", [15, 49, 50, 70])
def test_jpeg_is_libjpegs(quality: int):
    light, _ = light_and_linear(6)
    packed = batched_aging.jpeg_round_trip(light, torch.full((6, 1, 1, 1), float(quality))) * 255
    differences = []
    for picture, result in zip(light, packed, strict=True):
        samples = np.rint(picture[0].numpy().clip(0, 1) * 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", samples, [cv2.IMWRITE_JPEG_QUALITY, quality])
        differences.append(np.abs(result[0].numpy() - cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)).mean())
    assert np.mean(differences) < 0.2


def test_blur_is_opencvs():
    light, _ = light_and_linear(6)
    light = (light + 0.1 * torch.randn(light.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    sigma = torch.linspace(0.1, 1.3, 6).view(6, 1, 1, 1)
    for picture, result, width in zip(light, batched_aging.gaussian_blur(light, sigma), sigma, strict=True):
        expected = cv2.GaussianBlur(picture[0].numpy(), (7, 7), float(width))
        assert np.abs(result[0].numpy() - expected).max() < 2e-7


@pytest.mark.parametrize("step", [step for step, _ in aging.STEPS], ids=lambda step: step.__name__)
def test_each_step_changes_pictures_as_much_as_the_hosts(step):
    light, _ = light_and_linear(1)
    count = 600
    ours = batched_aging.BATCHED_STEPS[step.__name__](light.expand(count, -1, -1, -1).contiguous(), Draws(keys(count)))
    plain = light[0, 0].numpy()
    theirs = torch.from_numpy(np.stack([step(plain.copy(), np.random.default_rng(i)) for i in range(count)]))[:, None]
    changes = [(aged - light).abs().mean(dim=(1, 2, 3)) for aged in (ours, theirs)]
    assert float(changes[0].mean()) == pytest.approx(float(changes[1].mean()), rel=0.15)
    assert float(changes[0].std()) == pytest.approx(float(changes[1].std()), rel=0.3)
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=0.015)


def test_an_emulsion_and_margins_are_like_the_hosts():
    patches = torch.tensor([[1.0, 0, 0, 0.2], [0, 1.0, 0, 0.2], [0, 0, 1.0, 0.2]])[None, :, None]
    seen = batched_aging.emulsion(patches.expand(300, -1, -1, -1), Draws(keys(300)))[:, 0, 0]
    host = np.stack([aging.emulsion(patches[0], np.random.default_rng(i))[0] for i in range(300)])
    for statistic in (np.min, np.max, np.mean):
        np.testing.assert_allclose(statistic(seen.numpy(), axis=0), statistic(host, axis=0), atol=0.03)
    rgb = colour_picture(1, 64, 64)
    framed = batched_aging.margin(
        torch.from_numpy(rgb).permute(2, 0, 1)[None].expand(200, -1, -1, -1) / 255, Draws(keys(200))
    )
    changed = (framed != framed[0] * 0 + torch.from_numpy(rgb).permute(2, 0, 1) / 255).any(dim=1)
    expected = [(damage.margin(rgb, np.random.default_rng(i)) != rgb).any(axis=-1).mean() for i in range(200)]
    assert float(changed.float().mean()) == pytest.approx(np.mean(expected), rel=0.15)
    deepest = int(np.ceil(damage.DEEPEST_MARGIN * 64))
    assert not changed[:, deepest:-deepest, deepest:-deepest].any()
    assert float((framed.amax(dim=1) - framed.amin(dim=1))[changed].max()) == 0, "a margin has no colour"


# Batches


@pytest.fixture(scope="module")
def photos() -> dataset.PhotoSet:
    return photo_set(5)


def test_parts_of_a_batch_are_the_whole_bit_for_bit(photos: dataset.PhotoSet):
    packed = PackedPhotos(photos.pictures, CPU)
    whole = batches.device_batch(packed, 3, 12, 32, 0.8, 0)
    parts = [batches.device_batch(packed, start, count, 32, 0.8, 0) for start, count in ((3, 1), (4, 6), (10, 5))]
    for part in fields(whole):
        assert torch.equal(torch.cat([getattr(each, part.name) for each in parts]), getattr(whole, part.name)), (
            part.name
        )
    other = batches.device_batch(packed, 3, 12, 32, 0.8, 1)
    assert not torch.equal(other.rgb, whole.rgb)


def test_a_batch_holds_the_lab_of_its_crops_and_ages_its_share(photos: dataset.PhotoSet):
    packed = PackedPhotos(photos.pictures, CPU)
    batch = batches.device_batch(packed, 0, 60, 32, 0.5, 0)
    l_true, ab_net = lab.net_from_lab(lab.lab_from_srgb(batch.rgb))
    assert torch.allclose(batch.l_true, l_true, atol=1e-6) and torch.allclose(batch.ab_net, ab_net, atol=1e-6)
    is_aged = (batch.l_net != batch.l_true).flatten(1).any(dim=1)
    assert 0.3 < float(is_aged.float().mean()) < 0.7
    assert batch.l_net.abs().max() <= 1
    clean = batches.device_batch(packed, 0, 60, 32, 0.0, 0)
    assert torch.equal(clean.l_net, clean.l_true)
    host = dataset.training_batch(photos, 0, 60, 32, 0.5, 0)
    for name in ("l_net", "rgb"):
        ours, theirs = (getattr(each, name) for each in (batch, host))
        assert (float(ours.mean()), float(ours.std())) == pytest.approx(
            (float(theirs.mean()), float(theirs.std())), abs=0.06
        )


def test_the_host_makes_the_same_batches_with_any_number_of_threads(tmp_path: Path, photos: dataset.PhotoSet):
    stage = tiny_stage(tmp_path, batch=6, pictures=24)
    found = []
    for threads in (1, 4):
        with batches._HostBatches(photos, stage, 6, CPU, threads) as source:
            found.append([next(source) for _ in range(3)])
    expected = [dataset.training_batch(photos, start, 6, size, 0.5, 0) for start, size in ((6, 32), (12, 64), (18, 64))]
    for one, several, plain in zip(*found, expected, strict=True):
        for part in fields(plain):
            assert torch.equal(getattr(one, part.name), getattr(plain, part.name))
            assert torch.equal(getattr(several, part.name), getattr(plain, part.name))


def losses_of(out: Path, seed: int, stop_after: int = 99, **changes: object) -> list[float]:
    stage, losses = tiny_stage(out, **changes), []

    def on_progress(progress: loop.TrainingProgress) -> None:
        if not progress.validated:
            losses.append(progress.numbers["l1"])

    loop.run(stage, tiny_step(seed), photo_set(6), photo_set(2), CARD, on_progress, lambda: len(losses) >= stop_after)
    return losses


def test_a_training_with_its_photographs_on_the_device_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(figures, "plot_curves", lambda folder: None)
    unbroken = losses_of(tmp_path / "a", 0, data_on="device")
    assert unbroken != losses_of(tmp_path / "host", 0)
    first = losses_of(tmp_path / "b", 0, stop_after=2, data_on="device")
    assert checkpoint.read_about(tiny_stage(tmp_path / "b"))["data_on"] == "device"
    assert "data_on" not in checkpoint.read_about(tiny_stage(tmp_path / "host")), "as in older versions"
    assert first + losses_of(tmp_path / "b", 1, data_on="device") == unbroken


GPU = torch.device("cuda:0")


@pytest.mark.parametrize(
    ("device", "requested", "before", "free", "expected", "message"),
    [
        (CPU, "auto", None, 0, "host", ""),
        (CPU, "device", None, 0, "device", ""),
        (GPU, "auto", None, 10**9, "device", ""),
        (GPU, "auto", None, 10**5, "host", ""),
        (GPU, "host", None, 10**9, "host", ""),
        (GPU, "auto", "host", 10**9, "host", "--data-on device is faster"),
        (GPU, "device", "host", 10**9, "device", "drawn otherwise"),
        (GPU, "auto", "device", 10**9, "device", "last digits"),
        (CPU, "auto", "device", 0, "device", ""),
    ],
)
def test_where_batches_are_made(
    device, requested, before, free, expected, message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    about = {"data_on": before} if before == "device" else {}
    monkeypatch.setattr(checkpoint, "read_about", lambda stage: {"pictures": 4, **about} if before else None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**10))
    messages: list[str] = []
    stage = choose_source(tiny_stage(tmp_path), photo_set(6), device, DataOn(requested), messages.append)
    assert stage.data_on == expected
    assert message in " ".join(messages) and bool(messages) == bool(message)


def test_mounts_are_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**10))
    stage = tiny_stage(tmp_path, mounts=0.1)
    assert choose_source(stage, photo_set(6), GPU, DataOn.AUTO, lambda text: None).data_on == "host"
    with pytest.raises(UsageError, match=r"--mounts 0\.1: .*--data-on host"):
        choose_source(stage, photo_set(6), GPU, DataOn.DEVICE, lambda text: None)


def test_photographs_that_do_not_fit_are_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**5, 10**10))
    with pytest.raises(UsageError, match=r"--data-on device: .* GB.*--data-on host"):
        choose_source(tiny_stage(tmp_path), photo_set(6), GPU, DataOn.DEVICE, lambda text: None)
    assert chance.Draws.MOST >= 175, "dust draws most"
