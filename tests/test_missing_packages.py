"""Without the packages of the extras the tests skip and name what they lack; none fails."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
from support.needs import EXTRAS
from support.paths import ROOT, SUPPORT, TESTS

OPTIONAL = {*EXTRAS, "exifread", "timm", "playwright"}
FILES = ("film/test_timecode.py", "film/test_shots.py", "preservation/test_bag.py", "provenance/test_credentials.py")
"""Quick ones that need several of them."""


def run_without(packages: set[str], *files: str) -> subprocess.CompletedProcess[str]:
    """Pytest over these files, it and its child processes without the packages."""
    path = os.pathsep.join([str(SUPPORT / "without"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *(str(TESTS / f) for f in files)],
        env={**os.environ, "PYTHONPATH": path, "ARCHIVECOLOR_WITHOUT": ",".join(packages)},
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("packages", [{"scenedetect", "bagit"}, OPTIONAL], ids=["two", "all"])
@pytest.mark.long
def test_tests_skip_and_name_what_they_lack(packages: set[str]) -> None:
    done = run_without(packages, *FILES)
    assert done.returncode == 0, done.stdout + done.stderr
    named = {line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("SKIPPED")}
    looked_for = packages & {"av", "scenedetect", "bagit", "c2pa"} - ({"scenedetect"} if "av" in packages else set())
    for name in looked_for:
        assert any(f"{name} is not installed: pip install 'archivecolor[{EXTRAS[name]}]'" in why for why in named), name


def test_no_file_of_the_tests_imports_them_at_its_top() -> None:
    """A file that does cannot even be collected without them."""
    found = {
        path.relative_to(TESTS).as_posix(): names & OPTIONAL
        for path in TESTS.rglob("*.py")
        if path.name != "film_speed.py"  # a program of its own
        for names in [_imported_at_top(path.read_text(encoding="utf-8"))]
    }
    assert {name: names for name, names in found.items() if names} == {}


def _imported_at_top(text: str) -> set[str]:
    """The packages that a module imports as soon as it is imported."""
    names: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
