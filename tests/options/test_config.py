"""Options in a file: the names of the flags, the same digest, errors that help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.command_line import call, exit_code

from archivecolor.cli import progress
from archivecolor.cli.run import DisplayOptions
from archivecolor.errors import OutputError, UsageError
from archivecolor.options import Digest, ReferenceOptions, RunOptions, build, config, leaves

TABLES = (RunOptions, ReferenceOptions, DisplayOptions)
FLAGS = (
    "--strength 0.9 --format jpg --no-sidecar --exclude *_thumb.jpg --exclude 1920/* --hint 1,2,#aabbcc --codec prores "
    "--size 384 --digital-source-type algorithmicallyEnhanced --strips-above 12.5 --shard 2/3 --mark auto -v"
)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `run` hands on, instead of a run."""
    seen: list[Any] = []
    monkeypatch.setattr(progress, "show", lambda *arguments: seen.append(arguments) or 0)
    return seen


def test_what_was_saved_is_read_again_with_the_same_digest(tmp_path: Path, reached: list[Any]) -> None:
    saved = tmp_path / "job.toml"
    words = ("run", "scans", "--out", "color", *FLAGS.split())
    assert call(*words, "--save-config", str(saved)).exit_code == 0
    assert not reached, "it saves and ends"
    call(*words)
    call("run", "--config", str(saved))
    assert reached[0][0] == reached[1][0] and reached[0][3] == reached[1][3] == 1
    assert reached[0][0].digest() == reached[1][0].digest() != RunOptions(inputs=("a",), out=Path("b")).digest()
    assert reached[0][0].film_digest() == reached[1][0].film_digest()


def test_every_option_can_be_in_a_file(tmp_path: Path) -> None:
    samples = {"shard": '"2/3"', "hints": '["1,2,#aabbcc"]', "every": '"4"', "fps": '"18"', "c2pa": '"a,b"'}
    samples["neutral"] = '["1,2,30,40"]'
    samples["access"] = '["jpg:2000"]'
    for leaf in (leaf for table in TABLES for leaf in leaves(table)):
        kind = leaf.types[0]
        plain = {bool: "true", int: "64", float: "0.5"}.get(kind, '["x"]' if leaf.repeatable else '"x"')  # type: ignore[call-overload]
        text = samples.get(leaf.name) or (f'"{list(leaf.choices)[-1].value}"' if leaf.choices else plain)
        path = tmp_path / "one.toml"
        path.write_text(f"{config.key_of(leaf)} = {text}\n")
        found = config.read(path, TABLES)
        assert set(found) == {leaf.name}
        leaf.converted(found[leaf.name])


def test_a_flag_overrules_the_file_and_the_file_the_default(tmp_path: Path, reached: list[Any]) -> None:
    (tmp_path / "a.toml").write_text(
        'strength = 0.5\nsize = 128\nout = "color"\ninput = "scans"\nhint = "1,2,#aabbcc"\n'
    )
    call("run", "--config", str(tmp_path / "a.toml"), "--strength", "1.0")
    options = reached[0][0]
    assert (options.color.strength, options.color.size, options.out, options.inputs) == (
        1,
        128,
        Path("color"),
        ("scans",),
    )
    assert [str(hint) for hint in options.color.hints] == ["1,2,#aabbcc"]


def test_a_file_beside_the_inputs_is_read_and_named(tmp_path: Path, reached: list[Any]) -> None:
    (tmp_path / "archivecolor.toml").write_text("strength = 0.5\n")
    (tmp_path / "a.png").touch()
    for text in (str(tmp_path), str(tmp_path / "a.png")):
        message = call("run", text, "--out", "color").stderr
        assert reached.pop()[0].color.strength == 0.5
        assert f"options from {tmp_path / 'archivecolor.toml'}" in message
    assert call("run", str(tmp_path), "--out", "color", "--quiet").stderr == ""
    (tmp_path / "archivecolor.toml").write_text('out = "elsewhere"\n')
    result = call("run", str(tmp_path), "--out", "color")
    assert isinstance(result.exception, UsageError) and "--config" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strenght = 1", "did you mean strength"),
        ("colour = 1", "no option 'colour'"),
        ('strength = "x"', "write a number"),
        ("strength = true", "write a number"),
        ("size = 1.5", "write a whole number"),
        ("recolor = 1", "write true or false"),
        ("format = 3", "write a text"),
        ("exclude = [1]", "write a text"),
        ("strength = 7", "must be from 0 to 2"),
        ('format = "gif"', "write one of"),
        ("strength", "is no TOML"),
        ("config = 'x'", "no option 'config'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    result = call("run", "x", "--out", "y", "--config", str(tmp_path / "a.toml"))
    assert isinstance(result.exception, UsageError)
    assert re.search(message, str(result.exception)), result.exception


def test_what_is_missing_everywhere(tmp_path: Path) -> None:
    assert exit_code("run") == exit_code("run", "x") == exit_code("run", "--out", "y") == UsageError.exit_code
    assert exit_code("run", "x", "--out", "y", "--config", str(tmp_path / "no.toml")) == UsageError.exit_code
    (tmp_path / "mine.txt").write_text("a diary")
    assert exit_code("run", "x", "--out", "y", "--save-config", str(tmp_path / "mine.txt")) == OutputError.exit_code
    assert (tmp_path / "mine.txt").read_text() == "a diary"


def test_names_with_quotes_and_other_letters_come_through(tmp_path: Path) -> None:
    options = build(RunOptions, {"inputs": ['a "b"\\c\x7f ü.png'], "out": Path("fö\tö"), "mark": 'Farbe "neu"'})
    (tmp_path / "a.toml").write_text(config.as_toml(options), encoding="utf-8")
    again = build(RunOptions, config.read(tmp_path / "a.toml", TABLES))
    assert again == options and again.digest_fields(Digest.BOTH) == options.digest_fields(Digest.BOTH)
