"""Several colourings of one picture on one sheet; the mirror image's second opinion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.doubles import INK, grey, lab_of, save_ink
from torch import Tensor, nn

from archivecolor import Colorizer, networks, weights
from archivecolor.errors import OutputError, UsageError
from archivecolor.inference.guidance import adjusted
from archivecolor.options import CandidateOptions, ColorizerOptions, ColorOptions, Digest
from archivecolor.review import variations
from archivecolor.review.candidates import GAP, LABEL, sheet


class LeftIsRed(nn.Module):
    """Red towards the left of what it sees, green towards the right: its mirror image disagrees with it."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Parameter(torch.tensor([0.3]))

    def forward(self, l_net: Tensor) -> Tensor:
        n, _, h, w = l_net.shape
        across = l_net.new_tensor(np.linspace(1, -1, w)).expand(n, 1, h, w)
        return self.depth * across.repeat(1, 2, 1, 1) * l_net.new_tensor([1.0, 0.0]).view(1, 2, 1, 1)


def options(picture: Path, out: Path, model: Path, **changes: Any) -> CandidateOptions:
    options_ = {
        "sizes": (64, 128),
        "strengths": (0.5, 1.0),
        "side": 120,
        "device": "cpu",
        "precision": "fp32",
        **changes,
    }
    return CandidateOptions(picture=picture, out=out, models=(str(model),), **options_)


def test_the_sheet_shows_every_way_over_its_flags(tmp_path: Path, ink: Path) -> None:
    Image.fromarray(grey(80, 120)).save(tmp_path / "a.png")
    labels = sheet(options(tmp_path / "a.png", tmp_path / "deep/sheet.png", ink))
    flags = [
        f"--model {ink} --size {size} --strength {rest}" for size in (64, 128) for rest in ("0.5", "1", "1 --mirror")
    ]
    assert labels == ["a.png", *flags]
    with Image.open(tmp_path / "deep/sheet.png") as image:
        shown = np.asarray(image)
    width, height = 120 + GAP, 80 + LABEL + GAP
    assert shown.shape == (3 * height + GAP, 3 * width + GAP, 3)

    def chroma(place: int) -> float:
        y, x = GAP + (place + 2) // 3 * height, GAP + (place + 2) % 3 * width * (place > 0)
        return float(np.hypot(*lab_of(shown[y : y + 80, x : x + 120])[..., 1:].mean(axis=(0, 1))))

    full = float(np.hypot(*INK))
    found = [chroma(place) / full for place in range(7)]
    assert np.abs(np.array(found) - [0, 0.5, 1, 1, 0.5, 1, 1]).max() < 0.06


def test_a_turned_scan_of_16_bit_is_shown_upright(tmp_path: Path, ink: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", grey(60, 90, dtype=np.uint16), extratags=[(274, "H", 1, 6, True)])
    sheet(options(tmp_path / "a.tif", tmp_path / "s.png", ink, sizes=(64,), strengths=(1.0,), side=100))
    with Image.open(tmp_path / "s.png") as image:
        assert image.size == (2 * (60 + GAP) + GAP, 2 * (90 + LABEL + GAP) + GAP), (
            "the scan above, two colourings below"
        )


def test_what_cannot_be_asked_for(tmp_path: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "a.png")
    for wrong in ({"sizes": ()}, {"sizes": (10,)}, {"strengths": (3.0,)}, {"side": 10}):
        with pytest.raises(UsageError):
            options(tmp_path / "a.png", tmp_path / "s.png", ink, **wrong)
    with pytest.raises(UsageError, match=r"must end in \.png"):
        options(tmp_path / "a.png", tmp_path / "s.jpg", ink)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        sheet(options(tmp_path / "a.png", tmp_path / "file/s.png", ink, sizes=(64,)))


@pytest.fixture
def lopsided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ink: Path) -> Path:
    monkeypatch.setitem(networks.NETWORKS, "lopsided", LeftIsRed)
    monkeypatch.setitem(networks.STRIDES, "lopsided", 32)
    weights.save(tmp_path / "lopsided", LeftIsRed(), {"name": "lopsided", "network": "lopsided", "stage": "imported"})
    return tmp_path / "lopsided"


@pytest.mark.parametrize("shape", [(64, 64), (64, 300)], ids=["one look", "tiles"])
def test_with_its_mirror_image_left_and_right_are_coloured_alike(lopsided: Path, shape: tuple[int, int]) -> None:
    samples = np.full(shape, 128, np.uint8)

    def red(mirror: bool) -> Any:
        with Colorizer(
            lopsided, ColorizerOptions(color=ColorOptions(size=64, mirror=mirror), device="cpu", precision="fp32")
        ) as colorizer:
            return lab_of(colorizer.colorize(samples))[..., 1].mean(axis=0)

    alone, averaged = red(False), red(True)
    assert alone[:8].mean() > 15 > -15 > alone[-8:].mean()
    assert np.abs(averaged).max() < 1.5


def test_mirror_changes_nothing_for_a_network_that_sees_no_sides(ink: Path, tmp_path: Path) -> None:
    samples = grey(70, 90)
    tilted = save_ink(tmp_path / "tilted", tilt=(5.0, -5.0))
    made = []
    for mirror in (False, True):
        with Colorizer(
            tilted, ColorizerOptions(color=ColorOptions(size=64, mirror=mirror), device="cpu", precision="fp32")
        ) as colorizer:
            made.append(colorizer.colorize(samples, orientation=6))
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1


# --- variations -------------------------------------------------------------------------------------------------------


def test_without_sizes_the_sheet_shows_colourings_that_differ(
    tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variations, "_SKIN_CHROMA", 1000.0)  # the ink is the colour of skin
    samples = np.full((80, 120), 90, np.uint8)
    samples[:, 60:] = 190
    Image.fromarray(samples).save(tmp_path / "a.png")
    options_ = CandidateOptions(picture=tmp_path / "a.png", out=tmp_path / "s.png", models=(str(ink),), device="cpu")
    labels = sheet(options_)
    assert labels[:2] == ["a.png", f"--model {ink}"], "the scan, then what run gives"
    rest = {one.removeprefix(f"--model {ink}").strip() for one in labels[2:]}
    assert {"--warmth 0.6", "--warmth -0.6", "--strength 1.4"} < rest
    hints = [one.removeprefix("--hint ") for one in rest if one.startswith("--hint ")]
    places = {tuple(map(int, hint.split(",")[:2])) for hint in hints}
    assert len(hints) == 4 and {x < 60 for x, _ in places} == {True, False}, "other hues for both halves"
    with Image.open(tmp_path / "s.png") as image:
        assert image.size[0] == 4 * (120 + GAP) + GAP


def test_a_variation_can_be_had_again_by_its_flags(ink: Path) -> None:
    samples = grey(64, 64)
    color = ColorOptions(warmth=-0.6)
    with Colorizer(ink, ColorizerOptions(device="cpu", precision="fp32")) as colorizer:
        prediction = colorizer.predict(samples)
        shown = colorizer.guide(prediction, color).rows(samples, 0)[0]
    with Colorizer(ink, ColorizerOptions(color=color, device="cpu", precision="fp32")) as colorizer:
        assert np.array_equal(colorizer.colorize(samples), shown)


def test_areas_are_open_in_hue_and_hinted_at_their_middle() -> None:
    lightness = np.full((60, 80), 60, np.float32)
    ab = np.zeros((2, 60, 80), np.float32)
    ab[:, :, 40:] = np.array([20, 20], np.float32)[:, None, None]  # skin
    lightness[:30, :40] = 5  # too dark for a hue
    found = variations.areas(lightness, ab)
    assert found and all(area.row >= 30 and area.column < 40 for area in found)
    hint = variations.variations(lightness, ab, 256, 600, 800)[-1].hints[0]
    assert (hint.y > 300, hint.x < 400) == (True, True), "in pixels of the picture itself"
    assert variations.areas(np.full((8, 8), 99, np.float32), np.zeros((2, 8, 8), np.float32)) == []


def test_other_hues_are_far_from_the_first_and_from_each_other() -> None:
    for hue in range(0, 360, 15):
        angles = [hue, *variations.other_hues(hue)]
        apart = [abs((a - b + 180) % 360 - 180) for i, a in enumerate(angles) for b in angles[:i]]
        assert min(apart) >= 55, (hue, angles)


def test_the_most_different_come_first() -> None:
    maps = [np.full((2, 4, 4), value, np.float32) for value in (0, 1, 50, 2, -30)]
    assert variations.most_different_first(maps) == [0, 2, 4, 3, 1]


def test_warmth_leaves_grey_grey_and_is_part_of_the_digest_only_if_given() -> None:
    ab = np.stack([np.zeros((2, 2), np.float32), np.array([[0, 20], [0, 20]], np.float32)])
    warm, cool = (adjusted(ColorOptions(warmth=warmth), ab) for warmth in (1, -1))
    assert np.all(warm[:, :, 0] == 0) and np.all(cool[:, :, 0] == 0)
    assert warm[1, 0, 1] > 30 and cool[1, 0, 1] < 10
    assert np.array_equal(adjusted(ColorOptions(), ab), ab)
    assert "warmth" not in ColorOptions().digest_fields(Digest.BOTH)
    assert "warmth" in ColorOptions(warmth=0.5).digest_fields(Digest.PHOTO)
