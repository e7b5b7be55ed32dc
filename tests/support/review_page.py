"""What a person does on the review page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
NAMES = ["a/one.png", "a/two.png", "b/three.png", "four.png", '"quoted" & <img src=x onerror=alert(1)>.png']
PATIENCE_MS = 20_000


def visit(page: Any, out: Path) -> None:
    page.goto((out.with_name(f"{out.name}-report") / "index.html").as_uri())
    page.wait_for_selector("#sheet li")


def names(page: Any) -> list[str]:
    return [
        text.split(",")[0] for text in page.locator("#sheet button").evaluate_all("all => all.map(b => b.ariaLabel)")
    ]


def card(page: Any, name: str) -> Any:
    return page.locator("#sheet li").filter(has_text=name)


def choose(page: Any, field: str, value: str) -> None:
    page.select_option(f"select[name={field}]", value)


def saved(page: Any, path: Path) -> Path:
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(path)
    return path
