"""What is beside a photograph gets no colour; both halves of a stereo pair get the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imaging.test_scan_layout import BOX, on_card, pair, with_wedge
from PIL import Image
from support.doubles import lab_of

from archivecolor import Colorizer, run
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.options import ColorizerOptions, ColorOptions, Hint, Palette
from archivecolor.provenance import read_rows

PALETTE = Palette("reference.jpg", "ab" * 32, ((15.0, 20.0, 9.0, 0.0, 9.0),) * 5, 1.0)


def samples(lightness: np.ndarray) -> Any:
    """L* -> grey samples, 8 bit."""
    y = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    return np.rint(255 * np.where(y <= 0.0031308, 12.92 * y, 1.055 * y.clip(1e-9) ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )


CARD = samples(on_card(52).clip(0, 100)).repeat(2, axis=0).repeat(2, axis=1)
"""A photograph on a grey card, 400 x 520."""
NOTE = re.compile(r"left without colour: the mount \((67|68|69|70) % of the sheet\)")


def coloured(ink: Path, picture: Any, orientation: int = 1, **options: Any) -> Any:
    with Colorizer(
        ink, ColorizerOptions(color=ColorOptions(size=128, **options), device="cpu", precision="fp32")
    ) as colorizer:
        return colorizer.colorize_image(picture, orientation=orientation)


def chroma(rgb: Any) -> tuple[float, float]:
    """The mean chroma of the card, and of the photograph on it. The edge between them is left out."""
    values = np.hypot(*lab_of(rgb)[..., 1:].transpose(2, 0, 1))
    card = np.ones(values.shape, bool)
    card[72:308, 92:408] = False
    return float(values[card].mean()), float(values[90:290, 110:390].mean())


@pytest.mark.parametrize("options", [{}, {"palette": PALETTE}, {"tiles": "always"}, {"warmth": 1.0}], ids=str)
def test_a_mount_stays_neutral(ink: Path, options: dict[str, Any]) -> None:
    result = coloured(ink, CARD, **options)
    card, photograph = chroma(result.rgb)
    assert card < 0.5 and photograph > 15
    assert len(result.notes) == 1 and NOTE.fullmatch(result.notes[0])


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_grey_scale_stays_neutral_at_every_size_of_the_network(ink: Path, size: int) -> None:
    picture = samples(with_wedge("bottom")[0].clip(0, 100)).repeat(3, axis=0).repeat(3, axis=1)
    with Colorizer(ink, ColorizerOptions(color=ColorOptions(size=size), device="cpu", precision="fp32")) as colorizer:
        result = colorizer.colorize_image(picture)
    values = np.hypot(*lab_of(result.rgb)[..., 1:].transpose(2, 0, 1))
    assert values[-54:].mean() < 2 and values[:500].mean() > 15


def test_the_whole_sheet_is_coloured_on_request(ink: Path) -> None:
    result = coloured(ink, CARD, whole_sheet=True)
    assert min(chroma(result.rgb)) > 15 and not result.notes


def test_a_hint_colours_a_mount(ink: Path) -> None:
    result = coloured(ink, CARD, hints=(Hint(30, 200, "#3a5f8b"),))
    assert np.hypot(*(lab_of(result.rgb)[200, 30, 1:])) > 15


def test_a_mount_is_found_upright_and_stays_where_it_is_stored(ink: Path) -> None:
    stored = np.ascontiguousarray(to_stored(CARD, 6))
    assert stored.shape == CARD.T.shape
    card, photograph = chroma(to_upright(coloured(ink, stored, 6).rgb.transpose(2, 0, 1), 6).transpose(1, 2, 0))
    assert card < 0.5 and photograph > 15


def test_rows_of_a_reduced_copy_are_neutral_too(ink: Path) -> None:
    """As a scan that is larger than the memory is coloured."""
    with Colorizer(ink, ColorizerOptions(color=ColorOptions(size=64), device="cpu", precision="fp32")) as colorizer:
        merge = colorizer.predict_colors(CARD[::2, ::2], size=CARD.shape)
        rows = np.concatenate([merge.rows(CARD[top : top + 50], top)[0] for top in range(0, 400, 50)])
    card, photograph = chroma(rows)
    assert card < 0.5 and photograph > 15 and merge.notes


def test_the_halves_of_a_stereo_pair_are_alike(ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def differing(self: Colorizer, inputs: list[Any], seconds: list[float]) -> list[Any]:
        """More colour to the right."""
        return [np.stack([np.full(lightness.shape, 5.0), 20 * (np.arange(lightness.shape[1]) > lightness.shape[1] / 2)
                          * np.ones(lightness.shape)]).astype(np.float32) for lightness, _ in inputs]  # fmt: skip

    monkeypatch.setattr(Colorizer, "_predict", differing)
    picture = samples(pair())
    for whole_sheet, expected in ((True, 20.0), (False, 0.0)):
        b = lab_of(coloured(ink, picture, whole_sheet=whole_sheet).rgb)[..., 2]
        assert np.median(b[60:160, 210:330]) - np.median(b[60:160, 40:160]) == pytest.approx(expected, abs=2)


def test_the_row_says_what_was_left_without_colour(ink: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(CARD).save(tmp_path / "in/card.png")
    pages = [Image.fromarray(CARD), Image.fromarray(CARD[BOX])]
    pages[0].save(tmp_path / "in/pages.tif", save_all=True, append_images=pages[1:])
    in_colour = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)).resize((400, 300))
    in_colour.save(tmp_path / "in/mixed.tif", save_all=True, append_images=pages[:1])
    run(tmp_path / "in", out=tmp_path / "out", model=str(ink), size=128, device="cpu")
    rows = read_rows(tmp_path / "out")
    assert any(NOTE.fullmatch(note) for note in rows["card.png"].notes)
    assert any(NOTE.fullmatch(note.removeprefix("page 1: ")) for note in rows["pages.tif"].notes)
    assert any(NOTE.fullmatch(note.removeprefix("page 2: ")) and note[0] == "p" for note in rows["mixed.tif"].notes)


def test_predictions_can_be_guided_again(ink: Path) -> None:
    """The page for corrections changes the strength of a prediction that it keeps."""
    with Colorizer(ink, ColorizerOptions(color=ColorOptions(size=128), device="cpu", precision="fp32")) as colorizer:
        prediction = colorizer.predict(CARD)
        rgb = colorizer.guide(prediction, replace(colorizer.color, strength=1.5)).rows(CARD, 0)[0]
    card, photograph = chroma(rgb)
    assert card < 0.5
    assert photograph > 1.05 * chroma(coloured(ink, CARD).rgb)[1]
