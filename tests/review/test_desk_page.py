"""The desk in a real browser: open, zoom, pin a colour, keep it, decide, undo, two windows, a server that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.desk import served
from support.desk_page import DESK_NAMES, click_at, complete, eventually, open_picture, shown_at
from support.doubles import colour, grey
from support.needs import package
from support.review_page import PATIENCE_MS

from archivecolor.provenance import decisions, read_rows
from archivecolor.provenance.decisions import DECISIONS


def test_a_pinned_colour_is_seen_kept_and_decided(window: Any, out: Path) -> None:
    open_picture(window, "a.png")
    window.evaluate("archivecolorDesk.viewer().setDivider(0)")
    complete(window)
    here, beyond = shown_at(window, 220, 150), shown_at(window, 700, 450)
    window.evaluate("document.getElementById('colour').value = '#b0252a'")
    window.locator("text=pins this colour").click()
    click_at(window, 200, 140)
    window.wait_for_selector("#hints li")
    window.wait_for_function("!document.getElementById('keep').disabled")
    complete(window)
    pinned = shown_at(window, 220, 150)
    assert pinned[0] > pinned[1] + 25, "red where it was clicked"
    assert np.abs(np.subtract(pinned, here)).max() > 25
    assert np.abs(np.subtract(shown_at(window, 700, 450), beyond)).max() < 60, "not across the edge"
    x, y = map(int, window.inner_text("#flags").partition("--hint '")[2].split(",")[:2])
    assert abs(x - 200) <= 1 and abs(y - 140) <= 1
    before = read_rows(out)["a.png"].output_sha256
    window.click("#keep")
    window.wait_for_function("document.getElementById('flags').textContent.startsWith('The file has')")
    row = read_rows(out)["a.png"]
    assert row.output_sha256 != before
    assert row.guidance == (f"colour #b0252a pinned at {x},{y}",)
    window.locator("[data-do=accept]").click()
    window.wait_for_function("document.querySelector('[data-do=accept]').ariaPressed === 'true'")
    window.wait_for_timeout(0)
    assert eventually(lambda: decisions.read(out / DECISIONS, "x")["a.png"].output_sha256) == row.output_sha256


def test_after_a_decision_the_next_picture_is_the_next_one(window: Any, desk: str) -> None:
    """The server tells the page of its own decisions, too: the page must still know where it is."""
    names = window.locator("#sheet button").evaluate_all("all => all.map(b => b.ariaLabel.split(', colour')[0])")
    window.locator("#sheet button").nth(1).focus()
    with window.expect_response(lambda answer: "changes?since=" in answer.url and names[1] in answer.text()):
        window.keyboard.press("a")
    window.wait_for_function("document.activeElement.closest('#sheet li') !== null")
    window.keyboard.press("Enter")
    window.wait_for_selector("#stage canvas")
    with window.expect_response(lambda answer: "changes?since=" in answer.url and names[1] in answer.text()):
        window.locator("[data-do=reject]").click()
    window.locator("[data-do=on]").click()
    assert window.inner_text("#name") == names[2]


def test_it_zooms_to_single_pixels_and_back(window: Any) -> None:
    open_picture(window, "b.png")
    fitted = window.evaluate("archivecolorDesk.viewer().scale")
    window.locator("button[aria-label='Actual size']").click()
    assert window.evaluate("archivecolorDesk.viewer().scale * devicePixelRatio") == 1
    complete(window)
    place = window.locator("canvas").bounding_box()
    window.mouse.move(place["x"] + 300, place["y"] + 200)
    centre = window.evaluate("archivecolorDesk.viewer().centre")
    window.mouse.down()
    window.mouse.move(place["x"] + 240, place["y"] + 160, steps=3)
    window.mouse.up()
    moved = window.evaluate("archivecolorDesk.viewer().centre")
    assert moved[0] > centre[0] and moved[1] > centre[1], "the picture follows the pointer"
    window.locator("canvas").focus()
    window.keyboard.press("+")
    assert window.evaluate("archivecolorDesk.viewer().scale") > 1
    window.keyboard.press("0")
    assert window.evaluate("archivecolorDesk.viewer().scale") == fitted
    window.locator("#divider").fill("100")
    complete(window)
    right = shown_at(window, 800, 500)
    assert max(right) - min(right) < 8, "only the original"


def test_all_are_accepted_undone_and_seen_in_another_window(window: Any, desk: str, out: Path) -> None:
    other = window.context.new_page()
    other.goto(desk)
    other.wait_for_selector("#sheet li")
    window.click("#accept-all")
    window.wait_for_function("document.getElementById('counts').textContent.includes('3 accepted')")
    other.wait_for_function("document.getElementById('counts').textContent.includes('3 accepted')")
    other.locator("#sheet li").nth(0).locator("button").focus()
    other.keyboard.press("r")
    window.wait_for_function("document.getElementById('counts').textContent.includes('1 rejected')")
    assert len(eventually(lambda: decisions.rejected(out / DECISIONS))) == 1
    other.click("#undo")
    window.wait_for_function("document.getElementById('counts').textContent.includes('3 accepted')")
    window.click("#undo")
    other.wait_for_function("document.getElementById('counts').textContent.includes('0 accepted')")


def test_a_name_is_text_and_a_lost_server_is_told(browser: Any, src: Path, out: Path, ink: Path) -> None:
    package("uvicorn")
    Image.fromarray(grey(64, 64)).save(src / DESK_NAMES[2])
    colour(src, out=out, model=ink)
    page = browser.new_page(bypass_csp=True)
    page.set_default_timeout(PATIENCE_MS)
    with served(out, inputs=src) as address:
        page.goto(address)
        page.wait_for_selector("#sheet li")
        assert "onerror" in page.inner_text("#sheet li")
        assert page.locator("img[src=x]").count() == 0
        page.locator("#sheet button").first.focus()
        page.keyboard.press("a")
        eventually(lambda: decisions.read(out / DECISIONS, "x")[DESK_NAMES[2]])
    page.wait_for_function("!document.getElementById('warning').hidden")
    assert "does not answer" in page.inner_text("#warning")
    page.close()
    assert decisions.read(out / DECISIONS, "x")[DESK_NAMES[2]].decision == "accepted", "nothing is lost"
