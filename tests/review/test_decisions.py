"""Decisions: the rejected are done again, and what was overtaken is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.doubles import colour, contents, grey, save_grey_tree, save_ink
from support.observers import Recorder
from support.review_data import data_of, decide, options

from archivecolor import provenance
from archivecolor.cli import progress
from archivecolor.errors import NoInputError, UsageError
from archivecolor.options import Disclosure, ReportOptions
from archivecolor.pipeline import dry_run as planning
from archivecolor.pipeline.runner import drive
from archivecolor.provenance import Manifest
from archivecolor.provenance.decisions import read
from archivecolor.review import report


def test_redo_does_the_rejected_again_and_nothing_else(reviewed: Path, src: Path, ink: Path, tmp_path: Path) -> None:
    before = provenance.read_rows(reviewed)
    chosen = decide(tmp_path / "decisions.json", reviewed, **{"00": "rejected", "01": "accepted", "02": "rejected"})
    other = save_ink(tmp_path / "other", (-10.0, 15.0))
    messages: list[str] = []
    drive(options(src, reviewed, other, chosen, 0.8), Recorder(lambda name, row, total: messages.append(name)))
    after = provenance.read_rows(reviewed)
    assert sorted(messages) == ["box0/00.tif", "box0/02.png"]
    assert {name for name in after if after[name] != before[name]} == set(messages)
    redone = after["box0/02.png"]
    assert (redone.status, redone.redone, redone.output) == ("done", True, before["box0/02.png"].output)
    assert redone.weights_sha256 != before["box0/02.png"].weights_sha256
    assert redone.output_sha256 != before["box0/02.png"].output_sha256
    assert len((reviewed / "manifest.jsonl").read_text().splitlines()) == 6, "one row per input, still"


def test_a_later_plain_run_lets_be_what_was_redone(reviewed: Path, src: Path, ink: Path, tmp_path: Path) -> None:
    chosen = decide(tmp_path / "d.json", reviewed, **{"02": "rejected"})
    drive(options(src, reviewed, ink, chosen, 0.5))
    redone = contents(reviewed, lambda p: p.suffix == ".jsonl")
    later = Recorder()
    drive(options(src, reviewed, ink), later)
    assert [row for name, row in later.rows.items() if name != "broken.jpg"] == [None] * 5
    assert contents(reviewed, lambda p: p.suffix == ".jsonl") == redone
    Image.fromarray(grey(seed=77)).save(src / "box0/02.png")
    drive(options(src, reviewed, ink))
    assert not provenance.read_rows(reviewed)["box0/02.png"].redone, "another source is another picture"


def test_a_rehearsal_of_redo_names_the_rejected(
    reviewed: Path, src: Path, ink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = decide(tmp_path / "d.json", reviewed, **{"02": "rejected"})
    planning.print_dry_run(options(src, reviewed, ink, chosen, 0.5), False, 1)
    assert capsys.readouterr().out.startswith("colour again (other options): ")
    drive(options(src, reviewed, ink, chosen, 0.5))
    planning.print_dry_run(options(src, reviewed, ink), False, 1)
    assert "other options" not in capsys.readouterr().out


def test_a_decision_that_was_overtaken_is_told_and_not_obeyed(
    reviewed: Path, src: Path, ink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = decide(tmp_path / "old.json", reviewed, **{"00": "rejected", "02": "rejected"})
    drive(options(src, reviewed, ink, decide(tmp_path / "new.json", reviewed, **{"02": "rejected"}), 0.5))
    by_hand = provenance.read_rows(reviewed)["box0/02.png"]
    planning.print_dry_run(options(src, reviewed, ink, old, 1.5), True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["would"] for line in lines] == [
        "colour again (other options)", "leave as it is (done again since it was rejected; decide anew)",
    ]  # fmt: skip
    for overwrite in (False, True):
        options_ = replace(options(src, reviewed, ink, old, 1.5), overwrite=overwrite)
        assert progress.show(options_, False, False, False, lambda: False, drive) == 0
        messages = capsys.readouterr().err
        assert "left as it is box0/02.png: done again since it was rejected" in messages
        assert ("left as it is box0/00.tif" in messages) == overwrite, "the second time it has been done again, too"
    after = provenance.read_rows(reviewed)
    assert after["box0/02.png"] == by_hand
    assert after["box0/00.tif"].redone
    (reviewed / "box0/02.png").unlink()
    with Manifest(reviewed) as manifest:
        manifest.append(replace(by_hand, status="failed"))
    drive(options(src, reviewed, ink, old, 1.5))
    assert provenance.read_rows(reviewed)["box0/02.png"].status == "done", "a result that failed overtakes nothing"


def test_each_picture_says_the_term_that_it_bears(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 2)
    messages = Disclosure(source_type="algorithmicallyEnhanced", sidecar=False)
    colour(src / "box0", out=out, model=ink, disclosure=messages)
    assert [row.source_type for row in provenance.read_rows(out).values()] == ["algorithmicallyEnhanced"]
    folder = report.report(ReportOptions(out=out)).parent
    data = data_of(folder)
    assert [making[-1] for making in data["makings"]] == ["algorithmicallyEnhanced"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "algorithmicallyEnhanced" in page and "compositeWithTrainedAlgorithmicMedia" not in page


def test_redo_without_anything_to_do_says_why(reviewed: Path, src: Path, ink: Path, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="rejects nothing"):
        drive(options(src, reviewed, ink, decide(tmp_path / "d.json", reviewed, **{"02": "accepted"})))
    rejected = decide(tmp_path / "d.json", reviewed, **{"02": "rejected"})
    with pytest.raises(NoInputError, match="among the inputs"):
        drive(options(src / "box1", reviewed, ink, rejected))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "other", "decisions": []}', '{"format": "archivecolor decisions 1", "decisions": [3]}',
     '{"format": "archivecolor decisions 1", "decisions": [{"input": "a"}]}',
     '{"format": "archivecolor decisions 1", "decisions": [{"input": "a", "decision": "maybe", "output_sha256": ""}]}',
     '{"format": "archivecolor decisions 1", "decisions":'
     ' [{"input": "a", "decision": "rejected", "output_sha256": ""}]}',
     '{"format": "archivecolor decisions 1", "decisions": [{"input": 1, "decision": "", "output_sha256": ""}]}'],
)  # fmt: skip
def test_what_is_no_decisions_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(UsageError, match=r"--redo .*d\.json"):
        read(tmp_path / "d.json", "--redo")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "nowhere.json", "--redo")
