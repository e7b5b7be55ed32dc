"""The review page by keyboard, screen reader, on paper, in light and dark, on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.review_page import card, choose, visit


def test_it_can_be_used_by_keyboard_and_screen_reader(page: Any, reported: Path) -> None:
    visit(page, reported)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, textarea, [role=slider]')].filter(e =>
        !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("#sheet button[tabindex='0']").count() == 1, "one stop in the row of tabs, arrows within"
    page.locator("#sheet button").first.focus()
    page.keyboard.press("Space")
    assert page.inner_text("#said") == "before"
    assert "before" in page.locator("#sheet li").first.inner_text()
    page.keyboard.press("Enter")
    assert page.is_visible("#one")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    # The browser tells of the closing a moment after the key: the sheet has then followed to where the reader was.
    page.wait_for_function("document.activeElement === document.querySelectorAll('#sheet button')[1]", timeout=5000)


def test_what_a_screen_reader_hears(page: Any, reported: Path) -> None:
    """The tree that the browser hands to it, as text: roles, names and states."""
    visit(page, reported)
    choose(page, "folder", "a")
    name = "a/one.png"
    card(page, "one.png").locator("button").focus()
    page.keyboard.press("a")
    sheet = page.locator("body").aria_snapshot()
    for line in ('heading "Review of out" [level=1]', 'list "Pictures"', f'button "{name}, colour by AI, accepted"',
                  'combobox "Order"', 'searchbox "Name contains"', 'region "Decisions"'):  # fmt: skip
        assert line in sheet, (line, sheet)
    page.keyboard.press("Enter")
    page.wait_for_selector("img-comparison-slider.rendered")
    dialog = page.locator("#one").aria_snapshot()
    for line in (f'dialog "{name}"', f'heading "{name}" [level=2]', 'button "Accept" [pressed]', 'textbox "Note"',
                  'slider "Divider between the original and the colour"', 'button "Next picture"',
                  'button "Close"', "a neural network"):  # fmt: skip
        assert line in dialog, (line, dialog)
    page.keyboard.press("r")
    assert page.inner_text("#said") == "one.png: rejected"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_shows_what_was_decided(browser: Any, reported: Path, scheme: str, tmp_path: Path) -> None:
    page = browser.new_page(color_scheme=scheme)
    visit(page, reported)
    page.locator("#sheet button").first.focus()
    page.keyboard.press("r")
    page.emulate_media(media="print", color_scheme=scheme)
    paper, ink = page.locator("body").evaluate("b => [getComputedStyle(b).backgroundColor, getComputedStyle(b).color]")
    assert (paper, ink) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")
    assert page.is_visible(".rejected .verdict") and page.is_visible("#counts") and page.is_visible(".disclosure")
    assert page.locator("#sheet li.rejected").evaluate("l => getComputedStyle(l).borderTopStyle") == "dashed"
    page.pdf(path=tmp_path / "sheet.pdf", format="A4")
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: Any, reported: Path, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 between text and what it stands on."""
    page = browser.new_page(color_scheme=scheme)
    visit(page, reported)
    page.locator("#sheet button").nth(0).focus()
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    script = """(selector) => { const e = document.querySelector(selector); let on = e;
        while (getComputedStyle(on).backgroundColor === 'rgba(0, 0, 0, 0)') on = on.parentElement;
        return [getComputedStyle(e).color, getComputedStyle(on).backgroundColor]; }"""
    selectors = (".disclosure", "#counts", "button", "label", ".caption", ".caption small", "footer", "footer a",
                 ".accepted .verdict", ".rejected .verdict")  # fmt: skip
    for selector in selectors:
        ink, paper = (luminance(text) for text in page.evaluate(script, selector))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, selector
    page.close()


def luminance(css: str) -> float:
    """Relative luminance of `rgb(r, g, b)`."""
    rgb = np.array([float(v) for v in css.strip("rgba()").split(",")[:3]]) / 255
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_a_phone_shows_it_without_scrolling_sideways_and_paper_without_buttons(browser: Any, reported: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700})
    visit(page, reported)
    page.locator("#sheet button").first.click()
    for box in ("document.documentElement", "document.getElementById('one')"):
        assert page.evaluate(f"{box}.scrollWidth <= {box}.clientWidth"), box
    page.locator("#one [data-do=close]").click()
    page.emulate_media(media="print")
    assert not page.is_visible("#save") and not page.is_visible("#filters")
    assert page.is_visible("#sheet li >> nth=0")
    page.close()
