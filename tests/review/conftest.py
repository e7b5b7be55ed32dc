"""Fixtures of the review."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.desk import served
from support.desk_page import DESK_NAMES
from support.doubles import colour, colourful, grey, save_grey_tree
from support.needs import package
from support.review_page import NAMES, PATIENCE_MS

from archivecolor.options import ReportOptions
from archivecolor.review import report


@pytest.fixture
def reviewed(src: Path, out: Path, ink: Path) -> Path:
    """A run over four grey pictures, one in colour and one that is none."""
    save_grey_tree(src, 4)
    Image.fromarray(colourful()).save(src / "colour.png")
    (src / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    colour(src, out=out, model=ink)
    return out


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of its own context, which fails on any script error, dialog or request that leaves the disk."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    made.on("dialog", lambda event: (faults.append(f"dialog: {event.message}"), event.dismiss()))
    made.on(
        "request", lambda event: None if event.url.startswith(("file:", "data:", "blob:")) else faults.append(event.url)
    )
    yield made
    context.close()
    assert faults == []


@pytest.fixture
def reported(src: Path, out: Path, ink: Path) -> Path:
    """A run over small pictures of awkward names, one in colour and one that is none, and its report."""
    for i, name in enumerate(NAMES):
        (src / name).parent.mkdir(exist_ok=True)
        Image.fromarray(grey(120, 160, seed=i)).save(src / name)
    Image.fromarray(grey(120, 160, seed=9)).save(Path(os.fsdecode(os.fsencode(src) + b"/caf\xe9.png")))
    Image.fromarray(colourful()).save(src / "colour.png")
    (src / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    colour(src, out=out, model=ink)
    report.report(ReportOptions(out=out))
    return out


@pytest.fixture
def desk(src: Path, out: Path, ink: Path) -> Iterator[str]:
    package("starlette")
    package("uvicorn")
    for i, name in enumerate(DESK_NAMES):
        picture = grey(600, 900, seed=i)
        picture[:300, :450] = 90  # an even field, its edges sharp
        Image.fromarray(picture).save(src / name)
    colour(src, out=out, model=ink)
    with served(out, inputs=src) as address:
        yield address


@pytest.fixture
def window(browser: Any, desk: str) -> Iterator[Any]:
    """A window of the desk, which fails on any script error, dialog or request to elsewhere."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, bypass_csp=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith((desk, "data:")) else faults.append(request.url))
    page.goto(desk)
    page.wait_for_selector("#sheet li")
    yield page
    context.close()
    assert faults == []
