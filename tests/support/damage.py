"""Harm done to files."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
