"""What a source is, is decided once, when the inputs are found."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, grey, save_grey_tree
from support.observers import Recorder
from support.reels import save_dpx, save_reel

from archivecolor.errors import StoppedError
from archivecolor.options import FilmOptions, RunOptions, Shard
from archivecolor.pipeline import media
from archivecolor.pipeline.inputs import SourceKind
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.provenance import DONE, FAILED


def kinds(src: Path, out: Path, **more: Any) -> dict[str, SourceKind]:
    return {job.name: job.kind for job in find_jobs(RunOptions(inputs=(str(src),), out=out, **more))}


def test_the_kind_of_every_source(src: Path, out: Path) -> None:
    still, moving = Image.fromarray(grey()), [Image.fromarray(grey(seed=i)) for i in range(3)]
    still.save(src / "photo.png")
    still.save(src / "no_suffix", "JPEG")
    still.save(src / "still.gif")
    moving[0].save(src / "moving.gif", save_all=True, append_images=moving[1:])
    (src / "empty.mkv").touch()
    (src / "really_matroska.jpg").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(60))
    save_dpx(src / "one.dpx", 0)
    save_reel(src / "reel", range(4))
    for i in range(2):
        still.save(src / f"scan_{i}.tif")
    assert kinds(src, out) == {
        "photo.png": SourceKind.PHOTO,
        "no_suffix": SourceKind.PHOTO,
        "still.gif": SourceKind.PHOTO,
        "scan_0.tif": SourceKind.PHOTO,
        "scan_1.tif": SourceKind.PHOTO,
        "moving.gif": SourceKind.FILM,
        "empty.mkv": SourceKind.FILM,
        "really_matroska.jpg": SourceKind.FILM,
        "one.dpx": SourceKind.IMAGE_SEQUENCE,
        "reel/reel_%06d.dpx": SourceKind.IMAGE_SEQUENCE,
    }
    sequences = kinds(src, out, film=FilmOptions(sequences=True))
    assert sequences["scan_%d.tif"] is SourceKind.IMAGE_SEQUENCE
    assert [kind.is_film for kind in SourceKind] == [False, True, True]


def test_a_source_that_is_gone_counts_by_its_suffix(tmp_path: Path) -> None:
    assert media.kind_of(tmp_path / "gone.png") is SourceKind.PHOTO
    assert media.kind_of(tmp_path / "gone.mkv") is SourceKind.FILM
    assert media.kind_of(tmp_path / "gone_%04d.png") is SourceKind.IMAGE_SEQUENCE


def test_pipes_are_not_opened(src: Path, out: Path, ink: Path) -> None:
    """Opening one waits for a writer, who may never come."""
    save_grey_tree(src, 1)
    for name in ("pipe.png", "pipe"):
        os.mkfifo(src / name)
    recorder = Recorder()
    (job,) = find_jobs(RunOptions(inputs=(str(src),), out=out), recorder)
    assert sorted(recorder.ignored) == ["pipe", "pipe.png"]
    done, failed = sorted(colour(job.source, src / "pipe.png", out=out, model=ink), key=lambda row: row.status)
    assert (done.status, failed.status) == (DONE, FAILED)
    assert failed.reason == "cannot be read (a device or pipe, not a file)"


def test_only_what_the_run_colours_is_opened(src: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_grey_tree(src, 8)
    opened: list[Path] = []
    kind_of = media.kind_of
    monkeypatch.setattr(media, "kind_of", lambda source: opened.append(source) or kind_of(source))
    options = RunOptions(inputs=(str(src),), out=out, limit=6, shard=Shard(1, 2))
    jobs = find_jobs(options)
    assert sorted(opened) == sorted(job.source for job in jobs)
    assert len(jobs) < 6
    opened.clear()
    with pytest.raises(StoppedError):
        find_jobs(options, Recorder(stop=lambda: True))
    assert opened == []
    stops = iter([False] * 10)  # while the folders are searched
    assert len(find_jobs(options, Recorder(stop=lambda: next(stops, True)))) == len(jobs)
    assert len(opened) < len(jobs) + 10


def test_the_kind_travels_with_the_job(src: Path, out: Path) -> None:
    save_dpx(src / "a.dpx", 0)
    (job,) = find_jobs(RunOptions(inputs=(str(src),), out=out))
    assert pickle.loads(pickle.dumps(job)) == job
    assert job.kind is SourceKind.IMAGE_SEQUENCE


def test_a_file_without_a_suffix_that_cannot_be_read_has_a_row(src: Path, out: Path, ink: Path, monkeypatch) -> None:
    """It may be a picture; an unreadable text file is none."""
    save_grey_tree(src, 2)
    for name in ("scan0001", "notes.txt"):
        (src / name).write_bytes(b"x" * 100)
    true = Path.open

    def answer(path: Path, *rest: Any, **more: Any) -> Any:
        if path.name in ("scan0001", "notes.txt"):
            raise OSError(errno.EIO, "Input/output error")
        return true(path, *rest, **more)

    monkeypatch.setattr(Path, "open", answer)
    rows = {row.input: row for row in colour(src, out=out, model=ink)}
    assert rows["scan0001"].status == FAILED
    assert "Input/output error" in rows["scan0001"].reason
    assert "notes.txt" not in rows
    assert sum(row.status == DONE for row in rows.values()) == 2


def test_a_foreign_file_is_opened_once(src: Path, monkeypatch) -> None:
    (src / "notes.txt").write_text("not a picture")
    opened: list[Path] = []
    true = Path.open

    def count(path: Path, *rest: Any, **more: Any) -> Any:
        opened.append(path)
        return true(path, *rest, **more)

    monkeypatch.setattr(Path, "open", count)
    assert not media.is_input(src / "notes.txt")
    assert opened == [src / "notes.txt"]
