"""The review page as a folder: its facts, pictures and links, and films beside photographs."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.doubles import colour, contents, grey
from support.needs import needs
from support.observers import Recorder
from support.review_data import Links, decide, options, rows_of
from typer.testing import CliRunner

from archivecolor import cli, photo, provenance
from archivecolor.errors import NoInputError, OutputError
from archivecolor.film import dpx
from archivecolor.film.thumbnails import COUNT
from archivecolor.imaging import lab
from archivecolor.options import ColorOptions, Disclosure, FilmOptions, ReportOptions, RunOptions
from archivecolor.pipeline.runner import drive
from archivecolor.provenance import Record
from archivecolor.review import page_data, report, speed_curves, thumbnails
from archivecolor.review.export import export

HOSTILE = ['"quoted" & <script>alert(1)<', "new\nline.png", "apostrophe's.png", "back\\slash.png", "ünï\u2028cödé.png"]


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_report_lies_beside_the_outputs_and_leaves_them_alone(reviewed: Path, src: Path) -> None:
    before = contents(reviewed), contents(src)
    index = report.report(ReportOptions(out=reviewed))
    assert index == reviewed.with_name("out-report") / "index.html"
    assert (contents(reviewed), contents(src)) == before


def test_a_report_that_is_made_during_a_run_says_so(reviewed: Path) -> None:
    result = CliRunner().invoke(cli.app, ["report", str(reviewed)])
    assert result.exit_code == 0
    assert report.RUNNING not in result.stderr
    with provenance.Manifest(reviewed):
        result = CliRunner().invoke(cli.app, ["report", str(reviewed)])
    assert report.RUNNING in result.stderr
    assert result.stdout.strip().endswith("index.html")
    index = reviewed.with_name("out-report") / "index.html"
    assert report.RUNNING in index.read_text(encoding="utf-8")
    report.report(ReportOptions(out=reviewed))
    assert report.RUNNING not in index.read_text(encoding="utf-8")


def test_everything_the_page_names_is_in_the_folder(reviewed: Path) -> None:
    folder = report.report(ReportOptions(out=reviewed)).parent
    links = Links((folder / "index.html").read_text(encoding="utf-8")).found
    local = [link for link in links if not link.startswith(("#", "data:"))]
    assert len(local) >= 6
    assert [link for link in local if "://" in link or not (folder / link).is_file()] == []
    style = (folder / "report.css").read_text(encoding="utf-8") + (folder / "report.js").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest", style)
    assert "MIT License" in (folder / "img-comparison-slider/LICENSE.txt").read_text(encoding="utf-8")


def test_each_row_has_its_facts_and_pictures(reviewed: Path) -> None:
    folder = report.report(ReportOptions(out=reviewed, view=300)).parent
    rows = rows_of(folder)
    recorded = provenance.read_rows(reviewed)
    assert rows.keys() == recorded.keys()
    done = rows["box0/00.tif"]
    assert done["delta"] == recorded["box0/00.tif"].max_delta_l
    assert (done["status"], done["width"], done["depth"], done["after"]) == (
        "done", 56, 16, recorded["box0/00.tif"].output_sha256,
    )  # fmt: skip
    for side in (thumbnails.THUMB, 300):
        with Image.open(folder / thumbnails.file_name(done["after"], side)) as image:
            assert (image.format, image.size) == ("JPEG", (56, 40))
    assert (folder / thumbnails.file_name(done["before"], 300)).is_file()
    assert rows["colour.png"]["before"] and not rows["colour.png"]["after"]
    assert rows["broken.jpg"]["before"] == "" and "truncated" in rows["broken.jpg"]["reason"]


def test_pictures_are_upright_reduced_and_true_to_their_colours(src: Path, tmp_path: Path) -> None:
    import tifffile

    wide = np.zeros((300, 900, 3), np.uint16)
    wide[:, :450] = (60000, 20000, 10000)
    tifffile.imwrite(tmp_path / "wide.tif", wide, extratags=[(274, "H", 1, 6, True)], metadata=None)
    small = photo.thumbnail(tmp_path / "wide.tif", 240)
    assert (small.dtype, small.shape) == (np.uint8, (240, 80, 3))
    assert np.abs(small[10, 40].astype(int) - np.array([60000, 20000, 10000]) / 257).max() <= 1
    assert small[-10].max() == 0


def test_a_second_report_makes_only_what_is_new(reviewed: Path, src: Path, ink: Path) -> None:
    folder = report.report(ReportOptions(out=reviewed)).parent
    times = {path: path.stat().st_mtime_ns for path in folder.glob("pictures/*/*")}
    gone = rows_of(folder)["box1/01.png"]
    Image.fromarray(grey(seed=99)).save(src / "box1/01.png")
    colour(src, out=reviewed, model=ink)
    report.report(ReportOptions(out=reviewed))
    now = {path: path.stat().st_mtime_ns for path in folder.glob("pictures/*/*")}
    assert not (folder / thumbnails.file_name(gone["after"], thumbnails.THUMB)).exists()
    messages: list[Any] = []
    report.report(ReportOptions(out=reviewed), lambda *arguments: messages.append(arguments))
    assert messages == [], "the third time there is nothing new"
    kept = times.keys() & now.keys()
    assert len(kept) == len(times) - 3 == len(now) - 3
    assert all(times[path] == now[path] for path in kept)


def test_a_source_that_has_changed_or_gone_is_not_shown_for_what_it_was(reviewed: Path, src: Path) -> None:
    Image.fromarray(grey(seed=50)).save(src / "box1/01.png")
    (src / "box0/02.png").unlink()
    (reviewed / "box1/03.tif").write_bytes((src / "box1/03.tif").read_bytes())
    rows = rows_of(report.report(ReportOptions(out=reviewed)).parent)
    assert (rows["box1/01.png"]["before"], rows["box1/01.png"]["missing"]) == ("", "source has changed since the run")
    assert (rows["box0/02.png"]["before"], rows["box0/02.png"]["missing"]) == ("", "source is not there any more")
    assert (rows["box1/03.tif"]["after"], rows["box1/03.tif"]["missing"]) == ("", "result has changed since the run")
    assert rows["box1/01.png"]["after"]


def test_names_are_only_ever_text(src: Path, tmp_path: Path, ink: Path) -> None:
    for i, name in enumerate(HOSTILE):
        path = src / (name if name.endswith(".png") else f"{name}.png")
        Image.fromarray(grey(seed=i)).save(path, "png")
    raw = os.fsencode(src) + b"/caf\xe9.png"
    Image.fromarray(grey(seed=9)).save(Path(os.fsdecode(raw)))
    out = tmp_path / "<b>out"
    colour(src, out=out, model=ink)
    folder = report.report(ReportOptions(out=out)).parent
    index = (folder / "index.html").read_text(encoding="utf-8")
    script = (folder / "data.js").read_bytes()
    assert "<b>out" not in index and "&lt;b&gt;out" in index
    assert b"<" not in script and script.isascii() and script.count(b"\n") == 1
    rows = rows_of(folder)
    assert len(rows) == len(HOSTILE) + 1 == sum(row["status"] == "done" for row in rows.values())
    assert rows["caf\udce9.png"]["link"] == "caf%E9.png"
    assert all(re.fullmatch(r"[\w.~%/-]*", row["link"]) for row in rows.values())


def test_a_report_never_lies_where_it_must_not(reviewed: Path, src: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("precious")
    for to in (reviewed, reviewed / "review", tmp_path, src, src / "review", src / "box0/new", tmp_path / "mine"):
        with pytest.raises(OutputError, match="--to"):
            report.report(ReportOptions(out=reviewed, to=to))
    assert contents(tmp_path / "mine") == {"letter.txt": b"precious"}
    assert not (src / "review").exists()
    report.report(ReportOptions(out=reviewed, to=tmp_path / "fresh"))
    report.report(ReportOptions(out=reviewed, to=tmp_path / "fresh"))


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"manifest\.jsonl"):
        report.report(ReportOptions(out=tmp_path))


def test_a_picture_that_a_power_cut_emptied_is_made_again(reviewed: Path) -> None:
    folder = report.report(ReportOptions(out=reviewed)).parent
    one = folder / thumbnails.file_name(rows_of(folder)["box0/02.png"]["after"], thumbnails.THUMB)
    whole = one.read_bytes()
    one.write_bytes(b"")
    report.report(ReportOptions(out=reviewed))
    assert one.read_bytes() == whole


def test_a_film_that_was_coloured_as_far_as_it_goes_is_shown() -> None:
    row = Record("a.mkv", "/a.mkv", "a.mkv", "failed", "truncated", "1", "2", film={"frames": 20})
    assert page_data.shown(row) == ("1", "2")
    assert page_data.shown(replace(row, output_sha256="")) == page_data.shown(replace(row, film={})) == ("", "")


def test_a_card_before_the_film_moves_the_frames_that_are_compared(out: Path) -> None:
    film = {"frames": 20, "stills": [0.0, 1.5], "title_card": {"seconds": 3.0}}
    row = Record("a.mkv", "/a.mkv", "a.mkv", "done", "", "1", "2", film=film)
    after, before = report.wanted_of(row, ReportOptions(out=out))
    assert (before.times, after.times) == ((0.0, 1.5), (3.0, 4.5))


@needs("av", "scenedetect")
def test_films_are_shown_decided_upon_redone_and_exported(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    from support.films import save_film

    film = save_film(src / "reel.mp4", [20 * i for i in range(60)], cuts=(20, 40))
    save_film(src / "colour.mp4", colour=True)
    Image.fromarray(grey()).save(src / "a.png")
    colour(src, out=out, model=ink, disclosure=Disclosure())
    recorded = provenance.read_rows(out)
    assert {0.0, 0.6667, 1.3333} <= set(recorded["reel.mp4"].film["stills"]), "the first frames of its shots"
    folder = report.report(ReportOptions(out=out, view=300)).parent
    rows = rows_of(folder)
    assert not speed_curves.speed(list(recorded.values())), "a film is not so many megapixels a second of a photograph"
    reel = rows["reel.mp4"]
    assert (reel["film"]["frames"], reel["film"]["shots"], reel["status"]) == (60, 3, "done")
    assert rows["a.png"]["film"] is None
    seen = {}
    for which in ("before", "after"):
        with Image.open(folder / thumbnails.file_name(reel[which], 300)) as sheet:
            seen[which] = np.asarray(sheet.convert("L"), float)
        with Image.open(folder / thumbnails.file_name(reel[which], thumbnails.THUMB)) as poster:
            assert poster.size == (64, 48)
    assert np.abs(seen["before"] - seen["after"]).mean() < 12, "the same frames, one beside the other"
    assert rows["colour.mp4"]["before"] and not rows["colour.mp4"]["after"]

    chosen = decide(tmp_path / "d.json", out, reel="rejected")
    run_options = replace(options(src, out, ink, chosen, 0.5), disclosure=Disclosure())
    messages: list[str] = []
    drive(run_options, Recorder(lambda name, row, total: messages.append(name)))
    redone = provenance.read_rows(out)["reel.mp4"]
    assert (messages, redone.status, redone.redone) == (["reel.mp4"], "done", True)
    assert redone.output_sha256 != recorded["reel.mp4"].output_sha256
    assert redone.film["stills"] == recorded["reel.mp4"].film["stills"]
    later: dict[str, Any] = {}
    drive(replace(run_options, redo=None), Recorder(lambda name, row, total: later.update({name: row})))
    assert later["reel.mp4"] is None, "a later plain run lets it be"
    accepted = decide(tmp_path / "a.json", out, reel="accepted")
    assert export(out, accepted, tmp_path / "to") == (1, 0, [])
    assert sorted(p.name for p in (tmp_path / "to").iterdir()) == ["reel.mp4", "reel.mp4.json"]
    assert (tmp_path / "to/reel.mp4").read_bytes() == (out / "reel.mp4").read_bytes()
    assert film.is_file()


@pytest.mark.parametrize("kind", ["png", pytest.param("dpx", marks=needs("av", "scenedetect"))])
def test_numbered_files_are_shown_decided_upon_redone_and_exported(
    src: Path, out: Path, ink: Path, tmp_path: Path, kind: str
) -> None:
    """With a gap, in a curve of their own, and told apart by how light they are."""
    there = [*range(101, 108), *range(111, 114)]
    for number in there:
        light = np.full((40, 56), 20 + 15 * (number - 101), np.uint8) + (grey() // 64)
        path = src / f"reel_{number:04d}.{kind}"
        if kind == "png":
            Image.fromarray(light).save(path)
        else:
            header = dpx.new_header(56, 40, 10, 1)
            codes = dpx.light_encoder(header, dpx.LOG)(lab.linear_from_srgb(torch.from_numpy(light / 255))).numpy()
            dpx.write(path, header, np.dstack([codes.astype(np.uint16)] * 3), dpx.LOG, "Scanner X")
    pattern = src / f"reel_%04d.{kind}"
    film_options = FilmOptions(fps="18", cuts=tmp_path / "cuts.txt")
    (tmp_path / "cuts.txt").write_text("0\n")
    colour(pattern, out=out, model=ink, disclosure=Disclosure(), film=film_options)
    name = pattern.name
    first = provenance.read_rows(out)[name]
    assert (first.status, first.film["missing"], len(first.film["stills"])) == ("done", 3, COUNT)
    folder = report.report(ReportOptions(out=out, view=300)).parent
    row = rows_of(folder)[name]
    assert (row["missing"], row["film"]["plays"], row["link"]) == ("", False, f"reel_0101.{kind}")
    shown = [101 + round(seconds * 18) for seconds in first.film["stills"]]
    assert set(shown) < set(there) and shown[-1] >= 111, "the gap is crossed"
    for which in ("before", "after"):
        with Image.open(folder / thumbnails.file_name(row[which], 300)) as sheet:
            cells = np.asarray(sheet.convert("L"), float)
        assert cells.shape == (122, 170)
        middle = [cells[20 + 41 * (i // 3), 28 + 57 * (i % 3)] for i in range(COUNT)]
        expected = [20 + 15 * (number - 101) + 2 for number in shown]
        assert np.abs(np.array(middle) - expected).max() < 8, which
        with Image.open(folder / thumbnails.file_name(row[which], thumbnails.THUMB)) as poster:
            assert poster.size == (56, 40)
    with Image.open(folder / thumbnails.file_name(row["after"], 300)) as sheet:
        red, _, blue = np.asarray(sheet, int)[60, 80]
        assert red > blue + 20, "the ink's brown"

    chosen = decide(tmp_path / "d.json", out, **{pattern.stem: "rejected"})
    run_options = RunOptions(
        inputs=(str(pattern),),
        out=out,
        model=str(ink),
        color=ColorOptions(size=64, strength=0.5),
        device="cpu",
        precision="fp32",
        redo=chosen,
        film=film_options,
    )
    messages: list[str] = []
    drive(run_options, Recorder(lambda name, row, total: messages.append(name)))
    redone = provenance.read_rows(out)[name]
    assert (messages, redone.status, redone.redone) == ([name], "done", True)
    assert redone.output_sha256 != first.output_sha256
    later: dict[str, Any] = {}
    drive(replace(run_options, redo=None), Recorder(lambda name, row, total: later.update({name: row})))
    assert later == {name: None}, "a later plain run lets it be"
    again = rows_of(report.report(ReportOptions(out=out, view=300)).parent)[name]
    assert (again["before"], again["after"], again["redone"]) == (row["before"], redone.output_sha256, 1)
    assert export(out, decide(tmp_path / "a.json", out, **{pattern.stem: "accepted"}), tmp_path / "to") == (1, 0, [])
    assert contents(tmp_path / "to") == contents(out, lambda path: path.name == "manifest.jsonl")
    (out / f"reel_0101.{kind}").unlink()
    broken = rows_of(report.report(ReportOptions(out=out, to=tmp_path / "fresh")).parent)[name]
    assert broken["missing"] == "result has changed since the run"


@needs("av", "scenedetect")
def test_numbered_files_of_a_film_whose_frames_last_unequally_are_shown_beside_them(
    src: Path, out: Path, ink: Path
) -> None:
    from support.films import save_film

    save_film(src / "reel.mp4", [20 * i + 300 * (i > 5) for i in range(24)])
    colour(src, out=out, model=ink, film=FilmOptions(codec="png"))
    folder = report.report(ReportOptions(out=out, view=300)).parent
    row = rows_of(folder)["reel.mp4"]
    assert (row["missing"], row["film"]["plays"]) == ("", False)
    assert row["link"] == "reel.mp4_frames/reel_000000.png"
    before, after = (
        np.asarray(Image.open(folder / thumbnails.file_name(row[which], 300)).convert("L"), float)
        for which in ("before", "after")
    )
    assert np.abs(before - after).mean() < 5


def test_totals_add_up(reviewed: Path) -> None:
    rows = list(provenance.read_rows(reviewed).values())
    counted = page_data.totals(rows)
    assert sum(count for _, _, count in counted) == len(rows) == 6
    assert counted[0] == ("done", "", 4)
