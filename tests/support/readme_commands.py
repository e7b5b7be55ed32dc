"""The commands of README and of the stories in examples/, and what these say that they print."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shlex
import sys
import textwrap
from functools import cache
from pathlib import Path

from typer.testing import CliRunner

from archivecolor import cli
from archivecolor.errors import ArchivecolorError
from archivecolor.provenance import read_rows
from archivecolor.provenance.decisions import FORMAT
from support.paths import ROOT

PAGES = {
    "README": ROOT / "README.md",
    **{path.parent.name: path for path in sorted((ROOT / "examples").glob("*/README.md"))},
}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
README = TEXTS["README"]
ALL = "\n".join(TEXTS.values())
STORIES = [name for name in TEXTS if name != "README"]

Block = list[str]


def blocks(mark: str, text: str = ALL) -> list[Block]:
    """The indented blocks behind this remark, line by line."""
    found = re.findall(rf"^<!-- {mark} -->\n\n((?:    .*\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block).splitlines() for block in found]


def in_containers() -> list[list[str]]:
    """What the containers of the stories run, as commands: the words behind the image."""
    lines = "\n".join(itertools.chain(*blocks("engine"), *blocks("apptainer")))
    inside = re.findall(r"^(?:podman|apptainer) run .* archivecolor(?::\w+|\.sif)? (.*)$", lines, re.MULTILINE)
    return [["archivecolor", *shlex.split(words)] for words in inside]


@cache
def _help_of(*verb: str) -> str:
    result = CliRunner().invoke(cli.app, [*verb, "--help"])
    assert result.exit_code == 0, result.output
    return result.output + CliRunner().invoke(cli.app, [*verb, "--help-all"]).output


def unknown_flags(words: list[str]) -> list[str]:
    """Those of a command that its verb does not have. A verb that does not exist fails the test."""
    verb = [word for word in words[1:3] if re.fullmatch("[a-z][a-z-]*", word)]
    invoked = verb[:2] if verb[0] in ("train", "weights") else verb[:1]
    return [word for word in words if word.startswith("--") and word not in _help_of(*invoked)]


def printed() -> list[tuple[str, int, Block]]:
    """(story, exit code, block): every block that shows what its commands print. The last command of a block has the
    exit code that its remark names; all others 0."""
    return [
        (name, int(code or 0), textwrap.dedent(block).splitlines())
        for name, text in TEXTS.items()
        for code, block in re.findall(r"^<!-- printed(?:: (\d+))? -->\n\n((?:    .*\n)+)", text, re.MULTILINE)
    ]


def steps(block: Block) -> list[tuple[str, list[str]]]:
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
    """What the story says of the page: the cat is rejected, the cup accepted."""
    rows = read_rows(out)
    made = [
        {"input": name, "decision": word, "output_sha256": rows[name].output_sha256, "note": ""}
        for name, word in (("animals/cat.png", "rejected"), ("things/cup_16bit.tif", "accepted"))
    ]
    path.write_text(json.dumps({"format": FORMAT, "collection": "", "decisions": made}))


def on_ray(block: Block) -> bool:
    return any("--on ray" in line for line in block)


def prints(block: Block, exit_code: int = 0) -> None:
    """Types the commands of a block, in this folder, and compares."""
    if not Path("examples").exists():
        Path("examples").symlink_to(ROOT / "examples")
    for command, shown in steps(block):
        if "decisions.json" in command and not Path("decisions.json").exists():
            decide(Path("color"), Path("decisions.json"))
        printed, code = _typed(command)
        assert code in {0, exit_code}, printed
        lines = iter(sorted(printed) if "--json" in command else printed)
        for line in shown:
            assert any(matches(line, one) for one in lines), (command, line, printed)
    assert code == exit_code, printed


def _typed(command: str) -> tuple[list[str], int]:
    """The lines that a command prints, with paths below this folder, and its exit code."""
    words = shlex.split(command)
    if words[0] == "python":
        before, sys.argv = sys.argv, words[1:]
        try:
            runpy.run_path(words[1], run_name="__main__")
        finally:
            sys.argv = before
        return [], 0
    result = CliRunner().invoke(cli.app, words[1:])
    code = result.exception.exit_code if isinstance(result.exception, ArchivecolorError) else result.exit_code
    return result.output.replace(f"{Path.cwd()}/", "").splitlines(), code
