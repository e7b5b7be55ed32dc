"""Films that are damaged, killed anywhere, and taken up again."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.coloured_films import VARIABLE, colour_film
from support.doubles import colour
from support.films import facts, save_film
from support.needs import av, needs
from support.observers import Recorder, drive

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.film import muxer, work_folder
from archivecolor.options import ColorOptions, FilmOptions, RunOptions
from archivecolor.pipeline.film import color_film
from archivecolor.preservation import bag, verify
from archivecolor.provenance import DONE, FAILED

# --- damage -----------------------------------------------------------------------------------------------------------


def spoiled(path: Path, numbers: tuple[int, ...]) -> Path:
    """The same film with the bytes of some picture packets replaced by rubbish."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        places = [(p.pos, p.size) for p in film.demux(stream) if p.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        start, size = places[number]
        content[start : start + size] = b"\x00\x00\x00\x01\x09" + b"\xff" * (size - 5)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("on_bad_frame", "stand_in"), [("repeat", 4), ("grey", None)])
def test_frames_that_cannot_be_decoded_are_replaced_and_counted(
    src: Path, out: Path, ink: Path, on_bad_frame: str, stand_in: int | None
) -> None:
    source = save_film(src / "reel.mp4", VARIABLE, sound=True, g="1", bf="0")
    whole = facts(source)
    spoiled(source, (5, 6, 12))
    row = colour_film(source, out, ink, film=FilmOptions(master=True, on_bad_frame=on_bad_frame))
    after = facts(out / "reel.mp4.mkv")
    assert row.status == DONE, row.reason
    assert row.film["bad_frames"] == 3
    assert "3 frames could not be decoded" in row.notes[0]
    assert len(after.pts) == len(VARIABLE)
    assert [s[0] for s in after.sound] == [s[0] for s in whole.sound]
    expected = whole.luma[stand_in] if stand_in is not None else np.full_like(whole.luma[0], 128)
    assert np.array_equal(after.luma[5], expected)
    assert np.array_equal(after.luma[6], expected)
    assert np.array_equal(after.luma[7], whole.luma[7])


def test_of_a_truncated_film_comes_out_what_is_there(src: Path, out: Path, ink: Path) -> None:
    source = save_film(src / "reel.mp4", g="1")
    with av.open(str(source)) as film, av.open(str(src / "cut.mkv"), "w") as made:
        twin = made.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = twin
                made.mux(packet)
    source.unlink()
    cut = src / "cut.mkv"
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    row = colour_film(cut, out, ink)
    assert row.status == FAILED
    assert "what is there was coloured" in row.reason
    assert 3 < len(facts(out / "cut.mkv").pts) < 24
    made_at = (out / "cut.mkv").stat().st_mtime_ns
    assert colour_film(cut, out, ink) == row
    assert (out / "cut.mkv").stat().st_mtime_ns == made_at


@needs("av")
def test_what_is_no_film_is_a_row_with_a_reason(src: Path, out: Path, ink: Path) -> None:
    (src / "empty.mkv").write_bytes(b"")
    (src / "rubbish.mp4").write_bytes(bytes(range(256)) * 40)
    rows = colour(src, out=out, model=ink)
    assert [row.status for row in rows] == [FAILED, FAILED]
    assert all("not a film that FFmpeg can read" in row.reason for row in rows)


# --- killed and taken up again ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


@needs("av", "scenedetect")
def test_killed_at_any_write_and_taken_up_again_the_film_is_the_same(
    src: Path, tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_film(src / "reel.mp4", sorted({*range(0, 44 * 20, 20), 33}), cuts=(13, 30), sound=True)
    monkeypatch.setattr("archivecolor.pipeline.film.color_film.LONGEST_SEGMENT", 8)
    colour_film(source, tmp_path / "never", ink)
    never = (tmp_path / "never/reel.mp4").read_bytes()
    own = work_folder.WorkFolder.save
    left = [0]

    def dies(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        own(*args)

    out = tmp_path / "out"
    monkeypatch.setattr(work_folder.WorkFolder, "save", dies)
    for more in (0, 2, 3):
        left[0] = more
        with pytest.raises(Killed):
            colour_film(source, out, ink, workers=1)
        assert not (out / "reel.mp4").exists()
        assert len(list(out.glob(".*archivecolor-film/*.packets"))) >= more
    left[0] = 1000
    assert colour_film(source, out, ink).status == DONE
    assert (out / "reel.mp4").read_bytes() == never
    assert not list(out.glob(".*archivecolor-film"))


@needs("av", "scenedetect")
def test_asked_to_stop_it_leaves_what_it_has_and_goes_on_from_there(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archivecolor.options import ColorOptions, RunOptions

    save_film(src / "reel.mp4", list(range(0, 40 * 20, 20)))
    monkeypatch.setattr("archivecolor.pipeline.film.color_film.LONGEST_SEGMENT", 8)
    options = RunOptions(
        inputs=(str(src),), out=out, model=str(ink), color=ColorOptions(size=64), device="cpu", precision="fp32"
    )
    stopped = Recorder()
    stopped.stop = lambda: any(p.stage == "colouring" and p.done_frames >= 16 for p in stopped.films)
    (row,) = drive(options, stopped)
    assert row.status == FAILED
    assert "interrupted after 16 of 40 frames" in row.reason
    resumed = Recorder()
    (row,) = drive(options, resumed)
    assert row.status == DONE
    assert [p.done_frames for p in resumed.films if p.stage == "colouring"] == [16, 24, 32]
    last = resumed.films[-1]
    assert (last.stage, last.done_frames, last.total_frames) == ("joining", 40, 40)


def test_a_film_that_is_written_to_while_it_is_coloured_is_not_said_to_be_done(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, join = save_film(src / "reel.mkv", range(0, 400, 40)), muxer.join

    def join_and_change(*args: Any) -> Any:
        made = join(*args)
        source.write_bytes(source.read_bytes() + b"more")
        return made

    monkeypatch.setattr(muxer, "join", join_and_change)
    row = colour_film(source, out, ink)
    assert row.status == FAILED and "written to" in row.reason
    assert not (out / "reel.mkv").exists()


def test_a_full_disk_is_no_fault_of_the_film(src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_film(src / "reel.mkv", range(0, 400, 40))

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(muxer, "join", full)
        with pytest.raises(OutputError, match=r"reel\.mkv.*free some space"):
            colour_film(source, out, ink)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OutputError, match="free some space"):
            colour_film(source, out, ink, film=FilmOptions(steady=0.5))
    assert colour_film(source, out, ink).status == DONE


@needs("av", "scenedetect", "bagit")
def test_pieces_of_a_film_are_seen_by_verify_and_bag_and_outlive_no_run(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mkv", range(0, 8000, 40), cuts=(90,))
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 203

    color = ColorOptions(size=64)
    options = RunOptions(
        inputs=(str(src),),
        out=out,
        model=str(ink),
        color=color,
        device="cpu",
        precision="fp32",
        film=FilmOptions(every="1"),
    )
    drive(options, Recorder(stop=stop))
    assert [f for f in verify.verify(out).findings if "not finished" in f.detail], "there are pieces"
    with pytest.raises(OutputError, match="not finished"):
        bag.bag(out, out.with_name("bag"))
    drive(replace(options, suffix="_c"))
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert verify.verify(out).sound


def test_a_truncated_film_is_left_alone_by_the_next_run(src: Path, out: Path, ink: Path) -> None:
    source = save_film(src / "reel.mkv", range(0, 4000, 40))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    first = colour_film(source, out, ink, mirror=True)
    assert first.status == FAILED and first.output
    assert first.notes[-1] == "--mirror is for photographs"
    assert colour_film(source, out, ink, mirror=True) == first


# --- errors of the system are no damage -------------------------------------------------------------------------------


def test_a_read_error_while_sound_is_copied_fails_the_film(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage ends the sound; an error of the disk ends the work on the film, and the next run does it."""
    source = save_film(src / "reel.mp4", VARIABLE, sound=True)
    true = muxer.opened

    class Failing:
        """A container whose packets end with an error of the disk."""

        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, streams: Any) -> Any:
            yield next(iter(self._container.demux(streams)))
            raise av.FFmpegError(errno.EIO, "Input/output error", str(source))

    @contextmanager
    def opened(path: Path) -> Any:
        with true(path) as container:
            yield Failing(container)

    with monkeypatch.context() as patch:
        patch.setattr(muxer, "opened", opened)
        row = colour_film(source, out, ink)
    assert row.status == FAILED
    assert "the disk reports a read error" in row.reason
    assert not (out / "reel.mp4").exists()
    assert colour_film(source, out, ink).status == DONE
    assert len(facts(out / "reel.mp4").sound) == len(facts(source).sound)


def test_a_survey_that_ends_early_is_made_again(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error that passes looks like the end of the file."""
    source = save_film(src / "reel.mkv", range(0, 400, 40))
    true, calls = color_film.survey_frames, []

    def survey(*args: Any) -> Any:
        calls.append(1)
        result = true(*args)
        if len(calls) > 1:
            return result
        return replace(
            result, pts=result.pts[:4], mean=result.mean[:4], contrast=result.contrast[:4], trouble="truncated"
        )

    monkeypatch.setattr(color_film, "survey_frames", survey)
    row = colour_film(source, out, ink)
    assert (row.status, row.film["frames"], len(calls)) == (DONE, 10, 2)


def test_a_read_error_in_the_survey_is_told_and_not_remembered(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_film(src / "reel.mkv", range(0, 400, 40))

    def survey(*args: Any) -> Any:
        raise files.read_error(OSError(errno.EIO, "Input/output error"))

    with monkeypatch.context() as patch:
        patch.setattr(color_film, "survey_frames", survey)
        assert "read error" in colour_film(source, out, ink).reason
    assert colour_film(source, out, ink).status == DONE


def test_a_second_reading_that_ends_early_is_a_read_error(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg takes an error of the disk for the end of some containers. The file itself is as it was."""
    source = save_film(src / "reel.mkv", range(0, 400, 40))
    with monkeypatch.context() as patch:
        patch.setattr(color_film, "read_frames", lambda *args: iter(()))
        row = colour_film(source, out, ink)
    assert row.status == FAILED
    assert "its disk may be failing" in row.reason
    assert colour_film(source, out, ink).status == DONE
