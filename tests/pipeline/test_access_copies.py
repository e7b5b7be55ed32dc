"""Small copies for the web beside the masters."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.command_line import call, exit_code
from support.doubles import colour, colourful, contents, grey
from support.needs import needs
from support.reels import save_reel
from support.review_data import decide

from archivecolor import files, photo, provenance
from archivecolor.errors import UsageError
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import AccessForm, Disclosure, ExportOptions, parse_access
from archivecolor.photo import Page, Photo
from archivecolor.pipeline import access_copies
from archivecolor.preservation import catalogue
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, FAILED, is_machine_colored
from archivecolor.review.export import export

JPG, WEBP = AccessForm("jpg", 200), AccessForm("webp", 100)
SERVED = (AccessForm("tif"), AccessForm("jp2"), AccessForm("jp2", 300))
TURNED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><tiff:Orientation>6</tiff:Orientation>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.fixture
def masters(src: Path) -> Path:
    """A TIFF of 16 bits on its side, a small PNG in a folder, and one in colour."""
    wide = (grey(300, 400).astype(np.uint16) * 257)[..., None].repeat(3, axis=2)
    photo.write(src / "a.tif", Photo("tiff", (Page(wide, orientation=6, description="Box 7"),)), "tiff")
    (src / "box").mkdir()
    Image.fromarray(grey(60, 80)).save(src / "box/b.png")
    Image.fromarray(colourful()).save(src / "colour.png")
    return src


def test_each_photograph_gets_its_copies(masters: Path, out: Path, ink: Path) -> None:
    rows = {row.input: row for row in colour(masters, out=out, model=ink, access=(JPG, WEBP))}
    assert list(rows["a.tif"].access) == ["access/jpg-200/a.tif.jpg", "access/webp-100/a.tif.webp"]
    assert list(rows["box/b.png"].access) == ["access/jpg-200/box/b.png.jpg", "access/webp-100/box/b.png.webp"]
    assert rows["colour.png"].access == {}
    for row in rows.values():
        for name, sha256 in row.access.items():
            assert files.sha256(out / name) == sha256
            page = photo.read(out / name).pages[0]
            assert is_machine_colored(page.xmp)
            assert page.samples.dtype == np.uint8
    small = photo.read(out / "access/jpg-200/a.tif.jpg").pages[0]
    assert (small.samples.shape, small.orientation, small.description) == ((150, 200, 3), 6, "Box 7")
    assert photo.read(out / "access/webp-100/a.tif.webp").pages[0].samples.shape == (75, 100, 3)
    assert photo.read(out / "access/jpg-200/box/b.png.jpg").pages[0].samples.shape == (60, 80, 3), "never enlarged"


def test_a_copy_has_the_colours_of_its_master(masters: Path, out: Path, ink: Path) -> None:
    colour(masters, out=out, model=ink, access=(AccessForm("png", 200),))
    master = photo.read(out / "a.tif").pages[0].samples / 65535
    small = photo.read(out / "access/png-200/a.tif.png").pages[0].samples / 255
    assert np.abs(master.reshape(150, 2, 200, 2, 3).mean(axis=(1, 3)) - small).max() < 1.5 / 255


def test_the_mark_is_as_large_as_on_a_picture_of_that_size(masters: Path, out: Path, ink: Path) -> None:
    form = AccessForm("png", 200)
    colour(masters, out=out, model=ink, access=(form,), disclosure=Disclosure(mark="auto"))
    marked = photo.read(out / "access/png-200/a.tif.png").pages[0].samples
    colour(masters, out=out.with_name("plain"), model=ink, access=(form,))
    plain = photo.read(out.with_name("plain") / "access/png-200/a.tif.png").pages[0].samples
    changed = np.argwhere((marked != plain).any(axis=2))
    assert len(changed) > 20
    shown = photo.read(out / "a.tif").pages[0].samples
    unmarked = photo.read(out.with_name("plain") / "a.tif").pages[0].samples
    of_master = np.argwhere((shown != unmarked).any(axis=2))
    extents = [np.ptp(places, axis=0).max() for places in (changed, of_master)]
    assert extents[0] > 0.6 * extents[1], "not the master's mark made smaller by half"


def test_what_is_finished_gets_its_copies_later_and_keeps_its_output(masters: Path, out: Path, ink: Path) -> None:
    colour(masters, out=out, model=ink)
    before = {name: row.output_sha256 for name, row in provenance.read_rows(out).items()}
    colour(masters, out=out, model=ink, access=(JPG,))
    rows = provenance.read_rows(out)
    assert {name: row.output_sha256 for name, row in rows.items()} == before
    assert list(rows["box/b.png"].access) == ["access/jpg-200/box/b.png.jpg"]
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    colour(masters, out=out, model=ink, access=(JPG,))
    colour(masters, out=out, model=ink)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")} == times
    assert provenance.read_rows(out)["a.tif"].access.keys() == {"access/jpg-200/a.tif.jpg"}
    (out / "access/jpg-200/a.tif.jpg").unlink()
    colour(masters, out=out, model=ink, access=(JPG,))
    assert (out / "access/jpg-200/a.tif.jpg").exists(), "one that is gone is made again"


def test_a_copy_is_never_out_of_date(masters: Path, out: Path, ink: Path) -> None:
    """The picture is coloured again by a command that does not ask for copies."""
    colour(masters, out=out, model=ink, access=(JPG,))
    before = provenance.read_rows(out)["a.tif"]
    Image.fromarray(grey(120, 160, seed=5)).save(masters / "a.tif")
    colour(masters, out=out, model=ink)
    after = provenance.read_rows(out)["a.tif"]
    assert after.access.keys() == before.access.keys()
    assert after.access != before.access
    assert photo.read(out / "access/jpg-200/a.tif.jpg").pages[0].samples.shape[:2] == (120, 160)


def test_verify_and_export_know_them(masters: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    colour(masters, out=out, model=ink, access=(JPG,))
    assert verify(out).sound
    chosen = decide(tmp_path / "d.json", out, a="accepted")
    assert export(out, chosen, tmp_path / "to") == (1, 0, [])
    assert (tmp_path / "to/access/jpg-200/a.tif.jpg").is_file()
    (out / "access/jpg-200/a.tif.jpg").write_bytes(b"another")
    (out / "access/jpg-200/box/b.png.jpg").unlink()
    found = {(finding.what, finding.name) for finding in verify(out).findings}
    assert found == {("changed", "access/jpg-200/a.tif.jpg"), ("missing", "access/jpg-200/box/b.png.jpg")}


def test_a_film_gets_none_and_its_row_says_why(src: Path, out: Path, ink: Path) -> None:
    save_reel(src / "reel", range(1, 3))
    Image.fromarray(grey(60, 80)).save(src / "a.png")
    [film] = [row for row in colour(src, out=out, model=ink) if row.film]
    assert access_copies.FOR_PHOTOGRAPHS not in film.notes
    for _ in range(2):  # a finished film, and once more
        rows = colour(src, out=out, model=ink, access=(JPG,))
        [film] = [row for row in rows if row.film]
        assert (film.status, film.access, film.notes.count(access_copies.FOR_PHOTOGRAPHS)) == (DONE, {}, 1)
    shutil.rmtree(src / "reel")
    save_reel(src / "reel", range(1, 4))
    [film] = [row for row in colour(src, out=out, model=ink, access=(JPG,)) if row.film]
    assert film.notes.count(access_copies.FOR_PHOTOGRAPHS) == 1, "coloured with --access at once"
    assert [path.name for path in (out / "access").rglob("*.*")] == ["a.png.jpg"]


def test_the_catalogue_says_why_a_picture_has_none(masters: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    save_reel(masters / "reel", range(1, 3))
    (masters / "broken.png").write_bytes((masters / "box/b.png").read_bytes()[:60])
    late = Image.fromarray(grey(50, 50))

    def notes() -> dict[str, str]:
        catalogue.write(ExportOptions(out=out, catalogue=tmp_path / "c.csv", overwrite=True))
        with (tmp_path / "c.csv").open(newline="") as file:
            return {line["original"]: line["access_note"] for line in csv.DictReader(file)}

    colour(masters, out=out, model=ink)
    assert set(notes().values()) == {""}, "nobody wanted any"
    colour(masters, out=out, model=ink, access=(JPG,))
    late.save(masters / "late.png")
    colour(masters, out=out, model=ink)
    made = notes()
    assert {made.pop("a.tif"), made.pop("box/b.png")} == {""}
    assert made.pop("colour.png") == "none: not coloured (already colour)"
    assert made.pop("broken.png").startswith("none: not coloured (")
    assert made.pop("late.png") == "missing: jpg-200; run makes them with --access"
    assert list(made.values()) == ["none: a film"]


def test_a_rehearsal_names_the_copies_that_are_made_then(masters: Path, out: Path, ink: Path) -> None:
    words = (
        "run",
        str(masters),
        "--out",
        str(out),
        "--model",
        str(ink),
        "--exclude",
        "colour*",
        "--no-sidecar",
        "--size",
        "64",
        "--precision",
        "fp32",
    )  # as `colour`

    def planned(*more: str) -> set[str]:
        lines = call(*words, *more, "--dry-run", "--json").stdout.splitlines()
        return {path for line in lines for path in json.loads(line).get("access", ())}

    def there() -> set[str]:
        return {str(path) for path in (out / "access").rglob("*.*")}

    assert planned() == set() and "access" not in call(*words, "--dry-run", "--json").stdout
    first = planned("--access", "jpg:200")
    assert "2 small copies besides, in " in call(*words, "--access", "jpg:200", "--dry-run").stdout
    assert f"a.tif, {out}/access/jpg-200/a.tif.jpg\n" in call(*words, "--access", "jpg:200", "--dry-run", "-v").stdout
    assert not out.exists()
    colour(masters, out=out, model=ink, exclude=("colour*",), access=(JPG,))
    assert there() == first and len(first) == 2
    assert planned("--access", "jpg:200") == set()
    second = planned("--access", "jpg:200", "--access", "webp:100")
    colour(masters, out=out, model=ink, exclude=("colour*",), access=(WEBP,))
    assert there() == first | second and len(second) == 2
    assert planned("--overwrite") == first | second, "they would be out of date"


def test_a_file_of_somebody_else_is_not_replaced(masters: Path, out: Path, ink: Path) -> None:
    (out / "access/jpg-200").mkdir(parents=True)
    (out / "access/jpg-200/a.tif.jpg").write_bytes(b"somebody else's")
    rows = {row.input: row for row in colour(masters, out=out, model=ink, access=(JPG,))}
    assert rows["a.tif"].status == FAILED
    assert "was not made by this program" in rows["a.tif"].reason
    assert rows["box/b.png"].status == DONE
    assert (out / "access/jpg-200/a.tif.jpg").read_bytes() == b"somebody else's"


def test_a_folder_of_inputs_that_has_their_name_is_refused(src: Path, out: Path, ink: Path) -> None:
    (src / "access").mkdir()
    Image.fromarray(grey(32, 32)).save(src / "access/a.png")
    with pytest.raises(UsageError, match="the inputs have a folder 'access'"):
        colour(src, out=out, model=ink, access=(JPG,))
    assert colour(src, out=out, model=ink)[0].status == DONE


@pytest.mark.parametrize(
    "text",
    ["jpg", "jpg:", "jpg:8", "gif:2000", "jpg:99999", "jpg:2000x", "tif:2000", "tif", "jp2:8", "jp2:pyramid", ""],
)
def test_an_unknown_form_lists_the_known_ones(text: str, src: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="jpg:2000, webp:2000, png:2000"):
        parse_access(text)
    with pytest.raises(UsageError, match="or jp2 or tif:pyramid, as large as the picture"):
        parse_access(text)
    assert exit_code("run", str(src), "--out", str(out), "--access", text) == 2


def test_a_form_is_read_in_any_case() -> None:
    assert parse_access("JPG:2000") == AccessForm("jpg", 2000)
    assert str(AccessForm("jpg", 2000)) == "jpg:2000"
    for text in ("TIF:Pyramid", "jp2", "jp2:2000"):
        assert str(parse_access(text)) == text.lower()


# --- for image servers ------------------------------------------------------------------------------------------------


def levels_of(path: Path) -> list[tuple[int, ...]]:
    with tifffile.TiffFile(path) as tif:
        for page in tif.pages:
            assert page.is_tiled and int(page.compression) == 7 and int(page.photometric) == 6, "JPEG in YCbCr"
            assert bool(page.subfiletype) == (page.index > 0), "the first is the picture, the others are reduced"
        return [page.shape for page in tif.pages]


def markers_of(path: Path) -> dict[str, int]:
    """The tile side and the number of levels of a JP2 (ISO/IEC 15444-1, A.5.1 and A.6.1)."""
    data = path.read_bytes()
    size = data.index(b"\xff\x51") + 2
    style = data.index(b"\xff\x52", size) + 2
    return {
        "tile": int.from_bytes(data[size + 20 : size + 24], "big"),
        "levels": data[style + 7],
        "wavelet": data[style + 11],
    }


def test_image_servers_get_pyramids_and_tiled_jp2(masters: Path, out: Path, ink: Path) -> None:
    wide = grey(700, 1100).astype(np.uint16) * 257
    photo.write(masters / "a.tif", Photo("tiff", (Page(wide, orientation=6, description="Box 7", xmp=TURNED),)), "tiff")
    Image.fromarray(grey(1, 1)).save(masters / "dot.png")
    rows = {row.input: row for row in colour(masters, out=out, model=ink, access=SERVED)}
    assert list(rows["a.tif"].access) == [
        "access/tif-pyramid/a.tif",
        "access/jp2/a.tif.jp2",
        "access/jp2-300/a.tif.jp2",
    ]
    assert next(iter(rows["box/b.png"].access)) == "access/tif-pyramid/box/b.png.tif"
    assert levels_of(out / "access/tif-pyramid/a.tif") == [(1100, 700, 3), (550, 350, 3), (275, 175, 3), (138, 88, 3)]
    assert levels_of(out / "access/tif-pyramid/dot.png.tif") == [(1, 1, 3)]
    assert markers_of(out / "access/jp2/a.tif.jp2") == {"tile": 1024, "levels": 5, "wavelet": 0}
    master = to_upright(photo.read(out / "a.tif").pages[0].samples, 6, (0, 1)) / 257
    for name in ("tif-pyramid/a.tif", "jp2/a.tif.jp2"):
        page = photo.read(out / "access" / name).pages[0]
        assert (page.orientation, page.samples.dtype, page.description) == (1, np.uint8, "Box 7")
        assert provenance.is_machine_colored(page.xmp) and page.xmp and b"Orientation>1<" in page.xmp
        assert np.abs(page.samples - master).mean() < 6
    assert photo.read(out / "access/jp2-300/a.tif.jp2").pages[0].samples.shape == (300, 191, 3)


@needs("pyvips")
def test_other_readers_read_every_level_alone(masters: Path, out: Path, ink: Path) -> None:
    import pyvips

    colour(masters, out=out, model=ink, access=SERVED)
    path = out / "access/tif-pyramid/a.tif"
    whole = photo.read(path).pages[0].samples
    for level in range(2):
        seen = pyvips.Image.new_from_file(str(path), page=level).numpy()
        with Image.open(path) as image:
            image.seek(level)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - seen).max() <= 3
        reduced = cv2.resize(whole, seen.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(seen.astype(int) - reduced).mean() < 6
    with Image.open(out / "access/jp2/a.tif.jp2") as image:
        image.reduce = 2
        image.load()
        assert image.size == (75, 100), "a quarter, from the levels of the file"


def test_copies_for_image_servers_are_kept_like_the_others(masters: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    """Made later, verified, resumed, exported; and those of a bag and of a new output follow from the same row."""
    colour(masters, out=out, model=ink)
    colour(masters, out=out, model=ink, access=SERVED)
    rows = provenance.read_rows(out)
    assert len(rows["a.tif"].access) == 3 and verify(out).sound
    before = contents(out)
    colour(masters, out=out, model=ink, access=SERVED)
    assert contents(out) == before
    Image.fromarray(grey(90, 70, seed=5)).save(masters / "a.tif")
    colour(masters, out=out, model=ink)
    assert verify(out).sound and levels_of(out / "access/tif-pyramid/a.tif") == [(90, 70, 3)]
    assert photo.read(out / "access/jp2/a.tif.jp2").pages[0].samples.shape == (90, 70, 3)
    assert export(out, decide(tmp_path / "d.json", out, a="accepted"), tmp_path / "to") == (1, 0, [])
    assert (tmp_path / "to/access/tif-pyramid/a.tif").is_file() and (tmp_path / "to/access/jp2/a.tif.jp2").is_file()


@pytest.mark.parametrize("mark", ["", "auto"])
def test_copies_of_a_scan_that_is_coloured_in_strips(mark: str, src: Path, out: Path, ink: Path) -> None:
    """They are as large as asked, although the run holds a smaller copy, and marked, although the output is not."""
    wide = grey(900, 1200).astype(np.uint16) * 257
    photo.write(src / "a.tif", Photo("tiff", (Page(wide, orientation=3),), compressed=False), "tiff")
    forms = (*SERVED, AccessForm("png", 590))
    shown = {}
    for above in (0.5, 100):
        place = out.with_name(f"out{above}")
        row = colour(src, out=place, model=ink, access=forms, strips_above=above, disclosure=Disclosure(mark=mark))[0]
        assert len(row.access) == 4 and verify(place).sound
        shown[above] = {name: photo.read(place / name).pages[0] for name in row.access}
    for name, page in shown[0.5].items():
        other = shown[100][name]
        assert (page.samples.shape, page.orientation) == (other.samples.shape, other.orientation)
        assert page.description == other.description and provenance.is_machine_colored(page.xmp)
        assert np.abs(page.samples.astype(int) - other.samples).mean() < 3
        corner = to_upright(page.samples, page.orientation, (0, 1))[-12:, -60:].astype(int)
        marked = to_upright(other.samples, other.orientation, (0, 1))[-12:, -60:].astype(int)
        assert np.abs(corner - marked).mean() < 6, "the mark is there in both, or in neither"
    assert shown[0.5]["access/png-590/a.tif.png"].samples.shape == (442, 590, 3)


def test_only_a_jp2_in_full_size_needs_the_whole_scan_in_memory() -> None:
    assert access_copies.need_all_pixels([AccessForm("jp2")])
    assert not access_copies.need_all_pixels([AccessForm("jp2", 2000), AccessForm("tif"), JPG])


@pytest.mark.parametrize("format", ["tiff", "jp2"])
def test_files_for_image_servers_carry_exif_and_iptc(format: str, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9003] = "1999:01:01 00:00:00"
    page = Page(grey(300, 400), exif=tags.tobytes()[6:], iptc=b"\x1c\x02\x05\x00\x03abc")
    photo.write(tmp_path / "a", Photo(format, (page,)), format, tiled=True)
    (written,) = photo.read(tmp_path / "a").pages
    assert written.iptc == page.iptc
    assert written.exif is not None and b"1999:01:01 00:00:00" in written.exif
