"""Films that keep to the frames that a person coloured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.coloured_films import colour_film
from support.command_line import call, exit_code
from support.doubles import INK, colour
from support.needs import needs
from support.observers import Recorder, drive
from support.pans import colour_error, frames_of, lab_of_frame, pan, save, save_picture

from archivecolor.errors import UsageError
from archivecolor.options import ColorOptions, FilmOptions, RunOptions
from archivecolor.provenance import DONE, FAILED

pytestmark = needs("av", "scenedetect")
COUNT = 21


@pytest.fixture
def shown() -> Any:
    """The true frames."""
    return pan(COUNT)


@pytest.fixture
def film(src: Path, shown: Any) -> Path:
    return save(src / "reel.mkv", shown)


@pytest.fixture
def references(tmp_path: Path, shown: Any) -> Path:
    """True frames 4 and 15; the second is cropped and has no number."""
    save_picture(tmp_path / "references/000004.png", shown[4])
    save_picture(tmp_path / "references/by hand.png", shown[15][6:-6, 9:-9])
    return tmp_path / "references"


def following(folder: Path, **options: Any) -> FilmOptions:
    return FilmOptions(master=True, references=folder, **options)


def test_the_film_keeps_to_its_references(film: Path, out: Path, ink: Path, references: Path, shown: Any) -> None:
    row = colour_film(film, out, ink, film=following(references))
    assert (row.status, row.reason) == (DONE, "")
    colored = frames_of(out / str(row.output))
    errors = [colour_error(*pair) for pair in zip(colored, shown, strict=True)]
    tint = np.array(INK)[:, None, None]
    without = [float(np.hypot(*(lab_of_frame(frame)[1:] - tint)).mean()) for frame in shown]
    assert errors[4] < 2  # the network's grid is coarser than the frame
    assert np.mean(errors) < 0.5 * np.mean(without)
    one, other = row.film["references"]
    assert (one["name"], one["frame"], one["by"]) == ("000004.png", 4, "name")
    assert (other["name"], other["frame"], other["by"]) == ("by hand.png", 15, "luminance")
    assert other["likeness"] > 0.95
    assert 0.65 < other["agrees"] < 0.95
    assert (one["first"], other["last"]) == (0, COUNT - 1)
    assert one["share"] > 0.3
    assert any("by hand.png" in note and "not used" in note for note in row.notes)
    assert any("no encoder" in note for note in row.notes)


@pytest.mark.parametrize(
    ("name", "picture", "words"),
    [
        ("000009.png", "other", ["000009.png", "frame 9", "nearest", "0.8"]),
        ("nobody.png", "other", ["nobody.png", "fits no frame", "nearest"]),
        ("000009.png", "grey", ["000009.png", "has no colour"]),
        ("4.jpg", "true", ["000004.png", "4.jpg", "both of frame 4"]),
        ("000099.png", "true", ["000099.png", "0 to 20"]),
        ("00-00-30.png", "true", ["00-00-30.png", "ends before"]),
        ("broken.png", "", ["broken.png", "cannot be read"]),
    ],
)
def test_a_reference_that_cannot_be_used_is_an_error_of_its_film(
    film: Path, out: Path, ink: Path, references: Path, shown: Any, name: str, picture: str, words: list[str]
) -> None:
    if picture:
        rgb = {"other": pan(1, seed=7)[0], "grey": np.dstack([shown[9][..., 1]] * 3), "true": shown[4]}[picture]
        save_picture(references / name, rgb)
    else:
        (references / name).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    row = colour_film(film, out, ink, film=following(references))
    assert row.status == FAILED
    assert all(word in row.reason for word in words), row.reason


def test_only_a_changed_reference_colours_a_finished_film_again(
    film: Path, out: Path, ink: Path, references: Path, shown: Any
) -> None:
    plain = colour_film(film, out, ink, film=FilmOptions(master=True))
    first = colour_film(film, out, ink, film=following(references))
    assert first.options != plain.options
    (references / "notes.txt").write_text("not a picture")
    assert colour_film(film, out, ink, film=following(references)) == first
    save_picture(references / "000010.png", shown[10])
    changed = colour_film(film, out, ink, film=following(references))
    assert changed.options != first.options
    assert [one["frame"] for one in changed.film["references"]] == [4, 10, 15]


def test_an_interrupted_film_with_references_ends_with_the_same_bytes(
    src: Path, out: Path, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archivecolor.pipeline.film import color_film

    monkeypatch.setattr(color_film, "LONGEST_SEGMENT", 8)
    shown = pan(30)
    film = save(src / "reel.mkv", shown)
    folder = tmp_path / "references"
    save_picture(folder / "000003.png", shown[3])
    save_picture(folder / "000027.png", shown[27])
    whole = colour_film(film, out, ink, film=following(folder))
    again = tmp_path / "again"
    options = RunOptions(
        inputs=(str(film),), out=again, model=str(ink), device="cpu", precision="fp32", film=following(folder),
        color=ColorOptions(size=64),
    )  # fmt: skip

    class StopsOnce(Recorder):
        def stop_requested(self) -> bool:
            return sum(one.stage == "colouring" for one in self.films) >= 3

    drive(options, StopsOnce())
    assert list(again.glob(".*film/*.packets"))
    drive(options, Recorder())
    assert (again / str(whole.output)).read_bytes() == (out / str(whole.output)).read_bytes()


def test_references_of_a_turned_film_are_upright(src: Path, out: Path, ink: Path, tmp_path: Path, shown: Any) -> None:
    film = save(src / "turned.mp4", shown[:9], rotation=90)
    save_picture(tmp_path / "references/000004.png", np.ascontiguousarray(np.rot90(shown[4])))
    row = colour_film(film, out, ink, film=following(tmp_path / "references"))
    assert row.status == DONE, row.reason
    assert row.film["references"][0]["agrees"] > 0.95
    colored = frames_of(out / str(row.output))
    assert colour_error(colored[4], shown[4]) < 2.5
    assert colour_error(colored[7], shown[7]) < 12


def test_strength_does_not_change_the_colours_of_a_reference(
    film: Path, out: Path, ink: Path, references: Path, shown: Any
) -> None:
    row = colour_film(film, out, ink, film=following(references), color=ColorOptions(strength=2.0, size=64))
    assert colour_error(frames_of(out / str(row.output))[4], shown[4]) < 2


def test_without_a_folder_it_is_a_usage_error(film: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    words = ("run", str(film), "--out", str(out), "--model", str(ink), "--references")
    assert exit_code(*words, str(tmp_path / "none")) == 2


def test_frames_worth_colouring_are_written_by_number_and_time_and_kept(
    src: Path, tmp_path: Path, ink: Path, shown: Any
) -> None:
    film = save(src / "reel.mkv", [*shown[:8], *pan(8, seed=3)])
    to = tmp_path / "frames"
    words = ("frames", str(film), "--to", str(to), "--model", str(ink), "--device", "cpu", "--precision", "fp32")
    result = call(*words)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in to.iterdir())
    assert names == ["000003_00-00-00.125.png", "000011_00-00-00.458.png"]
    with Image.open(to / names[0]) as picture:
        rgb = np.asarray(picture)
        assert "added by a neural network" in picture.info["Description"]
    assert rgb.shape == shown[3].shape
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(rgb @ luma - shown[3] @ luma).mean() < 2
    corrected = save_picture(to / names[0], shown[3]).read_bytes()
    assert "left as it is" in call(*words).output
    assert (to / names[0]).read_bytes() == corrected
    row = colour_film(film, tmp_path / "out", ink, film=following(to))
    assert [one["by"] for one in row.film["references"]] == ["name", "name"]


def test_a_hint_with_a_time_colours_what_it_is_on_and_follows_it(film: Path, out: Path, ink: Path, shown: Any) -> None:
    color = ColorOptions(size=64, hints=("0.25:64,48,#2040f0",))
    plain = colour_film(film, out / "plain", ink, film=FilmOptions(master=True))
    row = colour_film(film, out / "hint", ink, film=FilmOptions(master=True), color=color)
    assert row.options != plain.options
    assert row.guidance == ("colour #2040f0 pinned at 64,48 of the frame at 0.25 s",)
    [reference] = row.film["references"]
    assert (reference["frame"], reference["by"]) == (6, "hint")
    assert not any("not used" in note or "--hint is for" in note for note in row.notes)
    hinted, before = (frames_of(base / str(one.output)) for base, one in ((out / "hint", row), (out / "plain", plain)))

    def blue(frame: Any, x: int) -> float:
        return float(np.median(lab_of_frame(frame)[2, 46:51, x - 2 : x + 3]))

    assert blue(hinted[6], 64) < blue(before[6], 64) - 40
    for later in (-4, 4):  # the pan moves it by three pixels a frame
        assert blue(hinted[6 + later], 64 - 3 * later) < blue(before[6 + later], 64 - 3 * later) - 25


@pytest.mark.parametrize(("hint", "words"), [("9:10,10,#2040f0", "ends before"), ("0.1:500,10,#2040f0", "outside")])
def test_a_hint_that_is_nowhere_in_the_film_is_its_error(
    film: Path, out: Path, ink: Path, hint: str, words: str
) -> None:
    row = colour_film(film, out, ink, film=FilmOptions(master=True), color=ColorOptions(size=64, hints=(hint,)))
    assert row.status == FAILED
    assert words in row.reason


def test_a_hint_with_a_time_on_a_photograph_is_a_usage_error(src: Path, out: Path, ink: Path, shown: Any) -> None:
    save_picture(src / "photo.png", np.dstack([shown[0][..., 1]] * 3))
    with pytest.raises(UsageError, match="leave the time out"):
        colour(src, out=out, model=ink, hints=("0.25:64,48,#2040f0",))
