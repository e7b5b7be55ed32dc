"""The whole of a review over photographs of an archive, in a browser, with the shipped weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.desk import served
from support.desk_page import click_at, complete, eventually, open_picture, shown_at
from support.needs import package
from support.paths import SHARED
from support.review_page import PATIENCE_MS

from archivecolor import run
from archivecolor.preservation.verify import verify
from archivecolor.provenance import read_rows
from archivecolor.provenance.decisions import DECISIONS, read, rejected

ARCHIVE = SHARED / "archive/photos"
NAMES = ("loc_fishmonger.jpg", "fsa_LC-USF33-011898.jpg", "locold_Carpenter_674.png")
APRON, WALL = (1270, 480), (2050, 900)
"""Pixels of the first photograph: in a woollen sleeve, and of the white margin, with edges between them."""


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="NO ARCHIVE: ../shared/archive/photos is not on this machine")
def test_a_review_from_the_first_look_to_the_export(browser: Any, src: Path, out: Path) -> None:
    package("uvicorn")
    for name in NAMES:
        shutil.copy(ARCHIVE / name, src / name)
    run(src, out=out, model="lite", size=128, device="cpu")
    before = read_rows(out)
    context = browser.new_context(viewport={"width": 1200, "height": 900}, bypass_csp=True)
    context.set_default_timeout(3 * PATIENCE_MS)
    page = context.new_page()
    with served(out, inputs=src) as address:
        page.goto(address)
        page.wait_for_selector("#sheet li")
        pin_a_colour(page)
        page.click("#keep")
        page.wait_for_function("document.getElementById('flags').textContent.startsWith('The file has')")
        page.locator("#one [data-do=close]").click()
        kept = read_rows(out)[NAMES[0]]
        assert kept.redone and kept.output_sha256 != before[NAMES[0]].output_sha256
        decide_in_two_windows(context, page, address, out)
        redo_and_export(page, out)
    page.wait_for_function("document.getElementById('warning').textContent.includes('does not answer')")
    after = read_rows(out)
    assert after[NAMES[1]].output_sha256 != before[NAMES[1]].output_sha256, "redone"
    assert after[NAMES[0]] == kept
    assert len(read(out / DECISIONS, "x")) == 3, "nothing is lost with the server"
    assert verify(out).findings == ()
    run(src, out=out, model="lite", size=128, device="cpu")
    assert read_rows(out) == after, "a later run keeps what the person chose"
    context.close()


def pin_a_colour(page: Any) -> None:
    """Zooms in, pins a colour, sees it there and not across the edge, and undoes and redoes it."""
    open_picture(page, NAMES[0])
    page.evaluate("archivecolorDesk.viewer().setDivider(0)")
    page.locator("button[aria-label='Actual size']").click()
    assert page.evaluate("archivecolorDesk.viewer().scale * devicePixelRatio") == 1
    complete(page)
    page.locator("button[aria-label='Whole picture']").click()
    complete(page)
    here, beyond = shown_at(page, APRON[0] + 12, APRON[1]), shown_at(page, *WALL)
    page.evaluate("document.getElementById('colour').value = '#1d3f66'")
    page.locator("text=pins this colour").click()
    for times in (1, 2):
        click_at(page, *APRON)
        page.wait_for_selector("#hints li")
        page.wait_for_function("document.getElementById('flags').textContent.includes('--hint')")
        complete(page)
        pinned = shown_at(page, APRON[0] + 12, APRON[1])
        assert pinned[2] - pinned[0] > here[2] - here[0] + 20, "bluer where it was clicked"
        assert np.abs(np.subtract(shown_at(page, *WALL), beyond)).max() < 6, "and as it was across the edge"
        if times == 1:
            page.locator("#name").focus()
            page.keyboard.press("Control+z")
            page.wait_for_function("!document.getElementById('flags').textContent.includes('--hint')")
            complete(page)
            assert np.abs(np.subtract(shown_at(page, APRON[0] + 12, APRON[1]), here)).max() < 6


def decide_in_two_windows(context: Any, page: Any, address: str, out: Path) -> None:
    other = context.new_page()
    other.goto(address)
    other.wait_for_selector("#sheet li")
    page.click("#accept-all")
    other.wait_for_function("document.getElementById('counts').textContent.includes('3 accepted')")
    other.locator("#sheet li").filter(has_text=NAMES[1]).locator("button").focus()
    other.keyboard.press("r")
    page.wait_for_function("document.getElementById('counts').textContent.includes('2 accepted, 1 rejected')")
    assert list(eventually(lambda: rejected(out / DECISIONS))) == [NAMES[1]]
    other.close()


def redo_and_export(page: Any, out: Path) -> None:
    page.locator("summary", has_text="Settings of Redo").click()
    page.locator("#settings input[name=strength]").fill("0.5")
    for task, words in (("redo", "1 done"), ("verify", "all as the manifest says"), ("export", "2 copied")):
        page.locator(f"[data-task={task}]").click()
        said = "words => document.getElementById('task').textContent.includes(words)"
        page.wait_for_function(said, arg=words)
    copied = sorted(path.name for path in out.with_name(f"{out.name}-accepted").iterdir() if path.suffix != ".json")
    assert copied == sorted([NAMES[0], NAMES[2]])
