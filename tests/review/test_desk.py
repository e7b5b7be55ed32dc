"""The desk's server: who may ask, what is decided, previewed and kept, and what is at work."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.desk import HOST, TOKEN, client
from support.doubles import colour, grey, save_grey_tree
from support.needs import package

from archivecolor import provenance, run
from archivecolor.errors import NoInputError, OutputError, UsageError
from archivecolor.imaging import lab
from archivecolor.options import Disclosure, ReviewOptions
from archivecolor.preservation.verify import verify
from archivecolor.provenance import decisions, read_rows
from archivecolor.provenance.decisions import DECISIONS
from archivecolor.review.desk.pictures import Side

HINT = {"x": 40, "y": 30, "colour": "#b0252a"}
SETTINGS = {"model": "lite", "size": 64}


@pytest.fixture(autouse=True)
def _needs_the_app() -> None:
    package("starlette")
    package("httpx")


@pytest.fixture
def desk(reviewed: Path, src: Path) -> Any:
    with client(reviewed, inputs=src) as made:
        yield made


def coloured(out: Path) -> list[str]:
    return [name for name, row in read_rows(out).items() if row.status == provenance.DONE]


def decision(out: Path, name: str, word: str = "accepted", note: str = "") -> dict[str, str]:
    return {"input": name, "decision": word, "output_sha256": read_rows(out)[name].output_sha256, "note": note}


def tile(desk: Any, key: str, side: str, version: int = 0) -> np.ndarray:
    answer = desk.get(f"tile/{key}/{side}/{version}/0/0/0")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)), np.int16)


# --- who may ask ----------------------------------------------------------------------------------------------------


ROUTES = (
    "",
    "data.js",
    "report.js",
    "desk.js",
    "changes",
    "pictures/ab/c.jpg",
    "outputs/x.png",
    "tile/k/before/0/0/0/0",
)
POSTS = ("decide", "open", "preview", "colour", "keep", "task")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"host": "evil.example:7777"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_page_is_refused_on_every_route(desk: Any, headers: dict[str, str], reviewed: Path) -> None:
    for route in ROUTES:
        assert desk.get(f"/{TOKEN}/{route}", headers=headers).status_code == 403, route
    for route in POSTS:
        assert desk.post(f"/{TOKEN}/{route}", headers=headers, json={}).status_code == 403, route
    assert not (reviewed / DECISIONS).exists()


@pytest.mark.parametrize("token", ["", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "%61" * 20, f"..%2f{TOKEN}"])
def test_without_the_token_nothing_is_told(desk: Any, token: str) -> None:
    for route in ROUTES:
        assert desk.get(f"http://{HOST}/{token}/{route}").status_code in (403, 404)
    for route in POSTS:
        assert desk.post(f"http://{HOST}/{token}/{route}", json={}).status_code in (403, 404)


def test_a_form_of_another_page_and_a_huge_body_are_refused(desk: Any) -> None:
    assert desk.post("decide", data={"decisions": "[]"}).status_code == 403, "no JSON"
    assert desk.post("decide", content=b"{}", headers={"content-type": "text/plain"}).status_code == 403
    assert desk.post("decide", json={"decisions": ["x" * (5 << 20)]}).status_code == 403

    def chunks() -> Any:  # without a length in the header
        for _ in range(6):
            yield b" " * (1 << 20)

    assert desk.post("decide", content=chunks(), headers={"content-type": "application/json"}).status_code == 400
    assert desk.request("DELETE", "decide").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "pictures/../../manifest.jsonl",
        "pictures/%2e%2e/%2e%2e/etc/passwd",
        "outputs/../a/one.png",
        "outputs//etc/passwd",
        "outputs/manifest.jsonl",
        "img-comparison-slider/../index.html",
        "img-comparison-slider/%2e%2e/report.js",
        "tile/nothing/before/0/0/0/0",
    ],
)
def test_no_path_leads_out(desk: Any, path: str) -> None:
    assert desk.get(path).status_code in (403, 404)


def test_nothing_beside_the_reduced_pictures_is_served(desk: Any, reviewed: Path) -> None:
    """As a client sends it that resolves no `..` by itself."""
    Image.fromarray(grey(8, 8)).save(reviewed.parent / "secret.jpg")
    (desk.desk.folder / "pictures").mkdir(exist_ok=True)
    for path in ("pictures/../../secret.jpg", "pictures/../archivecolor-report.json", "outputs/../secret.jpg"):
        headers = [(b"host", HOST.encode())]
        scope = {
            "type": "http", "method": "GET", "path": f"/{TOKEN}/{path}", "query_string": b"", "headers": headers,
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        desk.portal.call(desk.app, scope, receive, send)
        assert sent[0]["status"] == 404, path


def test_a_page_that_a_row_names_cannot_act_as_the_desk(desk: Any, reviewed: Path) -> None:
    name = coloured(reviewed)[0]
    (reviewed / "x.html").write_text("<script>alert(1)</script>")
    row = read_rows(reviewed)[name]
    desk.desk.collection.rows[name] = replace(row, output="x.html")
    assert desk.get("outputs/x.html").headers["content-security-policy"] == "sandbox"
    desk.desk.collection.rows[name] = replace(row, output="gone.png")
    assert desk.get("outputs/gone.png").status_code == 404


def test_one_desk_writes_decisions(desk: Any, reviewed: Path) -> None:
    with pytest.raises(OutputError, match="another `archivecolor review`"), client(reviewed):
        pass
    assert [f for f in verify(reviewed).findings if "review" in f.name] == []


def test_a_link_and_a_forged_row_are_not_followed(desk: Any, reviewed: Path, src: Path, tmp_path: Path) -> None:
    name = coloured(reviewed)[0]
    row = read_rows(reviewed)[name]
    secret = tmp_path / "secret.png"
    Image.fromarray(grey(64, 64)).save(secret)
    output = reviewed / str(row.output)
    output.unlink()
    output.symlink_to(secret)
    assert desk.get(f"outputs/{row.output}").status_code == 404
    desk.desk.collection.rows[name] = provenance.Record(name, str(secret), None, provenance.SKIPPED, source_sha256="0")
    answer = desk.post("open", json={"input": name})
    assert answer.status_code == 400
    assert "outside --inputs" in answer.json()["error"]


def test_answers_forbid_frames_scripts_and_caches(desk: Any) -> None:
    headers = desk.get("").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer", "the address holds the token"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body", [[], {}, {"decisions": 5}, {"decisions": [5]}, {"decisions": [{"input": 5}]}, {"input": {}}, {"do": []}]
)
def test_what_is_no_request_is_one_line(desk: Any, body: object) -> None:
    for route in POSTS:
        answer = desk.post(route, json=body)
        if not (route == "decide" and body == {"decisions": []}):
            assert answer.status_code in (400, 404), (route, answer.text)
            assert answer.json()["error"]
    assert desk.post("decide", content=b"[" * 200_000, headers={"content-type": "application/json"}).status_code == 400


def test_another_host_needs_a_secret(reviewed: Path) -> None:
    with pytest.raises(UsageError, match="--token"):
        ReviewOptions(out=reviewed, host="192.168.1.5")
    with pytest.raises(UsageError, match="one address"):
        ReviewOptions(out=reviewed, host="0.0.0.0", token=TOKEN)
    with pytest.raises(UsageError, match="at least 16"):
        ReviewOptions(out=reviewed, token="short")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="manifest"), client(tmp_path):
        pass


# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_decision_is_on_disk_at_once_and_serves_redo(desk: Any, reviewed: Path) -> None:
    one, two, *_ = coloured(reviewed)
    made = [decision(reviewed, one, "rejected", "too green"), decision(reviewed, two)]
    assert desk.post("decide", json={"decisions": made}).status_code == 200
    assert decisions.rejected(reviewed / DECISIONS) == {one: read_rows(reviewed)[one].output_sha256}
    assert verify(reviewed).findings == tuple(f for f in verify(reviewed).findings if f.name != DECISIONS)
    undone = {"input": one, "decision": "", "output_sha256": "", "note": ""}
    desk.post("decide", json={"decisions": [undone]})
    assert set(decisions.read(reviewed / DECISIONS, "x")) == {two}
    desk.desk.collection.close()
    with client(reviewed) as later:
        assert '"decision":"accepted"' in later.get("data.js").text, "the next desk knows it"


def test_two_windows_do_not_lose_each_others_decisions(desk: Any, reviewed: Path) -> None:
    names = coloured(reviewed)
    before = desk.get("changes?since=0").json()["change"]
    threads = [
        threading.Thread(target=lambda name=name: desk.post("decide", json={"decisions": [decision(reviewed, name)]}))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(decisions.read(reviewed / DECISIONS, "x")) == set(names)
    changes = desk.get(f"changes?since={before}").json()
    assert set(changes["decisions"]) == set(names), "another window hears of all of them"
    assert desk.get(f"changes?since={changes['change']}").json()["decisions"] == {}


def test_a_decision_about_a_stranger_is_refused(desk: Any, reviewed: Path) -> None:
    stranger = {"input": "no.png", "decision": "accepted", "output_sha256": "0", "note": ""}
    assert desk.post("decide", json={"decisions": [stranger]}).status_code == 404
    wrong = {**decision(reviewed, coloured(reviewed)[0]), "decision": "perhaps"}
    assert desk.post("decide", json={"decisions": [wrong]}).status_code == 400
    assert not (reviewed / DECISIONS).exists()


def test_damaged_decisions_are_not_overwritten(reviewed: Path) -> None:
    (reviewed / DECISIONS).write_text("{")
    with pytest.raises(UsageError, match="decisions"), client(reviewed):
        pass
    assert (reviewed / DECISIONS).read_text() == "{"


# --- pictures -------------------------------------------------------------------------------------------------------


def test_pictures_come_in_tiles_at_every_level(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(700, 1100, seed=3)).save(src / "large.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        facts = desk.post("open", json={"input": "large.png"}).json()
        assert (facts["width"], facts["height"], facts["levels"]) == (1100, 700, 3)
        source = np.asarray(Image.open(src / "large.png"), np.int16)
        after = np.asarray(Image.open(out / "large.png"), np.int16)
        last = desk.get(f"tile/{facts['key']}/before/0/0/2/1")
        shown = np.asarray(Image.open(BytesIO(last.content)), np.int16)
        assert shown.shape == (700 - 512, 1100 - 1024, 3)
        assert np.abs(shown[..., 0] - source[512:, 1024:]).mean() < 3
        assert np.abs(tile(desk, facts["key"], "after") - after[:512, :512]).mean() < 3
        top = desk.get(f"tile/{facts['key']}/after/0/2/0/0")
        assert Image.open(BytesIO(top.content)).size == (275, 175)
        for wrong in ("0/3/0/0", "0/0/3/0", "0/0/0/2", "0/9/0/0"):
            assert desk.get(f"tile/{facts['key']}/after/{wrong}").status_code == 404


def test_thumbnails_are_made_when_they_are_asked_for(desk: Any, reviewed: Path) -> None:
    row = read_rows(reviewed)[coloured(reviewed)[0]]
    sha = row.output_sha256
    path = f"pictures/{sha[:2]}/{sha[2:26]}-240.jpg"
    folder = reviewed.with_name(f"{reviewed.name}-report")
    assert not (folder / path).exists()
    assert desk.get(path).headers["content-type"] == "image/jpeg"
    assert (folder / path).exists(), "a report that is made later finds it"
    assert desk.get("pictures/00/000000000000000000000000-240.jpg").status_code == 404


# --- corrections ----------------------------------------------------------------------------------------------------


def test_a_hint_is_seen_at_its_place_and_not_across_the_edge(src: Path, out: Path, ink: Path) -> None:
    picture = np.full((96, 128), 60, np.uint8)
    picture[:, 64:] = 200  # two even fields with an edge between them
    Image.fromarray(picture).save(src / "a.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        key = desk.post("open", json={"input": "a.png"}).json()["key"]
        plain = desk.post("preview", json={"key": key, **SETTINGS}).json()
        before = tile(desk, key, "preview", plain["version"])
        hinted = desk.post("preview", json={"key": key, **SETTINGS, "hints": [HINT]}).json()
        assert hinted["version"] > plain["version"]
        assert hinted["flags"].endswith("--hint '40,30,#b0252a'")
        after = tile(desk, key, "preview", hinted["version"])
        changed = np.abs(after - before).max(axis=2)
        assert changed[20:60, 20:50].min() > 20, "the field of the hint"
        assert changed[:, 80:].max() < 8, "the field beyond the edge"
        assert len(hinted["swatches"]) >= 2
        pinned = desk.post("colour", json={"key": key, "x": 40, "y": 30}).json()["colour"]
        r, g, b = (int(pinned[i : i + 2], 16) for i in (1, 3, 5))
        assert r > g + 30 and r > b + 30, "what is pinned to stay is the colour that is shown"


def test_what_is_kept_is_what_run_would_make_and_stays(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(96, 128, seed=1)).save(src / "a.png")
    colour(src, out=out, model=ink)
    old = read_rows(out)["a.png"]
    with client(out, inputs=src) as desk:
        key = desk.post("open", json={"input": "a.png"}).json()["key"]
        answer = desk.post("keep", json={"input": "a.png", "key": key, **SETTINGS, "strength": 1.3, "hints": [HINT]})
        assert answer.status_code == 200, answer.text
        changes = desk.get("changes?since=0").json()
        assert changes["rows"]["rows"], "the page hears of the new row"
    row = read_rows(out)["a.png"]
    assert row.output_sha256 != old.output_sha256
    assert row.output == old.output
    assert row.redone and row.guidance == ("colour #b0252a pinned at 40,30",)
    same = out.with_name("same")
    run(src, out=same, model="lite", size=64, strength=1.3, hints=["40,30,#b0252a"], device="cpu", recolor=True)
    kept, made = (np.asarray(Image.open(folder / "a.png")) for folder in (out, same))
    assert np.array_equal(kept, made), "the same flags on the command line"
    colour(src, out=out, model=ink)
    assert read_rows(out)["a.png"].output_sha256 == row.output_sha256, "a later run keeps what a person chose"


def test_a_kept_picture_keeps_format_suffix_and_mark(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(96, 128, seed=1)).save(src / "a.png")
    colour(src, out=out, model=ink, format="tiff", suffix="_color", disclosure=Disclosure(mark="auto"))
    old = read_rows(out)["a.png"]
    with client(out, inputs=src) as desk:
        key = desk.post("open", json={"input": "a.png"}).json()["key"]
        assert desk.post("keep", json={"input": "a.png", "key": key, **SETTINGS}).status_code == 200
    row = read_rows(out)["a.png"]
    assert (row.output, row.mark, row.sidecar) == (old.output, old.mark, old.sidecar)
    assert str(row.output).endswith("_color.tif")


def test_a_gif_is_kept_as_the_png_that_run_made_of_it(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(64, 64, seed=1)).save(src / "a.gif")
    colour(src, out=out, model=ink)
    assert read_rows(out)["a.gif"].output == "a.gif.png"
    with client(out, inputs=src) as desk:
        key = desk.post("open", json={"input": "a.gif"}).json()["key"]
        answer = desk.post("keep", json={"input": "a.gif", "key": key, **SETTINGS, "strength": 0.5})
        assert answer.status_code == 200, answer.text
    assert read_rows(out)["a.gif"].output == "a.gif.png"


def test_the_colour_that_stays_is_the_one_that_is_shown(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(np.full((64, 64), 120, np.uint8)).save(src / "a.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        key = desk.post("open", json={"input": "a.png"}).json()["key"]
        place = {"key": key, "x": 30, "y": 30}
        file = desk.post("colour", json={**place, "side": "after"}).json()
        desk.post("preview", json={"key": key, **SETTINGS, "hints": [{"x": 30, "y": 30, "colour": "#b0252a"}]})
        assert desk.post("colour", json={**place, "side": "after"}).json() == file
        assert desk.post("colour", json={**place, "side": "preview"}).json() != file


def test_the_luminance_stays_the_scans(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey(96, 128, seed=5)).save(src / "a.png")
    colour(src, out=out, model=ink)
    with client(out) as desk:
        key = desk.post("open", json={"input": "a.png"}).json()["key"]
        desk.post("preview", json={"key": key, **SETTINGS, "strength": 2, "hints": [HINT]})
        picture = desk.desk.pictures.get(key)
        shown = picture._band(Side.PREVIEW, 0, 0).astype(np.float32) / 255
        grey_l, shown_l = (
            lab.lab_from_srgb(torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))))[0].numpy()
            for x in (np.repeat(grey(96, 128, seed=5)[..., None], 3, 2).astype(np.float32) / 255, shown)
        )
        assert np.abs(grey_l - shown_l).max() < 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "../../etc"}, "choose one of"),
        ({"model": "lite", "strength": 9}, "--strength"),
        ({"model": "lite", "size": 7}, "--size"),
        ({"model": "lite", "hints": [{"x": 5000, "y": 1, "colour": "#112233"}]}, "outside the picture"),
        ({"model": "lite", "hints": [{"x": 5, "y": 1, "colour": "red"}]}, "#3a5f8b"),
        ({"model": "lite", "hints": "all"}, "cannot be read"),
        ({"model": "lite", "palette": "no.png"}, "no row"),
    ],
)
def test_settings_that_are_not_allowed_are_one_line(desk: Any, reviewed: Path, settings: Any, words: str) -> None:
    key = desk.post("open", json={"input": coloured(reviewed)[0]}).json()["key"]
    answer = desk.post("preview", json={"key": key, "size": 64, **settings})
    assert answer.status_code in (400, 404)
    assert words in answer.json()["error"]


# --- tasks ----------------------------------------------------------------------------------------------------------


def finished(desk: Any) -> dict[str, Any]:
    desk.desk.tasks._thread.join()
    return dict(desk.get("changes?since=0").json()["task"])


@pytest.fixture
def recorded(desk: Any, reviewed: Path, src: Path, ink: Path) -> Any:
    """The desk over a run whose sidecars say how it was made."""
    colour(src, out=reviewed, model=ink, disclosure=Disclosure())
    desk.desk.collection.reload()
    return desk


def test_redo_verify_and_export_from_the_page(recorded: Any, reviewed: Path) -> None:
    desk = recorded
    one, two, *_ = coloured(reviewed)
    before = read_rows(reviewed)
    made = [decision(reviewed, one, "rejected"), decision(reviewed, two)]
    desk.post("decide", json={"decisions": made})
    assert desk.post("task", json={"do": "redo", **SETTINGS, "strength": 1.5}).status_code == 200
    state = finished(desk)
    assert (state["kind"], state["state"], state["message"]) == ("redo", "done", "1 done")
    after = read_rows(reviewed)
    assert after[one].output_sha256 != before[one].output_sha256
    assert after[two].output_sha256 == before[two].output_sha256
    desk.post("task", json={"do": "verify"})
    assert finished(desk)["state"] == "done"
    desk.post("task", json={"do": "export"})
    state = finished(desk)
    assert state["message"].startswith("1 copied")
    assert (reviewed.with_name(f"{reviewed.name}-accepted") / str(after[two].output)).is_file()


def test_a_run_is_paused_continued_and_stopped(recorded: Any, reviewed: Path, src: Path) -> None:
    desk = recorded
    for i in range(6):
        Image.fromarray(grey(64, 64, seed=20 + i)).save(src / f"new{i}.png")
    desk.desk.tasks._start("run", lambda control: _held(control))
    desk.post("task", json={"do": "pause"})
    assert desk.desk.tasks.state.state == "paused"
    assert desk.post("task", json={"do": "run", **SETTINGS}).status_code == 400, "one at a time"
    desk.post("task", json={"do": "resume"})
    assert desk.desk.tasks.state.state == "running"
    desk.post("task", json={"do": "stop"})
    assert finished(desk)["state"] == "stopped"
    desk.post("task", json={"do": "run", **SETTINGS})
    assert finished(desk)["message"].split(", ")[0].endswith("done"), "and the next run resumes"
    assert len(coloured(reviewed)) >= 10


def _held(control: Any) -> None:
    control.stopped.wait()
    control.picture_started("a")  # a stopped run is not held


def test_run_leaves_what_was_made_with_other_options(src: Path, out: Path) -> None:
    """The run's own options come from the sidecars, and not from the defaults."""
    save_grey_tree(src, 2)
    settings = {"model": "lite", "size": 64, "strength": 0.8, "format": "png", "mark": "auto", "device": "cpu"}
    run(src, out=out, **settings)
    before = {name: row.output_sha256 for name, row in read_rows(out).items()}
    Image.fromarray(grey(64, 64, seed=9)).save(src / "new.jpg")
    with client(out, inputs=src) as desk:
        assert desk.post("task", json={"do": "run", "model": "lite"}).status_code == 200
        assert finished(desk)["message"] == "1 done, 2 unchanged"
    rows = read_rows(out)
    assert {name: rows[name].output_sha256 for name in before} == before
    assert (rows["new.jpg"].output, bool(rows["new.jpg"].mark)) == ("new.png", True)


def test_run_is_refused_where_its_options_cannot_be_told(src: Path, out: Path) -> None:
    save_grey_tree(src, 1)
    run(src, out=out, model="lite", size=64, sidecar=False, device="cpu")
    with client(out, inputs=src) as desk:
        answer = desk.post("task", json={"do": "run", "model": "lite"})
        assert answer.status_code == 400
        assert "on the command line" in answer.json()["error"]


def test_a_run_needs_the_inputs(reviewed: Path) -> None:
    with client(reviewed) as desk:
        answer = desk.post("task", json={"do": "run", **SETTINGS})
        assert answer.status_code == 400
        assert "--inputs" in answer.json()["error"]
        assert json.loads(desk.get("changes").text)["task"]["state"] == "idle"
