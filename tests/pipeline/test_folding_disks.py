"""Disks that take names for the same which differ only in case, or in the form of an accented letter."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.doubles import colour, grey
from support.storage import Outcome, folded, run_with

from archivecolor import files
from archivecolor.errors import PictureError
from archivecolor.files import NameRules
from archivecolor.options import Disclosure
from archivecolor.pipeline import inputs
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, MANIFEST, Manifest, Record, read_rows

PAIRS = ["Photo.JPG", "photo.jpg", "Box/a.png", "box/a.png", "box/other.png", "SCAN.gif", "scan.gif"]


@pytest.fixture
def scans(src: Path) -> list[str]:
    """Pairs of names that differ only in case, no two pictures alike."""
    for i, name in enumerate(PAIRS):
        (src / name).parent.mkdir(exist_ok=True)
        Image.fromarray(grey(seed=i)).save(src / name)
    if len(list(src.rglob("*.*"))) < len(PAIRS):
        pytest.skip("the disk of the tests folds names itself: names that differ only in case cannot be made")
    return PAIRS


@pytest.fixture
def go(misbehaving: Callable[..., Any], src: Path, out: Path, ink: Path) -> Callable[..., Outcome]:
    def run(**options: Any) -> Outcome:
        outcome: Outcome = misbehaving(folded, out, run_with, "", src, out, ink, options)
        return outcome

    return run


def check(outcome: Outcome, out: Path, names: list[str]) -> None:
    """Each input has an output of its own, with its sidecar."""
    assert outcome.error is None
    assert {name: (row.status, row.reason) for name, row in outcome.rows.items()} == dict.fromkeys(names, (DONE, ""))
    outputs = [str(row.output).lower() for row in outcome.rows.values()]
    assert len(set(outputs)) == len(names)
    hashes = {files.sha256(out / name) for name in outputs}
    assert hashes == {row.output_sha256 for row in outcome.rows.values()}
    assert all((out / f"{name}.json").exists() for name in outputs)


def test_names_that_differ_only_in_case_are_both_coloured(
    go: Callable[..., Outcome], misbehaving: Callable[..., Any], scans: list[str], out: Path
) -> None:
    first = go()
    check(first, out, scans)
    assert first.rows["box/other.png"].output == "box/other.png", "only what is in doubt has a tag"
    assert go().rows == first.rows, "a second run finds all of it finished"
    check(go(overwrite=True), out, scans)
    check(go(format="png", disclosure=Disclosure()), out, scans)
    assert misbehaving(folded, out, verify, out).sound


def test_what_an_earlier_version_overwrote_is_made_again(
    go: Callable[..., Outcome], misbehaving: Callable[..., Any], scans: list[str], src: Path, out: Path, ink: Path
) -> None:
    """It gave both the same file, and both rows said `done`."""
    colour(src, out=out, model=ink, disclosure=Disclosure())
    for loser in ("Photo.JPG", "Photo.JPG.json", "Box/a.png", "Box/a.png.json", "SCAN.gif.png", "SCAN.gif.png.json"):
        (out / loser).unlink()
    (out / "Box").rmdir()
    before = read_rows(out)
    after = go().rows
    check(Outcome(after, None, 0), out, scans)
    kept = ("photo.jpg", "box/a.png", "box/other.png", "scan.gif")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}, "what is sound stays"


def test_a_later_picture_does_not_take_the_place_of_a_finished_one(
    go: Callable[..., Outcome], src: Path, out: Path
) -> None:
    """Also where only the content of a file decides its output's name."""
    Image.fromarray(grey(seed=1)).save(src / "photo.jpg")
    Image.fromarray(grey(seed=2)).save(src / "a.gif.png")
    first = go().rows
    Image.fromarray(grey(seed=3)).save(src / "Photo.jpg")
    Image.fromarray(grey(seed=4)).save(src / "A.gif")
    for overwrite in (False, True):
        rows = go(overwrite=overwrite).rows
        assert rows["Photo.jpg"].status == DONE
        for name in ("photo.jpg", "a.gif.png"):
            assert files.sha256(out / str(rows[name].output).lower()) == rows[name].output_sha256
            assert rows[name].output_sha256 == first[name].output_sha256
        assert rows["A.gif"].status == DONE or "is already that of a.gif.png" in rows["A.gif"].reason


# --- names ------------------------------------------------------------------------------------------------------------

LETTERS = st.text(st.sampled_from("aA\u00e9\u00c9e\u0301\u00df."), min_size=1, max_size=3).map(lambda stem: f"x{stem}")
NAMES = st.builds(
    "{}{}{}".format, st.sampled_from(["", "b/", "B/"]), LETTERS, st.sampled_from([".jpg", ".JPG", ".tif"])
)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(NAMES, min_size=1, max_size=10),
    st.sampled_from(["", ".png"]),
    st.sampled_from([NameRules(True, False), NameRules(False, True), NameRules(True, True)]),
)
@example({"x.jpg", "X.jpg", "x.JPG", "X.tif"}, ".png", NameRules(True, False))
def test_no_two_sources_share_a_file_whatever_the_disk_folds(
    names: set[str], new_suffix: str, rules: NameRules
) -> None:
    found = {name: Path("/scans") / name for name in sorted(names)}
    jobs = inputs._jobs(found, Path("/out"), "", new_suffix, rules)
    assert len({rules.key(str(job.target)) for job in jobs}) == len(names)
    plain = inputs._jobs(found, Path("/out"), "", new_suffix)
    alone = {name for name in names if sum(rules.key(name) == rules.key(other) for other in names) == 1}
    assert all(job.tag == "" for job in jobs if job.name in alone)
    assert all(job.tag == "" for job in plain), "elsewhere nothing changes"


def test_tags_do_not_depend_on_what_else_is_there() -> None:
    rules = NameRules(fold_case=True)
    few = inputs._tags(["a.jpg", "A.jpg"], rules)
    many = inputs._tags(["A.JPG", "a.jpg", "b.jpg", "A.jpg", "B.png"], rules)
    assert few.items() <= many.items()
    assert "b.jpg" not in many


def test_the_disk_is_tried_out_only_where_it_matters(src: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(inputs, "name_rules", lambda folder: tried.append(folder) or NameRules(True, True))
    for name in ("a.jpg", "a.tif", "b.jpg"):
        (src / name).touch()
    inputs.find_inputs((str(src),), out, inputs.Search(lambda path: True))
    assert tried == []
    (src / unicodedata.normalize("NFC", "Häuser.jpg")).touch()
    (src / unicodedata.normalize("NFD", "Häuser.jpg")).touch()
    jobs = inputs.find_inputs((str(src),), out, inputs.Search(lambda path: True))
    assert tried == [out]
    assert sorted(bool(job.tag) for job in jobs) == [False, False, False, True, True]


def test_trying_out_leaves_nothing(tmp_path: Path) -> None:
    assert files.name_rules(tmp_path / "not/yet") == files.name_rules(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_another_claims_under_a_name_like_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "name_rules", lambda folder: NameRules(True, True))
    with Manifest(tmp_path) as manifest:
        manifest.begin("é.gif", "/scans/é.gif", tmp_path / "é.png")
        with pytest.raises(PictureError, match="is already that of"):
            manifest.begin("e\u0301.gif", "/scans/e.gif", tmp_path / "E\u0301.PNG", overwrite=True)
        manifest.append(Record("é.gif", "/scans/é.gif", "é.png", DONE))
    assert (tmp_path / MANIFEST).exists()


# --- a real one -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folding_disk() -> Iterator[Path]:
    """An ext4 with a folder that folds case, in a file."""
    place = Path(tempfile.mkdtemp())
    image, mount, folder = place / "image", place / "mount", place / "mount/folds"
    mount.mkdir()
    steps = [
        ["truncate", "-s", "24M", str(image)],
        ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", str(image)],
        ["mount", "-o", "loop", str(image), str(mount)],
        ["mkdir", str(folder)],
        ["chattr", "+F", str(folder)],
    ]
    try:
        for step in steps:
            try:
                done = subprocess.run(step, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                pytest.skip(f"{step[0]} is not here: no real disk that folds case is tested")
            if done.returncode:
                pytest.skip(f"{step[0]} refuses ({done.stderr.strip()[:90]}): no real disk that folds case is tested")
        yield folder
    finally:
        subprocess.run(["umount", str(mount)], capture_output=True, check=False)
        shutil.rmtree(place)


def test_a_real_disk_that_folds_case(folding_disk: Path, scans: list[str], src: Path, ink: Path) -> None:
    assert files.name_rules(folding_disk).fold_case
    for overwrite in (False, True):
        rows = colour(src, out=folding_disk / "out", model=ink, disclosure=Disclosure(), overwrite=overwrite)
        check(Outcome({row.input: row for row in rows}, None, 0), folding_disk / "out", scans)
    assert verify(folding_disk / "out").sound
