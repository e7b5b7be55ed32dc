"""Whether a file was made by this program, by what the file and its sidecar say."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from archivecolor import files
from archivecolor.provenance.disclosure import NAMESPACE
from archivecolor.provenance.sidecars import is_sidecar, sidecar_of


def is_ours(path: Path) -> bool:
    """Whether this program wrote a file and nobody has changed it since, as far as that can be known.

    A sidecar has the hash of its output and so is certain. Without one, the disclosure in the file decides.
    """
    sidecar = sidecar_of(path)
    try:
        if is_sidecar(path):
            return True
        if is_sidecar(sidecar):
            stated = json.loads(sidecar.read_text(encoding="utf-8"))["output"]["sha256"]
            return bool(stated == files.sha256(path))
        return _mentions(path, NAMESPACE.encode())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _mentions(path: Path, words: bytes) -> bool:
    """Whether a file contains these bytes. It is mapped, not read into memory."""
    if files.is_special(path) or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(words) >= 0
