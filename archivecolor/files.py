"""Files written whole or not at all, their hashes, and what it means when one cannot be written."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import secrets
import stat
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archivecolor import sequences
from archivecolor.errors import ArchivecolorError, OutputError, PictureError, SourceReadError

PART_SUFFIX = ".archivecolor-part"
_PROBE = ".name-probe-"
LONGEST_NAME = 255
"""Bytes that a file system allows a name, nearly everywhere."""
_JUST_NOW_S = 2.0
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)
_REFUSED_NAMES = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT)
"""ENOENT is what some drivers of exFAT say, although the folder is there."""
_GONE = "connect the drive again and run again"
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose an --out that can be written",
    errno.EIO: "check the disk or choose another --out",
    errno.ESTALE: _GONE,
    errno.ENOTCONN: _GONE,
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
}
"""Errors of the whole output disk, and what to do about them."""
_READ_CAUSES = {
    errno.EACCES: "permission denied: give this user the right to read it",
    errno.EPERM: "permission denied: give this user the right to read it",
    errno.ENOENT: "the file is not there (any more)",
    errno.EISDIR: "a folder, not a file",
    errno.EIO: "the disk reports a read error: copy the file from another medium",
    errno.ESTALE: "the network drive lost the file: try again",
    errno.ENOTCONN: "the drive is not connected any more: connect it and try again",
    errno.ENODEV: "the drive is not connected any more: connect it and try again",
    errno.ENXIO: "the drive is not connected any more: connect it and try again",
    errno.ETIMEDOUT: "the network drive does not answer: try again",
}
"""Errors of the system while a file is read."""
_NAME_TAKEN = "something else has this name; move it away"
_FILE_REMEDIES = {
    errno.EFBIG: "it is too large for this file system: choose an --out on another one",
    errno.EACCES: "allow writing there or choose another --out",
    errno.EPERM: "allow writing there or choose another --out",
    errno.EEXIST: _NAME_TAKEN,
    errno.ENOTDIR: _NAME_TAKEN,
    errno.EISDIR: _NAME_TAKEN,
}
"""Errors of one file, and what to do about them."""


def user_cache() -> Path:
    """The user's folder for what can be made again: $ARCHIVECOLOR_CACHE, else by the custom of the system.

    Raises:
        RuntimeError: the user has no home.
    """
    if own := os.environ.get("ARCHIVECOLOR_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "archivecolor"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/archivecolor"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archivecolor"


def is_leftover(name: str) -> bool:
    """Whether a file of this name in an output folder is one of ours that a kill has left half-way."""
    return name.startswith(_PROBE) or (name.startswith(".") and name.endswith(PART_SUFFIX))


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


@contextmanager
def output_errors(target: Path) -> Iterator[None]:
    """An error of the system in the block becomes an OutputError: `target` cannot be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written ({error.strerror or error}); make room, or choose another place"
        ) from error


def check_writable(target: Path) -> None:
    """Checks, before long work, that a file can be written at a path; its folder is made.

    Raises:
        OutputError: it cannot.
    """
    part = part_path(target)
    try:
        make_folders(target.parent)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        part.touch()
        part.unlink()
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error


def fsync_folder(folder: Path) -> None:
    """Makes new names in a folder survive a power cut, where the system and its file system can (CIFS and some FUSE
    file systems cannot)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def sync_disks() -> None:
    """Makes everything that was written survive a power cut, where the system can."""
    if hasattr(os, "sync"):
        os.sync()


@dataclass(frozen=True)
class NameRules:
    """Which different names a file system takes for the same file; none, usually, on Linux."""

    fold_case: bool = False
    """`Photo.JPG` and `photo.jpg`: exFAT, NTFS, SMB, most disks of Windows and macOS."""
    fold_form: bool = False
    """The composed and the decomposed form of an accented letter (Unicode NFC and NFD): disks of macOS."""

    def __bool__(self) -> bool:
        return self.fold_case or self.fold_form

    def key(self, name: str) -> str:
        """The same text for names that are the same file."""
        if self.fold_form:
            name = unicodedata.normalize("NFD", name)
        return name.casefold() if self.fold_case else name


def name_rules(folder: Path) -> NameRules:
    """Tries out the file system of a folder, in the folder itself; one that does not exist is made for the moment."""
    probe = f"{_PROBE}{secrets.token_hex(4)}"
    made: list[Path] = []
    try:
        for each in reversed(list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))):
            each.mkdir()
            made.append(each)
        return NameRules(
            _is_one_file(folder / f"{probe}-a", folder / f"{probe}-A"),
            _is_one_file(folder / f"{probe}-\u00e9", folder / f"{probe}-e\u0301"),
        )
    except OSError:
        return NameRules()
    finally:
        for each in reversed(made):
            with suppress(OSError):
                each.rmdir()


def _is_one_file(path: Path, other: Path) -> bool:
    """Whether a new file has another name as well. False where none can be made: whoever writes there will say so."""
    try:
        path.touch(exist_ok=False)
        return os.path.lexists(other)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            path.unlink()


def make_folders(folder: Path) -> None:
    """Makes a folder and its parents; new ones survive a power cut.

    Raises:
        OSError: one cannot be made.
    """
    new = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    for each in reversed(new):  # one by one: `parents=True` recurses, and folders may be nested deeper than the stack
        each.mkdir(exist_ok=True)
        fsync_folder(each.parent)
    folder.mkdir(exist_ok=True)  # raises where a file has the name


def walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder, in the order of the names, without recursion. Folders that cannot be read are left
    out, and links are not followed."""
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            yield Path(entry.path)
        pending += [Path(entry.path) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]


def write_error(path: Path, error: OSError) -> ArchivecolorError:
    """What it means that the system refuses to write at a path.

    Returns:
        A PictureError where only this file is refused (its name, its size, permission); an OutputError where the whole
        output folder is affected: a full, failing, read-only or removed disk.
    """
    code, cause = error.errno or 0, error.strerror or str(error)
    if code in _REMEDIES:
        return OutputError(f"{path}: cannot be written ({cause}); {_REMEDIES[code]}")
    if not path.parent.exists():
        return OutputError(f"{path}: cannot be written, because its folder is gone ({cause}); run again")
    if code in (errno.EACCES, errno.EPERM) and not os.access(path.parent, os.W_OK):
        return OutputError(f"{path}: cannot be written ({cause}); {_FILE_REMEDIES[code]}")
    if code in _REFUSED_NAMES:
        better = re.sub(r'[<>:"\\|?*\x00-\x1f]', "_", path.name)
        rename = f", for example to {better}" if better != path.name else ""
        return PictureError(
            f"its output {path.name!r} has a name that the file system of --out refuses ({cause}); rename the "
            f"source{rename}"
        )
    remedy = _FILE_REMEDIES.get(code, "rename the source")
    return PictureError(f"its output {path} cannot be written ({cause}); {remedy}")


def printable(text: str) -> str:
    """A text for a terminal or a log: control characters, line breaks and bytes that are not UTF-8, all of which a file
    name may have, are shown as escapes (`\\x1b`, `\\n`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_system_error(error: Exception) -> bool:
    """Whether an error came from the system and not from the content of a file. FFmpeg's errors have numbers too."""
    return getattr(error, "errno", None) in _READ_CAUSES


def read_error(error: Exception, name: str = "") -> SourceReadError:
    """An error of the system in words for the owner of the files.

    Args:
        name: the file, where the row names another one.
    """
    code = getattr(error, "errno", None) or 0
    cause = _READ_CAUSES.get(code) or f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return SourceReadError(f"{name}: {cause}" if name else cause)


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
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_regular(path: Path) -> None:
    """Must be called before a file is opened that somebody else has named or made: to open a pipe waits for ever, to
    read a device or a file of the kernel may never end.

    Raises:
        OSError: it is a device, a pipe, a socket, or a file of /proc or /sys. A missing file and a folder pass: opening
            them says what they are.
    """
    if is_special(path):
        raise OSError(errno.EINVAL, "a device or pipe, not a file", str(path))


def is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe, a socket, or a file of /proc or /sys."""
    try:
        status = path.stat()
    except OSError:
        return False
    if stat.S_ISDIR(status.st_mode):
        return False
    return not stat.S_ISREG(status.st_mode) or is_kernel_device(status.st_dev)


def is_kernel_device(device: int) -> bool:
    """Whether `st_dev` is that of /proc or /sys, whose files are views into the running system."""
    return device in _kernel_devices()


@cache
def _kernel_devices() -> frozenset[int]:
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))  # noqa: PTH116


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
        state, changed = state_of(path), changed_at(path)
        return cls(path, sha256(path), state, time.time() - changed < _JUST_NOW_S)

    def still(self) -> bool:
        """Whether the file holds the bytes that were hashed.

        Raises:
            OSError: it cannot be read any more.
        """
        return state_of(self.path) == self.state and not (self.fresh and sha256(self.path) != self.sha256)


def changed_at(path: Path) -> float:
    """When a file, or the last of numbered files, was changed, in seconds since 1970.

    Raises:
        OSError: it cannot be read.
    """
    return max((each.stat().st_ctime for each in sequences.frame_paths(path)), default=0.0)


def state_of(path: Path) -> tuple[object, ...]:
    """What changes whenever a file is written to or replaced: nobody can set the ctime."""
    if sequences.is_pattern(path):
        return tuple((each.name, *state_of(each)) for each in sequences.frame_paths(path))
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
