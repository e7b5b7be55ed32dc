"""One picture from file to file, through a pipe, and from Python."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import call, exit_code
from support.doubles import colourful, grey
from typer.testing import CliRunner

from archivecolor import Colorizer, cli, provenance, run
from archivecolor.errors import NoInputError, OutputError, PictureError, UsageError
from archivecolor.execution import multi_device
from archivecolor.options import ColorizerOptions, ColorOptions, RunOptions
from archivecolor.pipeline import runner, single


@pytest.fixture
def scan(src: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(multi_device, "drive", runner.drive)
    Image.fromarray(grey(60, 80)).save(src / "a.png")
    return src / "a.png"


def test_out_may_be_a_file(scan: Path, ink: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep/b.tif"
    result = call("run", str(scan), "-o", str(target), "--model", str(ink))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in target.parent.iterdir()) == ["b.tif", "b.tif.json"], "no manifest, no rest"
    with Image.open(target) as image:
        assert (image.format, image.size, image.mode) == ("TIFF", (80, 60), "RGB")
    sidecar = json.loads((tmp_path / "deep/b.tif.json").read_text())
    assert (sidecar["output"]["name"], sidecar["options"]["out"]) == ("b.tif", str(target.parent))
    assert provenance.is_sidecar(tmp_path / "deep/b.tif.json") and provenance.is_ours(target)
    assert call("run", str(scan), "-o", str(target), "--model", str(ink)).exit_code == 0, "its own file is replaced"


def test_a_sidecar_of_anybody_else_is_not_replaced(scan: Path, ink: Path, tmp_path: Path) -> None:
    target, foreign = tmp_path / "b.png", tmp_path / "b.png.json"
    foreign.write_text('{"title": "Grandmother, 1931"}')
    assert exit_code("run", str(scan), "-o", str(target), "--model", str(ink)) == 3
    assert (target.exists(), foreign.read_text()) == (False, '{"title": "Grandmother, 1931"}')
    assert exit_code("run", str(scan), "-o", str(target), "--model", str(ink), "--no-sidecar") == 0
    assert foreign.read_text() == '{"title": "Grandmother, 1931"}'


def test_an_xmp_file_beside_the_destination_is_replaced_only_on_request(scan: Path, ink: Path, tmp_path: Path) -> None:
    scan.with_name("a.xmp").write_bytes(b"<new/>")
    target, xmp = tmp_path / "b.png", tmp_path / "b.xmp"
    xmp.write_bytes(b"<old/>")
    options: dict[str, Any] = {"model": str(ink), "copy_xmp": True, "out": target}
    row = single.color_single(RunOptions(inputs=(str(scan),), **options), target, runner.drive)
    assert row.notes == ("a.xmp beside the source not copied: another file is named b.xmp",)
    assert xmp.read_bytes() == b"<old/>"
    row = single.color_single(RunOptions(inputs=(str(scan),), overwrite=True, **options), target, runner.drive)
    assert row.notes == ("a.xmp beside the source copied to b.xmp",)
    assert xmp.read_bytes() == b"<new/>"


def test_the_pixels_are_those_of_a_run_into_a_folder(scan: Path, ink: Path, tmp_path: Path) -> None:
    run(scan, out=tmp_path / "folder", model=str(ink))
    call("run", str(scan), "-o", str(tmp_path / "one.png"), "--model", str(ink))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "folder/a.png").read_bytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_a_picture_goes_through_a_pipe(scan: Path, ink: Path, tmp_path: Path, format: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(grey(60, 80)).save(stream, format)
    words = ["run", "-", "-o", "-", "--model", str(ink)]
    result = CliRunner().invoke(cli.app, words, input=stream.getvalue())
    assert result.exit_code == 0, result.output
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert (image.format, image.size, image.mode) == (format, (80, 60), "RGB")
    assert result.stderr == ""
    to_file = CliRunner().invoke(cli.app, [*words[:3], str(tmp_path / "x.webp"), *words[4:]], input=stream.getvalue())
    assert (to_file.exit_code, (tmp_path / "x.webp").read_bytes()[8:12]) == (0, b"WEBP")


def test_a_list_on_standard_input_stays_a_list(scan: Path, ink: Path, tmp_path: Path) -> None:
    words = ["run", "-", "-o", str(tmp_path / "out"), "--model", str(ink)]
    assert CliRunner().invoke(cli.app, words, input=f"{scan}\n").exit_code == 0
    assert (tmp_path / "out/a.png").exists()
    picture = CliRunner().invoke(cli.app, words, input=scan.read_bytes())
    assert isinstance(picture.exception, NoInputError) and "picture" in str(picture.exception)
    for content, message in ((f"{scan}\n".encode(), "list of names"), (b"", "empty")):
        listed = CliRunner().invoke(cli.app, ["run", "-", "-o", "-", "--model", str(ink)], input=content)
        assert isinstance(listed.exception, NoInputError) and message in str(listed.exception)
        assert listed.stdout == ""


def test_what_one_file_cannot_be(scan: Path, ink: Path, tmp_path: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "strange.png")
    before = (tmp_path / "strange.png").read_bytes(), scan.read_bytes()
    own = ("--model", str(ink))
    assert exit_code("run", str(scan), "-o", str(tmp_path / "strange.png"), *own) == PictureError.exit_code
    assert exit_code("run", str(scan), "-o", str(scan), *own) == OutputError.exit_code
    assert exit_code("run", str(scan), str(scan), "-o", str(tmp_path / "b.png"), *own) == UsageError.exit_code
    assert exit_code("run", str(scan.parent), "-o", str(tmp_path / "b.png"), *own) == UsageError.exit_code
    wrong = ("-o", str(tmp_path / "b.png"), "--format", "jpeg")
    assert exit_code("run", str(scan), *wrong, *own) == UsageError.exit_code
    assert exit_code("run", str(scan), "-o", str(tmp_path / "b.bmp"), *own) == UsageError.exit_code
    assert exit_code("run", str(tmp_path / "no.png"), "-o", str(tmp_path / "b.png"), *own) == NoInputError.exit_code
    assert ((tmp_path / "strange.png").read_bytes(), scan.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src", "strange.png", "weights"]


def test_a_picture_in_colour_or_broken_says_so_and_writes_nothing(scan: Path, ink: Path, tmp_path: Path) -> None:
    Image.fromarray(colourful()).save(tmp_path / "c.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    for name, message in (("c.png", "--recolor"), ("broken.jpg", "broken.jpg: ")):
        result = call("run", str(tmp_path / name), "-o", str(tmp_path / "b.png"), "--model", str(ink))
        assert isinstance(result.exception, PictureError) and message in str(result.exception)
        assert not (tmp_path / "b.png").exists()


def test_from_python(scan: Path, ink: Path, tmp_path: Path) -> None:
    options = ColorizerOptions(color=ColorOptions(size=64, strength=0.5), device="cpu")
    with Colorizer(ink, options) as colorizer:
        row = colorizer.colorize_file(scan, tmp_path / "b.jpg", quality=90)
        assert (row.status, row.output, row.width) == ("done", "b.jpg", 80)
        expected = colorizer.colorize(np.asarray(Image.open(scan)))
        colorizer.colorize_file(str(scan), str(tmp_path / "b.png"))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), expected)
        with pytest.raises(NoInputError, match="no_such"):
            colorizer.colorize_file(tmp_path / "no_such.png", tmp_path / "c.png")
        with pytest.raises(TypeError, match="strenth"):
            colorizer.colorize_file(scan, tmp_path / "b.png", strenth=1)
        with pytest.raises(TypeError, match="option of the Colorizer"):
            colorizer.colorize_file(scan, tmp_path / "b.png", device="cpu")
    run_options = RunOptions(inputs=("x",), out=Path("y"), quality=50, device="cpu")
    with Colorizer(ink, run_options) as colorizer:
        assert colorizer.colorize_file(scan, tmp_path / "c.jpg").options != row.options


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("x.jpg", "colorize_file"), (Path("x.jpg"), "colorize_file"), (Image.new("L", (4, 4)), "asarray")],
    ids=["name", "path", "image"],
)
def test_what_is_no_array_is_told_what_to_call(ink: Path, wrong: Any, message: str) -> None:
    with Colorizer(ink, ColorizerOptions(device="cpu")) as colorizer, pytest.raises(TypeError, match=message):
        colorizer.colorize(wrong)
