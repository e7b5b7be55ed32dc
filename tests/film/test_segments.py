"""Segments and packets: every frame once, none across a cut, decoding times that rise."""

from __future__ import annotations

import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archivecolor.errors import OutputError, PictureError
from archivecolor.film import muxer, work_folder
from archivecolor.film.survey import Survey


def test_another_option_begins_a_folder_anew(tmp_path: Path) -> None:
    one = work_folder.WorkFolder(tmp_path / "a.mp4", "key")
    one.save_survey(Survey([1, 2], [0.0, 0.0], [1.0, 1.0]))
    assert work_folder.WorkFolder(tmp_path / "a.mp4", "key").survey() == one.survey()
    assert work_folder.WorkFolder(tmp_path / "a.mp4", "other").survey() is None


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "can be written"),
        (errno.EIO, "check the disk"),
        (errno.ESTALE, "connect the drive"),
        (errno.ENOTCONN, "connect the drive"),
        (errno.EFBIG, "too large for this file system"),
        (errno.EACCES, "allow writing there"),
        (errno.EEXIST, "move it away"),
        (errno.ENAMETOOLONG, "rename the source"),
        (errno.EINVAL, "rename the source"),
        (errno.EILSEQ, "rename the source"),
        (errno.ENOENT, "rename the source"),
    ],
)
def test_each_error_of_a_disk_names_its_cause_and_a_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    """One of the whole disk ends the run, one of a single file ends the work on its source."""
    whole_disk = number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN)
    expected = OutputError if whole_disk else PictureError
    with pytest.raises(expected) as caught, work_folder.writing(tmp_path / "a.mkv"):
        raise OSError(number, os.strerror(number))
    message = str(caught.value)
    assert "a.mkv" in message and os.strerror(number) in message and remedy in message
    assert ("free some space" in message) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_file_in_the_place_of_the_work_folder_is_said_to_be_in_the_way(tmp_path: Path) -> None:
    folder = work_folder.WorkFolder(tmp_path / "a.mp4", "key").path
    shutil.rmtree(folder)
    folder.write_bytes(b"something else")
    with pytest.raises(PictureError, match="something else has this name; move it away"):
        work_folder.WorkFolder(tmp_path / "a.mp4", "key")
    assert folder.read_bytes() == b"something else"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(0, 4), st.randoms())
def test_decoding_times_rise_and_never_come_after_the_frame_is_shown(steps: list[int], far: int, chance: Any) -> None:
    shown = np.cumsum(steps).tolist()
    order = sorted(range(len(shown)), key=lambda i: i + chance.uniform(0, far))
    pts = [shown[i] for i in order]
    dts = muxer.decoding_times(pts, 20)
    assert all(one < other for one, other in pairwise(dts))
    assert all(d <= p for d, p in zip(dts, pts, strict=True))


@given(st.lists(st.integers(1, 400), max_size=6), st.integers(1, 400), st.integers(1, 15))
def test_segments_cover_every_frame_once_and_never_cross_a_cut(cuts: list[int], frames: int, eights: int) -> None:
    survey = Survey(pts=list(range(frames)), cuts=cuts)
    parts = survey.segments(8 * eights, 8)
    assert [i for part in parts for i in range(part.start, part.end)] == list(range(frames))
    assert all(part.shot_start <= part.start < part.end <= part.shot_end for part in parts)
    assert all((part.start - part.shot_start) % 8 == 0 and part.end - part.start <= 8 * eights for part in parts)
