"""Export: the accepted with their sidecars, and nothing else."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support.doubles import contents
from support.review_data import decide, options

from archivecolor import files
from archivecolor.errors import NoInputError, OutputError
from archivecolor.pipeline.runner import drive
from archivecolor.review.export import export


def test_export_copies_the_accepted_with_their_sidecars(reviewed: Path, tmp_path: Path) -> None:
    (reviewed / "box0/00.tif.json").write_text('{\n "made_by": "archivecolor 0", "of": "00.tif"}')
    (reviewed / "box1/01.png.json").write_text("somebody else's")
    chosen = decide(tmp_path / "d.json", reviewed, **{"00": "accepted", "01": "accepted", "02": "rejected"})
    assert export(reviewed, chosen, tmp_path / "to") == (2, 0, [])
    copied = contents(tmp_path / "to")
    assert copied == {
        name: (reviewed / name).read_bytes() for name in ("box0/00.tif", "box0/00.tif.json", "box1/01.png")
    }
    assert export(reviewed, chosen, tmp_path / "to") == (0, 2, [])


def test_export_leaves_out_what_is_not_what_was_accepted(reviewed: Path, src: Path, ink: Path, tmp_path: Path) -> None:
    chosen = decide(
        tmp_path / "d.json", reviewed, **{"00": "accepted", "01": "accepted", "02": "accepted", "03": "accepted"}
    )
    drive(options(src, reviewed, ink, decide(tmp_path / "r.json", reviewed, **{"00": "rejected"}), 0.5))
    (reviewed / "box1/01.png").write_bytes(b"changed by somebody")
    (tmp_path / "to/box1").mkdir(parents=True)
    (tmp_path / "to/box1/03.tif").write_text("of somebody else")
    copied, there, left = export(reviewed, chosen, tmp_path / "to")
    assert (copied, there) == (1, 0)
    reasons = dict(left)
    assert "coloured again after it was accepted" in reasons["box0/00.tif"]
    assert "was changed after the run" in reasons["box1/01.png"]
    assert "another file" in reasons["box1/03.tif"]
    assert (tmp_path / "to/box1/03.tif").read_text() == "of somebody else"


def test_export_into_the_outputs_is_refused(reviewed: Path, tmp_path: Path) -> None:
    chosen = decide(tmp_path / "d.json", reviewed, **{"00": "accepted"})
    for to in (reviewed, reviewed / "copy", tmp_path):
        with pytest.raises(OutputError, match="--to"):
            export(reviewed, chosen, to)
    with pytest.raises(NoInputError, match="accepts nothing"):
        export(reviewed, decide(tmp_path / "d.json", reviewed, **{"00": "rejected"}), tmp_path / "to")


def test_an_output_that_cannot_be_read_is_left_out_and_the_others_are_copied(
    reviewed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = decide(tmp_path / "d.json", reviewed, **{"00": "accepted", "01": "accepted", "03": "accepted"})
    true = files.sha256

    def answer(path: Path) -> str:
        if path.name == "01.png":
            raise OSError(errno.EIO, "Input/output error")
        return true(path)

    monkeypatch.setattr(files, "sha256", answer)
    copied, there, left = export(reviewed, chosen, tmp_path / "to")
    assert (copied, there) == (2, 0)
    assert [name for name, _ in left] == ["box1/01.png"]
    assert "the disk reports a read error" in left[0][1]
