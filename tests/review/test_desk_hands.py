"""The desk by fingers, by keys alone, and for a screen reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.desk_page import click_at, complete, eventually, open_picture, shown_at
from support.review_page import PATIENCE_MS

from archivecolor.provenance import read_rows
from archivecolor.provenance.decisions import DECISIONS, read

# --- fingers ----------------------------------------------------------------------------------------------------------


class Fingers:
    """Touches on the canvas, in CSS pixels from its upper left corner, as the browser gets them from a screen."""

    def __init__(self, page: Any) -> None:
        self.session = page.context.new_cdp_session(page)
        page.locator("#stage canvas").scroll_into_view_if_needed()
        box = page.locator("#stage canvas").bounding_box()
        self.left, self.top = box["x"], box["y"]

    def send(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": self.left + x, "y": self.top + y, "id": i} for i, (x, y) in enumerate(places)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def move(self, before: list[tuple[float, float]], after: list[tuple[float, float]], steps: int = 8) -> None:
        """Puts the fingers down one after another, moves them, and takes them away."""
        for count in range(1, len(before) + 1):
            self.send("touchStart", *before[:count])
        for step in range(1, steps + 1):
            between = [
                tuple(a + (b - a) * step / steps for a, b in zip(*pair, strict=True))
                for pair in zip(before, after, strict=True)
            ]
            self.send("touchMove", *between)  # type: ignore[arg-type]
        self.send("touchEnd", *after[:-1])
        if len(after) > 1:
            self.send("touchEnd")


@pytest.fixture
def tablet(browser: Any, desk: str) -> Any:
    context = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, bypass_csp=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(desk)
    page.wait_for_selector("#sheet li")
    open_picture(page, "a.png")
    yield page
    context.close()


def view(page: Any) -> tuple[float, float, float]:
    """Scale and centre."""
    return tuple(page.evaluate("(v => [v.scale, ...v.centre])(archivecolorDesk.viewer())"))


def test_two_fingers_zoom_and_move_and_pin_nothing(tablet: Any) -> None:
    tablet.locator("text=pins this colour").click()
    fingers = Fingers(tablet)
    fitted, x, y = view(tablet)
    under = tablet.evaluate("archivecolorDesk.viewer().toPicture([300, 200])")
    fingers.move([(280, 200), (320, 200)], [(220, 200), (380, 200)])
    scale, *_ = view(tablet)
    assert scale == pytest.approx(4 * fitted, rel=0.02)
    now = tablet.evaluate("archivecolorDesk.viewer().toPicture([300, 200])")
    assert now == pytest.approx(under, abs=6), "what was between the fingers stays there"
    _, x, y = view(tablet)
    fingers.move([(250, 200), (350, 200)], [(330, 140), (430, 140)])
    same, moved_x, moved_y = view(tablet)
    assert same == pytest.approx(scale, rel=0.02)
    assert moved_x == pytest.approx(x - 80 / scale, abs=2) and moved_y == pytest.approx(y + 60 / scale, abs=2)
    fingers.move([(220, 200), (380, 200)], [(280, 200), (320, 200)])
    assert view(tablet)[0] < scale / 3
    assert tablet.locator("#hints li").count() == 0, "no finger of a pinch is a click"
    divider = tablet.evaluate("archivecolorDesk.viewer().divider")
    assert divider == 0.5


def test_one_finger_pins_moves_a_pin_slides_the_divider_and_draws_a_region(tablet: Any) -> None:
    fingers = Fingers(tablet)
    width = tablet.locator("#stage canvas").bounding_box()["width"]
    fingers.move([(width / 2, 100)], [(width * 0.25, 100)])
    assert tablet.evaluate("archivecolorDesk.viewer().divider") == pytest.approx(0.25, abs=0.02)
    tablet.locator("text=pins this colour").click()
    fingers = Fingers(tablet)
    fingers.send("touchStart", (400, 220))
    fingers.send("touchEnd")
    tablet.wait_for_selector("#hints li")
    tablet.wait_for_function("!document.getElementById('keep').disabled")
    fingers = Fingers(tablet)
    x = int(tablet.input_value("#hints input[type=number] >> nth=0"))
    fingers.move([(400, 220)], [(440, 220)])
    tablet.wait_for_function(f"Number(document.querySelector('#hints input[type=number]').value) > {x + 20}")
    tablet.locator("text=draws a region").click()
    fingers = Fingers(tablet)
    fingers.move([(500, 250), (600, 300)], [(480, 240), (640, 330)])
    assert tablet.locator("#regions li").count() == 0, "two fingers draw nothing"
    tablet.locator("button[aria-label='Whole picture']").click()
    fingers.move([(500, 250)], [(600, 300)])
    tablet.wait_for_selector("#regions li")
    scale, *_ = view(tablet)
    assert float(tablet.input_value("#regions input >> nth=2")) == pytest.approx(100 / scale, abs=4)


# --- a region, and undoing --------------------------------------------------------------------------------------------


def test_a_region_loses_its_colour_and_undo_gives_it_back(window: Any, out: Path) -> None:
    open_picture(window, "a.png")
    window.evaluate("archivecolorDesk.viewer().setDivider(0)")
    window.locator("text=draws a region").click()
    place = window.evaluate(
        """(() => { const v = archivecolorDesk.viewer(), b = v.canvas.getBoundingClientRect();
        return [[100, 100], [300, 250]].map((p) => v.toScreen(p).map((s, i) => s + [b.left, b.top][i])); })()"""
    )
    window.mouse.move(*place[0])
    window.mouse.down()
    window.mouse.move(*place[1], steps=5)
    window.mouse.up()
    window.wait_for_selector("#regions li")
    window.wait_for_function("document.getElementById('flags').textContent.includes('--keep-neutral')")
    complete(window)
    inside, outside = shown_at(window, 200, 180), shown_at(window, 350, 180)
    assert max(inside) - min(inside) < 8 < max(outside) - min(outside)
    window.locator("#name").focus()
    window.keyboard.press("Control+z")
    window.wait_for_function("!document.getElementById('flags').textContent.includes('--keep-neutral')")
    complete(window)
    assert max(shown_at(window, 200, 180)) - min(shown_at(window, 200, 180)) > 8
    assert window.locator("#regions li").count() == 0


def test_changes_and_decisions_are_undone_in_their_order(window: Any, out: Path) -> None:
    open_picture(window, "a.png")
    window.locator("text=pins this colour").click()
    click_at(window, 200, 140)
    window.wait_for_selector("#hints li")
    window.locator("[data-do=accept]").click()
    eventually(lambda: read(out / DECISIONS, "x")["a.png"])
    window.locator("#name").focus()
    window.keyboard.press("Control+z")
    window.wait_for_function("document.querySelector('[data-do=accept]').ariaPressed === 'false'")
    assert window.locator("#hints li").count() == 1
    window.keyboard.press("Control+z")
    window.wait_for_function("document.querySelectorAll('#hints li').length === 0")


def test_a_pin_that_is_not_kept_is_there_again(window: Any, desk: str) -> None:
    open_picture(window, "a.png")
    window.locator("text=pins this colour").click()
    click_at(window, 200, 140)
    window.wait_for_function("!document.getElementById('keep').disabled")
    window.locator("#one [data-do=close]").click()
    open_picture(window, "b.png")
    assert window.locator("#hints li").count() == 0, "it is another picture's"
    window.reload()
    window.wait_for_selector("#sheet li")
    open_picture(window, "a.png")
    window.wait_for_function("!document.getElementById('keep').disabled")
    assert window.locator("#hints li").count() == 1
    assert "not kept yet" in window.inner_text("#said")
    window.click("#reset")
    window.wait_for_function("document.querySelectorAll('#hints li').length === 0")


# --- keys and screen readers ------------------------------------------------------------------------------------------


def test_the_whole_way_by_keys_alone(window: Any, out: Path) -> None:
    before = read_rows(out)["a.png"].output_sha256
    button = window.locator("#sheet li").filter(has_text="a.png").locator("button")
    button.focus()
    window.keyboard.press("Enter")
    window.wait_for_selector("#stage canvas")
    complete(window)
    window.keyboard.press("1")
    assert window.evaluate("archivecolorDesk.viewer().scale * devicePixelRatio") == 1
    window.keyboard.press("0")
    seen = []
    for _ in range(4):
        window.keyboard.press("Tab")
        seen.append(window.evaluate("(e => e.ariaLabel || e.textContent)(document.activeElement)"))
    assert (
        seen[0] == "Close" and seen[1].startswith("a.png: the original on the left") and seen[2].startswith("Divider")
    )
    window.locator("input[name=tool][value=move]").focus()
    window.keyboard.press("ArrowRight")
    assert window.is_checked("input[name=tool][value=colour]")
    window.locator("#stage canvas").focus()
    window.keyboard.press("Enter")
    window.wait_for_selector("#hints li")
    assert window.input_value("[aria-label='x of pin 1, pixels']") == "450", "the middle"
    window.locator("[aria-label='x of pin 1, pixels']").fill("200")
    window.keyboard.press("Enter")
    window.wait_for_function("document.getElementById('flags').textContent.includes('--hint \\'200,300')")
    assert window.evaluate("document.activeElement.ariaLabel") == "x of pin 1, pixels", "the focus stays where it was"
    window.locator("input[name=tool][value=neutral]").focus()
    window.keyboard.press("Space")
    window.locator("#stage canvas").focus()
    window.keyboard.press("Enter")
    window.wait_for_selector("#regions li")
    window.wait_for_function("document.getElementById('flags').textContent.includes('--keep-neutral')")
    window.locator("#keep").focus()
    window.keyboard.press("Enter")
    assert eventually(lambda: ({read_rows(out)["a.png"].output_sha256} - {before} and True) or 1 / 0)
    window.wait_for_function("document.getElementById('said').textContent.includes('coloured anew')")
    window.locator("#name").focus()
    window.keyboard.press("a")
    assert eventually(lambda: read(out / DECISIONS, "x")["a.png"].decision) == "accepted"


def test_what_a_screen_reader_hears_on_the_desk(window: Any) -> None:
    """The tree that the browser hands to it, as text: roles, names and states."""
    unnamed = """() => [...document.querySelectorAll('button, select, input, textarea, canvas')].filter(e =>
        !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.labels?.length))
        .map(e => e.outerHTML)"""
    page = window.locator("body").aria_snapshot()
    for heard in (
        'region "Decisions"',
        'region "Work"',
        "status: Nothing is at work.",
        'button "Redo the rejected"',
        'button "Undo" [disabled]',
        'button "Export the accepted"',
        'button "a.png, colour by AI"',
    ):
        assert heard in page, (heard, page)
    open_picture(window, "a.png")
    assert window.evaluate("document.activeElement.id") == "name", "it begins with the name"
    window.locator("text=pins this colour").click()
    click_at(window, 200, 140)
    window.locator("text=draws a region").click()
    click_at(window, 700, 400)
    window.wait_for_selector("#regions li")
    window.wait_for_function("!document.getElementById('keep').disabled")
    assert window.evaluate(unnamed) == []
    dialog = window.locator("#one").aria_snapshot()
    for heard in (
        'dialog "a.png"',
        'heading "a.png" [level=2]',
        'img "a.png: the original on the left of the divider',
        'slider "Divider between the original and the colour, per cent original"',
        'button "Actual size"',
        'region "Correct the colours"',
        'group "A click on the picture"',
        'radio "draws a region without colour" [checked]',
        'list "Pinned colours"',
        'spinbutton "y of pin 1, pixels"',
        'button "Remove region 1"',
        'list "Regions without colour"',
        'combobox "Model"',
        'slider "Strength',
        'button "Keep these colours"',
        'group "Decision"',
        'button "Accept"',
        'textbox "Note"',
    ):
        assert heard in dialog, (heard, dialog)
    ids = ["said", "task", "counts", "warning", "fault"]
    roles = "ids => ids.map(id => document.getElementById(id)).map(e => e.getAttribute('role') || e.ariaLive)"
    live = window.evaluate(roles, ids)
    assert live == ["status", "status", "polite", "alert", "alert"]
    window.evaluate("document.getElementById('size').value = 7")
    window.locator("#size").dispatch_event("change")
    window.wait_for_selector("#fault:not([hidden])")
    assert "--size 7: must be from 64 to 2048" in window.inner_text("#fault")


def test_the_desk_works_under_its_own_policy(browser: Any, desk: str) -> None:
    """Other tests switch the policy off, which forbids what playwright does to wait."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(desk)
    page.locator("#sheet li").filter(has_text="b.png").locator("button").click()
    page.locator("#stage canvas").wait_for()
    page.locator("text=pins this colour").click()
    page.locator("#stage canvas").click(position={"x": 600, "y": 150})
    page.locator("#hints li").wait_for()
    page.locator("#keep:enabled").wait_for()
    page.locator("#swatches button").first.wait_for()
    page.close()
    assert faults == []


@pytest.mark.parametrize("size", [(390, 844), (820, 1180)])
def test_nothing_is_wider_than_a_phone_or_a_tablet(browser: Any, desk: str, size: tuple[int, int]) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, bypass_csp=True)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(desk)
    page.wait_for_selector("#sheet li")
    open_picture(page, "a.png")
    page.locator("text=draws a region").click()
    click_at(page, 700, 300)
    page.wait_for_selector("#regions li")
    for box in ("document.documentElement", "document.getElementById('one')"):
        assert page.evaluate(f"{box}.scrollWidth <= {box}.clientWidth"), box
    page.close()
