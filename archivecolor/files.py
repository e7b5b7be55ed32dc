"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archivecolor import sequences

PART_SUFFIX = ".archivecolor-part"
LONGEST_NAME = 255
"""Bytes that a file system allows a name, nearly everywhere."""
_JUST_NOW_S = 2.0


def part_path(target: Path) -> Path:
    """The temporary name beside `target`: hidden, recognisable, short enough for any file system.

    It comes from a hash of the name, because `name + suffix` may be longer than the 255 bytes a name can have.
    """
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]
    return target.with_name(f".{digest}{PART_SUFFIX}")


@contextmanager
def atomic_write(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `target`; when the block ends well, it is flushed to disk and takes the name.

    When the block raises, the temporary file is removed and `target` is what it was before.

    Args:
        durable: False for what can be made again at any time, and need not survive a power cut.
    """
    part = part_path(target)
    try:
        yield part
        if durable:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(part, target)
        if durable:
            fsync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power cut (POSIX only; elsewhere folders cannot be opened)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits. Of numbered files (`numbered`) it is that of the list which
    `sha256sum` prints of them in their order: a line `HASH  NAME` for each.

    Raises:
        OSError: it cannot be read; FileNotFoundError also when there is no file of a pattern.
    """
    if sequences.is_pattern(path):
        found = sequences.frame_paths(path)
        if not found:
            raise FileNotFoundError(errno.ENOENT, "there is no file of this number pattern", str(path))
        return hashlib.sha256(b"".join(_listed(each) for each in found)).hexdigest()
    if is_special(path):
        raise OSError(errno.EINVAL, "a device or pipe, not a file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe or a socket. Such a thing must not be opened: that may wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _listed(path: Path) -> bytes:
    return f"{sha256(path)}  ".encode() + os.fsencode(path.name) + b"\n"


@dataclass(frozen=True)
class SourceSnapshot:
    """A file, or numbered files, as it was when it was hashed: whoever reads it afterwards can tell whether it is the
    same still."""

    path: Path
    sha256: str
    state: tuple[object, ...]
    fresh: bool
    """Whether it had been written to just before: then its times are too coarse to tell a further change."""

    @classmethod
    def of(cls, path: Path) -> SourceSnapshot:
        """Hashes a file.

        Raises:
            OSError: it cannot be read.
        """
        state = _state(path)
        changed = max((each.stat().st_ctime for each in sequences.frame_paths(path)), default=0.0)
        return cls(path, sha256(path), state, time.time() - changed < _JUST_NOW_S)

    def still(self) -> bool:
        """Whether the file holds the bytes that were hashed.

        Raises:
            OSError: it cannot be read any more.
        """
        return _state(self.path) == self.state and not (self.fresh and sha256(self.path) != self.sha256)


def _state(path: Path) -> tuple[object, ...]:
    """What changes whenever a file is written to or replaced: nobody can set the ctime."""
    if sequences.is_pattern(path):
        return tuple((each.name, *_state(each)) for each in sequences.frame_paths(path))
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
