"""Who may write into an output folder: one run alone, or any number of shards together."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from archivecolor.errors import OutputError

LOCK = ".archivecolor.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


class Lock:
    """A lock on a file that the system drops when the process dies, however it dies.

    Args:
        shared: held together with others that share it, and with nobody who wants it alone.

    Raises:
        OutputError: somebody else holds it, or the file system has no locks.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        self.path, self.shared = path, shared
        self._file = self._taken()
        while not self._is_at_its_place():  # its last holder removed it between our opening and our locking
            self._file.close()
            self._file = self._taken()
        try:
            self._sign()
        except OSError:
            self.release()
            raise

    def _sign(self) -> None:
        """Writes down who holds it, for people and for other machines."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _taken(self) -> IO[str]:
        file = self.path.open("a+", encoding="ascii")
        try:
            _lock_now(file.fileno(), self.shared)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            if error.errno not in _HELD:
                raise OutputError(
                    f"{self.path.parent}: its file system has no locks ({error.strerror}), so that two runs could "
                    "spoil each other's work; mount it with them, or choose another --out"
                ) from error
            raise OutputError(
                f"{self.path.parent}: another run (pid {holder}) is writing here; wait for it or choose another --out"
            ) from None
        return file

    def _is_at_its_place(self) -> bool:
        """Whether the locked file is the one that others will open, too."""
        try:
            there, held = self.path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Removed first and unlocked then: what is removed after unlocking may be the next holder's. Of those who share
        it, the last one removes it."""
        with suppress(OSError):  # on a disk that has become read-only it stays, and says nothing: nobody holds it
            if self.shared:
                _lock_now(self._file.fileno(), False)
            self.path.unlink()
        self._file.close()


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
