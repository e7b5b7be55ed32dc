"""A finished folder as an IIIF site."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import call, exit_code
from support.doubles import ConstantInk, colour, contents, grey, save_ink
from support.iiif import BASE, bodies, canvases, file_of, manifests, needed, read, save_pictures, services
from support.needs import needs
from support.review_data import decide

from archivecolor import files, networks, photo, provenance
from archivecolor.errors import MissingDependencyError, NoInputError, OutputError, UsageError
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import Disclosure, ExportOptions
from archivecolor.photo import Page, Photo
from archivecolor.preservation.iiif import progress_log, tiles
from archivecolor.preservation.iiif.site import Site, publish

pytestmark = needs("pyvips")
TURNED = "a#1 %?"


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pictures of `save_pictures` and a broken one, coloured, for tests that change neither."""
    root = tmp_path_factory.mktemp("iiif")
    (root / "src").mkdir()
    save_pictures(root / "src")
    (root / "src" / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "ink", ConstantInk)
        patch.setitem(networks.STRIDES, "ink", 32)
        colour(root / "src", out=root / "out", model=save_ink(root / "inky"), disclosure=Disclosure())
    film = replace(provenance.read_rows(root / "out")["two.tif"], input="film.mp4", film={"frames": 3})
    with (root / "out" / provenance.MANIFEST).open("a") as file:
        file.write(json.dumps({k: v for k, v in vars(film).items() if v}) + "\n")
    yield root


@pytest.fixture(scope="module")
def site(coloured: Path) -> Path:
    made = publish(options(coloured, coloured / "site"))
    assert (made.pictures, made.canvases, made.folders, made.films, made.without) == (4, 5, 2, 1, 1)
    assert (made.left_out, made.no_original) == ([], [])
    return coloured / "site"


@pytest.fixture
def small(src: Path, out: Path, ink: Path) -> Path:
    """Three little pictures in two folders, coloured: what tests may change. The folder of all."""
    (src / "box").mkdir()
    for i, name in enumerate(("a.png", "b.png", "box/c.png")):
        Image.fromarray(grey(30, 40, seed=i)).save(src / name)
    colour(src, out=out, model=ink)
    return out.parent


@pytest.fixture(autouse=True)
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Waits for no disk, but counts how often that is asked for."""
    asked: list[str] = []
    monkeypatch.setattr(files, "sync_disks", lambda: asked.append("sync"))
    return asked


def options(root: Path, to: Path, **more: Any) -> ExportOptions:
    return ExportOptions(out=root / "out", to=to, **{"iiif": BASE, **more})


# --- manifests --------------------------------------------------------------------------------------------------------


def test_the_collection_has_a_manifest_for_each_folder(site: Path) -> None:
    made = manifests(site)
    assert list(made) == ["out", "bücher 1"]
    whole = read(site / "collection.json")
    assert (whole["type"], whole["id"]) == ("Collection", f"{BASE}/collection.json")
    for one in made.values():
        assert (one["type"], one["@context"]) == ("Manifest", "http://iiif.io/api/presentation/3/context.json")
        assert one["partOf"] == [{"id": whole["id"], "type": "Collection"}]
    assert not list(site.rglob(".*")), "nothing of the work is left"


def test_every_canvas_offers_the_original_first_and_then_the_coloured_picture(site: Path) -> None:
    found = canvases(site)
    assert set(found) == {TURNED, "two, page 1", "two, page 2", "<b> ", r"caf\udce9"}
    for canvas in found.values():
        original, painted = bodies(canvas)
        assert original["label"]["en"] == ["Original"]
        assert painted["label"]["en"][0].startswith("Coloured, the colour is invented: archivecolor ")
        shown = [np.asarray(Image.open(file_of(site, one["id"]))).astype(int) for one in (original, painted)]
        assert np.ptp(shown[0], axis=2).max() == 0, "the original is grey"
        assert np.ptp(shown[1], axis=2).mean() > 20, "the other is brown"
        assert shown[0].shape == shown[1].shape


def test_label_metadata_and_statement_say_that_the_colour_is_invented_and_by_what(site: Path, coloured: Path) -> None:
    row = provenance.read_rows(coloured / "out")["two.tif"]
    canvas = canvases(site)["two, page 2"]
    known = {pair["label"]["en"][0]: pair["value"]["none"][0] for pair in canvas["metadata"]}
    assert known["Colour"] == "Invented by a neural network; the luminance is the original's."
    assert known["Weights"] == f"inky, SHA-256 {row.weights_sha256}"
    assert known["Original"] == f"two.tif, SHA-256 {row.source_sha256}"
    assert known["Coloured"] == f"two.tif, SHA-256 {row.output_sha256}"
    for one in (canvas, *manifests(site).values(), read(site / "collection.json")):
        statement = one["requiredStatement"]["value"]["en"][0]
        assert "invented" in statement and row.weights_sha256 in statement and "archivecolor " in statement
    assert f"weights inky {row.weights_sha256[:12]}" in bodies(canvas)[1]["label"]["en"][0]


def test_all_that_is_named_is_there_and_every_id_is_its_own(site: Path) -> None:
    """The rules of Presentation 3.0 that no schema knows: 2.2, 3.2 and 5.3 to 5.6."""
    ids: list[str] = []
    for made in manifests(site).values():
        for canvas in made["items"]:
            (page,) = canvas["items"]
            (annotation,) = page["items"]
            assert (annotation["motivation"], annotation["target"]) == ("painting", canvas["id"])
            ids += [canvas["id"], page["id"], annotation["id"], *(body["id"] for body in bodies(canvas))]
            for image in (*bodies(canvas), *canvas["thumbnail"], *made["thumbnail"]):
                with Image.open(file_of(site, image["id"])) as opened:
                    assert opened.size == (image["width"], image["height"])
                    assert opened.format == "JPEG" and image["format"] == "image/jpeg"
            for image in bodies(canvas):
                (service,) = image["service"]
                assert image["id"].startswith(service["id"] + "/")
                info = read(file_of(site, service["id"]) / "info.json")
                assert (info["width"], info["height"]) == (canvas["width"], canvas["height"])
        ids.append(made["id"])
    assert len(ids) == len(set(ids))


def test_names_are_escaped_in_addresses_and_shown_as_they_are(site: Path) -> None:
    canvas = canvases(site)[TURNED]
    assert canvas["id"] == f"{BASE}/b%C3%BCcher%201/a%231%20%25%3F.tif/canvas"
    (raw,) = [one for one in canvases(site).values() if "caf" in one["id"]]
    assert raw["id"] == f"{BASE}/caf%E9.png/canvas"
    assert canvases(site)["<b> "]["id"] == f"{BASE}/%3Cb%3E.bmp/canvas"


def test_a_title_that_looks_like_html_is_no_html() -> None:
    from archivecolor.preservation.iiif.manifests import _literal

    assert _literal("<img src=x onerror=alert(1)>") == "<img src=x onerror=alert(1)> "
    assert _literal("Box <7>, 1910") == "Box <7>, 1910"


def test_a_page_that_was_in_colour_is_not_said_to_be_invented(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    from support.doubles import colourful

    photo.write(src / "a.tif", Photo("tiff", (Page(grey(60, 80)), Page(colourful()))), "tiff")
    colour(src, out=out, model=ink)
    publish(options(tmp_path, tmp_path / "site"))
    first, second = (canvases(tmp_path / "site")[f"a, page {n}"] for n in (1, 2))
    assert "requiredStatement" in first and "requiredStatement" not in second
    assert second["metadata"][0]["value"]["none"] == ["This page was in colour and was left as it was."]
    assert bodies(second)[1]["label"]["en"] == ["Not coloured, because it was in colour"]
    coloured, left = (file_of(tmp_path / "site", bodies(one)[1]["service"][0]["id"]) for one in (first, second))
    assert b"invented" in (coloured / "full/80,60/0/default.jpg").read_bytes()
    assert b"invented" not in (left / "full/56,40/0/default.jpg").read_bytes()


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_info_is_what_level_0_requires(site: Path) -> None:
    """Image API 3.0, section 5 and the compliance page."""
    for info in services(site):
        assert info["@context"] == "http://iiif.io/api/image/3/context.json"
        assert (info["type"], info["protocol"]) == ("ImageService3", "http://iiif.io/api/image")
        assert info["profile"] == "level0"
        assert info["tiles"][0]["scaleFactors"][0] == 1 and info["width"] > 0 < info["height"]


def test_every_tile_that_a_client_may_ask_for_is_there_and_no_other_file(site: Path) -> None:
    for info in services(site):
        folder = file_of(site, info["id"])
        wanted = needed(info)
        for name, size in wanted.items():
            with Image.open(folder / name) as tile:
                assert tile.size == size, name
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert there == {"info.json", "full/90,/0/default.jpg", *wanted}
        with Image.open(folder / "full/90,/0/default.jpg") as listed:
            assert listed.width == min(90, info["width"])


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 1300), (1300, 3), (512, 512), (513, 512), (1024, 1024), (1025, 513), (2100, 700)]
)
def test_tiles_of_every_size(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    page = Page(grey(height, width))
    made = tiles.write_image(page, tmp_path, "a", BASE, tmp_path / "work", b"", "me")
    info = read(tmp_path / "a/info.json")
    for name, answer in needed(info).items():
        with Image.open(tmp_path / "a" / name) as tile:
            assert tile.size == answer, name
    assert made.size == size and max(made.largest) <= tiles.FULL_MAX_SIDE and max(made.small) <= tiles.TILE
    limited = width > tiles.FULL_MAX_SIDE
    assert (info.get("maxWidth"), info.get("maxHeight")) == (made.largest if limited else (None, None))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_original_and_coloured_picture_are_upright(orientation: int, tmp_path: Path) -> None:
    samples = np.repeat(np.repeat(np.arange(0, 240, 10, np.uint8).reshape(4, 6), 40, 0), 40, 1)
    page = Page(samples, orientation=orientation)
    made = tiles.write_image(page, tmp_path, "a", BASE, tmp_path / "work", b"", "me")
    seen = to_upright(samples, orientation)
    assert made.size == seen.shape[::-1]
    for name in needed(read(tmp_path / "a/info.json")):
        shown = photo.read(tmp_path / "a" / name).pages[0]
        assert shown.orientation == 1
        if shown.samples.shape[:2] == seen.shape:
            assert np.abs(shown.samples[..., 0].astype(int) - seen).max() < 12


def test_an_original_of_another_colour_space_is_shown_in_srgb(tmp_path: Path) -> None:
    swapped = photo.SRGB_ICC.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    page = Page(np.full((30, 40, 3), (200, 60, 60), np.uint8), icc=swapped)
    tiles.write_image(page, tmp_path, "a", BASE, tmp_path / "work", b"", "me")
    for name in needed(read(tmp_path / "a/info.json")):
        shown = Image.open(tmp_path / "a" / name)
        assert np.abs(np.asarray(shown)[5, 5].astype(int) - (60, 60, 200)).max() <= 8
        assert "icc_profile" not in shown.info


def test_whole_pictures_and_tiles_carry_the_disclosure_and_the_original_its_own_words(site: Path) -> None:
    original, painted = (file_of(site, one["service"][0]["id"]) for one in bodies(canvases(site)[TURNED]))
    for path in painted.rglob("default.jpg"):
        assert provenance.is_machine_colored(photo.read(path).pages[0].xmp), path
    for path in original.rglob("default.jpg"):
        assert not provenance.is_machine_colored(photo.read(path).pages[0].xmp), path
    assert photo.read(original / tiles.FULL_MAX).pages[0].description == "Box 7"


def test_a_large_tiff_is_never_whole_in_memory(
    src: Path, out: Path, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = grey(900, 1200).astype(np.uint16) * 257
    photo.write(src / "a.tif", Photo("tiff", (Page(wide, orientation=6),), compressed=False), "tiff")
    colour(src, out=out, model=ink)
    publish(options(tmp_path, tmp_path / "whole"))
    monkeypatch.setattr(tiles, "_HELD_MEGAPIXELS", 0.5)
    publish(options(tmp_path, tmp_path / "bands"))
    assert all(page.scan for page in tiles.photograph_pages(out / "a.tif"))
    assert contents(tmp_path / "whole") == contents(tmp_path / "bands")


# --- which pictures ---------------------------------------------------------------------------------------------------


def test_only_accepted_pictures_are_shown_if_there_are_decisions(small: Path) -> None:
    decide(small / "out/decisions.json", small / "out", a="accepted", b="rejected")
    made = publish(options(small, small / "site"))
    assert (made.pictures, made.not_accepted) == (1, 2)
    assert set(canvases(small / "site")) == {"a"}
    assert not (small / "site/b.png").exists() and not (small / "site/box").exists()


def test_notes_alone_are_no_decisions(small: Path) -> None:
    chosen = decide(small / "d.json", small / "out", a="")
    assert publish(options(small, small / "site", accepted=chosen)).pictures == 3


def test_nothing_accepted_is_an_error(small: Path) -> None:
    chosen = decide(small / "d.json", small / "out", a="rejected")
    with pytest.raises(NoInputError, match=r"no accepted photograph to show .*3 not accepted"):
        publish(options(small, small / "site", accepted=chosen))
    assert not (small / "site").exists()


def test_an_output_that_is_not_what_was_accepted_is_left_out(small: Path) -> None:
    chosen = decide(small / "d.json", small / "out", a="accepted", b="accepted", c="accepted")
    sha256 = provenance.read_rows(small / "out")["a.png"].output_sha256
    chosen.write_text(chosen.read_text().replace(sha256, "0" * 64))
    (small / "out/b.png").write_bytes(b"another")
    result = call("export", str(small / "out"), "--iiif", BASE, "--to", str(small / "site"), "--accepted", str(chosen))
    assert result.exit_code == 3
    assert "left out a.png: it was coloured again after it was accepted" in result.output
    assert "b.png was changed after the run" in result.output
    assert "1 pictures in 1 folders, 2 left out" in result.output
    assert set(canvases(small / "site")) == {"c"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "the file is not there"),
        (lambda path: path.write_bytes(b"another"), "was changed after the run"),
    ],
    ids=["gone", "changed"],
)
def test_a_picture_without_its_original_is_offered_in_colour_alone_and_says_so(
    small: Path, spoil: Any, reason: str
) -> None:
    spoil(small / "src/a.png")
    result = call("export", str(small / "out"), "--iiif", BASE, "--to", str(small / "site"))
    assert result.exit_code == 0
    assert "a.png: in colour alone, because " in result.output and reason in result.output
    canvas = canvases(small / "site")["a (the colour is invented)"]
    (body,) = bodies(canvas)
    assert "the colour is invented" in body["label"]["en"][0]
    assert any("not at hand" in pair["value"]["none"][0] for pair in canvas["metadata"])
    assert {len(bodies(one)) for one in canvases(small / "site").values()} == {1, 2}


def test_an_original_that_only_our_reader_knows_is_shown(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    (src / "a.pgm").write_bytes(b"P5 40 30 65535\n" + (grey(30, 40).astype(">u2") * 257).tobytes())
    colour(src, out=out, model=ink)
    assert publish(options(tmp_path, tmp_path / "site")).no_original == []
    assert len(bodies(canvases(tmp_path / "site")["a"])) == 2


def test_names_of_the_sites_own_files_are_left_out(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    (src / "manifest.json").mkdir()
    for name in ("manifest.json/a.png", "b.png"):
        Image.fromarray(grey(30, 40)).save(src / name)
    colour(src, out=out, model=ink)
    made = publish(options(tmp_path, tmp_path / "site"))
    assert [name for name, _ in made.left_out] == ["manifest.json/a.png"]
    assert made.pictures == 1


def test_names_that_the_disk_takes_for_one_are_left_out(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(grey(30, 40, seed=8)).save(small / "src/A.png")
    colour(small / "src", out=small / "out", model=small / "weights/inky")
    monkeypatch.setattr(files, "name_rules", lambda folder: files.NameRules(fold_case=True))
    made = publish(options(small, small / "site"))
    assert made.left_out == [
        ("a.png", "the disk of --to takes its name for that of A.png; choose another disk, or rename the scan")
    ]


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_site_that_exists_stays_unless_asked(small: Path) -> None:
    publish(options(small, small / "site"))
    before = contents(small / "site")
    with pytest.raises(OutputError, match="exists; choose another name, or use --overwrite"):
        publish(options(small, small / "site"))
    assert contents(small / "site") == before
    (small / "src/a.png").unlink()
    publish(options(small, small / "site", overwrite=True))
    assert not (small / "site/a.png/original").exists()
    assert [path.name for path in small.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["folder", "file", "another site", "viewer inside"])
def test_what_somebody_else_made_is_never_replaced(kind: str, small: Path) -> None:
    place = small / "site"
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind == "viewer inside":
        publish(options(small, place))
        (place / "index.html").write_bytes(b"mine")
    else:
        place.mkdir()
        (place / "collection.json").write_text('{"type": "Collection"}' if kind == "another site" else "mine")
    before = contents(small, lambda path: "site" not in path.parts)
    with pytest.raises(OutputError, match=r"exists|not an IIIF site|was not made by this program"):
        publish(options(small, place, overwrite=True))
    assert contents(small, lambda path: "site" not in path.parts) == before


def test_an_empty_folder_may_become_the_site(small: Path) -> None:
    (small / "site").mkdir()
    assert publish(options(small, small / "site")).pictures == 3


@pytest.mark.parametrize("place", ["out/site", "out", "src/site", "."])
def test_the_site_is_no_part_of_the_pictures(place: str, small: Path) -> None:
    with pytest.raises(OutputError, match=r"overlap|is inside"):
        publish(options(small, small / place))
    assert not (small / "src/site").exists()


@pytest.mark.parametrize(
    "base",
    [
        *("archive.example/iiif", "//archive.example", "ftp://archive.example", "https://", "https://a b", "/iiif"),
        *("https://archive.example/bücher", "https://archive.example/?q=1", "https://archive.example/#a"),
    ],
)
def test_a_base_that_is_no_whole_address_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--iiif .*: write a whole address, for example https://archive\.example/iiif"
    ):
        options(tmp_path, tmp_path / "site", iiif=base)
    assert exit_code("export", str(tmp_path), "--iiif", base, "--to", str(tmp_path / "site")) == 2


@pytest.mark.parametrize("base", ["https://archive.example", "http://127.0.0.1:8000/", "https://[::1]/a/b%20c/"])
def test_the_base_needs_no_slash(base: str, small: Path) -> None:
    made = publish(options(small, small / "site", iiif=base))
    assert made.pictures == 3
    assert read(small / "site/collection.json")["id"] == base.rstrip("/") + "/collection.json"


def test_iiif_needs_a_place(small: Path) -> None:
    with pytest.raises(UsageError, match="--iiif: needs --to"):
        ExportOptions(out=small / "out", iiif=BASE)


def test_a_catalogue_may_be_written_with_it(small: Path) -> None:
    arguments = ("--iiif", BASE, "--to", str(small / "site"), "--catalogue", str(small / "c.csv"))
    assert call("export", str(small / "out"), *arguments).exit_code == 0
    assert (small / "c.csv").is_file() and (small / "site/collection.json").is_file()


def test_without_pyvips_the_extra_is_named(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyvips", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'archivecolor\[iiif\]'"):
        publish(options(small, small / "site"))
    assert not (small / "site").exists()


# --- stopped and resumed ----------------------------------------------------------------------------------------------


def stopped_after(count: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishes, and is stopped while it makes image number `count`."""
    real, done = tiles.write_image, []

    def write_image(*arguments: Any) -> Any:
        if len(done) == count:
            (arguments[1] / arguments[2]).mkdir(parents=True)  # as a kill might leave it
            raise KeyboardInterrupt
        done.append(arguments)
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(progress_log, "write_image", write_image)
        publish(options(root, root / "site"))


def images_made(root: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[int, Site]:
    real, done = tiles.write_image, []
    with monkeypatch.context() as patch:
        patch.setattr(progress_log, "write_image", lambda *arguments: (done.append(1), real(*arguments))[1])
        made = publish(options(root, root / "site", **more))
    return len(done), made


def test_a_stopped_site_is_not_there_and_is_resumed_to_the_same_bytes(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(options(small, small / "never stopped"))
    stopped_after(3, small, monkeypatch)
    assert not (small / "site").exists()
    assert images_made(small, monkeypatch)[0] == 3
    assert contents(small / "site") == contents(small / "never stopped")
    assert [path.name for path in small.iterdir() if path.name.startswith(".")] == []


def test_what_is_listed_as_done_is_safe_from_a_power_cut(
    small: Path, monkeypatch: pytest.MonkeyPatch, syncs: list[str]
) -> None:
    monkeypatch.setattr(progress_log, "_BATCH", 2)
    monkeypatch.setattr(progress_log.ProgressLog, "_append", lambda self, *lines: syncs.extend(map(str, lines)))
    monkeypatch.setattr(Path, "unlink", lambda self, **_: None)
    publish(options(small, small / "site"))
    finished = [i for i, line in enumerate(syncs) if "'pages'" in line]
    assert len(finished) == 6 and syncs[-1] == "sync", "and the whole site before it gets its name"
    assert all(syncs[i - 1] == "sync" or "'pages'" in syncs[i - 1] for i in finished)


def test_what_was_rejected_meanwhile_is_not_published(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_after(5, small, monkeypatch)
    chosen = decide(small / "d.json", small / "out", a="accepted", b="rejected")
    assert images_made(small, monkeypatch, accepted=chosen)[0] == 0
    assert {path.name for path in (small / "site").iterdir()} == {"a.png", "manifest.json", "collection.json"}


def test_what_changed_meanwhile_is_made_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_after(5, small, monkeypatch)
    Image.fromarray(grey(50, 60, seed=7)).save(small / "src/a.png")
    colour(small / "src", out=small / "out", model=small / "weights/inky")
    assert images_made(small, monkeypatch)[0] == 3
    assert canvases(small / "site")["a"]["width"] == 60


def test_another_address_or_a_damaged_list_begins_anew(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_after(5, small, monkeypatch)
    part = files.part_path(small.resolve() / "site")
    text = (part / progress_log.LIST).read_text()
    (part / progress_log.LIST).write_text(text.replace(BASE, "https://elsewhere.example"))
    assert images_made(small, monkeypatch)[0] == 6
    shutil.rmtree(small / "site")
    stopped_after(5, small, monkeypatch)
    (part / progress_log.LIST).write_text(text[: text.index("\n", 200) - 5])
    images_made(small, monkeypatch)
    assert len(services(small / "site")) == 6


def test_a_full_disk_ends_it_and_leaves_no_site(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(progress_log, "write_image", full)
    with pytest.raises(OutputError, match="free some space"):
        publish(options(small, small / "site"))
    assert not (small / "site").exists()
    vips = tiles.load_pyvips()
    error = tiles._os_error(vips.Error("dzsave", f"unable to write: {os.strerror(errno.ENOSPC)}"), small)
    assert error is not None and error.errno == errno.ENOSPC
