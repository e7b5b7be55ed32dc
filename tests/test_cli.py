"""The command line: every flag reaches an option and changes something, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from doubles import colourful, grey, save_grey_tree
from PIL import Image
from typer.testing import CliRunner

from archivecolor import batch_view, cli
from archivecolor.errors import ArchivecolorError, UnsupportedError
from archivecolor.options import RunOptions

ROOT = Path(__file__).parents[1]


def verbs(app: typer.Typer = cli.app, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All commands, as their words."""
    own = [(*above, c.name or c.callback.__name__.replace("_", "-")) for c in app.registered_commands]
    groups = [verb for g in app.registered_groups for verb in verbs(g.typer_instance, (*above, g.name))]
    return own + groups


def call(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def exit_code(*words: str, stdin: str = "") -> int:
    """Of a call through `main`, as the shell sees it."""
    result = CliRunner().invoke(cli.app, list(words), input=stdin)
    if isinstance(result.exception, ArchivecolorError):
        return result.exception.exit_code
    return result.exit_code


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
    "--precision": ("fp32", "fp32"),
    "--batch": ("3", 3),
    "--workers": ("2", 2),
    "--format": ("png", "png"),
    "--quality": ("80", 80),
    "--suffix": ("_color", "_color"),
    "--limit": ("7", 7),
    "--max-megapixels": ("12.5", 12.5),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the verb `run` hands on, instead of a run."""
    seen: list[Any] = []
    monkeypatch.setattr(batch_view, "show", lambda *given: seen.append(given) or 0)
    monkeypatch.setattr(batch_view, "rehearse", lambda *given: seen.append(given) or 0)
    return seen


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_reaches_its_option(flag: str, asked: list[Any]) -> None:
    text, value = FLAGS[flag]
    assert call("run", "in", "--out", "out", flag, text).exit_code == 0
    name = flag.removeprefix("--").replace("-", "_")
    assert getattr(asked[0][0], name) == value
    assert getattr(RunOptions(("in",), Path("out")), name) != value


@pytest.mark.parametrize(
    ("flag", "text", "value"), [("--size", "128", 128), ("--strength", "0.5", 0.5), ("--tiles", "never", "never")]
)
def test_a_colour_flag_reaches_its_option(flag: str, text: str, value: Any, asked: list[Any]) -> None:
    call("run", "in", "--out", "out", flag, text)
    assert getattr(asked[0][0].color, flag.removeprefix("--")) == value
    assert asked[0][0].digest() != RunOptions(("in",), Path("out")).digest()


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [("--codec", "av1", "av1"), ("--steady", "0.5", 0.5), ("--every", "4", "4"), ("--on-bad-frame", "grey", "grey"),
     ("--cuts", str(ROOT / "LICENSE"), ROOT / "LICENSE"), ("--master", "", True)],
)  # fmt: skip
def test_a_film_flag_reaches_its_option(flag: str, text: str, value: Any, asked: list[Any]) -> None:
    call("run", "in", "--out", "out", flag, *text.split())
    assert getattr(asked[0][0].film, flag.removeprefix("--").replace("-", "_")) == value
    plain = RunOptions(("in",), Path("out"))
    assert asked[0][0].film_digest() != plain.film_digest()
    assert asked[0][0].digest() == plain.digest()


@pytest.mark.parametrize("flag", ["--recolor", "--overwrite"])
def test_a_switch_reaches_its_option(flag: str, asked: list[Any]) -> None:
    call("run", "in", "--out", "out")
    call("run", "in", "--out", "out", flag)
    name = flag.removeprefix("--")
    assert [getattr(given[0], name) for given in asked] == [False, True]


def test_inputs_and_output_switches_reach_the_view(asked: list[Any]) -> None:
    call("run", "a", "b", "--out", "out", "--json", "--quiet", "-v")
    call("run", "a", "--out", "out", "--dry-run", "--json")
    assert asked[0][0].inputs == ("a", "b")
    assert asked[0][1:4] == (True, True, True)
    assert asked[1][1:] == (True,)


@pytest.mark.parametrize(
    ("flag", "text"),
    [("--strength", "2.1"), ("--size", "10"), ("--tiles", "some"), ("--format", "gif"), ("--quality", "0"),
     ("--batch", "0"), ("--workers", "-1"), ("--limit", "0"), ("--suffix", "a/b"), ("--max-megapixels", "0"),
     ("--codec", "mpeg1"), ("--steady", "1.5"), ("--every", "0"), ("--on-bad-frame", "drop"),
     ("--device", "tpu"), ("--precision", "int8"), ("--precision", "fp16 --device cpu")],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error_that_names_the_flag(tmp_path: Path, flag: str, text: str) -> None:
    Image.fromarray(grey()).save(tmp_path / "a.png")
    result = call("run", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), flag, *text.split())
    assert isinstance(result.exception, ArchivecolorError)
    assert result.exception.exit_code == 2
    assert flag in str(result.exception)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
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
    def read(*given: Any) -> Any:
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
    first = call(*words, "--dry-run")
    assert first.stdout.count("colour (new): ") == 3
    assert not out.exists()
    call(*words)
    (scans / "box1/01.png").write_bytes((scans / "box0/02.png").read_bytes())
    (out / "box0/02.png").unlink()
    rows = {
        row["input"]: row["would"] for row in map(json.loads, call(*words, "--dry-run", "--json").stdout.splitlines())
    }
    assert rows == {
        "box0/00.tif": "leave as it is (done)",
        "box0/02.png": "colour again (the output is gone)",
        "box1/01.png": "colour again (the source changed)",
    }
    assert call(*words, "--dry-run", "--strength", "0.5").stdout.count("other options") >= 1


def test_weights_verbs(ink: Path, tmp_path: Path) -> None:
    assert "sound" in call("weights", "check", str(ink)).stdout
    assert json.loads(call("weights", "show", str(ink)).stdout)["network"] == "ink"
    assert "lite (default)" in call("weights").stdout
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


def test_ctrl_c_finishes_what_is_in_hand_and_ends_with_130(tmp_path: Path) -> None:
    save_grey_tree(tmp_path / "scans", 60)
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import doubles; doubles.register_ink();"
        f"from pathlib import Path; doubles.save_ink(Path({str(tmp_path / 'inky')!r}));"
        "doubles.ConstantInk.delay_s = 0.2;"
        f"from archivecolor import cli; sys.argv = ['archivecolor', 'run', {str(tmp_path / 'scans')!r}, '--out',"
        f"{str(tmp_path / 'out')!r}, '--model', {str(tmp_path / 'inky')!r}]; cli.main()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    manifest = tmp_path / "out/manifest.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (manifest.exists() and '"done"' in manifest.read_text()):
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert child.returncode == 130
    assert "goes on from here" in " ".join(said.split())
    assert 0 < len(rows) < 60
    assert {row["status"] for row in rows} == {"done"}
    assert not list((tmp_path / "out").rglob("*part"))


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
