"""The desk's pages and frames, what a picture was made with, and what is not kept yet."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.desk import client
from support.doubles import colour, colourful, grey
from support.needs import package

from archivecolor import run
from archivecolor.errors import UsageError
from archivecolor.options import ColorOptions, Disclosure, Hint, Region
from archivecolor.preservation.verify import verify
from archivecolor.provenance import read_rows
from archivecolor.provenance.decisions import CORRECTIONS

SETTINGS = {"model": "lite", "size": 64}
OF_THE_DESK = ("model", "hints", "neutral", "palette", "palette_strength")
HINTS = [{"x": 20, "y": 15, "colour": "#b0252a"}]


@pytest.fixture(autouse=True)
def _needs_the_app() -> None:
    package("starlette")
    package("httpx")


def opened(desk: Any, name: str, part: int = 0) -> Any:
    answer = desk.post("open", json={"input": name, "part": part})
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(desk: Any, key: str, side: str, version: int = 0) -> np.ndarray:
    answer = desk.get(f"tile/{key}/{side}/{version}/0/0/0")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)), np.int16)


# --- pages and frames -------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(src: Path, out: Path, ink: Path) -> list[np.ndarray]:
    """A file of a grey page, a page in colour, and a grey page of another size, and its result."""
    made = [grey(64, 80, seed=1), colourful(64, 80), grey(48, 100, seed=2)]
    with tifffile.TiffWriter(src / "pages.tif") as tiff:
        for page in made:
            tiff.write(page, photometric="rgb" if page.ndim == 3 else "minisblack")
    colour(src, out=out, model=ink)
    return made


def test_every_page_is_shown_before_and_after(pages: list[np.ndarray], out: Path) -> None:
    result = tifffile.TiffFile(out / "pages.tif").pages
    with client(out) as desk:
        for part, page in enumerate(pages):
            facts = opened(desk, "pages.tif", part)
            assert facts["parts"] == ["page 1 of 3", "page 2 of 3", "page 3 of 3"]
            assert (facts["height"], facts["width"], facts["can_correct"]) == (*page.shape[:2], True)
            before = shown(desk, facts["key"], "before")
            assert np.abs(before - (page if page.ndim == 3 else page[..., None])).mean() < 4
            assert np.abs(shown(desk, facts["key"], "after") - result[part].asarray()).mean() < 4
        for wrong in (3, -1):
            answer = desk.post("open", json={"input": "pages.tif", "part": wrong})
            assert (answer.status_code, "no page" in answer.json()["error"]) == (404, True)
        assert desk.post("open", json={"input": "pages.tif", "part": "1"}).status_code == 400


def test_what_is_kept_colours_every_grey_page_and_leaves_a_page_in_colour(pages: list[np.ndarray], out: Path) -> None:
    with client(out) as desk:
        key = opened(desk, "pages.tif", 2)["key"]
        answer = desk.post("preview", json={"key": key, **SETTINGS, "hints": HINTS})
        assert answer.status_code == 200, answer.text
        answer = desk.post("keep", json={"input": "pages.tif", "key": key, **SETTINGS, "hints": HINTS})
        assert answer.status_code == 200, answer.text
    first, in_colour, last = (page.asarray().astype(int) for page in tifffile.TiffFile(out / "pages.tif").pages)
    assert np.array_equal(in_colour, pages[1])
    for page in (first, last):
        red, green, blue = page[15, 20]
        assert red > green + 20 and red > blue + 20


def test_a_film_shows_the_frames_that_stand_for_it(src: Path, out: Path, ink: Path) -> None:
    package("av")
    from support.films import save_film

    save_film(src / "film.mkv", [20 * i for i in range(30)], cuts=(10, 20), size=(96, 128))
    colour(src, out=out, model=ink)
    with client(out, inputs=src) as desk:
        shots = [opened(desk, "film.mkv", part) for part in (0, 4)]
        for facts in shots:
            assert (facts["height"], facts["width"], facts["can_correct"], len(facts["parts"])) == (96, 128, False, 9)
            before, after = (shown(desk, facts["key"], side) for side in ("before", "after"))
            assert np.ptp(before, axis=-1).mean() < 5 < np.ptp(after, axis=-1).mean()
        assert shots[0]["parts"][:2] == ["frame at 0:00.00", "frame at 0:00.07"]
        first, later = (shown(desk, facts["key"], "before") for facts in shots)
        assert np.abs(first - later).mean() > 5, "another shot"
        row = read_rows(out)["film.mkv"]
        decision = {"input": "film.mkv", "decision": "rejected", "output_sha256": row.output_sha256, "note": ""}
        assert desk.post("decide", json={"decisions": [decision]}).status_code == 200
        answer = desk.post("keep", json={"input": "film.mkv", "key": shots[0]["key"], **SETTINGS})
        assert (answer.status_code, "as a whole" in answer.json()["error"]) == (404, True)
        assert desk.post("open", json={"input": "film.mkv", "part": 9}).status_code == 404


def test_run_leaves_films_that_were_made_with_other_options(src: Path, out: Path) -> None:
    """A photograph's sidecar does not say how films were made."""
    package("av")
    from support.films import save_film

    Image.fromarray(grey()).save(src / "a.png")
    save_film(src / "film.mkv", [20 * i for i in range(6)])
    run(src, out=out, model="lite", size=64, codec="prores", device="cpu")
    before = {name: row.output_sha256 for name, row in read_rows(out).items()}
    assert str(read_rows(out)["film.mkv"].output).endswith(".mov")
    with client(out, inputs=src) as desk:
        answer = desk.post("task", json={"do": "run", "model": "lite"})
        assert answer.status_code == 200, answer.text
        desk.desk.tasks._thread.join()
        assert desk.get("changes").json()["task"]["message"] == "2 unchanged"
    assert {name: row.output_sha256 for name, row in read_rows(out).items()} == before


# --- what a picture was made with -------------------------------------------------------------------------------------


def test_every_option_of_colour_goes_through_the_desk() -> None:
    """An option that is added to the table needs no word here."""
    from archivecolor.options.table import leaves
    from archivecolor.review.desk.corrections import Correction

    others = {bool: True, int: 320, float: 0.5}
    changed = {
        leaf.name: others.get(leaf.types[0]) or list(leaf.choices or ())[-1]  # type: ignore[call-overload]
        for leaf in leaves(ColorOptions)
        if not leaf.repeatable
    }
    color = ColorOptions(**changed, hints=(Hint(1, 2, "#a1b2c3"),), neutral=(Region(1, 2, 3, 4),))
    correction = Correction("lite", color)
    assert all(getattr(color, leaf.name) != leaf.default for leaf in leaves(ColorOptions))
    assert Correction.of(json.loads(json.dumps(correction.values()))) == correction


def test_a_picture_opens_with_the_settings_that_it_was_made_with(src: Path, out: Path) -> None:
    Image.fromarray(colourful(64, 80)).save(src / "reference.png")
    Image.fromarray(grey(64, 80)).save(src / "a.png")
    settings: dict[str, Any] = {"size": 96, "strength": 0.8, "warmth": 0.2, "tiles": "never", "mirror": True}
    run(src, out=out, model="lite", device="cpu", palette=src / "reference.png", palette_strength=0.4, **settings)
    with client(out) as desk:
        facts = opened(desk, "a.png")
        assert {name: facts["made"][name] for name in (*settings, *OF_THE_DESK)} == {
            "model": "lite",
            **settings,
            "hints": [],
            "neutral": [],
            "palette": "reference.png",
            "palette_strength": 0.4,
        }
        shown_flags = desk.post("preview", json={"key": facts["key"], **facts["made"], "hints": HINTS}).json()["flags"]
        reference = src / "reference.png"
        assert shown_flags == (
            f"--model lite --palette {reference} --palette-strength 0.4 --size 96 --strength 0.8 --warmth 0.2 "
            "--tiles never --hint '20,15,#b0252a' --mirror"
        )
        version = desk.post("preview", json={"key": facts["key"], **facts["made"]}).json()["version"]
        difference = shown(desk, facts["key"], "preview", version) - shown(desk, facts["key"], "after")
        assert np.abs(difference).max() <= 3, "the same settings give the same colours"


def test_hints_and_regions_that_were_kept_are_there_when_it_is_opened_again(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(64, 80)).save(src / "a.png")
    colour(src, out=out, model=ink, disclosure=Disclosure())  # with a sidecar
    neutral = [{"x": 40, "y": 10, "width": 20, "height": 30}]
    with client(out) as desk:
        facts = opened(desk, "a.png")
        assert facts["made"]["hints"] == []
        settings = {**SETTINGS, "hints": HINTS, "neutral": neutral}
        answer = desk.post("keep", json={"input": "a.png", "key": facts["key"], **settings})
        assert answer.status_code == 200, answer.text
        made = opened(desk, "a.png")["made"]
    assert (made["hints"], made["neutral"], made["size"]) == (HINTS, neutral, 64)
    result = np.asarray(Image.open(out / "a.png"), int)
    assert np.ptp(result[10:40, 40:60], axis=-1).max() == 0 < np.ptp(result[:, :30], axis=-1).min()
    assert read_rows(out)["a.png"].guidance[-1] == "no colour in 20 x 30 pixels at 40,10"


@pytest.mark.parametrize(
    ("neutral", "words"),
    [
        ("all", "neutral cannot be read"),
        ([5], "neutral cannot be read"),
        ([{"x": 1, "y": 1, "width": 5}], "height must be a whole number"),
        ([{"x": 1, "y": 1, "width": 0, "height": 3}], "--keep-neutral"),
        ([{"x": 900, "y": 1, "width": 3, "height": 3}], "outside the picture"),
    ],
)
def test_a_region_that_is_none_is_one_line(reviewed: Path, neutral: object, words: str) -> None:
    name = next(name for name, row in read_rows(reviewed).items() if row.status == "done")
    with client(reviewed) as desk:
        answer = desk.post("preview", json={"key": opened(desk, name)["key"], **SETTINGS, "neutral": neutral})
        assert answer.status_code in (400, 404)
        assert words in answer.json()["error"]


# --- what is not kept yet ---------------------------------------------------------------------------------------------


def test_the_network_is_asked_again_only_for_what_it_sees(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(64, 80)).save(src / "a.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        key = opened(desk, "a.png")["key"]
        predictions = desk.desk.pictures.get(key).predictions
        same = (
            {},
            {"strength": 0.5},
            {"warmth": 0.5},
            {"hints": HINTS},
            {"neutral": [{"x": 1, "y": 1, "width": 5, "height": 5}]},
        )
        for change in same:
            assert desk.post("preview", json={"key": key, **SETTINGS, **change}).status_code == 200
        assert len(predictions) == 1
        for count, change in enumerate(({"mirror": True}, {"tiles": "always"}, {"size": 96}), start=2):
            assert desk.post("preview", json={"key": key, **SETTINGS, **change}).status_code == 200
            assert len(predictions) == count, change


def test_what_is_not_kept_yet_outlives_the_server(src: Path, out: Path, ink: Path) -> None:
    for name in "ab":
        Image.fromarray(grey(64, 80, seed=ord(name))).save(src / f"{name}.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        for name in "ab":
            key = opened(desk, f"{name}.png")["key"]
            assert desk.post("preview", json={"key": key, **SETTINGS, "hints": HINTS}).status_code == 200
    with client(out) as desk:
        assert opened(desk, "a.png")["draft"]["hints"] == HINTS
        assert all(finding.name != CORRECTIONS for finding in verify(out).findings)
        made = desk.post("discard", json={"input": "a.png"}).json()["made"]
        facts = opened(desk, "a.png")
        assert (facts["draft"], facts["made"]) == (None, made)
        facts = opened(desk, "b.png")
        desk.post("preview", json={"key": facts["key"], **facts["made"]})
        assert opened(desk, "b.png")["draft"] is None, "undone to what the file has"
        desk.post("preview", json={"key": facts["key"], **SETTINGS, "strength": 0.5})
        assert desk.post("keep", json={"input": "b.png", "key": facts["key"], **SETTINGS}).status_code == 200
        assert opened(desk, "b.png")["draft"] is None, "what is kept is no draft any more"
        key = opened(desk, "a.png")["key"]
        desk.post("preview", json={"key": key, **SETTINGS, "strength": 0.5})
        colour(src / "a.png", out=out, model=ink, strength=0.3, overwrite=True)
        desk.desk.collection.reload()
        assert opened(desk, "a.png")["draft"] is None, "a draft was about another result"


def test_damaged_corrections_are_not_overwritten(reviewed: Path) -> None:
    (reviewed / CORRECTIONS).write_text('{"format": "of another program"}')
    with pytest.raises(UsageError, match=f"{CORRECTIONS}: not the corrections of a review"), client(reviewed):
        pass
    assert "another program" in (reviewed / CORRECTIONS).read_text()
