"""A finished folder as a CSV for a catalogue."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.doubles import colour, grey
from support.jpegs import iptc, jpeg
from support.review_data import decide

from archivecolor import photo, provenance
from archivecolor.errors import NoInputError, OutputError, UsageError
from archivecolor.options import CatalogueKind, ExportOptions
from archivecolor.photo import Page, Photo
from archivecolor.preservation import catalogue, own_words

PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt>'
    '<rdf:li xml:lang="x-default">Die alte Mühle</rdf:li></rdf:Alt></dc:title><dc:rights><rdf:Alt>'
    '<rdf:li xml:lang="x-default">Stadtarchiv</rdf:li></rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>'
).encode()


def rows_of(options: ExportOptions) -> tuple[list[dict[str, str]], catalogue.Written]:
    written = catalogue.write(options)
    assert options.catalogue is not None
    with options.catalogue.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file)), written


def test_every_picture_has_a_row_with_what_is_known(finished: Path, tmp_path: Path) -> None:
    manifest = provenance.read_rows(finished)
    name, row = next((name, row) for name, row in manifest.items() if row.output)
    decide(finished / "decisions.json", finished, **{Path(name).stem: "accepted"})
    made, written = rows_of(ExportOptions(out=finished, catalogue=tmp_path / "c.csv"))
    assert (len(made), written.rows, written.left_out) == (5, 5, 0)
    by_original = {one["original"]: one for one in made}
    one = by_original[name]
    assert one["identifier"] == one["dcterms:title"] == Path(name).stem
    assert (one["coloured"], one["coloured_sha256"]) == (row.output, row.output_sha256)
    assert (one["original_sha256"], one["weights_sha256"]) == (row.source_sha256, row.weights_sha256)
    assert (one["decision"], one["status"]) == ("accepted", "done")
    assert "The colours are invented" in one["dcterms:provenance"]
    assert row.source_sha256 in one["dcterms:provenance"]
    assert one["finished"].startswith("20") and one["software"].startswith("archivecolor ")
    assert one["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    broken = by_original["broken.png"]
    assert (broken["status"], broken["coloured"], broken["dcterms:provenance"]) == ("failed", "", "")
    assert "truncated" in broken["reason"] or "damaged" in broken["reason"] or "read" in broken["reason"]


def test_a_decision_about_an_earlier_output_does_not_count(finished: Path, tmp_path: Path) -> None:
    name = next(name for name, row in provenance.read_rows(finished).items() if row.output)
    chosen = decide(tmp_path / "d.json", finished, **{Path(name).stem: "rejected"})
    options = ExportOptions(
        out=finished, accepted=chosen, catalogue=tmp_path / "c.csv", catalogue_for=CatalogueKind.OMEKA_S
    )
    made, written = rows_of(options)
    assert (len(made), written.left_out) == (3, 2), "the rejected one and the broken one"
    sha256 = provenance.read_rows(finished)[name].output_sha256
    chosen.write_text(chosen.read_text().replace(sha256, "0" * 64))
    (tmp_path / "c.csv").unlink()
    assert len(rows_of(options)[0]) == 4


@pytest.mark.parametrize("base", ["https://archive.example/color/", "/srv/atom/color"])
def test_atom_gets_the_columns_of_its_template(finished: Path, tmp_path: Path, base: str) -> None:
    options = ExportOptions(out=finished, catalogue=tmp_path / "c.csv", catalogue_for=CatalogueKind.ATOM, base=base)
    made, _ = rows_of(options)
    text = (tmp_path / "c.csv").read_bytes()
    header = text.partition(b"\n")[0].decode()
    assert header.startswith("legacyId,parentId,qubitParentSlug,accessionNumber,identifier,title,levelOfDescription,")
    assert header.endswith(",eventActors,eventActorHistories,culture")
    assert b"\r" not in text
    one = made[0]
    place = f"{base.rstrip('/')}/{provenance.read_rows(finished)[one['legacyId']].output}"
    column, other = (
        ("digitalObjectURI", "digitalObjectPath")
        if base.startswith("https")
        else (
            "digitalObjectPath",
            "digitalObjectURI",
        )
    )
    assert (one[column], one[other], one["levelOfDescription"], one["culture"]) == (place, "", "Item", "en")
    assert one["publicationStatus"] == "Draft"


def test_omeka_s_maps_every_column_but_the_file_by_itself(finished: Path, tmp_path: Path) -> None:
    options = ExportOptions(out=finished, catalogue=tmp_path / "c.csv", catalogue_for=CatalogueKind.OMEKA_S)
    made, _ = rows_of(options)
    assert {name.partition(":")[0] for name in made[0]} == {"dcterms", "file"}


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp"])
def test_title_and_rights_are_the_original_s_own(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    samples = np.repeat(grey(32, 32)[..., None], 3, axis=2)
    photo.write(path, Photo(format, (Page(samples, xmp=PACKET),)), format)
    assert own_words.read(path) == ("Die alte Mühle", "Stadtarchiv")


def test_title_and_rights_may_stand_in_iptc_and_nothing_is_invented(tmp_path: Path) -> None:
    records = iptc(5, b"Muehle") + iptc(116, "© Stadtarchiv".encode("cp1252"))
    page = Page(grey(32, 32), iptc=records)
    photo.write(tmp_path / "a.jpg", Photo("jpeg", (page,)), "jpeg")
    assert own_words.read(tmp_path / "a.jpg") == ("Muehle", "© Stadtarchiv")
    (tmp_path / "b.jpg").write_bytes(jpeg())
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    assert own_words.read(tmp_path / "b.jpg") == own_words.read(tmp_path / "c.jpg") == ("", "")
    assert own_words.read(tmp_path / "missing.jpg") == ("", "")


def test_names_that_spreadsheets_would_run_and_names_of_raw_bytes(
    src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    for name in ("=1+2.png", "-5.png", "@sum.png"):
        Image.fromarray(grey(32, 32)).save(src / name)
    colour(src, out=out, model=ink)
    made, _ = rows_of(ExportOptions(out=out, catalogue=tmp_path / "c.csv", excel=True))
    assert {one["identifier"] for one in made} == {"'=1+2", "-5", "'@sum"}
    assert (tmp_path / "c.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_identifiers_follow_a_pattern_and_repeated_ones_are_named(
    src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    for folder in ("box1", "box2"):
        (src / folder).mkdir()
        Image.fromarray(grey(32, 32)).save(src / folder / "01.png")
    Image.fromarray(grey(32, 32)).save(src / "02.png")
    colour(src, out=out, model=ink)
    result = call("export", str(out), "--catalogue", str(tmp_path / "c.csv"))
    assert result.exit_code == 0
    assert "1 identifiers stand for several pictures (01: 2); --identifier '{folder}/{stem}'" in result.output
    with pytest.raises(OutputError, match="exists; choose another name, or use --overwrite"):
        catalogue.write(ExportOptions(out=out, catalogue=tmp_path / "c.csv"))
    options = ExportOptions(out=out, catalogue=tmp_path / "c.csv", identifier="MS 7, {folder}: {name}", overwrite=True)
    made, written = rows_of(options)
    assert {one["identifier"] for one in made} == {"MS 7, box1: 01.png", "MS 7, box2: 01.png", "MS 7, : 02.png"}
    assert not written.repeated


@pytest.mark.parametrize(("pattern", "words"), [("{shelf}", "no field {shelf}"), ("{stem", "expected '}'")])
def test_an_unknown_pattern_is_refused(finished: Path, tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"known are \{stem\}, \{name\}, \{folder\}, \{path\}") as caught:
        catalogue.write(ExportOptions(out=finished, catalogue=tmp_path / "c.csv", identifier=pattern))
    assert words in str(caught.value)
    assert not (tmp_path / "c.csv").exists()


def test_nothing_to_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name --to with --accepted, or --catalogue"):
        ExportOptions(out=tmp_path)
    with pytest.raises(UsageError, match="--to: needs --accepted"):
        ExportOptions(out=tmp_path, to=tmp_path / "x")
    with pytest.raises(NoInputError, match="no manifest"):
        catalogue.write(ExportOptions(out=tmp_path, catalogue=tmp_path / "c.csv"))
