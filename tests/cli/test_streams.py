"""Standard streams that are closed, and file names that would act on the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.command_line import call
from support.doubles import grey
from support.paths import ROOT

from archivecolor import cli, files
from archivecolor.cli import console
from archivecolor.errors import NoInputError
from archivecolor.execution import multi_device
from archivecolor.execution.supervise import parent
from archivecolor.options import RunOptions
from archivecolor.pipeline import inputs, runner
from archivecolor.pipeline.observer import RunObserver
from archivecolor.provenance import decisions, read_rows

EVIL = "\x1b]0;owned\x07\x1b[2Jline\nbreak\x9b31m.png"
"""Sets the title of a terminal, clears it, and begins a line of its own."""


@pytest.fixture
def terminal_run(src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The verb `run` in this process."""
    monkeypatch.setattr(multi_device, "drive", lambda options, observer: runner.drive(options, observer))

    def run(*words: str) -> Any:
        return call("run", str(src), "--out", str(out), "--model", str(ink), "--size", "64", "--device", "cpu", *words)

    return run


def test_no_verb_prints_a_name_raw(terminal_run: Callable[..., Any], src: Path, out: Path, tmp_path: Path) -> None:
    Image.fromarray(grey()).save(src / EVIL)
    (src / f"broken{EVIL}").write_bytes(b"\xff\xd8\xff no picture")
    (src / f"notes.txt{EVIL[:9]}").write_text("no picture")
    evil_out = tmp_path / f"copy{EVIL}"
    log = tmp_path / "log"
    results = [
        terminal_run("--dry-run", "-v"),
        terminal_run("-vv", "--log-file", str(log)),
        terminal_run("-v", "--json"),
    ]
    (name, row) = next((name, row) for name, row in read_rows(out).items() if row.output)
    made = [{"input": each, "decision": "accepted", "output_sha256": row.output_sha256} for each in (name, f"x{EVIL}")]
    (tmp_path / "d.json").write_text(json.dumps({"format": decisions.FORMAT, "decisions": made}))
    results.append(call("export", str(out), "--accepted", str(tmp_path / "d.json"), "--to", str(evil_out)))
    (out / f"extra{EVIL}").touch()
    results += [call("verify", str(out)), call("verify", str(out), "--json")]
    results.append(call("report", str(out), "--to", str(tmp_path / f"report{EVIL}")))
    results.append(call("bag", str(out), "--out", str(tmp_path / f"bag{EVIL}")))
    results.append(call("manifest", "merge", str(out)))
    results.append(call("run", str(src / f"absent{EVIL}"), "--out", str(out)))
    printed = [text for result in results for text in (result.stdout, result.stderr)] + [log.read_text()]
    for text in printed:
        assert not set(text) & {"\x1b", "\x07", "\x9b"}, text
        assert "line\nbreak" not in text
    assert sum("line\\nbreak" in text for text in printed) >= 7
    assert len(read_rows(out)) == 2


def test_an_error_names_a_file_without_acting_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (NoInputError(f"{EVIL}: no such file"), KeyError(EVIL)):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit):
            cli.main()
        stderr = capsys.readouterr().err
        assert stderr.count("\n") == 1
        assert "\x1b" not in stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Häuser im Schnee – 1932.tif", "Häuser im Schnee – 1932.tif"),
        ("a\nb\x1b[0m\x7f\x9b", r"a\nb\x1b[0m\x7f\x9b"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9"),
        ("right\u202eleft", r"right\u202eleft"),
        ("写真.jpg", "写真.jpg"),
    ],
)
def test_what_is_printable(text: str, shown: str) -> None:
    assert files.printable(text) == shown
    shown.encode()


def test_a_closed_standard_input_is_said_to_be_closed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    options = RunOptions(inputs=("-",), out=out)
    for drive in (parent.drive, multi_device.drive):
        with pytest.raises(NoInputError, match="standard input is closed"):
            drive(options, RunObserver())
    with pytest.raises(NoInputError, match="standard input is closed"):
        inputs.find_inputs(("-",), out, inputs.Search(lambda path: True))
    several = RunOptions(inputs=("-",), out=out, device="cpu,cpu")
    with pytest.raises(NoInputError, match="standard input is closed"):
        multi_device.drive(several, RunObserver())


@pytest.mark.skipif(os.name != "posix", reason="there are no such numbers elsewhere")
def test_no_file_gets_the_number_of_a_closed_stream(src: Path, out: Path) -> None:
    """Otherwise what a library prints ends up in the manifest. The streams of the child are those of the parent."""
    Image.fromarray(grey()).save(src / "a.png")
    code = """
import os, subprocess, sys
from archivecolor.cli.console import open_standard_streams
open_standard_streams()
assert [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)] == [os.devnull] * 3
print("to nobody"); sys.stderr.write("to nobody")
inherited = "import os; assert [os.path.realpath(f'/proc/self/fd/{n}') for n in (1, 2)] == [os.devnull] * 2"
raise SystemExit(subprocess.run([sys.executable, "-c", inherited]).returncode)
"""
    command = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_run_without_any_stream(src: Path, out: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    words = ["-m", "archivecolor", "run", str(src), "--out", str(out), "--size", "64", "--device", "cpu"]
    command = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, *words]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert [row.status for row in read_rows(out).values()] == ["done"]
    assert console.open_standard_streams() is None, "open streams stay as they are"
