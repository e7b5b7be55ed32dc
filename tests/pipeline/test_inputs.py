"""jobs: every picture is found once, has its own output, and no output touches a source."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archivecolor.errors import NoInputError, OutputError, StoppedError
from archivecolor.pipeline import inputs as inputs_module
from archivecolor.pipeline.inputs import Job

KINDS = {".jpg", ".tif", ".png", ".gif", ".jpeg"}


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in KINDS


def find(*inputs: str | Path, out: Path, suffix: str = "", new_suffix: str = "") -> list[Job]:
    return inputs_module.find_inputs(
        [os.fspath(text) for text in inputs], out, inputs_module.Search(is_picture), suffix, new_suffix
    )


def plant(root: Path, *names: str) -> list[Path]:
    made = [root / name for name in names]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
    return made


def below(root: Path, targets: Iterable[Job]) -> list[str]:
    return [job.target.relative_to(root).as_posix() for job in targets]


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_folder_is_mirrored(src: Path, out: Path) -> None:
    plant(src, "a.jpg", "box 1/b.tif", "box 1/deep/c.PNG", "box 1/notes.txt", ".hidden.jpg", ".thumbs/d.jpg")
    found = find(src, out=out)
    assert [job.name for job in found] == ["a.jpg", "box 1/b.tif", "box 1/deep/c.PNG"]
    assert below(out, found) == ["a.jpg", "box 1/b.tif", "box 1/deep/c.PNG"]
    assert [job.source for job in found] == [src / job.name for job in found]
    assert not out.exists()


def test_the_order_is_always_the_same(src: Path, out: Path) -> None:
    plant(src, *(f"{i % 3}/{i * 7919 % 101}.jpg" for i in range(40)))
    names = [job.name for job in find(src, out=out)]
    assert names == [job.name for job in find(src, out=out)]
    assert names == sorted(names, key=lambda name: name.split("/"))


def test_suffixes(src: Path, out: Path) -> None:
    plant(src, "a.b.jpg", "c.tif")
    assert below(out, find(src, out=out, suffix="_color")) == ["a.b_color.jpg", "c_color.tif"]
    assert below(out, find(src, out=out, suffix="_color", new_suffix=".png")) == ["a.b_color.png", "c_color.png"]


def test_several_folders_keep_apart(tmp_path: Path, out: Path) -> None:
    plant(tmp_path, "x/scans/1.jpg", "y/scans/1.jpg", "z/1.jpg")
    found = find(tmp_path / "x/scans", tmp_path / "y/scans", tmp_path / "z", out=out)
    assert below(out, found) == ["scans/1.jpg", "scans-2/1.jpg", "z/1.jpg"]


def test_several_folders_keep_apart_from_one_that_is_called_like_a_number(tmp_path: Path, out: Path) -> None:
    plant(tmp_path, "x/scans-2/1.jpg", "y/scans/1.jpg", "z/scans/1.jpg")
    found = find(tmp_path / "x/scans-2", tmp_path / "y/scans", tmp_path / "z/scans", out=out)
    assert len({job.target for job in found}) == 3


def test_the_same_folder_twice_is_once(src: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(src, "a.jpg")
    monkeypatch.chdir(src.parent)
    assert below(out, find(src, "src", "./src/", src / ".." / "src", out=out)) == ["a.jpg"]


def test_single_files_count_whatever_their_suffix(src: Path, out: Path) -> None:
    one, two = plant(src, "scan", "deep/scan.jpg")
    assert below(out, find(one, two, out=out)) == ["scan", "deep/scan.jpg"]


def test_a_file_given_beside_its_folder_is_once(src: Path, out: Path) -> None:
    (path,) = plant(src, "a.jpg")
    assert below(out, find(src, path, out=out)) == ["a.jpg"]


def test_a_file_given_beside_a_folder_above_it_is_once(src: Path, out: Path) -> None:
    (path,) = plant(src, "deep/a.jpg")
    assert below(out, find(src, path, out=out)) == ["deep/a.jpg"]


def test_no_single_file_vanishes_behind_one_of_a_folder(tmp_path: Path, out: Path) -> None:
    plant(tmp_path, "src/a.jpg", "src/box/a.jpg", "else/box/a.jpg", "third/box/a.jpg")
    named = ["src", "else/box/a.jpg", "third/box/a.jpg"]
    found = find(*(tmp_path / name for name in named), out=out)
    assert {job.source for job in found} == set(tmp_path.rglob("*.jpg"))
    assert len({job.target for job in found}) == len({job.name for job in found}) == 4
    found = find(*(tmp_path / name for name in named[:2]), out=out)
    assert {job.source.relative_to(tmp_path).parts[0] for job in found} == {"src", "else"}
    assert len(found) == 3


def test_links_that_lead_back_end(src: Path, out: Path) -> None:
    plant(src, "a.jpg", "box/b.jpg")
    (src / "box" / "up").symlink_to(src)
    (src / "self").symlink_to(src / "self")
    (src / "gone.jpg").symlink_to(src / "nowhere.jpg")
    names = [job.name for job in find(src, out=out)]
    assert names == ["a.jpg", "box/b.jpg", "gone.jpg"]


def test_two_links_that_lead_to_each_other_end(src: Path, out: Path) -> None:
    plant(src, "one/a.jpg", "two/b.jpg")
    (src / "one" / "there").symlink_to(src / "two")
    (src / "two" / "back").symlink_to(src / "one")
    names = {job.name for job in find(src, out=out)}
    assert {"one/a.jpg", "two/b.jpg", "one/there/b.jpg"} <= names
    assert len(names) < 10


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_goes_on(
    src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(src, "a.jpg", "locked/b.jpg", "open/c.jpg")
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [job.name for job in find(src, out=out)] == ["a.jpg", "locked", "open/c.jpg"]
    with pytest.raises(NoInputError, match="Permission denied"):
        find(src / "locked", out=out)


def test_a_linked_folder_is_followed(src: Path, out: Path, tmp_path: Path) -> None:
    plant(tmp_path, "elsewhere/a.jpg")
    (src / "link").symlink_to(tmp_path / "elsewhere")
    assert below(out, find(src, out=out)) == ["link/a.jpg"]


# --- patterns and lists -----------------------------------------------------------------------------------------------


def test_patterns(src: Path, out: Path) -> None:
    plant(src, "a1.jpg", "a2.jpg", "b.jpg", "deep/a3.jpg")
    assert below(out, find(f"{src}/a*.jpg", out=out)) == ["a1.jpg", "a2.jpg"]
    assert below(out, find(f"{src}/**/a*.jpg", out=out)) == ["a1.jpg", "a2.jpg", "deep/a3.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(src: Path, out: Path) -> None:
    odd, *_ = plant(src, "a[1].jpg", "a1.jpg", "@list.jpg")
    assert below(out, find(odd, out=out)) == ["a[1].jpg"]


ODD_NAMES = ["line\u2028break.jpg", "next\x85line.jpg", "tab\tand\x0bfeed\x0c.jpg", "non\udcffutf.jpg", " space .jpg"]


def test_lists(src: Path, out: Path, tmp_path: Path) -> None:
    made = plant(src, "a.jpg", *ODD_NAMES)
    listing = tmp_path / "list.txt"
    listing.write_bytes(b"\n".join(os.fsencode(path) for path in made) + b"\n\n")
    assert {job.source for job in find(f"@{listing}", out=out)} == set(made)


def test_lists_from_windows(src: Path, out: Path, tmp_path: Path) -> None:
    made = plant(src, "a.jpg", "b.jpg")
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(os.fsencode(path) for path in made))
    assert {job.source for job in find(f"@{tmp_path / 'list.txt'}", out=out)} == set(made)


def test_a_list_on_standard_input(src: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plant(src, "a.jpg", *ODD_NAMES)
    content = io.BytesIO(b"\n".join(os.fsencode(path) for path in made))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8", errors="strict"))
    assert {job.source for job in find("-", out=out)} == set(made)


def test_what_is_missing_in_a_list_is_a_picture_whose_row_will_say_so(src: Path, out: Path, tmp_path: Path) -> None:
    (path,) = plant(src, "a.jpg")
    (tmp_path / "list.txt").write_text(f"{path}\n{src / 'gone.jpg'}\n")
    assert {job.source for job in find(f"@{tmp_path / 'list.txt'}", out=out)} == {path, src / "gone.jpg"}


def test_patterns_pass_over_the_results_of_the_last_run(src: Path) -> None:
    plant(src, "a.jpg", "out/a.jpg")
    assert below(src / "out", find(f"{src}/**/*.jpg", out=src / "out")) == ["a.jpg"]


def test_a_folder_inside_another_input_is_done_once(src: Path, out: Path) -> None:
    made = plant(src, "a.jpg", "deep/b.jpg")
    for requested in ((src, src / "deep"), (src / "deep", src)):
        assert sorted(job.source for job in find(*requested, out=out)) == made


@pytest.mark.parametrize("text", ["gone.jpg", "gone/", "gone*.jpg", "@gone.txt"])
def test_what_is_missing_is_named(src: Path, out: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(src, "a.jpg")
    monkeypatch.chdir(src)
    with pytest.raises(NoInputError, match="gone"):
        find("a.jpg", text, out=out)


def test_nothing_found_is_an_error(src: Path, out: Path) -> None:
    plant(src, "notes.txt")
    with pytest.raises(NoInputError, match="src"):
        find(src, out=out)


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_two_formats_of_one_name_become_two_outputs(src: Path, out: Path) -> None:
    plant(src, "a.jpg", "a.tif", "b.tif")
    assert below(out, find(src, out=out, new_suffix=".png")) == ["a.jpg.png", "a.tif.png", "b.png"]
    assert below(out, find(src, out=out)) == ["a.jpg", "a.tif", "b.tif"]


def test_an_output_that_looks_like_a_way_out_is_not_taken(src: Path, out: Path) -> None:
    plant(src, "a.jpg", "a.tif", "a.jpg.png", "a.jpg.png.gif")
    found = find(src, out=out, new_suffix=".png")
    assert len({job.target for job in found}) == 4


@pytest.mark.parametrize("inside", ["", "colour", "box/colour", "../src/colour"])
def test_an_output_folder_in_the_source_is_refused(src: Path, inside: str) -> None:
    plant(src, "a.jpg")
    with pytest.raises(OutputError, match="source folder"):
        find(src, out=src / inside)
    assert [path.name for path in src.iterdir()] == ["a.jpg"]


def test_an_output_folder_in_the_source_is_refused_behind_a_link(src: Path, tmp_path: Path) -> None:
    plant(src, "box/a.jpg")
    (tmp_path / "link").symlink_to(src / "box")
    with pytest.raises(OutputError):
        find(src, out=tmp_path / "link")
    with pytest.raises(OutputError):
        find(tmp_path / "link", out=src / "box" / "colour")


def test_a_source_folder_in_the_output_is_refused(src: Path, tmp_path: Path) -> None:
    plant(src, "a.jpg")
    with pytest.raises(OutputError, match="contains"):
        find(src, out=tmp_path)


@pytest.mark.parametrize("naming", ["file", "pattern", "through a link"])
def test_a_source_is_never_its_own_output(src: Path, tmp_path: Path, naming: str) -> None:
    (path,) = plant(src, "a.jpg")
    (tmp_path / "link").symlink_to(src)
    requested = {"file": path, "pattern": src / "*.jpg", "through a link": tmp_path / "link" / "a.jpg"}[naming]
    with pytest.raises(OutputError, match="the folder of a source"):
        find(requested, out=src)
    with pytest.raises(OutputError, match="the folder of a source"):
        find(requested, out=src, suffix="_color")


def test_nor_are_deeper_folders_of_files_named_by_themselves_written_to(src: Path) -> None:
    made = plant(src, "one/a.jpg", "two/b.jpg")
    for suffix in ("", "_color"):
        with pytest.raises(OutputError, match="the folder of a source"):
            find(*made, out=src, suffix=suffix)


FOLDERS = st.sampled_from(["", "box/", "box/x/", "a.jpg/"])
STEMS = st.sampled_from(["a", "b", "a.jpg", "a.jpg.png", "a_c", "\u00e9", "e\u0301", "a\nb", "\udcff"])
NAMES = st.builds("{}{}{}".format, FOLDERS, STEMS, st.sampled_from(sorted(KINDS)))


@settings(max_examples=50, deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=14), st.sampled_from(["", "_c"]), st.sampled_from(["", ".png", ".jpg"]))
@example({"a.jpg", "a.tif", "a.jpg.png", "a.jpg.png.gif"}, "", ".png")
def test_different_sources_give_different_targets(names: set[str], suffix: str, new_suffix: str) -> None:
    found = {name: Path("/scans") / name for name in sorted(names)}
    made = inputs_module._jobs(found, Path("/colour"), suffix, new_suffix)
    assert {job.name for job in made} == names
    assert len({job.target for job in made}) == len(names)
    assert all(job.target.parent == (Path("/colour") / job.name).parent for job in made)
    assert all(job.target.suffix == (new_suffix or job.source.suffix) for job in made)


PICTURES = ["s/a.jpg", "s/box/a.jpg", "s/box/b.jpg", "t/box/a.jpg", "t/box/b.jpg", "u/box/a.jpg"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["s", "s/box", "t/box", *PICTURES]), min_size=1, max_size=6))
@example(["s", "t/box/a.jpg"])
def test_whatever_is_named_nothing_vanishes(tmp_path: Path, requested: list[str]) -> None:
    everything = plant(tmp_path, *PICTURES)
    found = find(*(tmp_path / name for name in requested), out=tmp_path / "colour")
    wanted = {path for path in everything for name in requested if path.is_relative_to(tmp_path / name)}
    assert {job.source for job in found} == wanted
    assert len({job.target for job in found}) == len({job.name for job in found}) == len(found)


def test_odd_names_are_kept_to_the_byte(src: Path, out: Path) -> None:
    names = [
        "line\nbreak.jpg", "n" * 246 + ".jpg", os.fsdecode(b"non\xff\xfeutf.jpg"), "-dash.jpg", "*?[star].jpg",
        unicodedata.normalize("NFC", "Häuser.jpg"), unicodedata.normalize("NFD", "Häuser.jpg"), "\u202eevil.jpg",
    ]  # fmt: skip
    plant(src, *names)
    found = find(src, out=out)
    assert {job.name for job in found} == set(names)
    assert {job.target.name for job in found} == set(names)


# --- what is skipped --------------------------------------------------------------------------------------------------


def search(root: Path, out: Path, **more: Any) -> tuple[list[str], list[str]]:
    """The names of the sources, and of what was skipped."""
    ignored: list[Path] = []
    jobs = inputs_module.find_inputs(
        (str(root),), out, inputs_module.Search(is_picture, ignored=ignored.append, **more)
    )
    return [job.name for job in jobs], [path.relative_to(root).as_posix() for path in ignored]


def test_folders_of_the_system_are_skipped_unless_included(src: Path, out: Path) -> None:
    plant(src, "p.jpg", "@eaDir/p.jpg/thumb.jpg", "box/#recycle/q.jpg", "__MACOSX/p.jpg", "box/r.jpg")
    names, ignored = search(src, out)
    assert names == ["box/r.jpg", "p.jpg"]
    assert sorted(ignored) == ["@eaDir", "__MACOSX", "box/#recycle"]
    names, ignored = search(src, out, include=("#recycle",))
    assert names == ["box/#recycle/q.jpg", "box/r.jpg", "p.jpg"]


def test_names_and_paths_can_be_excluded(src: Path, out: Path) -> None:
    plant(src, "a.jpg", "a_thumb.jpg", "1920/b.jpg", "1920/keep/c.jpg", "x/1920/d.jpg")
    assert search(src, out, exclude=("*_thumb.jpg",))[0] == ["1920/b.jpg", "1920/keep/c.jpg", "a.jpg", "x/1920/d.jpg"]
    assert search(src, out, exclude=("1920",))[0] == ["a.jpg", "a_thumb.jpg"]
    assert search(src, out, exclude=("1920/*",))[0] == ["a.jpg", "a_thumb.jpg", "x/1920/d.jpg"]
    assert search(src, out, exclude=("*.jpg",), include=("b.jpg",))[0] == ["1920/b.jpg"]


def test_folders_nested_deeper_than_the_stack(tmp_path: Path, out: Path) -> None:
    folder, depth = tmp_path / "deep", sys.getrecursionlimit() + 200
    folder.mkdir()
    before = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir("d")  # noqa: PTH102  (a whole path would be too long for the system)
            os.chdir("d")
    finally:
        os.chdir(before)
    plant(folder, "a.jpg")
    try:
        names, _ = search(folder, out)
        assert "a.jpg" in names
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_stop_is_heard_while_folders_are_searched(src: Path, out: Path) -> None:
    plant(src, *(f"{i}/a.jpg" for i in range(20)))
    requested: list[int] = []

    def stop() -> bool:
        requested.append(1)
        return len(requested) > 5

    with pytest.raises(StoppedError, match="nothing was done yet"):
        search(src, out, stop_requested=stop)
    assert len(requested) == 6
