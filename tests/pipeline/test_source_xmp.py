"""The .xmp files beside sources: named in the row, copied with --copy-xmp, and nothing of anybody else's replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from PIL import Image
from support.doubles import colour, grey

from archivecolor.options import RunOptions
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE


def save(src: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png", "c.png"):
        Image.fromarray(grey()).save(src / name)
    (src / "a.xmp").write_bytes(b"<a/>")
    (src / "b.png.xmp").write_bytes(b"<b/>")


def test_they_are_named_and_copied_on_request(src: Path, out: Path, ink: Path) -> None:
    save(src)
    plain = {row.input: row for row in colour(src, out=out, model=ink, suffix="_color")}
    assert plain["a.jpg"].notes == plain["a.png"].notes == ("a.xmp beside the source not read (--copy-xmp copies it)",)
    assert plain["b.png"].notes == ("b.png.xmp beside the source not read (--copy-xmp copies it)",)
    assert plain["c.png"].notes == ()
    assert not list(out.rglob("*.xmp"))

    again = colour(src, out=out, model=ink, suffix="_color", copy_xmp=True)
    assert again == list(plain.values()), "no picture is coloured again for it"
    assert {path.name: path.read_bytes() for path in out.rglob("*.xmp")} == {
        "a_color.xmp": b"<a/>",
        "b_color.png.xmp": b"<b/>",
    }
    assert verify(out).sound


def test_a_file_of_that_name_stays_as_it_is(src: Path, out: Path, ink: Path) -> None:
    save(src)
    out.mkdir()
    (out / "b.png.xmp").write_bytes(b"<edited/>")
    rows = {row.input: row for row in colour(src, out=out, model=ink, copy_xmp=True)}
    assert rows["a.jpg"].notes == ("a.xmp beside the source copied to a.xmp",)
    assert rows["b.png"].notes == ("b.png.xmp beside the source not copied: another file is named b.png.xmp",)
    assert (out / "b.png.xmp").read_bytes() == b"<edited/>"
    colour(src, out=out, model=ink, copy_xmp=True)
    assert (out / "b.png.xmp").read_bytes() == b"<edited/>"
    colour(src, out=out, model=ink, copy_xmp=True, overwrite=True)
    assert (out / "b.png.xmp").read_bytes() == b"<b/>"


def test_the_option_is_in_no_digest() -> None:
    options = {"inputs": ("in",), "out": Path("out")}
    for digest in (RunOptions.digest, RunOptions.film_digest):
        assert digest(RunOptions(**options)) == digest(RunOptions(**options, copy_xmp=True))


def test_trouble_with_an_xmp_file_fails_no_picture(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(src)
    (out / "b.png.xmp").mkdir(parents=True)
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == src / "a.xmp":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    rows = {row.input: row for row in colour(src, out=out, model=ink, copy_xmp=True)}
    assert {row.status for row in rows.values()} == {DONE}, [row.reason for row in rows.values()]
    assert "a.xmp beside the source not copied: cannot be read (Input/output error)" in rows["a.jpg"].notes
    assert rows["b.png"].notes[0].startswith("b.png.xmp beside the source not copied: ")
