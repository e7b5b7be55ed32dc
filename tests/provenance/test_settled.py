"""A run and its dry run ask one question, and get one answer with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archivecolor.provenance import (
    DONE,
    FAILED,
    SKIPPED,
    STARTED,
    SUPERSEDED,
    Identity,
    Manifest,
    Record,
    check_settled,
    sidecar_of,
    write_sidecar,
)

ME = Identity("weights", "options")
ROW = Record(
    "a.png", "/scans/a.png", "a.png", DONE, source_sha256="source", output_sha256="output", weights_sha256="weights",
    options="options",
)  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    from archivecolor.options import RunOptions

    (tmp_path / "a.png").write_bytes(b"colour")
    write_sidecar(tmp_path, ROW, RunOptions(inputs=("a",), out=tmp_path), {})
    return tmp_path


def answer(row: Record | None, out: Path, source: str = "source", **more: Any) -> tuple[bool, str]:
    settled = check_settled(row, lambda: source, more.pop("identity", ME), out, True, **more)
    return bool(settled), settled.reason


@pytest.mark.parametrize(
    ("row", "more", "expected"),
    [
        (ROW, {}, (True, "leave as it is (done)")),
        (replace(ROW, status=SKIPPED, output=None, reason="in colour"), {}, (True, "leave as it is (in colour)")),
        (None, {}, (False, "colour (new)")),
        (None, {"overwrite": True}, (False, "colour (new)")),
        (ROW, {"overwrite": True}, (False, "colour again (--overwrite)")),
        (replace(ROW, status=FAILED, reason="damaged"), {}, (False, "try again (damaged)")),
        (replace(ROW, status=STARTED), {}, (False, "try again (not finished)")),
        (ROW, {"source": "other"}, (False, "colour again (the source changed)")),
        (ROW, {"identity": Identity("other", "options")}, (False, "colour again (other weights)")),
        (ROW, {"identity": Identity("weights", "other")}, (False, "colour again (other options)")),
        (replace(ROW, output="b.png"), {}, (False, "colour again (the output is gone)")),
        (replace(ROW, redone=True), {"identity": Identity("other", "other")}, (True, "leave as it is (done)")),
        (
            replace(ROW, redone=True), {"identity": Identity("weights", "other"), "rejected": "output"},
            (False, "colour again (other options)"),
        ),
        (ROW, {"rejected": "an older output", "overwrite": True}, (True, f"leave as it is ({SUPERSEDED})")),
    ],
)  # fmt: skip
def test_the_answer_and_its_reason(
    out: Path, row: Record | None, more: dict[str, Any], expected: tuple[bool, str]
) -> None:
    assert answer(row, out, **more) == expected


@pytest.mark.parametrize(
    ("until", "options", "expected"),
    [(-10, "options", True), (10, "options", False), (-10, "others", False)],
    ids=["the font is older", "the font is newer", "other options"],
)
def test_a_row_that_named_the_font_by_its_path(out: Path, until: float, options: str, expected: bool) -> None:
    written = (out / "a.png").stat().st_mtime
    me = Identity("weights", "by content", "options", written + until)
    assert answer(replace(ROW, options=options), out, identity=me)[0] is expected
    assert answer(replace(ROW, options="by content"), out, identity=me)[0]


def test_a_missing_sidecar_counts_where_sidecars_are_written(out: Path) -> None:
    sidecar_of(out / "a.png").unlink()
    assert answer(ROW, out) == (False, "colour again (the sidecar is gone)")
    assert check_settled(ROW, lambda: "source", ME, out, sidecars=False)


def test_the_source_is_hashed_only_where_the_answer_depends_on_it(out: Path) -> None:
    def never() -> str:
        raise AssertionError("hashed")

    assert not check_settled(None, never, ME, out)
    assert not check_settled(ROW, never, ME, out, overwrite=True)
    assert not check_settled(replace(ROW, status=FAILED), never, ME, out)


def test_the_manifest_gives_the_same_answer(out: Path) -> None:
    with Manifest(out, sidecars=True) as manifest:
        assert manifest.settled("a.png", "source", ME).reason == "colour (new)"
        manifest.append(ROW)
        assert manifest.settled("a.png", "source", ME).reason == "leave as it is (done)"
        assert manifest.settled("a.png", "other", ME).reason == "colour again (the source changed)"
        assert manifest.settled("a.png", "source", ME, overwrite=True).reason == "colour again (--overwrite)"
