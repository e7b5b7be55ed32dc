"""Decoded photographs kept in the folder of a training, so that a resumed one does not decode all scans again.

`decoded.bin` has the pixels one after the other, `decoded.json` says where which picture is. Both may be deleted at any
time. A picture counts as the same while its path, size and modification time are.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archivecolor import files
from archivecolor.imaging.arrays import ByteArray
from archivecolor.training import dataset
from archivecolor.training.dataset import ReadRgb

PIXELS, INDEX = "decoded.bin", "decoded.json"
LARGEST_BYTES = 2**31
LARGEST_SHARE = 0.1
"""Of the free space on the disk."""
WORTH_SECONDS = 10.0
"""Reading that takes less is simply repeated."""
_TOKEN_BYTES = 16
_OF_CONTENT = ("grey", "tinted in one tone", "under 64 pixels")
"""Reasons to reject a picture that stay true while the file does. Others, such as a lost drive, are looked at again."""


@dataclass(frozen=True)
class Entry:
    """One picture: when its file was changed, and its pixels or why it has none."""

    size: int
    modified_ns: int
    reason: str
    height: int = 0
    width: int = 0
    offset: int = 0


class PhotoCache:
    """The decoded photographs in one folder. A damaged cache counts as empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        self._pixels: mmap.mmap | bytes = b""
        self._new: dict[str, tuple[Entry, ByteArray | None]] = {}
        self._started = time.monotonic()
        with suppress(OSError, ValueError, TypeError, KeyError):
            self._open()

    def _open(self) -> None:
        index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        entries = {key: Entry(*values) for key, values in index["entries"].items()}
        with (self.folder / PIXELS).open("rb") as file:
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if pixels[:_TOKEN_BYTES].hex() == index["token"] and len(pixels) == index["bytes"]:
            self._entries, self._pixels = entries, pixels

    def decode(self, path: Path, read: ReadRgb, short_side: int) -> tuple[ByteArray | None, str]:
        """As `dataset.decode`, from the cache if it has the picture."""
        key = f"{short_side}:{path.absolute()}"
        try:
            status = path.stat()
        except OSError:
            return dataset.decode(path, read, short_side)
        entry = self._entries.get(key)
        if entry and (entry.size, entry.modified_ns) == (status.st_size, status.st_mtime_ns):
            return self._picture(entry), entry.reason
        rgb, reason = dataset.decode(path, read, short_side)
        if rgb is not None or reason in _OF_CONTENT:
            height, width = rgb.shape[:2] if rgb is not None else (0, 0)
            self._new[key] = Entry(status.st_size, status.st_mtime_ns, reason, height, width), rgb
        return rgb, reason

    def _picture(self, entry: Entry) -> ByteArray | None:
        if entry.reason:
            return None
        count = entry.height * entry.width * 3
        pixels = np.frombuffer(self._pixels, np.uint8, count, entry.offset)
        return pixels.reshape(entry.height, entry.width, 3)

    def save(self) -> None:
        """Writes what was decoded, if that took long and the disk has room. No error of the disk is one of the
        training."""
        if self._new and time.monotonic() - self._started >= WORTH_SECONDS:
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        limit = min(LARGEST_BYTES, int(LARGEST_SHARE * shutil.disk_usage(self.folder).free))
        token = os.urandom(_TOKEN_BYTES)
        pictures = {key: (entry, self._picture(entry)) for key, entry in self._entries.items()} | self._new
        entries: dict[str, list[object]] = {}
        with files.atomic_write(self.folder / PIXELS, durable=False) as part, part.open("wb") as file:
            offset = file.write(token)
            for key, (entry, rgb) in pictures.items():
                length = rgb.nbytes if rgb is not None else 0
                if offset + length > limit:
                    break
                entries[key] = [entry.size, entry.modified_ns, entry.reason, entry.height, entry.width, offset]
                offset += file.write(np.ascontiguousarray(rgb).data) if rgb is not None else 0
        with files.atomic_write(self.folder / INDEX, durable=False) as part:
            index = {"token": token.hex(), "bytes": offset, "entries": entries}
            part.write_text(json.dumps(index), encoding="utf-8")


def remove(folder: Path) -> None:
    """Deletes the cache of a finished training."""
    for name in (INDEX, PIXELS):
        with suppress(OSError):
            (folder / name).unlink()
