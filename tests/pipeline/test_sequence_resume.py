"""Films whose frames are files: killed and taken up again, done again where something changed, verified, bagged."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, contents, grey
from support.needs import needs, package
from support.reels import film_of, save_dpx, save_reel

from archivecolor.film import dpx, encoder, image_sequence, work_folder
from archivecolor.options import ColorOptions, Disclosure, FilmOptions, RunOptions
from archivecolor.pipeline import dry_run as planning
from archivecolor.pipeline.film import image_sequence_sink
from archivecolor.preservation import bag, verify
from archivecolor.provenance import DONE, FAILED, decisions
from archivecolor.review import export

# --- kept, killed, checked --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


@needs("scenedetect", "av")
def test_killed_at_any_write_and_taken_up_again_the_reel_is_the_same(
    src: Path, tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = save_reel(src, [*range(20), *range(22, 40)])
    (src / "reel_000008.dpx").write_bytes(b"")  # the first of a segment: its stand-in comes from the one before
    monkeypatch.setattr("archivecolor.pipeline.film.color_film.LONGEST_SEGMENT", 8)
    film_of(pattern, tmp_path / "never", ink)
    never = contents(tmp_path / "never", lambda path: path.name == "manifest.jsonl")
    assert len(never) == 38
    out, left = tmp_path / "out", [0]

    def mortal(own: Any) -> Any:
        def dies(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return own(*args, **kwargs)

        return dies

    monkeypatch.setattr(work_folder.WorkFolder, "save", mortal(work_folder.WorkFolder.save))
    monkeypatch.setattr(dpx, "write", mortal(dpx.write))
    monkeypatch.setattr(
        "archivecolor.pipeline.film.image_sequence_sink.os.replace", mortal(image_sequence_sink.os.replace)
    )
    deaths = 0
    for more in (3, 12, 9, 20, 13, 30, 40, 1000):
        left[0] = more
        try:
            row = film_of(pattern, out, ink, workers=1)
        except Killed:
            deaths += 1
    assert deaths >= 5
    assert row.status == DONE
    assert contents(out, lambda path: path.name == "manifest.jsonl") == never


def test_what_is_done_is_done_and_a_changed_frame_does_it_again(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(4))
    disclosure = Disclosure()
    first = film_of(pattern, out, ink, disclosure=disclosure)
    assert json.loads((out / "reel_%06d.dpx.json").read_text())["output"]["sha256"] == first.output_sha256
    assert film_of(pattern, out, ink, disclosure=disclosure) == first
    save_dpx(src / "reel_000002.dpx", 30)
    second = film_of(pattern, out, ink, disclosure=disclosure)
    assert (second.status, second.source_sha256 == first.source_sha256) == (DONE, False)
    (src / "reel_000003.dpx").unlink()
    third = film_of(pattern, out, ink, disclosure=disclosure)
    assert third.film["frames"] == 3
    assert not (out / "reel_000003.dpx").exists()
    (out / "reel_000001.dpx").unlink()
    assert film_of(pattern, out, ink, disclosure=disclosure).seconds != third.seconds
    assert (out / "reel_000001.dpx").exists()


def test_frames_of_others_are_not_replaced(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(3))
    out.mkdir()
    (out / "reel_000077.dpx").write_bytes(b"somebody's")
    row = film_of(pattern, out, ink)
    assert row.status == FAILED
    assert "was not made by this program" in row.reason
    assert (out / "reel_000077.dpx").read_bytes() == b"somebody's"


def test_a_reel_is_verified_bagged_and_exported_whole(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    pattern = save_reel(src, range(4))
    row = film_of(pattern, out, ink, disclosure=Disclosure())
    assert verify.verify(out).sound
    (tmp_path / "accepted.json").write_text(
        json.dumps(
            {
                "format": decisions.FORMAT,
                "decisions": [{"input": row.input, "decision": "accepted", "output_sha256": row.output_sha256}],
            }
        )
    )
    assert export.export(out, tmp_path / "accepted.json", tmp_path / "to")[:2] == (1, 0)
    assert {p.name for p in (tmp_path / "to").iterdir()} == {p.name for p in out.iterdir()} - {"manifest.jsonl"}
    package("bagit")
    assert bag.bag(out, tmp_path / "bag") == 1
    shutil.copy(out / "reel_000001.dpx", out / "reel_000002.dpx")
    report = verify.verify(out)
    assert [(f.what, f.name) for f in report.findings] == [("changed", "reel_%06d.dpx")]
    (out / "reel_000002.dpx").unlink()
    assert not verify.verify(out).sound


def test_options_count_where_they_have_an_effect(src: Path, ink: Path) -> None:
    def digests(numbered: bool, lossy: bool = False, quality: int = 95, **film: Any) -> str:
        options = RunOptions(inputs=("a",), out=src, quality=quality, film=FilmOptions(**film))
        return options.film_digest(numbered, lossy)

    assert digests(False) == digests(False, codec="h264") == digests(False, fps="18", dpx_curve="log")
    assert digests(False) != digests(False, title_card="x")
    assert digests(True) == digests(True, title_card="x", deinterlace=True) == digests(True, quality=50)
    assert (
        len({digests(True), digests(True, codec="h264"), digests(True, fps="18"), digests(True, dpx_curve="log")}) == 4
    )
    assert digests(True, lossy=True) == digests(True) != digests(True, lossy=True, quality=50)
    assert digests(True, lossy=True, quality=50, codec="png") == digests(True, codec="png", title_card="x")


def test_numbered_jpegs_of_another_quality_are_made_again(src: Path, out: Path, ink: Path) -> None:
    for i in range(2):
        Image.fromarray(grey(seed=i)).save(src / f"f_{i}.jpg")
    first, second = (film_of(src / "f_%d.jpg", out, ink, quality=quality) for quality in (95, 50))
    assert first.output_sha256 != second.output_sha256


def test_a_photograph_with_the_name_of_a_pattern_is_done_again(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "a%d.png")
    (first,) = colour(src, out=out, model=ink)
    (out / "a%d.png").unlink()
    (second,) = colour(src, out=out, model=ink)
    assert (second.status, second.output_sha256) == (DONE, first.output_sha256)
    assert (out / "a%d.png").is_file()


def test_the_rehearsal_of_a_reel_tells_what_the_run_does(
    src: Path, out: Path, ink: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = save_reel(src, range(3))
    options = RunOptions(
        inputs=(str(pattern),),
        out=out,
        model=str(ink),
        color=ColorOptions(size=64),
        precision="fp32",
        disclosure=Disclosure(sidecar=False),
        film=FilmOptions(fps="24"),
    )

    def rehearsed(options: RunOptions) -> Any:
        planning.print_dry_run(options, as_json=True)
        return json.loads(capsys.readouterr().out)

    for codec in ("auto", "png", "h264"):
        variant = replace(options, film=FilmOptions(fps="24", codec=codec))
        assert rehearsed(variant)["target"] == str(out / film_of(pattern, out, ink, film=variant.film).output)
    film_of(pattern, out, ink)
    (out / "reel_000001.dpx").unlink()
    assert rehearsed(options)["would"] == "colour again (the output is gone)"


def test_pieces_of_other_encoder_settings_are_not_joined(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    own = work_folder.WorkFolder.__init__

    def noted(self: Any, place: Path, key: str) -> None:
        keys.append(key)
        own(self, place, key)

    monkeypatch.setattr(work_folder.WorkFolder, "__init__", noted)
    pattern = save_reel(src, range(2))
    for preset in ("faster", "medium"):
        monkeypatch.setitem(encoder.ENCODERS["h264"][1], "preset", preset)
        film_of(pattern, out, ink, film=FilmOptions(fps="24", codec="h264"), overwrite=True)
    assert len(set(keys)) == 2


# --- errors of the system are no damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", range(3))
def test_a_read_error_of_one_frame_is_no_damage_of_the_film(
    src: Path, tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    """Whether the film is looked through, shown to the network or coloured: no neighbour takes the frame's place."""
    pattern = save_reel(src, range(8))
    film_of(pattern, tmp_path / "never", ink)
    true, seen = image_sequence.read_frame, [0]

    def answer(film: Any, path: Path) -> Any:
        if path.name == "reel_000005.dpx":
            seen[0] += 1
            if seen[0] == passes + 1:
                raise OSError(errno.EIO, "Input/output error")
        return true(film, path)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(image_sequence, "read_frame", answer)
        row = film_of(pattern, out, ink)
    if seen[0] <= passes:
        pytest.skip(f"each frame is read {seen[0]} times only")
    assert (row.status, row.output_sha256) == (FAILED, "")
    assert "reel_000005.dpx: the disk reports a read error" in row.reason
    assert film_of(pattern, out, ink).status == DONE
    own_words = lambda path: path.name == "manifest.jsonl"  # noqa: E731
    assert contents(out, own_words) == contents(tmp_path / "never", own_words)
