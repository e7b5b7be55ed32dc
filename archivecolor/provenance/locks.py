"""Locks on an output folder: for one run alone, or for any number of shards together."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from archivecolor import files
from archivecolor.errors import OutputError

LOCK = ".archivecolor.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


class Lock:
    """A lock on a file. The system releases it when the process dies, however it dies.

    Args:
        shared: others may hold it at the same time if they share it as well.

    Raises:
        OutputError: somebody else holds it, its file is a link, or the file system has no locks.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        self.path, self.shared = path, shared
        self._file = self._taken()
        try:
            while not self._is_at_its_place():  # its last holder removed it between our opening and our locking
                self._file.close()
                self._file = self._taken()
            self._sign()
        except OSError:
            self.release()
            raise

    def _sign(self) -> None:
        """Writes the process id into the file, for people and for other machines."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _taken(self) -> IO[str]:
        new = not self.path.exists()
        if self.path.is_symlink():
            raise OutputError(f"{self.path}: is a link, perhaps to a source; remove it")
        files.check_regular(self.path)
        file = self.path.open("a+", encoding="ascii")
        try:
            _lock_now(file.fileno(), self.shared)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            if error.errno not in _HELD:
                if new:
                    self.path.unlink(missing_ok=True)
                raise OutputError(
                    f"{self.path.parent}: its file system has no locks ({error.strerror}), so that two runs could "
                    "spoil each other's work; mount it with them, or choose another --out"
                ) from error
            raise OutputError(
                f"{self.path.parent}: another run (pid {holder}) is writing here; wait for it or choose another --out"
            ) from None
        return file

    def _is_at_its_place(self) -> bool:
        """Whether the locked file is the one that others will open."""
        try:
            there, held = self.path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Removes the file, then unlocks it: after unlocking, the file may be the next holder's. If several share it,
        the last one removes it."""
        with suppress(OSError):  # on a disk that is read-only or gone by now the file stays, and nobody holds it
            if self.shared:
                _lock_now(self._file.fileno(), False)
            self.path.unlink()
        with suppress(OSError):
            self._file.close()


def is_running(folder: Path) -> bool:
    """Whether a run is writing into an output folder now."""
    try:
        files.check_regular(folder / LOCK)
        with (folder / LOCK).open("r", encoding="ascii") as file:
            _lock_now(file.fileno(), shared=False)  # closing the file releases it
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno in _HELD
    return False


def _lock_now(handle: int, shared: bool) -> None:
    """Takes the lock or raises OSError."""
    if os.name == "nt":
        import msvcrt

        if shared:
            raise OSError(errno.ENOTSUP, "Windows has none that several processes share; use WSL")
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
