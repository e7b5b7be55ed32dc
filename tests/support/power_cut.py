"""What a power cut leaves of a folder, from the journal that `storage.c` writes of a run.

The rule is that of POSIX: data that was not flushed may be missing, and a name may be missing whose folder was not
flushed. Real file systems keep more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath

_HEAD = struct.Struct("=cQqIII")
FOLDER = -1
KINDS = ("least", "names", "torn")
"""`least`: only what was flushed. `names`: all names, and of the files only what was flushed. `torn`: all names, and
half of what was written since the last flush."""

State = dict[str, bytes | None]
"""Path below the folder -> content; None for a folder."""


@dataclass
class Disk:
    """A folder as programs see it, and as it is on the disk."""

    root: str
    data: dict[int, bytes] = field(default_factory=dict)
    flushed: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    _file_of: dict[int, int] = field(default_factory=dict)
    """Inode -> file: the system uses the inode of a removed file again."""
    _next: Iterator[int] = field(default_factory=count)

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """A folder that has been on the disk for long."""
        disk = cls(str(folder))
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_dir():
                disk.names[name] = FOLDER
                continue
            file = next(disk._next)
            disk.names[name] = disk._file_of[path.stat().st_ino] = file
            disk.data[file] = disk.flushed[file] = path.read_bytes()
        disk.durable = dict(disk.names)
        return disk

    def _name(self, path: str) -> str:
        name = path.removeprefix(self.root).removeprefix("/")
        assert not name.startswith("/")
        return name

    def apply(self, letter: str, inode: int, offset: int, a: str, b: str, data: bytes) -> None:
        """One operation of the journal."""
        name = self._name(a)
        match letter:
            case "C":
                if name not in self.names or self.names[name] != self._file_of.get(inode):
                    file = next(self._next)
                    self.names[name] = self._file_of[inode] = file
                    self.data[file] = self.flushed[file] = b""
            case "M":
                if name:
                    self.names[name] = FOLDER
            case "R":
                self.names[self._name(b)] = self.names.pop(name)
            case "U":
                del self.names[name]
            case "W":
                file = self._file_of[inode]
                old = self.data[file].ljust(offset, b"\0")
                self.data[file] = old[:offset] + data + old[offset + len(data) :]
            case "T":
                file = self._file_of[inode]
                self.data[file] = self.data[file][:offset].ljust(offset, b"\0")
            case "F":
                self.flushed[self._file_of[inode]] = self.data[self._file_of[inode]]
            case "D":

                def inside(other: str) -> bool:
                    return str(PurePath(other).parent) == (name or ".")

                self.durable = {key: file for key, file in self.durable.items() if not inside(key)}
                self.durable |= {key: file for key, file in self.names.items() if inside(key)}

    def after_cut(self, kind: str) -> State:
        """What is there when the power is back."""
        names = self.durable if kind == "least" else self.names
        state: State = {}
        for name in sorted(names):
            parent = str(PurePath(name).parent)
            if parent != "." and state.get(parent, b"") is not None:
                continue  # its folder is lost
            file = names[name]
            state[name] = None if file == FOLDER else self._content(file, kind)
        return state

    def _content(self, file: int, kind: str) -> bytes:
        live, flushed = self.data[file], self.flushed[file]
        if kind == "torn" and live.startswith(flushed):
            return live[: (len(live) + len(flushed)) // 2]
        return flushed


def operations(journal: Path) -> Iterator[tuple[str, int, int, str, str, bytes]]:
    """The operations of a journal, in their order."""
    content, at = journal.read_bytes(), 0
    while at < len(content):
        letter, inode, offset, *lengths = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        parts = []
        for length in lengths:
            parts.append(content[at : at + length])
            at += length
        yield letter.decode(), inode, offset, parts[0].decode(), parts[1].decode(), parts[2]


def states(disk: Disk, journal: Path) -> list[tuple[str, State]]:
    """Each different state that a cut at any moment can leave, with a name for it."""
    found: list[tuple[str, State]] = []
    seen: set[int] = set()
    for number, operation in enumerate(operations(journal)):
        disk.apply(*operation)
        for kind in KINDS:
            state = disk.after_cut(kind)
            key = hash(tuple(sorted((name, content or b"") for name, content in state.items())))
            if key not in seen:
                seen.add(key)
                found.append((f"{kind} after operation {number} ({operation[0]} {operation[3][-40:]})", state))
    return found


def rebuild(folder: Path, state: State) -> None:
    """Makes a folder that is in this state."""
    folder.mkdir()
    for name in sorted(state):
        content = state[name]
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
