"""What the command line says of itself: groups, versions, suggestions, completion."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.command_line import call, exit_code
from typer.testing import CliRunner

from archivecolor import __version__, cli
from archivecolor.cli.help import ORDER
from archivecolor.cli.run import ConfigOptions, DisplayOptions
from archivecolor.errors import MissingDependencyError, UsageError, WeightsError
from archivecolor.options import OutputFormat, ReferenceOptions, RunOptions, leaves
from archivecolor.options.film import Codec

LEAVES = [leaf for table in (RunOptions, ReferenceOptions, DisplayOptions, ConfigOptions) for leaf in leaves(table)]


def shown(flag: str) -> dict[str, set[str]]:
    """Heading -> flags, as `run` lists them."""
    parts = re.split(r"^(\w[\w ]*):\n", call("run", flag).output, flags=re.MULTILINE)[1:]
    listed = zip(parts[::2], parts[1::2], strict=True)
    return {heading: set(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", text, re.MULTILINE)) for heading, text in listed}


def test_the_help_of_run_is_in_short_groups_and_the_rare_options_are_under_help_all() -> None:
    short, whole = shown("--help"), shown("--help-all")
    assert [name for name in short if name in ORDER] == list(ORDER)
    assert all(1 < len(short[name]) <= 7 for name in ORDER), short
    rare = {leaf.flag for leaf in LEAVES if leaf.option.rare}
    common = {leaf.flag for leaf in LEAVES if not leaf.option.rare and not leaf.option.positional}
    assert len(rare) > 15
    assert set().union(*(short[name] for name in ORDER)) == common
    assert set().union(*(whole[name] for name in ORDER)) == common | rare


def test_every_option_of_run_has_a_group() -> None:
    assert {leaf.heading for leaf in LEAVES} == set(ORDER)


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], ["weights", "check", "-h"], ["manifest", "-h"]], ids=" ".join)
def test_help_is_known_by_its_short_name(words: list[str]) -> None:
    assert call(*words).output.startswith("Usage:")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(flag: str) -> None:
    assert call(flag).output == f"archivecolor {__version__}\n"


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["rnu", "a"], "run"),
        (["run", "a", "--out", "b", "--stregth", "1"], "--strength"),
        (["run", "a", "--out", "b", "--format", "tif2"], "tiff"),
        (["run", "a", "--out", "b", "--tiles", "alway"], "always"),
        (["weights", "shwo", "lite"], "show"),
        (["weights", "show", "lit"], "lite"),
        (["run", "--dry-run", __file__, "--out", "b", "--model", "resnet"], "resnet18"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_did_you_mean(words: list[str], suggestion: str) -> None:
    result = call(*words)
    output_text = result.output + str(result.exception)
    assert suggestion in re.split(r"[Dd]id you mean|Possible options", output_text)[-1].split("archivecolor weights")[0]
    assert re.search("[Dd]id you mean|Possible options", output_text), output_text
    assert exit_code(*words) in (UsageError.exit_code, WeightsError.exit_code)


@pytest.mark.parametrize(
    ("text", "value"),
    [("jpg", "jpeg"), ("JPG", "jpeg"), ("Jpeg", "jpeg"), ("tif", "tiff"), ("TIFF", "tiff"), ("PNG", "png")],
)
def test_formats_in_any_case_and_by_their_suffix(text: str, value: str) -> None:
    options = RunOptions(inputs=("a",), out=Path("b"), format=text)
    assert options.format is OutputFormat(value)
    assert options.digest() == RunOptions(inputs=("a",), out=Path("b"), format=value).digest()


def test_other_choices_in_any_case() -> None:
    assert Codec("ProRes") is Codec.PRORES
    with pytest.raises(ValueError, match="jpg"):
        Codec("jpg")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run a --model l", {"lite"}),
        ("run a --model ", {"lite", "resnet18", "slim"}),
        ("run a --format ", {"same", "jpeg", "png", "tiff", "webp"}),
        ("run a --codec pr", {"prores"}),
        ("ru", {"run"}),
    ],
)
def test_the_shell_completes_choices(words: str, offered: set[str]) -> None:
    place = {"_ARCHIVECOLOR_COMPLETE": "complete_bash", "COMP_WORDS": f"archivecolor {words}"}
    place["COMP_CWORD"] = str(len(words.split(" ")))
    printed = CliRunner().invoke(cli.app, [], env=place, prog_name="archivecolor").output
    assert {line.split(",")[-1] for line in printed.split()} >= offered, printed


def test_a_missing_package_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        import skimage.color  # noqa: F401

    monkeypatch.setitem(sys.modules, "skimage.color", None)
    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == MissingDependencyError.exit_code
    assert "pip install 'archivecolor[evaluate]'" in capsys.readouterr().err
