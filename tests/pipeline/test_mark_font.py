"""The font of the mark counts by its content."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image, ImageFont
from support.doubles import grey
from support.runs import Colour, times

from archivecolor.options import Disclosure, FilmOptions, RunOptions
from archivecolor.pipeline.attempt import identity_of
from archivecolor.pipeline.inputs import Job, SourceKind
from archivecolor.provenance import DONE, Manifest


@pytest.fixture
def font(tmp_path: Path) -> Path:
    """The font that Pillow brings, as a file."""
    built_in = ImageFont.load_default(20)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        pytest.skip("Pillow has no FreeType here: fonts go untested")
    content = built_in.path
    assert isinstance(content, io.BytesIO)
    path = tmp_path / "font.ttf"
    path.write_bytes(content.getvalue())
    os.utime(path, (1, 1))
    return path


def other(font: Path) -> None:
    """Other content at the same path, of the same size and time."""
    content = bytearray(font.read_bytes())
    content[-1] ^= 1
    font.write_bytes(content)


def test_another_font_at_the_same_path_draws_the_mark_again(go: Colour, src: Path, out: Path, font: Path) -> None:
    Image.fromarray(grey(120, 300)).save(src / "a.png")
    marked = {"disclosure": Disclosure(mark="auto", mark_font=font, sidecar=False)}
    (first,) = go(**marked)
    before = times(out)
    assert go(**marked) == [first]
    font.rename(font.with_name("moved.ttf"))
    assert go(disclosure=Disclosure(mark="auto", mark_font=font.with_name("moved.ttf"), sidecar=False)) == [first]
    assert times(out) == before, "the same font elsewhere changes nothing"
    font.with_name("moved.ttf").rename(font)
    other(font)
    (second,) = go(**marked)
    assert second.options != first.options
    assert times(out) != before


def test_what_an_earlier_version_marked_is_unchanged(go: Colour, src: Path, out: Path, font: Path) -> None:
    """Its rows name the font by its path."""
    Image.fromarray(grey(120, 300)).save(src / "a.png")
    marked = {"disclosure": Disclosure(mark="auto", mark_font=font, sidecar=False)}
    (row,) = go(**marked)
    former = former_digest(src, out, font)
    with Manifest(out) as manifest:
        manifest.append(type(row)(**{**vars(row), "options": former}))
    before = times(out)
    (kept,) = go(**marked)
    assert (kept.status, kept.options, times(out)) == (DONE, former, before)
    other(font)  # its time is now
    later = (out / "a.png").stat().st_mtime + 5
    os.utime(font, (later, later))
    (again,) = go(**marked)
    assert again.options != former
    assert times(out) != before


def former_digest(src: Path, out: Path, font: Path) -> str:
    """The digest of an earlier version."""
    from support.runs import options_of

    options = options_of(src, out, Path("w"), disclosure=Disclosure(mark="auto", mark_font=font, sidecar=False))
    return options.digest()


def test_a_font_counts_only_where_something_is_drawn_with_it(tmp_path: Path, font: Path) -> None:
    photo, reel = Job(Path("a.png"), "a.png", Path("a.png")), Job(Path("a.mp4"), "a", Path("a.mp4"), SourceKind.FILM)
    plain = RunOptions(inputs=("in",), out=tmp_path)
    unused = RunOptions(inputs=("in",), out=tmp_path, disclosure=Disclosure(mark_font=font))
    for job in (photo, reel):
        assert identity_of(job, "w", unused) == identity_of(job, "w", plain)
    card = RunOptions(
        inputs=("in",), out=tmp_path, disclosure=Disclosure(mark_font=font), film=FilmOptions(title_card="auto")
    )
    assert identity_of(reel, "w", card).former_options == card.film_digest()
    assert identity_of(photo, "w", card) == identity_of(photo, "w", plain)
    gone = RunOptions(inputs=("in",), out=tmp_path, disclosure=Disclosure(mark="auto", mark_font=tmp_path / "none"))
    assert identity_of(photo, "w", gone).options == gone.digest()
