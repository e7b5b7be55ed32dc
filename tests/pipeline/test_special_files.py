"""Nothing but a regular file is ever opened: a pipe without a writer would wait for ever, a file of /proc never end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, grey, save_grey_tree
from support.observers import Recorder
from support.runs import by_name

from archivecolor import files, film, photo, provenance, weights
from archivecolor.errors import ArchivecolorError, NoInputError, OutputError, PictureError, UsageError, WeightsError
from archivecolor.film import shots
from archivecolor.imaging import watermark
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Search, find_inputs
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.pipeline.reference_palette import read_palette
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, Manifest, decisions, locks, ours, sidecar_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What opens a pipe waits for ever: after five minutes it is killed instead."""

    def too_long(*_: object) -> None:
        raise TimeoutError("a pipe or a device was opened")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def plant_specials(folder: Path) -> set[str]:
    """Everything that is not a regular file, by pictures' names and others."""
    names = {"pipe.jpg", "pipe", "pipe_0001.png", "socket.tif", "link.jpg", "kernel.png", "loop.gif"}
    for name in ("pipe.jpg", "pipe", "pipe_0001.png"):
        os.mkfifo(folder / name)
    place = Path.cwd()
    os.chdir(folder)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.tif")
    finally:
        os.chdir(place)
    (folder / "link.jpg").symlink_to("pipe.jpg")
    (folder / "kernel.png").symlink_to("/proc/kmsg" if Path("/proc/kmsg").exists() else "pipe")
    (folder / "loop.gif").symlink_to("loop.gif")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        try:
            os.mknod(folder / "zero.png", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            names.add("zero.png")
        except OSError:
            pass  # not even root may, here
    return names


@pytest.mark.parametrize("sequences", [False, True])
def test_in_a_folder_they_are_skipped_and_counted(src: Path, out: Path, ink: Path, sequences: bool) -> None:
    save_grey_tree(src, 2)
    special = plant_specials(src)
    recorder = Recorder()
    options = RunOptions(inputs=(str(src),), out=out)
    jobs = find_jobs(RunOptions(**{**vars(options), "film": type(options.film)(sequences=sequences)}), recorder)
    found = {job.name for job in jobs}
    assert {"box0/00.tif", "box1/01.png"} <= found or sequences
    assert not found & (special - {"loop.gif"}), "a link to itself cannot be read, and its row says so"
    assert special - {"loop.gif"} <= set(recorder.ignored)


def test_named_one_by_one_each_has_a_row_that_says_what_it_is(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 1)
    special = sorted(plant_specials(src))
    rows = by_name(colour(*(src / name for name in special), src / "box0/00.tif", out=out, model=ink))
    assert len(rows) == len(special) + 1
    failed = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert failed.keys() == set(special)
    assert {name for name, reason in failed.items() if "a device or pipe, not a file" in reason} >= set(special) - {
        "loop.gif"
    }
    assert rows["box0/00.tif"].status == DONE


def test_proc_and_sys_are_not_walked(tmp_path: Path, out: Path) -> None:
    if not files.is_special(Path("/proc/version")):
        pytest.skip("there is no /proc here: its files go untested")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/system").symlink_to("/proc")
    Image.fromarray(grey()).save(tmp_path / "src/a.png")
    ignored: list[Path] = []
    jobs = find_inputs((str(tmp_path / "src"),), out, Search(lambda path: True, ignored=ignored.append))
    assert [job.name for job in jobs] == ["a.png"]
    assert ignored == [tmp_path / "src/system"]
    with pytest.raises(OSError, match="not a file"):
        files.sha256(Path("/proc/version"))


OPENERS: dict[str, tuple[Callable[[Path], Any], type[Exception]]] = {
    "list": (lambda pipe: find_inputs((f"@{pipe}",), pipe.parent / "out", Search(lambda path: True)), NoInputError),
    "palette": (read_palette, UsageError),
    "decisions": (lambda pipe: decisions.read(pipe, "--redo"), UsageError),
    "cuts": (shots.read_cuts, UsageError),
    "font": (lambda pipe: watermark.check_font("a", pipe), UsageError),
    "photograph": (photo.read, PictureError),
    "hash": (files.sha256, OSError),
}


@pytest.mark.parametrize("name", OPENERS)
def test_a_pipe_in_the_place_of_a_file_is_an_error(pipe: Path, name: str) -> None:
    opener, error = OPENERS[name]
    with pytest.raises(error, match="a device or pipe, not a file"):
        opener(pipe)
    if name == "list":
        with pytest.raises(NoInputError, match="give it on standard input"):
            opener(pipe)


def test_a_pipe_is_neither_picture_nor_film_nor_ours(pipe: Path) -> None:
    for answer in (photo.is_picture, film.is_film, provenance.is_sidecar, ours.is_ours):
        assert not answer(pipe), answer


@pytest.mark.parametrize("name", [MANIFEST, LOCK, "manifest.1-of-2.jsonl"])
def test_a_pipe_in_the_output_folder_is_named(src: Path, out: Path, ink: Path, name: str) -> None:
    save_grey_tree(src, 1)
    out.mkdir()
    os.mkfifo(out / name)
    with pytest.raises(OutputError, match=r"device or pipe"):
        colour(src, out=out, model=ink)
    assert not locks.is_running(out)
    if name != LOCK:
        with pytest.raises(ArchivecolorError):
            verify(out)


def test_an_output_folder_below_one_with_a_pipe_for_a_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MANIFEST)
    with Manifest(tmp_path / "out"):
        pass


@pytest.mark.parametrize("name", [weights.CARD, weights.TENSORS])
def test_weights_that_are_a_pipe(tmp_path: Path, ink: Path, name: str) -> None:
    (ink / name).unlink()
    os.mkfifo(ink / name)
    with pytest.raises(WeightsError, match="a device or pipe, not a file"):
        weights.check(ink)


@pytest.mark.parametrize("what", ["pipe", "folder", "dangling link"])
@pytest.mark.parametrize("beside", [False, True])
def test_what_lies_in_the_place_of_an_output_stays(out: Path, what: str, beside: bool) -> None:
    out.mkdir()
    place = sidecar_of(out / "a.png") if beside else out / "a.png"
    if what == "pipe":
        os.mkfifo(place)
    elif what == "folder":
        place.mkdir()
    else:
        place.symlink_to(out / "nowhere")
    with Manifest(out, sidecars=True) as manifest, pytest.raises(PictureError, match="not made by this program"):
        manifest.begin("a.png", "/scans/a.png", out / "a.png")
    assert os.path.lexists(place)


def test_a_folder_nested_deeper_than_the_stack_is_coloured_and_verified(tmp_path: Path, ink: Path) -> None:
    depth = 1050
    root, here = tmp_path / "s", Path.cwd()
    root.mkdir()
    deep = Path(*["d"] * depth)
    try:
        os.chdir(root)
        for _ in range(depth):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
        Image.fromarray(grey()).save("a.png")
    finally:
        os.chdir(here)
    try:
        (row,) = colour(root, out=tmp_path / "o", model=ink)
        assert (row.status, row.reason) == (DONE, "")
        assert Path(row.output or "").parent == deep
        assert verify(tmp_path / "o").sound
    finally:
        subprocess.run(["rm", "-rf", root, tmp_path / "o"], check=True)
