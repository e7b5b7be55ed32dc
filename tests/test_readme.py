"""What the README says is what the program does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archivecolor import cli, photo, weights
from archivecolor.options import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """Every `archivecolor …` line of the README, as words."""
    lines = re.findall(r"^    (?:.*&& \S*)?(archivecolor .*)$", README, re.MULTILINE)
    return [shlex.split(line.split("#")[0]) for line in lines]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words)[:60])
def test_commands_use_verbs_and_flags_that_exist(words: list[str]) -> None:
    verb = [word for word in words[1:3] if re.fullmatch("[a-z][a-z-]*", word)]
    asked = verb[:2] if verb[0] in ("train", "weights") else verb[:1]
    result = CliRunner().invoke(cli.app, [*asked, "--help"])
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in words if word.startswith("--"))


def test_every_flag_of_run_is_in_the_readme() -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help"]).output
    flags = set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help", "--out", "--verbose"}
    assert flags - set(re.findall(r"--[a-z][a-z-]+", README)) == set()


def test_the_numbers_of_the_weights_are_those_of_their_cards() -> None:
    rows = {
        cells[0].split("`")[1]: cells
        for cells in (line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `"))
    }
    for folder in weights.available():
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        test = card["numbers"]["test"]
        said = " ".join(rows[card["name"]])
        for value in (f"{test['psnr_gain_db']:+.1f}", f"{test['ciede2000_drop']:.1f}", f"{test['colour_ratio']:.2f}"):
            assert value in said, (card["name"], value)


def test_the_default_is_the_best_by_the_cards() -> None:
    """resnet18 becomes the default once its weights score at least as well as lite's, and not before."""
    test = {f.name: weights.read_card(f).numbers["test"] for f in weights.available()}
    if "resnet18" in test:
        higher = ("psnr_gain_db", "ciede2000_drop", "agreement")
        at_least_as_good = all(test["resnet18"][key] >= test["lite"][key] for key in higher)
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
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_the_commands_on_many_machines_print_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = README.split("On the examples this looks as follows")[1].split("\n\n")[1].splitlines()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    printed, compared = "", 0
    for line in shown:
        if line.startswith("    archivecolor "):
            result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
            printed = result.stdout.replace(f"{tmp_path}/", "")
        else:
            assert printed.startswith(line.strip()), (line, printed)
            compared += 1
    assert compared == 3
