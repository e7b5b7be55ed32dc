"""The manual page has every verb and every option, and is sound roff."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.command_line import call, verbs
from support.paths import ROOT

from archivecolor.cli import man


@pytest.fixture(scope="module")
def page() -> str:
    return man.page()


def test_every_verb_and_every_option_is_in_it(page: str) -> None:
    parts = dict(re.findall(r'^\.SS "archivecolor ([^"]+)"\n(.*?)(?=^\.S[SH])', page, re.MULTILINE | re.DOTALL))
    assert set(parts) == {" ".join(verb) for verb in verbs()}
    for verb, text in parts.items():
        whole = call(*verb.split(), "--help-all").output or ""
        shown = whole if "Usage" in whole and "No such option" not in whole else call(*verb.split(), "--help").output
        flags = set(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", shown, re.MULTILINE)) - {"--help", "--help-all"}
        assert flags <= set(text.replace("\\-", "-").replace(",", " ").split()), verb


def test_it_is_sound_roff(page: str, tmp_path: Path) -> None:
    assert page.startswith(".TH ARCHIVECOLOR 1 ")
    assert not re.search(r"^['.](?!TH |SH |SS |TP$|PP$|B )", page, re.MULTILINE)
    assert "\\-\\-strength" in page and "\t" not in page
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    (tmp_path / "a.1").write_text(page)
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "a.1"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_the_wheel_says_what_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["urls"] and len(project["project"]["classifiers"]) > 10
    assert (ROOT / "archivecolor/py.typed").exists()
    assert (ROOT / project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["path"]).exists()
