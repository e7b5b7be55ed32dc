"""What `evaluate --film` prints: the truth has no error, steadying does what it says, jumps are seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import pans
from support.command_line import call, exit_code
from support.films import save_film
from support.needs import needs

from archivecolor.evaluation import film_measures


@needs("av", "scenedetect", "matplotlib")
def test_a_colour_film_is_measured_beside_grey_and_truth(tmp_path: Path, ink: Path) -> None:
    film = save_film(tmp_path / "reel.mp4", list(range(0, 20 * 12, 20)), colour=True)
    plot = tmp_path / "plots/ab.png"
    words = ("evaluate", "--film", str(film), "--model", str(ink), "--device", "cpu", "--precision", "fp32")
    result = call(*words, "--plot", str(plot))
    assert result.exit_code == 0, result.output
    for measure in ("PSNR", "CIEDE2000", "warping error", "CDC", "network saw"):
        assert measure in result.stdout
    assert Image.open(plot).size[0] > 600


def test_without_anything_to_measure_it_is_a_usage_error(tmp_path: Path) -> None:
    assert exit_code("evaluate") == 2
    assert exit_code("evaluate", "--film", "a.mp4", "--plot", "a.jpg") == 2


def test_cdc_is_nought_for_a_still_and_rises_with_jumps() -> None:
    def histogram(level: int) -> Any:
        counts = np.zeros((3, 256))
        counts[:, level : level + 10] = 0.1
        return counts

    assert film_measures.cdc([histogram(50)] * 6) == 0
    calm = film_measures.cdc([histogram(50 + i) for i in range(8)])
    jumping = film_measures.cdc([histogram(50 + 40 * (i % 2)) for i in range(8)])
    assert 0 < calm < jumping
    assert film_measures.cdc([histogram(0), histogram(100)]) == pytest.approx(np.log(2))


def test_colours_that_move_with_the_picture_have_no_warping_error_and_flicker_has() -> None:
    draw = np.random.default_rng(0)
    wide = np.kron(draw.integers(40, 200, (30, 50, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = [np.ascontiguousarray(wide[:, 3 * i : 3 * i + 320]) for i in range(4)]
    steady, flicker = film_measures.FilmScores(), film_measures.FilmScores()
    before = None
    for i, frame in enumerate(frames):
        grey = np.asarray(Image.fromarray(frame).convert("L"))
        moved = film_measures.motion(before, grey) if before is not None else None
        tint = np.array([25, 0, -25]) * (-1) ** i
        film_measures.add_frame(steady, frame, frame, moved, i)
        film_measures.add_frame(flicker, (frame + tint).clip(0, 255).astype(np.uint8), frame, moved, i)
        before = grey
    assert len(steady.warping) == 3
    assert np.mean(steady.warping) < 6 < 20 < np.mean(flicker.warping)
    assert np.isinf(steady.psnr).all()


@needs("av", "scenedetect", "skimage")
def test_references_are_measured_by_distance_beside_their_floors(tmp_path: Path, ink: Path) -> None:
    film = pans.save(tmp_path / "reel.mkv", pans.pan(18), colour=True)
    words = ("evaluate", "--film", str(film), "--model", str(ink), "--device", "cpu", "--precision", "fp32")
    result = call(*words, "--references", "every:9", "--json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout)
    with_references, without = numbers["with references"], numbers["without references"]
    assert with_references["CIEDE2000"] < 0.5 * without["CIEDE2000"]
    assert with_references["CIEDE2000, 1 to 4 away"] <= with_references["CIEDE2000, 5 to 8 away"]
    assert with_references["PSNR, dB"] > without["PSNR, dB"] + 3
    assert numbers["truth"]["CIEDE2000"] == 0
    assert numbers["grey"]["colourfulness"] < 1 < with_references["colourfulness"]


@pytest.mark.parametrize("words", [("--references", "25"), ("--references", "every:1"), ("--references", "every:x")])
def test_references_need_a_distance_and_a_film(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert exit_code("evaluate", "--film", str(tmp_path), *words) == 2
    assert exit_code("evaluate", "--data", str(tmp_path), "--references", "every:9") == 2
