"""The power is cut at any moment: the next run makes the same folder as if it never had been."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.doubles import colour, contents, grey, save_grey_tree
from support.power_cut import Disk, rebuild, states
from support.runs import save
from support.storage import journal_of

from archivecolor.options import Disclosure, Shard
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, MANIFEST, Manifest, known_rows, read_rows

WHOLE = {"disclosure": Disclosure()}
MOST = 28
"""So many states of a run are resumed; they are spread over all of it."""


def own_words(path: Path) -> bool:
    """What tells the time, and so differs from run to run."""
    return path.name == MANIFEST or path.suffix == ".json"


@pytest.mark.parametrize("case", ["first run", "other options", "shard"])
def test_a_power_cut_costs_nothing_that_is_finished(
    misbehaving: Callable[..., Any], src: Path, out: Path, ink: Path, tmp_path: Path, case: str
) -> None:
    save_grey_tree(src, 2, height=24, width=32)
    before, options = tmp_path / "before", {}
    out.mkdir()
    if case == "other options":
        colour(src, out=out, model=ink, **WHOLE)
        save(src / "box1/new.png", grey(24, 32, seed=9))
        options = {"strength": 0.5}
    shutil.copytree(out, before)
    disk = Disk.of(out)
    colour(src, out=tmp_path / "never_cut", model=ink, **WHOLE, **options)
    expected = contents(tmp_path / "never_cut", own_words)
    shard = {"shard": Shard(1, 1)} if case == "shard" else {}
    misbehaving(journal_of, src, out, ink, tmp_path / "journal", {**options, **shard})
    found = states(disk, tmp_path / "journal")
    assert {name: disk.data[file] for name, file in disk.names.items() if file >= 0} == contents(out), (
        "all was recorded"
    )
    assert len(found) > 30
    for moment, state in found[:: -(-len(found) // MOST)]:
        shutil.rmtree(out)
        rebuild(out, state)
        rows = colour(src, out=out, model=ink, **WHOLE, **options)
        assert [(row.status, row.reason) for row in rows] == [(DONE, "")] * len(rows), moment
        assert contents(out, own_words) == expected, moment
        assert [path.name for path in out.rglob(".*")] == [], moment
    assert verify(out).sound


@pytest.fixture
def finished(src: Path, out: Path, ink: Path) -> bytes:
    """The manifest of a finished run."""
    save_grey_tree(src, 2, height=24, width=32)
    colour(src, out=out, model=ink, **WHOLE)
    return (out / MANIFEST).read_bytes()


def test_a_manifest_that_is_cut_after_any_byte_loses_nothing(finished: bytes, src: Path, out: Path, ink: Path) -> None:
    """Each input is finished, or may be done again over its own output."""
    rows = read_rows(out)
    expected = contents(out, own_words)
    for cut in range(len(finished)):
        (out / MANIFEST).write_bytes(finished[:cut])
        found = known_rows(out)
        assert all(found[name] == rows[name] for name in found), "no row that was never written"
        assert len(found) >= finished.count(b"\n", 0, cut)
        if cut % 40 and cut != len(finished) - 1:
            continue
        with Manifest(out, sidecars=True) as manifest:
            for name, row in rows.items():
                if name not in found:
                    manifest.begin(name, row.source, out / name)
    for cut in (0, 1, len(finished) // 4, finished.index(b"\n"), finished.index(b"\n") + 1, len(finished) - 1):
        (out / MANIFEST).write_bytes(finished[:cut])
        again = colour(src, out=out, model=ink, **WHOLE)
        assert [(row.status, row.reason) for row in again] == [(DONE, "")] * 2, cut
        assert contents(out, own_words) == expected, cut


@pytest.mark.parametrize(
    "edited",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n").rstrip(),
        lambda text: text.replace(b'"status": "done"', b'"status": done', 1),
        lambda text: text.replace(b"{", b"{\x00", 1),
        lambda text: b"\n\n" + text.replace(b"\n", b"\n\n") + b"# by hand\n",
        lambda text: text.replace(b"\n", b"", 1),
        lambda text: text.decode().encode("utf-16"),
    ],
    ids=["BOM", "CRLF", "both", "a word", "a NUL", "blank lines", "two in one line", "UTF-16"],
)
def test_a_manifest_that_an_editor_has_saved(
    finished: bytes, src: Path, out: Path, ink: Path, edited: Callable[[bytes], bytes]
) -> None:
    expected = contents(out, own_words)
    (out / MANIFEST).write_bytes(edited(finished))
    for _ in range(2):
        rows = colour(src, out=out, model=ink, **WHOLE)
        assert [(row.status, row.reason) for row in rows] == [(DONE, "")] * 2
        assert contents(out, own_words) == expected
    assert read_rows(out).keys() == {"box0/00.tif", "box1/01.png"}
