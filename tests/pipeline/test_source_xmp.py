"""The .xmp files beside sources: named in the row, copied with --copy-xmp, and nothing of anybody else's replaced."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from support.doubles import colour, grey

from archivecolor.options import RunOptions
from archivecolor.preservation.verify import verify


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
