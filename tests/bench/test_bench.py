"""bench: every stage is measured, the numbers add up as its help says, and a claim can be broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from PIL import Image
from support.doubles import grey, save_grey_tree
from typer.testing import CliRunner

from archivecolor import bench, cli
from archivecolor.bench import STAGES, claims, draw, long_run, pictures, stages, start
from archivecolor.bench.stages import Measured
from archivecolor.errors import NoInputError, PictureError, UsageError
from archivecolor.options import BenchOptions, ColorizerOptions

COMPARISONS = ("_precisions", "_engines", "compare_with_scikit_image", "start_up")
"""What takes seconds and needs the shipped weights or new processes; each has its own test or none of its own logic."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COMPARISONS:
        monkeypatch.setattr(claims, name, lambda *values: [])


PLAIN = BenchOptions(device="cpu", precision="fp32")


def measured(model: str = "lite", group: str = "g", whole_s: float = 4.0, best_s: float = 3.0) -> Measured:
    return Measured(
        model, group, "cpu", "fp32", 2, 8, 16.0, dict.fromkeys(STAGES, 0.75), whole_s, best_s, 100.0
    )  # fmt: skip


def test_every_stage_and_the_whole(ink: Path, src: Path, tmp_path: Path) -> None:
    paths = save_grey_tree(src, 5, height=90, width=120)
    found = stages.measure(paths, "scans", str(ink), PLAIN, tmp_path / "here")
    assert tuple(found.stages) == STAGES
    assert all(seconds > 0 for seconds in found.stages.values())
    assert found.best_possible_s == pytest.approx(sum(found.stages.values()) / joblib.cpu_count())
    assert found.megapixels == pytest.approx(5 * 90 * 120 / 1e6)
    assert (found.pictures, found.model, found.precision) == (5, "inky", "fp32")
    assert found.ratio == found.best_possible_s / found.whole_s
    assert found.access_s > 0 and found.access_share == found.access_s / joblib.cpu_count() / found.whole_s
    assert len(list((tmp_path / "here" / "whole").glob("0?????.???"))) == 5


def test_an_access_copy_may_cost_a_tenth_of_the_run(quick: None) -> None:
    for access_s, kept in ((0.79, True), (0.81, False)):
        one = replace(measured(), access_s=access_s)
        (claim,) = (c for c in claims.all_claims([one], "cpu", Path()) if "--access" in c.what)
        assert (claim.what, claim.kept) == ("lite, g: --access jpg:2000 ÷ whole", kept)
        assert claim.value == pytest.approx(access_s / 8)


def test_a_picture_that_cannot_be_coloured_ends_it(ink: Path, src: Path, tmp_path: Path) -> None:
    (src / "a.png").write_bytes(b"no picture at all")
    with pytest.raises(PictureError, match=r"a\.png"):
        stages.measure([src / "a.png"], "scans", str(ink), PLAIN, tmp_path / "here")


def test_the_parts_of_the_full_size_pass_are_what_painting_does(ink: Path) -> None:
    from archivecolor import Colorizer

    samples = grey(300, 400)
    with Colorizer(ink, ColorizerOptions(device="cpu", precision="fp32")) as colorizer:
        found = dict(stages.time_merge(samples, colorizer.predict_colors(samples)))
    assert set(found) == {"lightness", "merge"}
    assert all(seconds > 0 for seconds in found.values())


def test_generated_pictures_are_of_the_size_that_they_say(tmp_path: Path) -> None:
    groups = pictures.own_or_synthetic_pictures(None, 6, (2,), tmp_path)
    assert list(groups) == ["2 MP JPEG"]
    assert len(groups["2 MP JPEG"]) == 6
    for path in groups["2 MP JPEG"]:
        image = Image.open(path)
        assert (image.size, image.mode, image.format) == ((1600, 1200), "L", "JPEG")
    assert len({path.read_bytes() for path in groups["2 MP JPEG"]}) == 4


def test_own_pictures_are_spread_over_the_folder(src: Path, tmp_path: Path) -> None:
    paths = sorted(save_grey_tree(src, 9))
    assert pictures.own_or_synthetic_pictures(src, 3, (2,), tmp_path) == {"src": paths[::3]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputError):
        pictures.own_or_synthetic_pictures(tmp_path / "empty", 3, (2,), tmp_path)


def test_claims_are_kept_and_broken(quick: None, tmp_path: Path) -> None:
    group = pictures.SMALLEST
    slow, fast = measured("resnet18", group, whole_s=10, best_s=9.5), measured("lite", group, whole_s=5, best_s=3)
    found = {claim.what: claim for claim in claims.all_claims([slow, fast], "cpu", tmp_path)}
    assert [claim.kept for claim in found.values()] == [True, False, False]
    assert found["2 MP JPEG: pictures/s of lite ÷ resnet18"].value == pytest.approx(2)
    assert found["resnet18, 2 MP JPEG: whole ÷ best possible"].value == pytest.approx(0.95)


def test_the_models_are_compared_on_the_pictures_of_the_promise_only(quick: None, tmp_path: Path) -> None:
    assert len(claims.all_claims([measured("resnet18"), measured("lite")], "cpu", tmp_path)) == 2
    assert next(iter(pictures.own_or_synthetic_pictures(None, 1, (2,), tmp_path))) == pictures.SMALLEST


def test_a_faster_engine_than_the_usual_one_breaks_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "find_spec", lambda name: name == "openvino")
    monkeypatch.setattr(
        claims, "_network_seconds", lambda model, options: {"torch": 2.0, "openvino": 1.0}[options.engine]
    )
    (claim,) = claims._engines({"lite", "mine"}, "cpu")
    assert (claim.value, claim.kept) == (0.5, False)
    monkeypatch.setattr(claims, "find_spec", lambda name: None)
    assert claims._engines({"lite"}, "cpu") == []


def test_looking_is_timed_on_the_model_itself(ink: Path) -> None:
    assert 0 < claims._network_seconds(str(ink), ColorizerOptions(device="cpu", precision="fp32")) < 60


def test_the_usual_way_moves_lightness_more_than_ours() -> None:
    """Without the seconds, which depend on the machine."""
    samples = pictures.synthetic_scan(320, 240, 0)
    guide, ab = claims.small_color_map(32)
    ours, theirs = claims.upsample_and_merge(samples, guide, ab), claims.merge_with_scikit_image(samples, ab)
    assert claims.largest_delta_l(samples, ours) <= 0.3 < claims.largest_delta_l(samples, theirs)
    assert np.abs(ours.astype(int) - theirs).mean() < 8, "both are the same picture"


def test_start_up_is_of_whole_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []

    def process(*arguments: str) -> float:
        commands.append(arguments)
        if "run" in arguments:
            out = Path(arguments[arguments.index("--out") + 1])
            out.mkdir()
            row = {"input": "one.jpg", "source": "one.jpg", "output": "one.jpg", "status": "done", "seconds": {"a": 1}}
            (out / "manifest.jsonl").write_text(json.dumps(row) + "\n")
            return 6.0
        return 2.0 if "import torch" in arguments else 0.2

    monkeypatch.setattr(claims, "_process", process)
    help_s, picture = claims.start_up(tmp_path)
    assert (help_s.value, help_s.kept) == (0.2, True)
    assert (picture.value, picture.kept) == (pytest.approx((6 - 1) / 2), False)
    assert Path(commands[3][3]).is_file()


def test_the_start_is_measured_in_turn_and_the_first_round_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def process_cost(*arguments: str) -> start.ProcessCost:
        name = "torch" if "import torch" in arguments else "help" if "--help" in arguments else "run"
        calls.append(name)
        if name == "run":
            assert Image.open(arguments[3]).size == (1600, 1200)
        seconds = {"torch": 2.0, "help": 0.2, "run": 3.0}[name] + calls.count(name) / 10
        return start.ProcessCost(seconds, 2 * seconds)

    monkeypatch.setattr(start, "process_cost", process_cost)
    cost = start.measure_start("lite", "cpu", tmp_path)
    assert calls[:6] == ["torch", "help", "run"] * 2
    assert (cost.torch.cpu_s, cost.picture.wall_s) == (pytest.approx(2.2), pytest.approx(6.4))
    kept = {claim.what.partition(":")[2]: claim.kept for claim in bench._start_claims(cost)}
    assert kept[" CPU seconds ÷ import torch"]
    slow = replace(cost, picture=start.ProcessCost(2 * cost.torch.cpu_s, 2 * cost.torch.wall_s))
    assert not any(claim.kept for claim in bench._start_claims(slow)[1:])


def test_the_cost_of_a_process_includes_its_children() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    cost = start.process_cost("-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])")
    assert cost.wall_s >= cost.cpu_s * 0.9 >= 0.25


def test_flat_cost(ink: Path, tmp_path: Path) -> None:
    found = long_run.measure_long_run(30, 500, str(ink), "cpu", tmp_path)
    assert found.files == 30
    assert found.manifest_rows == 500
    assert min(found.first_s, found.last_s, found.manifest_s) > 0
    assert len(list((tmp_path / "flat").rglob("*.jpg"))) == 30


def test_the_chart_and_the_edges(tmp_path: Path) -> None:
    draw.chart([measured(), measured("resnet18")], tmp_path / "chart.png")
    chart = np.asarray(Image.open(tmp_path / "chart.png"))
    assert all((chart == np.array([int(ink[i : i + 2], 16) for i in (1, 3, 5)])).all(-1).any() for ink in draw._INKS)
    ours, bilinear = draw.edges(tmp_path / "edges.png")
    assert ours < 0.9 * bilinear
    assert Image.open(tmp_path / "edges.png").size[0] > 1800


def call(*words: str) -> Any:
    return CliRunner().invoke(cli.app, ["bench", *words])


def test_tables_and_json(ink: Path, src: Path, tmp_path: Path, quick: None) -> None:
    save_grey_tree(src, 2)
    common = (str(src), "--model", str(ink), "--pictures", "2", "--device", "cpu", "--precision", "fp32")
    shown = call(*common, "--chart", str(tmp_path / "chart.png"), "--edges", str(tmp_path / "edges.png"))
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in (*STAGES, "whole", "edges", "inky"))
    assert (tmp_path / "chart.png").is_file()
    result = call(*common, "--json")
    (row,) = json.loads(result.stdout)["measured"]
    assert set(row["stages"]) == set(STAGES)
    assert row["ratio"] == pytest.approx(row["best_possible_s"] / row["whole_s"])


FLAGS: dict[str, tuple[str, Any]] = {
    "--model": ("x", ("x",)),
    "--pictures": ("3", 3),
    "--megapixels": ("12", (12,)),
    "--device": ("cpu", "cpu"),
    "--precision": ("fp32", "fp32"),
    "--engine": ("openvino", "openvino"),
    "--chart": ("a.png", Path("a.png")),
    "--edges": ("b.png", Path("b.png")),
    "--flat": ("20", 20),
    "--desk": ("20", 20),
    "--start": ("", True),
}


def test_the_desk_is_opened_and_a_colour_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("starlette")
    from archivecolor.bench import desk

    monkeypatch.setattr(desk, "SIZES", {1: (400, 300)})
    cost = desk.measure_desk(30, "lite", "cpu", tmp_path)
    assert (cost.rows, cost.megapixels) == (30, 0.12)
    assert min(cost.open_s, cost.preview_s) > 0
    promised = [(claim.what, claim.promised) for claim in bench._desk_claims(cost)]
    assert [text for _, text in promised] == ["≤ 2", "≤ 0.3"]
    assert [what.split(",")[0] for what, _ in promised] == [
        "seconds to open the desk over 30 pictures",
        "seconds until a pinned colour is seen",
    ]


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_reaches_its_option(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BenchOptions] = []
    monkeypatch.setattr(bench, "bench", lambda commands, say: seen.append(commands) or bench.Report([], []))
    text, value = FLAGS[flag]
    name = {"--model": "models"}.get(flag, flag.removeprefix("--"))
    assert call(*filter(None, (flag, text))).exit_code == 0
    assert getattr(seen[0], name) == value != getattr(BenchOptions(), name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ()}, {"models": ("a", "a")}, {"pictures": 0}, {"megapixels": (3,)}, {"flat": 5},
        {"chart": Path("a.jpg")}, {"edges": Path("a")},
    ],
)  # fmt: skip
def test_wrong_options_name_their_flag(wrong: dict[str, Any]) -> None:
    name = "model" if "models" in wrong else next(iter(wrong))
    with pytest.raises(UsageError, match=f"--{name}"):
        BenchOptions(**wrong)
