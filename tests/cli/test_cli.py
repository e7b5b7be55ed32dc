"""The command line: every flag reaches an option and changes something, exit codes, what goes to which stream."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from rich.progress import Progress
from support.command_line import call, exit_code, verbs
from support.doubles import colourful, grey, save_grey_tree
from support.paths import ROOT

from archivecolor import cli
from archivecolor.cli import progress
from archivecolor.errors import ArchivecolorError, UnsupportedError
from archivecolor.execution import multi_device
from archivecolor.options import Disclosure, RunOptions, Shard
from archivecolor.pipeline import dry_run as planning
from archivecolor.pipeline import rates, runner
from archivecolor.provenance import Record


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_help_of_every_verb_ends_in_a_real_example(verb: tuple[str, ...]) -> None:
    text = " ".join(call(*verb, "--help").output.split())
    example = re.search(r"Example: archivecolor ([^│]*?)(?: (?:Arguments|Options|╭)|$)", text)
    assert example, text
    assert example[1].startswith(" ".join(verb))
    flags = re.findall(r"--[a-z][a-z-]*", example[1])
    assert all(text.count(flag) >= 2 for flag in flags), f"the example uses a flag that the help does not list: {flags}"


FLAGS: dict[str, tuple[str, Any]] = {
    "--model": ("resnet18", "resnet18"),
    "--device": ("cpu", "cpu"),
    "--engine": ("openvino", "openvino"),
    "--precision": ("fp32", "fp32"),
    "--batch": ("3", 3),
    "--workers": ("2", 2),
    "--format": ("png", "png"),
    "--quality": ("80", 80),
    "--suffix": ("_color", "_color"),
    "--limit": ("7", 7),
    "--shard": ("3/8", Shard(3, 8)),
    "--on": ("ray", "ray"),
    "--max-megapixels": ("12.5", 12.5),
    "--redo": ("decisions.json", Path("decisions.json")),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the verb `run` hands on, instead of a run."""
    seen: list[Any] = []
    monkeypatch.setattr(progress, "show", lambda *arguments: seen.append(arguments) or 0)
    monkeypatch.setattr(planning, "print_dry_run", lambda *arguments: seen.append(arguments) or 0)
    return seen


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_reaches_its_option(flag: str, calls: list[Any]) -> None:
    text, value = FLAGS[flag]
    assert call("run", "in", "--out", "out", flag, text).exit_code == 0
    name = flag.removeprefix("--").replace("-", "_")
    assert getattr(calls[0][0], name) == value
    assert getattr(RunOptions(inputs=("in",), out=Path("out")), name) != value


@pytest.mark.parametrize(
    ("flag", "text", "value"), [("--size", "128", 128), ("--strength", "0.5", 0.5), ("--tiles", "never", "never")]
)
def test_a_colour_flag_reaches_its_option(flag: str, text: str, value: Any, calls: list[Any]) -> None:
    call("run", "in", "--out", "out", flag, text)
    assert getattr(calls[0][0].color, flag.removeprefix("--")) == value
    assert calls[0][0].digest() != RunOptions(inputs=("in",), out=Path("out")).digest()


DISCLOSURE_FLAGS: dict[str, tuple[str, str, Any]] = {
    "--digital-source-type": ("source_type", "algorithmicallyEnhanced", "algorithmicallyEnhanced"),
    "--mark": ("mark", "auto", "auto"),
    "--mark-font": ("mark_font", "a.ttf", Path("a.ttf")),
    "--c2pa": ("c2pa", "cert.pem,key.pem", "cert.pem,key.pem"),
}


@pytest.mark.parametrize("flag", DISCLOSURE_FLAGS)
def test_a_disclosure_flag_reaches_its_option(flag: str, calls: list[Any]) -> None:
    name, text, value = DISCLOSURE_FLAGS[flag]
    assert call("run", "in", "--out", "out", flag, text).exit_code == 0
    assert getattr(calls[0][0].disclosure, name) == value
    assert getattr(Disclosure(), name) != value


def test_sidecars_can_be_left_out(calls: list[Any]) -> None:
    call("run", "in", "--out", "out")
    call("run", "in", "--out", "out", "--no-sidecar")
    assert [arguments[0].disclosure.sidecar for arguments in calls] == [True, False]
    assert calls[0][0].digest() == calls[1][0].digest(), "it does not decide the bytes of the picture"


def test_guidance_reaches_the_colour_options(tmp_path: Path, calls: list[Any]) -> None:
    Image.fromarray(colourful()).save(tmp_path / "reference.png")
    palette = ("--palette", str(tmp_path / "reference.png"), "--palette-strength", "0.4")
    call("run", "in", "--out", "out", *palette, "--hint", "1,2,#aabbcc", "--hint", "3,4,#102030", "--mirror")
    color = calls[0][0].color
    assert (color.palette.name, color.palette.strength) == ("reference.png", 0.4)
    assert [str(hint) for hint in color.hints] == ["1,2,#aabbcc", "3,4,#102030"]
    assert color.mirror
    call("run", "in", "--out", "out")
    assert calls[0][0].digest() != calls[1][0].digest()


def test_review_verbs(scans: Path, ink: Path, tmp_path: Path) -> None:
    out, page, decided = tmp_path / "out", tmp_path / "page", tmp_path / "decisions.json"
    call("run", str(scans), "--out", str(out), "--model", str(ink))
    made = call("report", str(out), "--to", str(page), "--view", "400", "--workers", "1")
    assert (made.exit_code, made.stdout) == (0, f"{page / 'index.html'}\n")
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert (page / "pictures" / rows[0]["output_sha256"][:2] / f"{rows[0]['output_sha256'][2:26]}-400.jpg").is_file()
    accepted = [{"input": r["input"], "decision": "accepted", "output_sha256": r["output_sha256"]} for r in rows]
    decided.write_text(json.dumps({"format": "archivecolor decisions 1", "decisions": accepted}))
    copied = call("export", str(out), "--accepted", str(decided), "--to", str(tmp_path / "to"))
    assert (copied.exit_code, copied.stdout) == (0, f"3 copied, 0 there already, 0 left out; {tmp_path / 'to'}\n")
    (out / rows[0]["output"]).unlink()
    again = call("export", str(out), "--accepted", str(decided), "--to", str(tmp_path / "to"))
    assert (again.exit_code, again.stdout.startswith("0 copied, 2 there already, 1 left out")) == (3, True)
    sheet = ("--out", str(tmp_path / "sheet.png"), "--model", str(ink), "--size", "64", "--strength", "0.5")
    shown = call("candidates", str(scans / "box0/02.png"), *sheet, "--side", "200", "--device", "cpu")
    assert shown.stdout.splitlines()[1] == f"--model {ink} --size 64 --strength 0.5"
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [("--codec", "av1", "av1"), ("--steady", "0.5", 0.5), ("--every", "4", "4"), ("--on-bad-frame", "grey", "grey"),
     ("--cuts", str(ROOT / "LICENSE"), ROOT / "LICENSE"), ("--master", "", True)],
)  # fmt: skip
def test_a_film_flag_reaches_its_option(flag: str, text: str, value: Any, calls: list[Any]) -> None:
    call("run", "in", "--out", "out", flag, *text.split())
    assert getattr(calls[0][0].film, flag.removeprefix("--").replace("-", "_")) == value
    plain = RunOptions(inputs=("in",), out=Path("out"))
    assert calls[0][0].film_digest() != plain.film_digest()
    assert calls[0][0].digest() == plain.digest()


@pytest.mark.parametrize("flag", ["--recolor", "--overwrite", "--confidence"])
def test_a_switch_reaches_its_option(flag: str, calls: list[Any]) -> None:
    call("run", "in", "--out", "out")
    call("run", "in", "--out", "out", flag)
    name = flag.removeprefix("--")
    assert [getattr(arguments[0], name) for arguments in calls] == [False, True]


def test_inputs_and_output_switches_reach_the_view(calls: list[Any]) -> None:
    call("run", "a", "b", "--out", "out", "--json", "--quiet", "-v")
    call("run", "a", "--out", "out", "--dry-run", "--json")
    assert calls[0][0].inputs == ("a", "b")
    assert calls[0][1:4] == (True, True, True)
    assert calls[1][1:] == (True, 0)


@pytest.mark.parametrize(
    ("flag", "text"),
    [("--strength", "2.1"), ("--size", "10"), ("--tiles", "some"), ("--format", "gif"), ("--quality", "0"),
     ("--batch", "-1"), ("--workers", "-1"), ("--limit", "0"), ("--suffix", "a/b"), ("--max-megapixels", "0"),
     ("--digital-source-type", "negativeFilm"), ("--digital-source-type", "beautiful"), ("--mark", "汉字"),
     ("--mark-font", "nowhere.ttf --mark auto"), ("--c2pa", "one.pem"),
     ("--hint", "here,red"), ("--palette", "nowhere.jpg"), ("--redo", "nowhere.json"),
     ("--codec", "mpeg1"), ("--steady", "1.5"), ("--every", "0"), ("--on-bad-frame", "drop"),
     ("--shard", "0/8"), ("--shard", "9/8"), ("--shard", "3"), ("--on", "dask"), ("--engine", "ray"),
     ("--address", "auto"),
     ("--address", "ray://head:10001 --on ray"),
     ("--device", "tpu"), ("--precision", "int8"), ("--precision", "fp16 --device cpu")],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error_that_names_the_flag(
    tmp_path: Path, flag: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that only the working process sees; that such errors come back from it is in test_supervise.py."""
    monkeypatch.setattr(multi_device, "drive", runner.drive)
    Image.fromarray(grey()).save(tmp_path / "a.png")
    result = call("run", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), flag, *text.split())
    assert isinstance(result.exception, ArchivecolorError)
    assert result.exception.exit_code == 2
    assert flag in str(result.exception)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scans, to be coloured in this process: a child would not know the ink (but see test_supervise.py)."""
    monkeypatch.setattr(multi_device, "drive", runner.drive)
    save_grey_tree(tmp_path / "scans", 3)
    return tmp_path / "scans"


def test_a_run_and_its_streams(scans: Path, ink: Path, tmp_path: Path) -> None:
    Image.fromarray(colourful()).save(scans / "colour.png")
    (scans / "notes.txt").write_text("not a picture")
    result = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink), "--json")
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(row["status"] for row in rows) == ["done", "done", "done", "skipped"]
    assert "already colour" in result.stderr
    assert "1 .txt" in result.stderr
    again = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink), "--json")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "4 unchanged" in again.stderr


def test_quiet_says_nothing(scans: Path, ink: Path, tmp_path: Path) -> None:
    result = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink), "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_some_failed_is_3_and_the_file_is_named(scans: Path, ink: Path, tmp_path: Path) -> None:
    (scans / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    result = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink))
    assert result.exit_code == 3
    assert "failed broken.jpg: " in result.stderr


def test_a_reason_with_brackets_is_shown_whole(
    scans: Path, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: Any) -> Any:
        raise UnsupportedError("needs 'archivecolor[heic]'")

    monkeypatch.setattr("archivecolor.photo.read", read)
    result = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink))
    assert result.stderr.count("archivecolor[heic]") == 4  # three lines and the table


def test_exit_codes_of_what_cannot_begin(scans: Path, ink: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    empty = tmp_path / "empty"
    empty.mkdir()
    model = ("--model", str(ink))
    assert exit_code("run", str(empty), "--out", str(tmp_path / "o"), *model) == 4
    assert exit_code("run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o"), *model) == 4
    assert exit_code("run", str(scans), "--out", str(tmp_path / "file/o"), *model) == 5
    assert exit_code("run", str(scans), "--out", str(scans / "o"), *model) == 5
    assert exit_code("run", str(scans), "--out", str(tmp_path / "o"), "--model", "nosuch") == 6
    assert exit_code("run", str(scans)) == 2
    assert exit_code("walk", str(scans)) == 2


def test_a_rehearsal_says_why_and_writes_nothing(scans: Path, ink: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("run", str(scans), "--out", str(out), "--model", str(ink))
    first = call(*words, "--dry-run", "-v")
    assert first.stdout.count("colour (new): ") == 3
    assert not out.exists()
    call(*words)
    (scans / "box1/01.png").write_bytes((scans / "box0/02.png").read_bytes())
    (out / "box0/02.png").unlink()
    (out / "box0/00.tif.json").unlink()
    rows = {
        row["input"]: row["would"] for row in map(json.loads, call(*words, "--dry-run", "--json").stdout.splitlines())
    }
    assert rows == {
        "box0/00.tif": "colour again (the sidecar is gone)",
        "box0/02.png": "colour again (the output is gone)",
        "box1/01.png": "colour again (the source changed)",
    }
    assert call(*words, "--dry-run", "--no-sidecar").stdout.count("leave as it is (done)") == 1
    assert call(*words, "--dry-run", "--strength", "0.5").stdout.count("other options") >= 1


def test_weights_verbs(ink: Path, tmp_path: Path) -> None:
    assert "sound" in call("weights", "check", str(ink)).stdout
    assert json.loads(call("weights", "show", str(ink)).stdout)["network"] == "ink"
    listed = call("weights", "list").stdout
    assert "lite (default)" in listed
    assert call("weights").stdout == listed
    assert max(map(len, listed.splitlines())) <= 80
    for folder, measure in (("lite", "psnr_gain_db"), ("resnet18", "colour_ratio")):
        card = json.loads(call("weights", "show", folder).stdout)
        assert f"{card['numbers']['test'][measure]:.2f}" in listed
    (ink / "model.safetensors").write_bytes(b"no tensors")
    assert exit_code("weights", "check", str(ink)) == 6


def test_errors_of_our_own_end_in_one_line_on_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archivecolor", "run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr == f"archivecolor: {tmp_path / 'nowhere'}: no such file or folder\n"


def test_the_list_of_verbs_says_what_each_verb_says_of_itself() -> None:
    for name, command in typer.main.get_command(cli.app).commands.items():
        assert command.help.startswith(cli.VERBS[name].removesuffix(".")), name


def test_help_is_quick() -> None:
    """Under 0.3 s on a quiet machine. CI is not quiet: it is compared with what Python itself needs to start."""

    def seconds(*command: str) -> float:
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            best = min(best, time.perf_counter() - started)
        return best

    bare = seconds("-c", "pass")
    assert seconds("-m", "archivecolor", "--help") < max(0.3, 12 * bare)


def test_a_rehearsal_estimates_time_and_disk(scans: Path, ink: Path, tmp_path: Path) -> None:
    words = ("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink))
    first = call(*words, "--dry-run").stdout
    assert "box0" not in first, "a line for every picture only with -v"
    assert "3 colour (new)" in first and "3 photographs to colour, 0.0 megapixels" in first
    assert "time: not known before the first run here" in first
    assert re.search(r"disk: about \d+ MB; [\d.,]+ [MG]B are free", first)
    options = RunOptions(inputs=("x",), out=tmp_path, model=str(ink))
    rates.remember(options, rates.Rate.of(10, 20.0, {"network": 6.0, "spread": 8.0, "wait": 99.0}, wall=7.0))
    assert rates.last(options) == rates.Rate(0.3, 0.2)
    assert "time: about 1 s, at the speed of the last run" in call(*words, "--dry-run").stdout
    assert rates.last(dataclasses.replace(options, device="cuda")) is None, "another machine's speed is not taken"
    call(*words)
    assert "3 leave as it is (done)" in call(*words, "--dry-run").stdout


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (7260, "2 h 1 min"), (864000, "10 days")]
)
def test_durations(seconds: float, words: str) -> None:
    assert rates.duration(seconds) == words


def test_a_log_gets_a_line_from_time_to_time_and_no_bar(
    scans: Path, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.02)
    words = ("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink))
    stderr = call(*words).stderr
    assert "looking for the inputs, loading the network\n" in stderr
    assert "\x1b" not in stderr and "\r" not in stderr
    assert f"next: archivecolor report {tmp_path / 'out'}" in stderr
    assert "looking" not in call(*words, "--quiet").stderr


def test_the_line_of_a_long_run_says_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    view = progress.TerminalObserver(Progress(disable=True), False, lambda: False)
    row = Record("a", "/a", "a", "done", width=4000, height=3000, pages=1, depth=8, seconds={"network": 0.5})
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    view.picture_finished("a", row, 50)
    view.picture_finished("b", None, 50)
    monkeypatch.setattr(progress.time, "monotonic", lambda: 109.5)
    assert view.status() == "2 of 50, 0.10 pictures/s, 1.2 MP/s, about 8 min left"


def test_the_failed_are_mentioned_at_the_end(scans: Path, ink: Path, tmp_path: Path) -> None:
    (scans / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    stderr = call("run", str(scans), "--out", str(tmp_path / "out"), "--model", str(ink)).stderr
    assert "the failed ones are tried again by the same command" in stderr
    shard = call("run", str(scans), "--out", str(tmp_path / "o2"), "--model", str(ink), "--shard", "1/1").stderr
    assert f"next, after all shards: archivecolor manifest merge {tmp_path / 'o2'}" in shard
