"""Signs of doubt and how they rank with the true error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.doubles import ConstantInk, contents, grey
from torch import Tensor, nn
from typer.testing import CliRunner

from archivecolor import Colorizer, cli, networks, weights
from archivecolor.errors import NoInputError
from archivecolor.evaluation import confidence
from archivecolor.imaging import lab
from archivecolor.inference.batching import BatchScheduler
from archivecolor.inference.confidence import USUAL_MEDIAN, confidence_from, median_disagreement, mirror_disagreement
from archivecolor.options import ColorizerOptions, ColorOptions, Disclosure, EvaluationOptions, RunOptions
from archivecolor.pipeline.runner import drive
from archivecolor.provenance import read_rows
from archivecolor.training.photographs import read_rgb


class Sided(nn.Module):
    """Answers red where the left of the picture is lighter than its right: the mirror image gets the opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, l_net: Tensor) -> Tensor:
        n, _, h, w = l_net.shape
        slope = l_net[..., : w // 2].mean((1, 2, 3)) - l_net[..., w // 2 :].mean((1, 2, 3))
        return (self.gain * slope).view(n, 1, 1, 1).expand(n, 2, h, w)


def colour_photos(folder: Path, count: int) -> Path:
    """Green pictures whose sides differ more and more in lightness: `Sided` errs more and more on them."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(count):
        x = np.linspace(-1, 1, 96)[None, :, None]
        light = 120 + 60 * i / count * np.sign(x) + draw.normal(0, 3, (96, 96, 1))
        tint = np.array([-20, 25, -20]) + 25 * np.sin(np.arange(96) / 6)[:, None, None] * [1, 0, -1]
        Image.fromarray((light + tint).clip(0, 255).astype(np.uint8)).save(folder / f"{i:02}.png")
    return folder


def test_signs_of_doubt_rank_as_the_error_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "load_networks", lambda *arguments: {"sided": Sided(), "opposite": Opposite()})
    evaluate_options = EvaluationOptions(
        data=colour_photos(tmp_path / "photos", 10), models=("sided", "opposite"), size=64
    )
    sided, opposite = confidence.rank(evaluate_options, read_rgb, torch.device("cpu"))
    assert (sided.model, sided.pictures) == ("sided", 10)
    assert min(sided.ab[sign] or 0 for sign in ("doubt", "mirror", "models")) > 0.9
    assert (sided.ciede2000["doubt"] or 0) > 0.8 and sided.median > 0
    assert sided.ab.keys() == confidence.SIGNS.keys() == opposite.ab.keys()
    table = confidence.as_rows([sided, opposite])
    assert len(table) == 1 + len(confidence.SIGNS) and all(len(row) == 5 for row in table)


class Opposite(Sided):
    """Answers green there."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.gain.neg_()


@pytest.fixture
def sided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights of a network that contradicts itself."""
    monkeypatch.setitem(networks.NETWORKS, "sided", Sided)
    monkeypatch.setitem(networks.STRIDES, "sided", 32)
    weights.save(tmp_path / "sided", Sided(), {"name": "sided", "network": "sided", "stage": "imported"})
    return tmp_path / "sided"


def test_a_run_notes_where_the_mirror_image_is_coloured_otherwise_and_no_colour_depends_on_it(
    tmp_path: Path, src: Path, sided: Path
) -> None:
    even, lopsided = grey(64, 64), grey(64, 64)
    even[:, 32:] = even[:, 31::-1]
    lopsided[:, 32:] //= 2
    for name, samples in (("even", even), ("lopsided", lopsided)):
        Image.fromarray(samples).save(src / f"{name}.png")
    made = []
    for with_confidence in (True, False):
        out = tmp_path / f"out{with_confidence}"
        bare = Disclosure(sidecar=False)  # which tells the time
        color = ColorOptions(size=64)
        drive(
            RunOptions(
                inputs=(str(src),),
                out=out,
                model=str(sided),
                color=color,
                device="cpu",
                precision="fp32",
                disclosure=bare,
                confidence=with_confidence,
            )
        )
        made.append((read_rows(out), contents(out, lambda path: path.suffix == ".jsonl")))
    (report, files), (unreported, same_files) = made
    assert report["even.png"].confidence == pytest.approx(1, abs=0.05)
    assert (report["lopsided.png"].confidence or 1) < 0.5
    assert {row.confidence for row in unreported.values()} == {None}
    assert files == same_files
    assert {name: row.options for name, row in report.items()} == {
        name: row.options for name, row in unreported.items()
    }


def test_the_average_with_the_mirror_image_is_as_sure_and_costs_no_further_look(
    src: Path, sided: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lopsided = grey(64, 64)
    lopsided[:, 32:] //= 2
    submitted, submit = [], BatchScheduler.submit
    monkeypatch.setattr(
        BatchScheduler, "submit", lambda self, luminance: submitted.append(luminance) or submit(self, luminance)
    )
    with Colorizer(
        sided,
        ColorizerOptions(color=ColorOptions(size=64, mirror=True), device="cpu", precision="fp32", confidence=True),
    ) as unsure:
        colorized = unsure.colorize_image(lopsided)
    assert len(submitted) == 2
    with Colorizer(
        sided, ColorizerOptions(color=ColorOptions(size=64, mirror=True), device="cpu", precision="fp32")
    ) as plain:
        np.testing.assert_array_equal(colorized.rgb, plain.colorize_image(lopsided).rgb)
    with Colorizer(
        sided, ColorizerOptions(color=ColorOptions(size=64), device="cpu", precision="fp32", confidence=True)
    ) as once:
        assert once.colorize_image(lopsided).confidence == colorized.confidence


def test_the_same_disagreement_weighs_more_where_there_is_little_to_see() -> None:
    ab, mirrored = np.zeros((3, 2, 4, 4)), np.zeros((3, 2, 4, 4))
    mirrored[:, 0] = 2
    lightness = np.full((3, 4, 4), 50.0)
    lightness[1, ::2], lightness[2, ::2] = 30, 10  # standard deviations of 10 and 20 L*
    assert mirror_disagreement(ab, mirrored, lightness) == pytest.approx([2, 0.2, 0.1]), (
        "a flat picture counts as one of 1 L*"
    )


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_doubt_is_less_confidence(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= confidence_from(high, 0.1) <= confidence_from(low, 0.1) <= 1
    assert confidence_from(0.1, 0.1) == 0.5


def test_a_card_tells_what_is_ordinary_for_its_weights(tmp_path: Path, sided: Path) -> None:
    assert median_disagreement(weights.read_card(sided).numbers) == USUAL_MEDIAN
    words = f"evaluate --confidence --data {colour_photos(tmp_path / 'photos', 5)} --model {sided} --size 64"
    CliRunner().invoke(cli.app, words.split(), catch_exceptions=False)
    assert weights.read_card(sided).numbers == {}, "only where it is asked for"
    report = CliRunner().invoke(cli.app, [*words.split(), "--write-card", "--json"], catch_exceptions=False)
    measured = weights.read_card(sided).numbers["confidence"]
    assert (measured["data"], measured["pictures"]) == ("photos", 5)
    median = json.loads(report.stdout)[0]["median"]
    assert measured["median_doubt"] == median == median_disagreement({"confidence": measured}) != USUAL_MEDIAN
    lopsided = grey(64, 64)
    lopsided[:, 32:] //= 2
    found = []
    for ordinary in (median, 2 * median):
        card = weights.read_card(sided)
        numbers = {"confidence": {**measured, "median_doubt": ordinary}}
        weights.write_card(sided, replace(card, numbers=numbers))
        with Colorizer(
            sided, ColorizerOptions(color=ColorOptions(size=64), device="cpu", precision="fp32", confidence=True)
        ) as colorizer:
            found.append(colorizer.colorize_image(lopsided).confidence or 0)
    assert 0 < found[0] < found[1] < 1
    assert found[0] == pytest.approx(1 / (1 + 2 * (1 / found[1] - 1)))


@pytest.mark.parametrize("measured", [None, {}, {"median_doubt": 0.0}, {"median_doubt": "much"}, []])
def test_a_card_without_a_median_has_that_of_the_default(measured: object) -> None:
    assert median_disagreement({"confidence": measured}) == USUAL_MEDIAN


def test_distances_are_in_lab_units() -> None:
    one = torch.zeros(2, 2, 4, 4)
    other = one.clone()
    other[1, 0], other[1, 1] = 3 / lab.AB_SCALE, 4 / lab.AB_SCALE
    assert confidence.mean_distance(one, other) == pytest.approx([0, 5], abs=1e-4)


def test_too_few_pictures_cannot_be_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "load_networks", lambda *arguments: {"ink": ConstantInk(), "sided": Sided()})
    with pytest.raises(NoInputError, match="too few"):
        confidence.rank(
            EvaluationOptions(data=colour_photos(tmp_path / "p", 2), models=("ink", "sided"), size=64),
            read_rgb,
            torch.device("cpu"),
        )


def test_the_verb(tmp_path: Path, ink: Path) -> None:
    words = ["evaluate", "--data", str(colour_photos(tmp_path / "photos", 4)), "--model", str(ink), "--size", "64",
             "--confidence", "--device", "cpu"]  # fmt: skip
    report: list[dict[str, Any]] = json.loads(CliRunner().invoke(cli.app, [*words, "--json"]).stdout)
    assert (report[0]["model"], report[0]["pictures"]) == (str(ink), 4)
    assert report[0]["ab"]["mirror"] is None, "equal values have no ranks"
    assert "models" not in report[0]["ab"], "there is no other to ask"
    assert "4 pictures at 64 px" in CliRunner().invoke(cli.app, words).stdout
