"""What a person does on the desk, in a browser."""

from __future__ import annotations

import time
from typing import Any

DESK_NAMES = ("a.png", "b.png", '"<img src=x onerror=alert(1)>.png')


def open_picture(page: Any, name: str) -> None:
    page.locator("#sheet li").filter(has_text=name).locator("button").click()
    page.wait_for_selector("#stage canvas")
    complete(page)


def complete(page: Any) -> None:
    page.wait_for_function("archivecolorDesk.viewer()?.tiles.size > 0 && archivecolorDesk.viewer().isComplete()")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shown_at(page: Any, x: int, y: int) -> list[int]:
    """RGB of the canvas where pixel (x, y) of the picture is shown."""
    return list(
        page.evaluate(
            """([x, y]) => { const v = archivecolorDesk.viewer(), [sx, sy] = v.toScreen([x, y]);
            return [...v.context.getImageData(sx * v.ratio, sy * v.ratio, 1, 1).data].slice(0, 3); }""",
            [x, y],
        )
    )


def click_at(page: Any, x: int, y: int) -> None:
    place = page.evaluate(
        """([x, y]) => { const v = archivecolorDesk.viewer(), s = v.toScreen([x, y]);
        const b = v.canvas.getBoundingClientRect(); return [b.left + s[0], b.top + s[1]]; }""",
        [x, y],
    )
    page.mouse.click(*place)


def eventually(probe: Any, tries: int = 200) -> Any:
    """What `look` gives, as soon as it raises no error."""

    for _ in range(tries):
        try:
            return probe()
        except Exception:
            time.sleep(0.05)
    return probe()
