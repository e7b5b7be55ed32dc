"""What the names of reference pictures say, and which folder is whose."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archivecolor.errors import PictureError, UsageError
from archivecolor.film import reference_files
from archivecolor.film.header import ContainerFilm
from archivecolor.film.survey import Survey

SURVEY = Survey(pts=list(range(1000, 1000 + 40 * 100, 40)))
"""A hundred frames, 25 a second."""


def film() -> Any:
    plain = SimpleNamespace(time_base=Fraction(1, 1000), frame_ticks=40)
    plain.frame_number = lambda index, pts: ContainerFilm.frame_number(plain, index, pts)  # type: ignore[arg-type]
    return plain


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("000007.png", 7),
        ("7.jpg", 7),
        ("frame_0007.tif", 7),
        ("Frame 12.png", 12),
        ("000007_00-00-00.280.png", 7),
        ("00-00-00.280.jpg", 7),
        ("0-00-03.png", 75),
        ("00-00-03.99.png", 99),
        ("portrait.png", None),
        ("IMG_0007.png", None),
        ("1906-04-18.png", None),
    ],
)
def test_a_name_says_its_frame(name: str, frame: int | None) -> None:
    assert reference_files.frame_of_name(Path(name), film(), SURVEY) == frame


def test_the_name_of_a_frame_is_read_back() -> None:
    for index in (0, 7, 99):
        name = reference_files.reference_name(film(), index, SURVEY.pts[index], SURVEY.pts[0])
        assert reference_files.frame_of_name(Path(f"{name}.png"), film(), SURVEY) == index
    assert name == "000099_00-00-03.960"


@pytest.mark.parametrize("name", ["000100.png", "00-00-04.000.png", "01-00-00.jpg"])
def test_a_frame_after_the_end_is_an_error_that_names_the_end(name: str) -> None:
    with pytest.raises(PictureError, match=r"0 to 99|after 4\.000 s") as error:
        reference_files.frame_of_name(Path(name), film(), SURVEY)
    assert name in str(error.value)


def test_a_film_has_the_subfolder_of_its_name_or_the_folder_itself(tmp_path: Path) -> None:
    for name in ("one.mp4", "two"):
        (tmp_path / name).mkdir()
    folders = [reference_files.reference_folder(tmp_path, Path(f"/x/{name}.mp4")) for name in ("one", "two", "three")]
    assert folders == [tmp_path / "one.mp4", tmp_path / "two", tmp_path]


def test_a_folder_without_pictures_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        reference_files.check_references(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="no pictures"):
        reference_files.check_references(tmp_path)
    (tmp_path / "reel").mkdir()
    (tmp_path / "reel/000001.png").write_bytes(b"x")
    reference_files.check_references(tmp_path)


def test_only_pictures_count_and_their_content_decides(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_bytes(name.encode())
    paths = reference_files.reference_files(tmp_path)
    assert [path.name for path in paths] == ["a.jpg", "b.png"]
    before = reference_files.references_digest(paths)
    assert reference_files.references_digest(paths) == before
    (tmp_path / "b.png").write_bytes(b"other")
    assert reference_files.references_digest(paths) != before
