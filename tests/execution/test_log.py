"""log: an unexpected error anywhere leaves its traceback in one log, and one short line on the terminal."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.doubles import save_grey_tree
from support.paths import SUPPORT
from support.runs import options_of

from archivecolor import cli
from archivecolor.cli import progress
from archivecolor.errors import ArchivecolorError, OutputError
from archivecolor.execution import log, multi_device
from archivecolor.execution.ray import worker as worker_module
from archivecolor.options import RunOptions
from archivecolor.provenance import FAILED, read_rows

DEADLY = (sys.executable, str(SUPPORT / "deadly_child.py"))
pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere a run has no process of its own")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """No destinations of other tests, and none for them."""
    yield
    for handler in log._Destinations.handlers:
        log.ROOT.removeHandler(handler)
    log._Destinations.handlers, log._Destinations.file = (), None
    log.ROOT.setLevel(logging.NOTSET)


@pytest.fixture
def options(src: Path, out: Path, ink: Path) -> RunOptions:
    return options_of(src, out, ink, workers=1)


def with_a_bug(src: Path) -> str:
    """Three pictures, of which one makes the decoder of `deadly_child.py` raise a KeyError."""
    path = save_grey_tree(src, 3)[1]
    path.rename(path.with_stem("bug"))
    return f"{path.parent.name}/bug{path.suffix}"


def show(options: RunOptions, verbosity: int, log_file: Path | None, kind: str = "real") -> int:
    drive = partial(multi_device.drive, child=(*DEADLY, kind))
    return progress.show(options, False, False, verbosity, lambda: False, drive, log_file)


def test_the_traceback_of_a_decoder_reaches_the_log_file(
    options: RunOptions, src: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, file = with_a_bug(src), tmp_path / "run.log"
    assert show(options, 0, file) == 3
    text, shown = file.read_text(), capsys.readouterr().err
    assert "Traceback" in text and "in perhaps_die" in text and f"{name}: unexpected KeyError" in text
    assert text.count("done ") == 2, "and a line for every picture"
    (line,) = [line for line in shown.splitlines() if line.startswith(f"failed {name}")]
    assert name in line and "unexpected KeyError" in line and line.endswith(f"(the traceback is in {file})")
    assert "Traceback" not in shown
    (row,) = [row for row in read_rows(out).values() if row.status == FAILED]
    assert row.reason.endswith("please report this with the file"), "the log has no part in the manifest"


def test_without_a_log_file_the_way_to_one_is_named(
    options: RunOptions, src: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_a_bug(src)
    assert show(options, 0, None) == 3
    shown = capsys.readouterr().err
    assert "run again with --log-file FILE to get the traceback" in shown and "Traceback" not in shown


def test_a_child_that_fails_leaves_its_traceback(options: RunOptions, src: Path, tmp_path: Path) -> None:
    with_a_bug(src)
    with pytest.raises(ArchivecolorError, match=r"ended with code 1.*the traceback is in"):
        show(options, 0, tmp_path / "run.log", "light")
    assert "in perhaps_die" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize(("verbosity", "shown"), [(0, ["warn"]), (1, ["info", "warn"]), (2, ["debug", "info", "warn"])])
def test_verbosity(verbosity: int, shown: list[str]) -> None:
    lines: list[str] = []
    log.start(lines.append, verbosity)
    logger = logging.getLogger("archivecolor.somewhere")
    logger.debug("debug")
    logger.info("info")
    logger.warning("warn")
    assert lines == shown
    try:
        raise KeyError("a fault")
    except KeyError:
        logger.exception("it failed")
    assert ("Traceback" in "".join(lines)) == (verbosity == 2)


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--log-file"):
        log.start(print, 0, tmp_path / "nowhere/run.log")


def test_records_of_a_ray_actor_come_back_with_its_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = worker_module.Worker.__new__(worker_module.Worker)
    made.log_level = logging.WARNING

    def fail(jobs: object) -> list[object]:
        try:
            raise KeyError("a fault")
        except KeyError:
            logging.getLogger("archivecolor.pipeline.attempt").exception("a.png: it failed")
        return []

    monkeypatch.setattr(made, "_color_jobs", fail)
    (answer,) = made({"job_batch": np.array([pickle.dumps([])], dtype=object)})["outcomes"]
    outcomes, records = pickle.loads(answer)
    log.start(print, 0, tmp_path / "run.log")
    for record in records:
        log.handle(record)
    assert outcomes == []
    text = (tmp_path / "run.log").read_text()
    assert "a.png: it failed" in text and "KeyError: 'a fault'" in text


def test_an_unexpected_error_of_the_command_line_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(cli, "app", fail)
    log.start(lambda line: print(line, file=sys.stderr), 0, tmp_path / "run.log")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "unexpected KeyError: 'a fault'" in line and line.endswith(f"(the traceback is in {tmp_path / 'run.log'})")
    assert "in fail" in (tmp_path / "run.log").read_text()
