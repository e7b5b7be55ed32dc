"""Every error this program raises on purpose, and the exit code each one means.

    ArchivecolorError            1    fatal
    ├── DivergedError            1    a training ended, because its loss is not a number
    ├── UsageError               2    an option or argument is wrong
    ├── PictureError             3    one picture cannot be done; the batch goes on
    │   ├── SourceReadError           the system could not read it, which says nothing about the file
    │   ├── UnreadableError           damaged, truncated, or not a picture at all
    │   ├── UnsupportedError          a picture, but of a kind this program does not handle
    │   ├── MachineColoredError       coloured by this program, where true colours are needed
    │   └── TooLargeError             over --max-megapixels
    ├── NoInputError             4    nothing to do was found
    ├── OutputError              5    the output cannot be written
    ├── WeightsError             6    weights missing, damaged, or not for this network
    ├── MissingDependencyError   7    an optional package is needed and not installed
    └── StoppedError           130    somebody asked it to stop

Ctrl-C ends with 130, too. A message names the file, the cause and the way out.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

INTERRUPTED = 130
_MOST_NAMES = 12


def listed(names: Sequence[str]) -> str:
    """The first names with commas between them, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


class ArchivecolorError(Exception):
    """The root of the family."""

    exit_code = 1


class DivergedError(ArchivecolorError):
    """A training ended, because its loss became infinite or NaN."""


class UsageError(ArchivecolorError):
    """An option or an argument is wrong."""

    exit_code = 2


class PictureError(ArchivecolorError):
    """One picture cannot be done. The message is the `reason` of its manifest row."""

    exit_code = 3


class SourceReadError(PictureError):
    """The system could not read the source: a failing disk, a lost network drive, missing permission. This says nothing
    about the file, so nothing may remember it as damage."""


class UnreadableError(PictureError):
    """Damaged, truncated, or not a picture at all."""


class MachineColoredError(PictureError):
    """Its colours were made by this program, where true colours are needed."""


class UnsupportedError(PictureError):
    """A picture, but of a kind this program does not handle."""


class TooLargeError(PictureError):
    """More pixels than --max-megapixels allows."""


class NoInputError(ArchivecolorError):
    """No input was found."""

    exit_code = 4


class OutputError(ArchivecolorError):
    """The output folder or a file in it cannot be written."""

    exit_code = 5


class WeightsError(ArchivecolorError):
    """Weights are missing, damaged, or do not fit the network their card names."""

    exit_code = 6


class MissingDependencyError(ArchivecolorError):
    """An optional package is needed and not installed."""

    exit_code = 7


class StoppedError(ArchivecolorError):
    """Somebody asked the working process to stop, and not this one."""

    exit_code = INTERRUPTED


_MEMORY = "memory is short: end other programs, or allow this one more (ulimit -v, a container's limit)"
_THREADS = "the system allows no more threads: allow more (ulimit -u, and -v for their memory), or use fewer --workers"
_NO_MEMORY_WORDS = ("cannot allocate memory", "can't allocate memory", "failed to map segment", "not enough memory")


def shortage_error(error: BaseException) -> ArchivecolorError | None:
    """The plain error for one that says that the machine, or a limit on this user, has no more memory or threads; None
    for any other error."""
    words, number = str(error).lower(), error.errno if isinstance(error, OSError) else None
    if "start new thread" in words or number == errno.EAGAIN:
        return ArchivecolorError(_THREADS)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(sign in words for sign in _NO_MEMORY_WORDS):
        return ArchivecolorError(_MEMORY)
    earlier = error.__cause__ or error.__context__  # a library may fail once more while it clears up
    return shortage_error(earlier) if earlier else None
