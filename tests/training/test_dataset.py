"""What a training takes in: which photographs, how they are split, which batches they become."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny_training import colour_picture, photo_set

from archivecolor import provenance
from archivecolor.errors import NoInputError, UsageError
from archivecolor.imaging import lab
from archivecolor.options import StageOptions
from archivecolor.training import copies, dataset, photo_cache, photographs

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
        "a.png": colour_picture(1),
        "b.png": colour_picture(2),
        "sub/c.jpg": colour_picture(3),
        "grey.png": grey,
        "sepia.png": sepia,
        "small.png": colour_picture(4, height=40),
    }
    for name, rgb in pictures.items():
        Image.fromarray(rgb).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "sub/c.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_what_cannot_teach_colour_is_left_out_and_counted(mixed_folder: Path):
    seen: list[int] = []
    photos = dataset.load(dataset.find(mixed_folder), photographs.read_rgb, 64, mixed_folder, seen.append)
    assert photos.names == ["a.png", "b.png", "sub/c.jpg"]
    assert photos.reasons["broken.jpg"] == "unreadable"
    assert photos.left_out == {"grey": 1, "tinted in one tone": 1, "under 64 pixels": 1, "unreadable": 1}
    assert all(min(rgb.shape[:2]) == 64 for rgb in photos.pictures)
    assert seen == list(range(1, 8))


def test_nothing_usable_is_an_error_that_counts_the_reasons(mixed_folder: Path):
    with pytest.raises(NoInputError, match="1 grey"):
        dataset.load([mixed_folder / "grey.png"], photographs.read_rgb, 64)
    with pytest.raises(NoInputError):
        dataset.find(mixed_folder / "nowhere")


def test_a_list_names_photographs_relative_to_itself(mixed_folder: Path):
    (mixed_folder / "list.txt").write_text("sub/c.jpg\n\na.png\n")
    assert dataset.find(mixed_folder / "list.txt") == [mixed_folder / "sub/c.jpg", mixed_folder / "a.png"]


def test_a_list_may_have_comments_quotes_and_a_byte_order_mark(mixed_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(mixed_folder / "sub"))
    listed = ["\ufeffa.png", "# a comment", "", '"b.png"', "~/c.jpg", "a.png", str(mixed_folder / "b.png")]
    (mixed_folder / "list.txt").write_text("\r\n".join(listed), encoding="utf-8")
    names = [path.name for path in dataset.find(mixed_folder / "list.txt")]
    assert names == ["a.png", "b.png", "c.jpg"]
    (mixed_folder / "list.txt").write_text("a\0.png")
    with pytest.raises(NoInputError, match="NUL"):
        dataset.find(mixed_folder / "list.txt")


def test_a_missing_photograph_is_told_from_a_damaged_one(mixed_folder: Path):
    (mixed_folder / "list.txt").write_text("a.png\nbroken.jpg\ngone.png\n")
    photos = dataset.load(dataset.find(mixed_folder / "list.txt"), photographs.read_rgb, 64, mixed_folder)
    assert photos.reasons == {"broken.jpg": "unreadable", "gone.png": "missing"}


@pytest.mark.parametrize("marker", dataset.TRAINING_FILES)
def test_pictures_of_a_training_are_not_photographs(mixed_folder: Path, marker: str):
    (mixed_folder / "weights/mine").mkdir(parents=True)
    for name in ("samples.png", "encoder/curves.png"):
        (mixed_folder / "weights/mine" / name).parent.mkdir(exist_ok=True)
        Image.fromarray(colour_picture(7)).save(mixed_folder / "weights/mine" / name)
    before = len(dataset.find(mixed_folder))
    (mixed_folder / "weights/mine" / marker).write_text("{}")
    assert len(dataset.find(mixed_folder)) == before - 2


def test_pictures_that_this_program_coloured_teach_nothing(mixed_folder: Path):
    xmp, _ = provenance.disclosure(None, "archivecolor 1", "lite", "00")
    Image.fromarray(colour_picture(8)).save(mixed_folder / "ours.jpg", xmp=xmp)
    photos = dataset.load(dataset.find(mixed_folder), photographs.read_rgb, 64, mixed_folder)
    assert photos.reasons["ours.jpg"] == "coloured by archivecolor"
    assert "ours.jpg" not in photos.names


def test_the_split_depends_on_names_alone():
    names = [Path(f"/photos/{i:04}.jpg") for i in range(2000)]
    train, validation = dataset.split_train_validation(names, Path("/photos"))
    assert not set(train) & set(validation)
    assert sorted(train + validation) == names
    assert 0.02 < len(validation) / len(names) < 0.06
    moved = [Path("/elsewhere") / path.name for path in reversed(names[:500])]
    _, validation_moved = dataset.split_train_validation(moved, Path("/elsewhere"))
    assert {p.name for p in validation_moved} == {p.name for p in validation} & {p.name for p in moved}


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (10, 2), (60, 12), (300, 16)])
def test_of_few_pictures_more_than_the_share_is_for_validation(count: int, expected: int):
    names = [Path(f"/photos/{i:04}.jpg") for i in range(count)]
    train, validation = dataset.split_train_validation(names, Path("/photos"))
    assert sorted(train + validation) == names
    assert expected <= len(validation) <= expected + count * 0.05


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


def test_many_validation_pictures_are_sampled_evenly_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for i in range(6):
        Image.fromarray(colour_picture(i)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(StageOptions, "validation_pictures", 2)
    loaded = photographs.load_photographs(tmp_path, tmp_path, 64)
    assert loaded.validation.names == ["0.png", "3.png"]
    assert loaded.validation.left_out == {"beyond the 2 that validations look at": 4}
    assert (loaded.overlap, loaded.counts()["in_both"]) == (2, 2)


def test_a_photograph_in_the_place_of_a_list_is_named(tmp_path: Path):
    Image.fromarray(colour_picture(0)).save(tmp_path / "a.png")
    with pytest.raises(NoInputError, match=r"a\.png: is neither a folder nor a text file"):
        dataset.find(tmp_path / "a.png")


def test_evaluation_holds_no_more_pictures_than_it_works_on(tmp_path: Path):
    (tmp_path / "list.txt").write_text("\n".join(f"{i}.png" for i in range(200)))
    read: list[str] = []

    def picture(path: Path, short_side: int = 0) -> np.ndarray:
        read.append(path.name)
        return colour_picture(int(path.stem) % 7)

    paths = dataset.find(tmp_path / "list.txt")
    for taken, (path, rgb, reason) in enumerate(dataset.stream(paths, picture, 64)):
        assert path == paths[taken]
        assert rgb is not None, reason
        assert len(read) <= taken + 3 * joblib.cpu_count() + 1


def test_a_sample_is_spaced_evenly_and_fixed():
    assert dataset.evenly_spaced(5, 12) == [0, 1, 2, 3, 4]
    assert dataset.evenly_spaced(100, 4) == [0, 25, 50, 75]


# Held out after reading, and copies on one side


def test_copies_of_a_photograph_are_recognized_by_content():
    originals = [colour_picture(i, 144, 192) for i in range(6)]
    smaller = cv2.resize(originals[2], (96, 72), interpolation=cv2.INTER_AREA)
    stored = cv2.imdecode(cv2.imencode(".jpg", originals[4], [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    prints = [copies.fingerprint(rgb) for rgb in [*originals, smaller, stored]]
    assert copies.first_copies(prints) == [0, 1, 2, 3, 4, 5, 2, 4]
    assert copies.with_copies_in(prints[6:], prints[:4]) == [True, False]
    assert copies.with_copies_in(prints[:2], []) == [False, False]


def test_copies_fall_on_one_side(tmp_path: Path):
    """Each of ten photographs under four names: without it, some name of most is held out."""
    for i in range(10):
        for j in range(4):
            Image.fromarray(colour_picture(i)).save(tmp_path / f"{j}{i}.{('png', 'jpg')[j % 2]}")
    loaded = photographs.load_photographs(tmp_path, None, 64)
    sides = [{name[1] for name in photos.names} for photos in (loaded.train, loaded.validation)]
    assert not sides[0] & sides[1]
    assert len(loaded.train) + len(loaded.validation) == 40
    assert 8 <= len(loaded.validation) <= 12


def test_only_what_can_be_used_is_held_out(tmp_path: Path):
    """The name that would be held out first is not a picture."""
    names = sorted((f"{i}.png" for i in range(7)), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    (tmp_path / names[0]).write_bytes(b"no picture")
    for i, name in enumerate(names[1:]):
        Image.fromarray(colour_picture(i)).save(tmp_path / name)
    loaded = photographs.load_photographs(tmp_path, None, 64)
    assert loaded.validation.names == [names[1]]
    assert loaded.left_out() == {"train": {"unreadable": 1}, "val": {}}


def test_one_photograph_or_one_in_many_copies_is_too_little(tmp_path: Path):
    Image.fromarray(colour_picture(0)).save(tmp_path / "0.png")
    with pytest.raises(NoInputError, match="one photograph that can teach colour is too few"):
        photographs.load_photographs(tmp_path, None, 64)
    Image.fromarray(colour_picture(0)).save(tmp_path / "1.png")
    with pytest.raises(NoInputError, match="all 2 photographs are copies of one"):
        photographs.load_photographs(tmp_path, None, 64)


def test_a_resumed_training_keeps_the_split_of_an_older_version(tmp_path: Path):
    """It chose by name alone, before reading: here a copy on the other side, and a broken one that is held out."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for i in range(6):
        Image.fromarray(colour_picture(max(i, 1))).save(data / f"{i}.png")
    (data / "broken.png").write_bytes(b"no picture")
    old = {
        "train": {"pictures": ["0.png", "2.png", "3.png", "4.png"], "left_out": {}},
        "val": {"pictures": ["1.png", "5.png"], "left_out": {"broken.png": "unreadable"}},
    }
    out.mkdir()
    (out / dataset.SPLIT).write_text(json.dumps(old))
    loaded = photographs.load_photographs(data, None, 64, out=out)
    assert (loaded.train.names, loaded.validation.names) == (old["train"]["pictures"], old["val"]["pictures"])
    assert loaded.left_out() == {"train": {}, "val": {"unreadable": 1}}
    photographs.save_split(out, loaded, resumed=True)
    Image.fromarray(colour_picture(9)).save(data / "new.png")
    with pytest.raises(UsageError, match=r"1 new \(new\.png"):
        photographs.save_split(out, photographs.load_photographs(data, None, 64, out=out), resumed=True)


def test_a_new_copy_goes_where_its_original_is(tmp_path: Path):
    """A split without a checkpoint: the training that wrote it ended before its first one."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for i in range(8):
        Image.fromarray(colour_picture(i)).save(data / f"{i}.png")
    first = photographs.load_photographs(data, None, 64, out=out)
    photographs.save_split(out, first, resumed=False)
    held, trained = first.validation.names[0], first.train.names[0]
    for i in range(6):
        Image.fromarray(colour_picture(int(held[0]))).save(data / f"copy_of_held_{i}.png")
        Image.fromarray(colour_picture(int(trained[0]))).save(data / f"copy_of_trained_{i}.png")
    now = photographs.load_photographs(data, None, 64, out=out)
    assert len([name for name in now.validation.names if name.startswith("copy_of_held")]) == 6
    assert len([name for name in now.train.names if name.startswith("copy_of_trained")]) == 6


def test_held_out_photographs_that_are_copies_are_counted(tmp_path: Path):
    for folder, seeds in (("train", (0, 1, 2)), ("val", (2, 3))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            Image.fromarray(colour_picture(seed)).save(tmp_path / folder / f"{folder}_{seed}.png")
    loaded = photographs.load_photographs(tmp_path / "train", tmp_path / "val", 64)
    assert loaded.overlap == 1


# Huge scans


@pytest.mark.parametrize("crop", [32, 128])
def test_huge_scans_are_learnt_from_in_a_reduced_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: int):
    """Their colours are converted at the size that is kept, and small crops do not make them `under 64 pixels`."""
    for i in range(4):
        Image.fromarray(colour_picture(i, 600, 900)).save(tmp_path / f"{i}.{'jpg' if i % 2 else 'png'}", quality=95)
    whole = photographs.load_photographs(tmp_path, None, crop)
    monkeypatch.setattr(importlib.import_module("archivecolor.photo.thumbnail"), "WHOLE_MEGAPIXELS", 0.5)
    converted: list[int] = []
    convert = photographs.luminance.to_srgb8
    monkeypatch.setattr(
        photographs.luminance, "to_srgb8", lambda rgb, icc: converted.append(min(rgb.shape[:2])) or convert(rgb, icc)
    )
    reduced = photographs.load_photographs(tmp_path, None, crop)
    side = max(64, photographs.decoded_side(crop))
    assert sorted(converted) == sorted([side] * 4 + [256] * len(whole.validation))
    for one, other in ((reduced.train, whole.train), (reduced.validation, whole.validation)):
        assert (one.names, one.reasons) == (other.names, other.reasons)
        for rgb, expected in zip(one.pictures, other.pictures, strict=True):
            assert rgb.shape == expected.shape
            assert np.abs(rgb.astype(int) - expected).mean() < 3


# Decoded photographs are kept


def test_a_resumed_training_decodes_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photo_cache, "WORTH_SECONDS", 0.0)
    data, out = tmp_path / "data", tmp_path / "out"
    for folder in (data, out):
        folder.mkdir()
    for i in range(5):
        Image.fromarray(colour_picture(i, 100, 120)).save(data / f"{i}.png")
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(data / "grey.png")
    (data / "broken.png").write_bytes(b"no picture")
    read: list[str] = []
    read_rgb = photographs.read_rgb
    monkeypatch.setattr(photographs, "read_rgb", lambda path, side: read.append(path.name) or read_rgb(path, side))

    def load() -> photographs.Photographs:
        read.clear()
        return photographs.load_photographs(data, None, 64, out=out)

    first = load()
    assert len(read) == 8, "one is held out, and read in its two sizes"
    again = load()
    assert read == ["broken.png"], "that may have been the disk"
    for one, other in ((first.train, again.train), (first.validation, again.validation)):
        assert one.names == other.names
        assert all(np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True))
        assert one.reasons == other.reasons
    batches = [dataset.training_batch(photos.train, 0, 4, 32, 0.5, 0) for photos in (first, again)]
    assert torch.equal(batches[0].l_net, batches[1].l_net)
    changed = next(name for name in first.train.names)
    Image.fromarray(colour_picture(9, 100, 120)).save(data / changed)
    assert not np.array_equal(load().train.pictures[0], first.train.pictures[0])
    assert sorted(read) == sorted(["broken.png", changed])
    for damage in (b"", b"x" * 40):
        (out / photo_cache.PIXELS).write_bytes(damage)
        load()
        assert len(read) == 8
    monkeypatch.setattr(photo_cache, "LARGEST_BYTES", 3 * 78 * 94 * 3)
    photo_cache.remove(out)
    load()
    assert (out / photo_cache.PIXELS).stat().st_size <= photo_cache.LARGEST_BYTES
    load()
    assert 1 < len(read) < 8
    photo_cache.remove(out)
    assert list(out.iterdir()) == []
