"""What is a film and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.films import save_film
from support.needs import av

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.film import header, is_film

# --- among photographs ------------------------------------------------------------------------------------------------


def test_films_are_found_by_their_content(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mp4").rename(tmp_path / "without_a_suffix")
    (tmp_path / "program.ts").write_text("export const x = 1\n" * 50)
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "broken.mkv").write_bytes(b"")
    assert is_film(film)
    assert is_film(tmp_path / "broken.mkv")
    assert not is_film(tmp_path / "program.ts")
    assert not is_film(tmp_path / "notes.txt")
    assert is_film(save_film(tmp_path / "b.ts"))


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        from support.films import _speak

        _speak(out, out.add_stream("aac", rate=44100), 0.3)
    with pytest.raises(UnsupportedError, match="no stream of pictures"):
        header.open_film(tmp_path / "a.mp4")
    (tmp_path / "b.mkv").write_bytes(b"\x1a\x45\xdf\xa3")
    with pytest.raises(UnreadableError):
        header.open_film(tmp_path / "b.mkv")
