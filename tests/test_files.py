"""What it means when a file cannot be read or written; new folders and names that survive a power cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from archivecolor import files
from archivecolor.errors import OutputError, PictureError, SourceReadError


def test_a_folder_that_cannot_be_flushed_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older CIFS and some FUSE file systems: the outputs are written all the same."""

    def answer(number: int):
        def fsync(handle: int) -> None:
            if Path(f"/proc/self/fd/{handle}").is_dir():
                raise OSError(number, os.strerror(number))

        return fsync

    for number in (errno.EINVAL, errno.ENOTSUP):
        monkeypatch.setattr(files.os, "fsync", answer(number))
        with files.atomic_write(tmp_path / f"{number}") as part:
            part.write_bytes(b"x")
        assert (tmp_path / f"{number}").read_bytes() == b"x"
    monkeypatch.setattr(files.os, "fsync", answer(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), files.atomic_write(tmp_path / "eio") as part:
        part.write_bytes(b"x")


def test_every_new_folder_is_flushed_into_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(files, "fsync_folder", flushed.append)
    files.make_folders(tmp_path / "a/b/c")
    assert set(flushed) == {tmp_path, tmp_path / "a", tmp_path / "a/b"}
    flushed.clear()
    files.make_folders(tmp_path / "a/b/c")
    assert flushed == []


def test_a_refused_name_is_told_with_one_that_would_do(tmp_path: Path) -> None:
    error = files.write_error(tmp_path / "b 12:30?.jpg", OSError(errno.EINVAL, "Invalid argument"))
    assert isinstance(error, PictureError)
    assert "for example to b 12_30_.jpg" in str(error)


def test_a_folder_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    error = files.write_error(tmp_path / "gone" / "a.jpg", OSError(errno.ENOENT, "No such file or directory"))
    assert isinstance(error, OutputError)
    assert "is gone" in str(error)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.ETIMEDOUT])
def test_errors_of_the_system_say_nothing_about_the_file(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert files.is_system_error(error)
    assert isinstance(files.read_error(error), SourceReadError)
    assert not files.is_system_error(ValueError("damaged"))
    assert not files.is_system_error(OSError("truncated"))
