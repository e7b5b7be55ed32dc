"""The README's commands and what it says that they print."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from pathlib import Path

from typer.testing import CliRunner

from archivecolor import cli
from archivecolor.provenance import read_rows
from archivecolor.provenance.decisions import FORMAT
from support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


# --- what the README says that commands print -------------------------------------------------------------------------


def blocks(mark: str) -> list[list[str]]:
    """The indented blocks of the README behind this remark, line by line."""
    found = re.findall(rf"^<!-- {mark} -->\n\n((?:    .*\n)+)", README, re.MULTILINE)
    return [textwrap.dedent(block).splitlines() for block in found]


def told(block: list[str]) -> list[tuple[str, list[str]]]:
    """Each command with the lines that it is said to print."""
    made: list[tuple[str, list[str]]] = []
    for line in block:
        if line.startswith("    "):
            made[-1][1].append(line.strip())
        else:
            made.append((line, []))
    return made


def matches(shown: str, line: str) -> bool:
    """Whether a line is as it is shown; "…" stands for anything, a blank for any number of them."""
    parts = (re.escape(part) for part in shown.split("…"))
    pattern = ".*".join(parts).replace("\\ ", " ")
    return re.fullmatch(re.sub(" +", " +", pattern), line.strip()) is not None


def decide(out: Path, path: Path) -> None:
    """What the README says of the page: the cat is rejected, the cup accepted."""
    rows = read_rows(out)
    made = [
        {"input": name, "decision": word, "output_sha256": rows[name].output_sha256, "note": ""}
        for name, word in (("animals/cat.png", "rejected"), ("things/cup_16bit.tif", "accepted"))
    ]
    path.write_text(json.dumps({"format": FORMAT, "collection": "", "decisions": made}))


def on_ray(block: list[str]) -> bool:
    return any("--on ray" in line for line in block)


def prints(block: list[str]) -> None:
    """Types the commands of a block, in this folder, and compares."""
    Path("examples").symlink_to(ROOT / "examples")
    for command, shown in told(block):
        if "decisions.json" in command and not Path("decisions.json").exists():
            decide(Path("color"), Path("decisions.json"))
        result = CliRunner().invoke(cli.app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
        printed = result.output.replace(f"{Path.cwd()}/", "").splitlines()
        lines = iter(sorted(printed) if "--json" in command else printed)
        for line in shown:
            assert any(matches(line, one) for one in lines), (command, line, result.output)
