"""The review page in a real browser, from the disk: what a person does there, and what comes of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, grey, save_ink
from support.observers import Recorder
from support.paths import SHARED
from support.review_page import PATIENCE_MS, card, choose, names, saved, visit

from archivecolor import provenance
from archivecolor.options import ColorOptions, Disclosure, ReportOptions, RunOptions
from archivecolor.pipeline.runner import drive
from archivecolor.provenance import DONE, Record, read_rows
from archivecolor.review import page_data, report
from archivecolor.review.export import export


def test_pictures_load_and_names_are_text(page: Any, reported: Path) -> None:
    visit(page, reported)
    assert page.locator("#sheet li").count() == 8
    page.wait_for_function("[...document.querySelectorAll('#sheet img')].every(i => i.complete && i.naturalWidth > 0)")
    assert page.locator("#sheet img").count() == 7
    assert any("<img src=x onerror=alert(1)>" in name for name in names(page))
    assert page.locator("img[src=x]").count() == 0
    assert "8 of 8 pictures · 0 accepted, 0 rejected, 6 undecided" in page.inner_text("#counts")


def test_filters_choose_and_sort(page: Any, reported: Path) -> None:
    visit(page, reported)
    choose(page, "status", "colour")
    assert names(page) == ["colour.png"]
    choose(page, "status", "failed")
    assert names(page) == ["broken.jpg"]
    assert "truncated" in page.inner_text("#sheet .frame")
    choose(page, "status", "")
    choose(page, "folder", "a")
    assert sorted(names(page)) == ["a/one.png", "a/two.png"]
    choose(page, "folder", "")
    page.fill("input[name=text]", "TWO")
    assert names(page) == ["a/two.png"]
    page.fill("input[name=text]", "nothing is called so")
    assert page.is_visible("#nothing")
    page.fill("input[name=text]", "")
    choose(page, "sort", "delta")
    deltas = {name: row.max_delta_l or -1 for name, row in provenance.read_rows(reported).items()}
    shown = [deltas[name] for name in names(page) if name in deltas]
    assert shown == sorted(shown, reverse=True)
    page.reload()
    page.wait_for_selector("#sheet li")
    assert page.input_value("select[name=sort]") == "delta", "the address keeps what was chosen"


def test_all_listed_are_accepted_undone_and_passed_on(page: Any, reported: Path) -> None:
    visit(page, reported)
    page.fill("input[name=text]", "o")
    page.click("#accept-all")
    assert "6 of 8 pictures · 4 accepted, 0 rejected, 2 undecided" in page.inner_text("#counts")
    page.fill("input[name=text]", "")
    page.locator("#help").focus()  # in a field, the key undoes the typing
    page.keyboard.press("Control+z")
    assert "0 accepted" in page.inner_text("#counts")
    card(page, "two.png").locator("button").click()
    page.check("#advance")
    before = page.inner_text("#name")
    page.locator("[data-do=accept]").click()
    assert page.inner_text("#name") != before, "the next picture"
    assert "1 accepted" in page.inner_text("#counts")


def test_a_click_gives_the_flag_that_pins_a_colour(page: Any, reported: Path) -> None:
    visit(page, reported)
    card(page, "two.png").locator("button").click()
    page.wait_for_selector("img-comparison-slider.rendered")
    page.locator("#hint summary").click()
    place = page.locator("img-comparison-slider").bounding_box()
    page.mouse.click(place["x"] + place["width"] * 0.25, place["y"] + place["height"] * 0.5)
    x, y, colour = page.input_value("#hint-flag").removeprefix("--hint '").removesuffix("'").split(",")
    assert (abs(int(x) - 40) <= 2, abs(int(y) - 60) <= 2, colour) == (True, True, "#4d5d53")


def test_it_zooms_to_the_pixels_of_the_files_themselves(page: Any, src: Path, out: Path, ink: Path) -> None:
    """Without a server: the browser opens the files where it knows their format, and says so where it does not."""
    for name in ("large.png", "large.tif"):
        Image.fromarray(grey(600, 900, seed=3)).save(src / name)
    colour(src, out=out, model=ink)
    report.report(ReportOptions(out=out, view=300))
    visit(page, out)
    card(page, "large.png").locator("button").click()
    page.wait_for_selector("img-comparison-slider.rendered")
    pair = page.locator("#stage .pair")
    page.locator("button[aria-label='Actual size']").click()
    sizes = "all => all.map(i => i.naturalWidth)"
    page.wait_for_function("[...document.querySelectorAll('#stage img')].every(i => i.naturalWidth === 900)")
    assert pair.bounding_box()["width"] == pytest.approx(900 / page.evaluate("devicePixelRatio"))
    frame = page.locator("#stage .scroller")
    assert frame.evaluate("f => f.scrollWidth > f.clientWidth || f.scrollHeight > f.clientHeight")
    assert frame.evaluate("f => Math.abs(f.scrollTop - (f.scrollHeight - f.clientHeight) / 2) < 20"), "the middle stays"
    page.keyboard.press("+")
    assert pair.bounding_box()["width"] == pytest.approx(1350, abs=2)
    frame.focus()
    left, name = frame.evaluate("f => f.scrollLeft"), page.inner_text("#name")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"document.querySelector('.scroller').scrollLeft > {left}")
    assert page.inner_text("#name") == name, "arrows move the picture"
    page.locator("#name").focus()
    page.keyboard.press("0")
    assert frame.evaluate("f => f.scrollWidth <= f.clientWidth && f.scrollHeight <= f.clientHeight"), "the whole of it"
    assert not page.is_visible("#reduced")
    page.keyboard.press("Escape")
    card(page, "large.tif").locator("button").click()
    page.wait_for_selector("img-comparison-slider.rendered")
    page.keyboard.press("1")
    page.wait_for_selector("#reduced:not([hidden])")
    assert page.locator("#stage img").evaluate_all(sizes) == [300, 300]
    assert page.locator("#stage .pair").bounding_box()["width"] == pytest.approx(900)


def test_all_listed_are_rejected_and_every_page_is_counted(page: Any, src: Path, out: Path, ink: Path) -> None:
    both = [Image.fromarray(grey(60, 80, seed=seed)) for seed in (1, 2)]
    both[0].save(src / "pages.tif", save_all=True, append_images=both[1:])
    Image.fromarray(grey(60, 80)).save(src / "a.png")
    colour(src, out=out, model=ink)
    report.report(ReportOptions(out=out))
    visit(page, out)
    assert "2 pages" in card(page, "pages.tif").inner_text()
    card(page, "pages.tif").locator("button").click()
    assert "archivecolor review shows all pages" in page.inner_text("#first-page")
    page.keyboard.press("Escape")
    page.fill("input[name=text]", "pages")
    page.click("#reject-all")
    assert "0 accepted, 1 rejected, 1 undecided" in page.inner_text("#counts")
    page.click("#undo")
    assert "0 accepted, 0 rejected, 2 undecided" in page.inner_text("#counts")


def test_the_divider_slides_by_mouse_and_keys_and_space_toggles(page: Any, reported: Path) -> None:
    visit(page, reported)
    card(page, "two.png").locator("button").click()
    page.wait_for_selector("img-comparison-slider.rendered")
    slider = page.locator("img-comparison-slider")
    place = slider.bounding_box()
    page.mouse.move(place["x"] + place["width"] * 0.5, place["y"] + 30)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.9, place["y"] + 30, steps=4)
    page.mouse.up()
    slid = int(slider.get_attribute("aria-valuenow"))
    assert 80 <= slid <= 99
    page.keyboard.down("ArrowLeft")
    page.wait_for_function(f"Number(document.querySelector('img-comparison-slider').ariaValueNow) < {slid}")
    page.keyboard.up("ArrowLeft")
    page.locator("#name").focus()
    seen = []
    for _ in range(2):
        page.keyboard.press("Space")
        seen.append(slider.get_attribute("aria-valuenow"))
    assert sorted(seen) == ["0", "100"]
    assert slider.get_attribute("role") == "slider"
    first, second = (
        page.locator(f"img-comparison-slider [slot={slot}]").evaluate("i => i.naturalWidth")
        for slot in ("first", "second")
    )
    assert first == second == 160


def test_facts_and_disclosure_of_a_picture(page: Any, reported: Path) -> None:
    visit(page, reported)
    card(page, "two.png").locator("button").click()
    row = provenance.read_rows(reported)["a/two.png"]
    text = page.inner_text("#one")
    assert f"weights {row.model}, SHA-256 {row.weights_sha256}" in text
    assert "Colours invented by a neural network" in text
    for fact in ("160 × 120 px, 8 bit, PNG", row.output_sha256, row.options, f"{row.max_delta_l:.4f}"):
        assert fact in text
    href = page.locator("#facts a").evaluate("a => a.href")
    assert href == (reported / "a/two.png").as_uri()


def test_decisions_by_keyboard_last_and_lead_to_redo_and_export(
    page: Any, reported: Path, src: Path, ink: Path, tmp_path: Path
) -> None:
    visit(page, reported)
    choose(page, "sort", "name")
    order = names(page)
    page.locator("#sheet button").first.focus()
    for key in ("a", "ArrowRight", "r", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.keyboard.type("whose a n d r?")  # letters in a note decide nothing
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("#sheet li")
    assert page.inner_text("#counts").endswith("1 accepted, 2 rejected, 3 undecided")
    choose(page, "decision", "noted")
    assert names(page) == order[2:3]
    choose(page, "decision", "rejected")
    assert names(page) == order[1:3]
    choose(page, "decision", "")
    chosen = saved(page, tmp_path / "decisions.json")
    made = {one["input"]: one for one in json.loads(chosen.read_text())["decisions"]}
    assert {name: one["decision"] for name, one in made.items()} == dict(
        zip(order, ("accepted", "rejected", "rejected"), strict=False)
    )
    assert made[order[2]]["note"] == "whose a n d r?"

    assert export(reported, chosen, tmp_path / "delivery") == (1, 0, [])
    messages: list[str] = []
    other = save_ink(tmp_path / "other", (-20.0, 5.0))
    drive(
        RunOptions(
            inputs=(str(src),),
            out=reported,
            model=str(other),
            color=ColorOptions(size=64, strength=0.8),
            device="cpu",
            precision="fp32",
            redo=chosen,
        ),
        Recorder(lambda name, row, total: messages.append(name)),
    )
    assert sorted(messages) == sorted(order[1:3])
    report.report(ReportOptions(out=reported))
    visit(page, reported)
    assert page.inner_text("#counts").endswith("1 accepted, 0 rejected, 5 undecided"), "what was redone is open again"
    choose(page, "decision", "noted")
    page.locator("#sheet button").first.click()
    assert page.is_visible("#stale")
    assert page.input_value("#note") == "whose a n d r?"
    assert "after a rejection" in page.inner_text("#facts")


@pytest.fixture
def with_films(src: Path, out: Path, ink: Path) -> Path:
    """A photograph, a film that every Chromium plays, and one that none does."""
    from support.films import save_film

    from archivecolor.options import FilmOptions

    Image.fromarray(grey(120, 160)).save(src / "photograph.png")
    for name, codec in (("plays.mp4", "av1"), ("does_not.mov", "prores")):
        (src / codec).mkdir()
        save_film(src / codec / name, [20 * i for i in range(30)], cuts=(10, 20), size=(96, 128))
        colour(src / codec / name, out=out / codec, model=ink, film=FilmOptions(codec=codec))
    colour(src / "photograph.png", out=out / "pictures", model=ink)
    rows = [row for folder in ("av1", "prores", "pictures") for row in read_rows(out / folder).values()]
    for folder in ("av1", "prores", "pictures"):
        (out / folder / provenance.MANIFEST).unlink()
    with provenance.Manifest(out) as manifest:
        for folder, row in zip(("av1", "prores", "pictures"), rows, strict=True):
            manifest.append(replace(row, output=f"{folder}/{row.output}"))
    report.report(ReportOptions(out=out))
    return out


def test_films_are_filtered_slid_played_and_decided_upon(page: Any, with_films: Path, tmp_path: Path) -> None:
    visit(page, with_films)
    choose(page, "kind", "photograph")
    assert names(page) == ["photograph.png"]
    choose(page, "kind", "film")
    assert sorted(names(page)) == ["does_not.mov", "plays.mp4"]
    assert "film 0:01" in card(page, "plays.mp4").inner_text()
    card(page, "plays.mp4").locator("button").focus()
    page.keyboard.press("Space")
    assert "before" in card(page, "plays.mp4").locator(".before").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#moving video')?.readyState >= 2")
    wide, duration = page.locator("#moving video").evaluate("v => [v.videoWidth, v.duration]")
    assert wide == 128 and abs(duration - 1) < 0.1
    assert page.locator("#moving video").get_attribute("aria-label") == "plays.mp4, coloured by AI"
    sheets = page.locator("img-comparison-slider img").evaluate_all("all => all.map(i => [i.naturalWidth, i.alt])")
    assert [alt for _, alt in sheets] == ["plays.mp4, original", "plays.mp4, coloured by AI"]
    assert sheets[0][0] == sheets[1][0] > 2 * 128, "several frames beside each other"
    page.locator("#moving video").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#moving video').currentTime > 0")
    assert page.locator("img-comparison-slider").get_attribute("aria-valuenow") == "50", "space belongs to the player"
    page.keyboard.press("a")
    assert page.get_attribute("[data-do=accept]", "aria-pressed") == "true"
    text = page.inner_text("#facts")
    assert "30 frames at 30/s, 3 shots" in text
    page.locator("#name").focus()
    page.keyboard.press("ArrowRight" if names(page)[0] == "plays.mp4" else "ArrowLeft")
    page.wait_for_selector("#moving p")
    assert "cannot play" in page.inner_text("#moving") and page.locator("#moving video").count() == 0
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    chosen = saved(page, tmp_path / "decisions.json")
    made = {one["input"]: one["decision"] for one in json.loads(chosen.read_text())["decisions"]}
    assert made == {"plays.mp4": "accepted", "does_not.mov": "rejected"}
    assert export(with_films, chosen, tmp_path / "delivery") == (1, 0, [])
    assert (tmp_path / "delivery/av1/plays.mp4").is_file()


def test_without_films_nobody_is_asked_about_them(page: Any, reported: Path) -> None:
    visit(page, reported)
    assert page.locator("select[name=kind]").count() == 0


def test_a_name_that_is_no_unicode_is_decided_upon_and_redone(
    page: Any, reported: Path, src: Path, ink: Path, tmp_path: Path
) -> None:
    visit(page, reported)
    card(page, "caf").locator("button").focus()
    page.keyboard.press("r")
    page.reload()
    page.wait_for_selector("#sheet li")
    assert "1 rejected" in page.inner_text("#counts")
    chosen = saved(page, tmp_path / "decisions.json")
    messages: list[str] = []
    drive(
        RunOptions(
            inputs=(str(src),),
            out=reported,
            model=str(ink),
            color=ColorOptions(size=64, strength=0.8),
            device="cpu",
            precision="fp32",
            redo=chosen,
        ),
        Recorder(lambda name, row, total: messages.append(name)),
    )
    assert messages == ["caf\udce9.png"]


def test_decisions_travel_to_another_browser(page: Any, browser: Any, reported: Path, tmp_path: Path) -> None:
    visit(page, reported)
    choose(page, "sort", "name")  # else the next one is whichever was ready next, and the broken one takes no decision
    card(page, "one.png").locator("button").click()
    page.click("[data-do=accept]")
    page.click("[data-do=on]")
    page.click("[data-do=reject]")
    assert page.get_attribute("[data-do=reject]", "aria-pressed") == "true"
    page.locator("#one [data-do=close]").click()
    chosen = saved(page, tmp_path / "decisions.json")
    other = browser.new_page()
    other.set_default_timeout(PATIENCE_MS)
    visit(other, reported)
    assert "0 accepted" in other.inner_text("#counts")
    other.set_input_files("#load", chosen)
    other.wait_for_function("document.getElementById('counts').textContent.includes('1 accepted, 1 rejected')")
    (tmp_path / "letter.json").write_text('{"dear": "reader"}')
    other.set_input_files("#load", tmp_path / "letter.json")
    other.wait_for_selector("#warning:not([hidden])")
    assert "not the decisions of a review page" in other.inner_text("#warning")
    other.close()


def test_twenty_thousand_rows_open_turn_and_filter(page: Any, tmp_path: Path) -> None:
    """Generous limits: the machine may be busy. What is meant is that nothing grows with the square."""
    out = tmp_path / "many"
    out.mkdir()
    row = Record("", "", "", DONE, model="lite", weights_sha256="0" * 64, options="0" * 16, width=4000, height=3000,
                 pages=1, depth=8, format="jpeg", max_delta_l=0.2, seconds={"network": 0.2})  # fmt: skip
    rows = [many(row, i) for i in range(20_000)]
    options = ReportOptions(out=out)
    options.folder().mkdir()
    folder = options.folder()
    for name in report.COPIED:
        copy = shutil.copytree if (report.ASSETS / name).is_dir() else shutil.copyfile
        copy(report.ASSETS / name, folder / name)
    gone = {sha: "is not there any more" for one in rows for sha in page_data.shown(one)}
    (folder / "data.js").write_text(page_data.as_script("many", 1000, rows, gone))
    (folder / "index.html").write_text(report.page(options, rows))
    assert (folder / "data.js").stat().st_size < 12e6
    visit(page, out)
    assert page.locator("#sheet li").count() == 200
    assert "page 1 of 100" in page.inner_text("nav.pager >> nth=0")
    page.click("nav.pager >> nth=0 >> button >> nth=1")
    assert "page 2 of 100" in page.inner_text("nav.pager >> nth=0")
    choose(page, "folder", "box7")
    assert page.inner_text("#counts").startswith("200 of 20000")
    choose(page, "folder", "")
    choose(page, "sort", "delta")
    page.locator("#sheet button").first.focus()
    page.keyboard.press("a")
    assert "1 accepted" in page.inner_text("#counts")
    turn = "document.querySelector('nav.pager button:last-child').click()"
    took = page.evaluate(f"() => {{ const t = performance.now(); {turn}; return performance.now() - t; }}")
    assert took < 3000


def many(row: Record, i: int) -> Record:
    name = f"box{i // 200}/scan_{i:05}.jpg"
    return replace(
        row, input=name, source=f"/archive/{name}", output=name, source_sha256=f"{i:064x}",
        output_sha256=f"{i + 10**6:064x}", max_delta_l=(i * 37 % 1000) / 4000,
    )  # fmt: skip


ARCHIVE = SHARED / "archive/photos"


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="NO ARCHIVE: ../shared/archive/photos is not on this machine")
def test_real_archive_photographs_are_reviewed_exported_and_redone(
    page: Any, out: Path, ink: Path, tmp_path: Path
) -> None:
    colour(ARCHIVE, out=out, model=ink, disclosure=Disclosure())
    report.report(ReportOptions(out=out))
    visit(page, out)
    everything = len(read_rows(out))
    assert everything >= 20
    assert page.locator("#sheet li").count() == everything
    first, second = names(page)[:2]
    choose(page, "status", "done")
    page.locator("#sheet button").first.click()
    slider = page.locator("img-comparison-slider")
    before = slider.evaluate("e => e.value")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function("was => document.querySelector('img-comparison-slider').value !== was", arg=before)
    page.click("[data-do=accept]")
    page.click("[data-do=on]")
    page.click("[data-do=reject]")
    page.fill("#note", "the sky is wrong")
    page.locator("#one [data-do=close]").click()
    page.reload()
    page.wait_for_selector("#sheet li")
    assert "1 accepted, 1 rejected" in page.inner_text("#counts")
    chosen = saved(page, tmp_path / "decisions.json")
    assert export(out, chosen, tmp_path / "delivery") == (1, 0, [])
    assert sorted(path.name for path in (tmp_path / "delivery").iterdir()) == sorted((first, f"{first}.json"))
    messages: list[str] = []
    options = RunOptions(
        inputs=(str(ARCHIVE),),
        out=out,
        model=str(ink),
        color=ColorOptions(size=64, strength=0.5),
        device="cpu",
        precision="fp32",
        redo=chosen,
    )
    drive(options, Recorder(lambda name, row, total: messages.append(name)))
    assert messages == [second]
    assert read_rows(out)[second].redone
