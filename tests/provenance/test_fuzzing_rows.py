"""Manifests and decisions from strangers and from editors: whatever they hold, no traceback, and no path outside."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from archivecolor import provenance
from archivecolor.errors import ArchivecolorError
from archivecolor.options import ReportOptions
from archivecolor.pipeline.inputs import Search, find_inputs
from archivecolor.preservation.verify import verify
from archivecolor.provenance import (
    DONE,
    FAILED,
    MANIFEST,
    Identity,
    Manifest,
    Record,
    check_settled,
    decisions,
    records,
)
from archivecolor.review import report
from archivecolor.review.export import export

CASES = 80
FILM = {
    "frames": 24, "bad_frames": 1, "shots": 2, "fps": 24.0, "duration": 1.0, "stills": [0.0, 0.5], "seen": 3,
    "reuse_error": 0.1, "reuse_worst": None, "first": 1, "missing": 0, "curve": "log", "numbers": [[1, 24]],
    "deinterlaced": 0, "title_card": {"text": "a", "seconds": 4.0}, "still_numbers": [1, 12],
}  # fmt: skip
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 3, 1e308, 10**30, "", "x", "../x", "/etc/passwd", "..\\x", ".", "a\0b", "\ud800", "\u202e", [],
    [[]],
    ["../x"], [None], {}, {"a": {}}, {"seconds": "x"}, [1, "x"], "\x1b[2J", float("nan"), float("inf"), ["a"] * 40,
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Two photographs and a film, as the manifest has them."""
    one = Record(
        "a.png", "/scans/a.png", "a.png", DONE, source_sha256="0" * 64, output_sha256="1" * 64, weights_sha256="2" * 64,
        options="3" * 16, width=56, height=40, pages=1, depth=8, format="png", notes=("n",), seconds={"decode": 0.5},
        max_delta_l=0.1, confidence=0.5, earlier=("a.jpg",), guidance=("g",), redone=True, problem="p", sidecar=True,
    )  # fmt: skip
    other = Record("b/c.png", "/scans/b/c.png", None, FAILED, "damaged")
    film = Record("f.mp4", "/scans/f.mp4", "f.mp4", DONE, "", "4" * 64, "5" * 64, film=FILM, width=4, height=4)
    return [json.loads(records.line(row)) for row in (one, other, film)]


def bent(draw: random.Random) -> bytes:
    """A manifest whose text or values were changed in one or a few places."""
    if draw.random() < 0.6:
        lines = rows()
        for _ in range(draw.choice((1, 1, 2, 4))):
            place = draw.choice(lines)
            while True:
                key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not (isinstance(place[key], dict | list) and place[key]) or draw.random() < 0.3:
                    break
                place = place[key]
            place[key] = draw.choice(WRONG)
        return "".join(json.dumps(line) + "\n" for line in lines).encode("utf-8", "surrogatepass")
    text = bytearray("".join(json.dumps(line) + "\n" for line in rows()).encode())
    for _ in range(draw.choice((1, 3, 20))):
        at = draw.randrange(len(text))
        match draw.randrange(4):
            case 0:
                text[at] = draw.randrange(256)
            case 1:
                del text[at : at + draw.choice((1, 5, 200))]
            case 2:
                text[at:at] = text[: draw.choice((3, 90))]
            case _:
                del text[at:]
        text = text or bytearray(b"{")
    return bytes(text)


def check_inside(folder: Path) -> None:
    """No row that is read names a file elsewhere."""
    for row in provenance.known_rows(folder).values():
        for name in (row.output, *row.earlier):
            assert name is None or (folder / name).resolve().is_relative_to(folder.resolve() / "")
            assert name is None or (folder / name) != folder


def readers(folder: Path, to: Path) -> list[Callable[[], object]]:
    """Everything that reads a manifest."""
    identity = Identity("2" * 64, "3" * 16)

    def settle() -> None:
        for row in provenance.known_rows(folder).values():
            check_settled(row, lambda: "0" * 64, identity, folder, True)

    def open_it() -> None:
        with Manifest(folder, sidecars=True) as manifest:
            for name in list(manifest.rows):
                manifest.settled(name, "0" * 64, identity)

    return [
        settle,
        lambda: verify(folder),
        lambda: report.report(ReportOptions(out=folder, to=to / "report", workers=1)),
        lambda: export(folder, to / "d.json", to / "copies"),
        open_it,
    ]


def test_no_manifest_makes_a_reader_fall(tmp_path: Path) -> None:
    folder, to = tmp_path / "out", tmp_path / "to"
    folder.mkdir()
    to.mkdir()
    made = [{"input": name, "decision": "accepted", "output_sha256": "1" * 64} for name in ("a.png", "f.mp4")]
    (to / "d.json").write_text(json.dumps({"format": decisions.FORMAT, "decisions": made}))
    (tmp_path / "x").write_text("outside")
    read = 0
    for number in (*range(CASES), 1178, 1666):  # the last two were faults
        content = bent(random.Random(number))
        (folder / "a.png").write_bytes(b"an output")
        for reader in readers(folder, to):
            (folder / MANIFEST).write_bytes(content)
            try:
                check_inside(folder)
                reader()
            except ArchivecolorError:
                pass
            except Exception as error:
                raise AssertionError(f"case {number}: {content!r}") from error
        read += len(provenance.known_rows(folder))
    assert CASES < read < 3 * CASES, "most rows are still rows, and some are not"
    assert (tmp_path / "x").read_text() == "outside"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "to", "x"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 200_000, b'{"a":' * 200_000, b"\xff\xfe{\0", b"null\n3\n[]\n", b"\0" * 5000, b'{"a": "' * 10**5],
    ids=["empty", "open", "lists", "objects", "UTF-16", "scalars", "NULs", "long"],
)  # fmt: skip
def test_what_is_no_manifest_at_all(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for reader in readers(folder, tmp_path):
        (folder / MANIFEST).write_bytes(content)
        with suppress(ArchivecolorError):
            reader()


def test_no_decisions_make_the_reader_fall(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    whole = {"format": decisions.FORMAT, "decisions": [
        {"input": "a.png", "decision": "accepted", "output_sha256": "1" * 64, "note": "n"},
        {"input": "b.png", "decision": "rejected", "output_sha256": "2" * 64},
    ]}  # fmt: skip
    accepted = 0
    for number in range(4 * CASES):
        draw = random.Random(number)
        values = json.loads(json.dumps(whole))
        place: Any = draw.choice((values, values["decisions"], *values["decisions"]))
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key] = draw.choice(WRONG)
        content = bytearray(json.dumps(values).encode())
        if draw.random() < 0.4:
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content[: draw.choice((len(content), len(content), draw.randrange(len(content))))])
        try:
            made = decisions.read(path, "--redo")
        except ArchivecolorError as error:
            assert str(path) in str(error)
            continue
        accepted += 1
        assert all(isinstance(text, str) for one in made.values() for text in vars(one).values())
    assert 0 < accepted < 2 * CASES
    for content in (b"[" * 200_000, b'{"decisions":' * 200_000):
        path.write_bytes(content)
        with pytest.raises(ArchivecolorError, match="not the decisions"):
            decisions.read(path, "--redo")


def test_lists_of_inputs_hold_any_bytes(tmp_path: Path) -> None:
    """Each line is the name of a file that is there, or a row that says that it is not."""
    draw = random.Random(1)
    for _ in range(60):
        (tmp_path / "list").write_bytes(bytes(draw.choices((0, 9, 10, 13, 32, 47, 65, 92, 195, 255), k=40)))
        try:
            jobs = find_inputs((f"@{tmp_path / 'list'}",), tmp_path / "out", Search(lambda path: True))
        except ArchivecolorError:
            continue
        assert all(os.fsencode(job.name) for job in jobs)
