"""An IIIF site in the viewers that archives use, and against the published schema of manifests."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.doubles import colour, grey
from support.iiif import BASE, manifests, read, save_pictures, served
from support.needs import needs, package
from support.registries import npm_package, wheel

from archivecolor.options import ExportOptions
from archivecolor.preservation.iiif.site import publish

PATIENCE_MS = 60_000
"""Without a GPU these viewers take their time."""
pytestmark = [pytest.mark.long, needs("pyvips")]
MIRADOR = """<!doctype html><meta charset="utf-8"><div id="m" style="position:absolute;inset:0"></div>
<script src="mirador/mirador.min.js"></script><script>Mirador.viewer({id: "m", window: {panels: {layers: true}},
osdConfig: {drawer: "canvas"}, windows: [{manifestId: MANIFEST, sideBarOpen: true}]})</script>"""


# --- the viewers ------------------------------------------------------------------------------------------------------


class Visit:
    """A viewer that shows a site, and what it has asked for."""

    def __init__(self, page: Any) -> None:
        self.page, self.asked, self.faults = page, list[str](), list[str]()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("response", lambda answer: self.faults.append(answer.url) if self.is_missing(answer) else None)

    @staticmethod
    def is_missing(answer: Any) -> bool:
        return "/site/" in answer.url and answer.status >= 400

    def tiles(self, kind: str) -> list[int]:
        """The width in the picture of every tile of this kind that was asked for."""
        return [int(found[1]) for url in self.asked if (found := re.search(rf"/{kind}/\d+,\d+,(\d+),\d+/", url))]

    def wait_for(self, is_done: Callable[[], bool]) -> None:
        for _ in range(PATIENCE_MS // 100):
            if is_done():
                break
            self.page.wait_for_timeout(100)
        assert is_done()
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(1500)  # tiles are blended in

    def colourfulness(self, screenshot: Path) -> float:
        """The mean spread of the channels in the middle of the window, 0 to 255."""
        Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").save(screenshot)
        shown = np.asarray(Image.open(screenshot)).astype(int)
        return float(np.ptp(shown[300:600, 500:1000], axis=2).mean())


def switch_in_mirador(page: Any) -> None:
    page.locator("button[aria-label=Layers]").click()
    page.get_by_role("button", name="Show layer").click()


def switch_in_universal_viewer(page: Any) -> None:
    page.locator(".viewportNavButton.choiceSwitch").click()
    page.locator(".overlay.choiceSwitch input").nth(1).check()
    page.keyboard.press("Escape")


def zoom_in_mirador(page: Any) -> None:
    page.get_by_role("button", name="Zoom in").click()


def zoom_in_universal_viewer(page: Any) -> None:
    page.locator(".viewportNavButton.zoomIn").click()


VIEWERS = {
    "mirador": ("4.0.0", switch_in_mirador, zoom_in_mirador),
    "universalviewer": ("4.4.0", switch_in_universal_viewer, zoom_in_universal_viewer),
}


@pytest.fixture
def address(src: Path, out: Path, ink: Path) -> Iterator[str]:
    """A web server with the viewers and a site."""
    (src / "bücher 1").mkdir()
    for i, name in enumerate(("a #1%.png", "b.png")):
        Image.fromarray(grey(1500, 2300, seed=i)).save(src / "bücher 1" / name)
    colour(src, out=out, model=ink)
    with served(out.parent) as host:
        publish(ExportOptions(out=out, iiif=f"{host}/site", to=out.with_name("site")))
        yield host


@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_reader_switches_to_the_coloured_picture_and_zooms(
    viewer: str, address: str, browser: Any, tmp_path: Path
) -> None:
    version, switch, zoom = VIEWERS[viewer]
    (tmp_path / viewer).symlink_to(npm_package(viewer, version) / "dist")
    manifest = read(tmp_path / "site/collection.json")["items"][0]["id"]
    (tmp_path / "mirador.html").write_text(MIRADOR.replace("MANIFEST", json.dumps(manifest)))
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    visit = Visit(context.new_page())
    pages = {"mirador": "mirador.html", "universalviewer": f"universalviewer/uv.html#?manifest={manifest}"}
    visit.page.goto(f"{address}/{pages[viewer]}")
    visit.wait_for(lambda: bool(visit.tiles("original")))
    assert visit.tiles("coloured") == [], "the original is what a reader sees first"
    assert visit.colourfulness(tmp_path / "original.png") < 5
    switch(visit.page)
    visit.wait_for(lambda: bool(visit.tiles("coloured")))
    assert visit.colourfulness(tmp_path / "coloured.png") > 30
    assert 512 not in visit.tiles("coloured")
    for _ in range(2):
        zoom(visit.page)
        visit.page.wait_for_timeout(700)
    visit.wait_for(lambda: 512 in visit.tiles("coloured"))
    assert visit.colourfulness(tmp_path / "zoomed.png") > 30
    assert visit.faults == []
    context.close()


# --- the published schema ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> Any:
    """The schema of Presentation 3 of the IIIF validator (iiif_3_0.json), as the classes that iiif-prezi3 publishes.

    Only these: the package itself mends what it reads, and wants an old Pillow.
    """
    package("pydantic")
    name = "iiif_prezi3"
    bare = types.ModuleType(name)
    bare.__path__ = [str(wheel("iiif-prezi3", "3.1.1") / name)]
    sys.modules[name] = bare
    yield importlib.import_module(f"{name}.skeleton")
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[each]


@pytest.fixture
def site(src: Path, out: Path, ink: Path) -> Path:
    save_pictures(src)
    colour(src, out=out, model=ink)
    (src / "two.tif").unlink()  # a canvas without a Choice
    publish(ExportOptions(out=out, iiif=BASE, to=out.with_name("site")))
    return out.with_name("site")


def test_manifests_are_what_the_published_schema_says(schema: Any, site: Path) -> None:
    from pydantic import ValidationError

    schema.Collection.model_validate_json((site / "collection.json").read_bytes())
    for made in manifests(site).values():
        schema.Manifest.model_validate_json(json.dumps(made))
        for spoil in (
            lambda one: one.pop("label"),
            lambda one: one.update(label="a"),
            lambda one: one["items"][0].pop("id"),
            lambda one: one["items"][0].update(metadata={"a": "b"}),
            lambda one: one["items"][0]["items"][0]["items"][0].update(body={"type": "Choice", "items": [{}]}),
            lambda one: one.update(requiredStatement="a"),
        ):
            spoiled = json.loads(json.dumps(made))
            spoil(spoiled)
            with pytest.raises(ValidationError):
                schema.Manifest.model_validate_json(json.dumps(spoiled))
