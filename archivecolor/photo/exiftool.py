"""Maker notes: only exiftool moves them to another file correctly, because they contain offsets."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

_SECONDS = 120
_PARTS = ("-MakerNotes", "-InteropIFD:all")


@lru_cache(maxsize=1)
def _executable() -> str | None:
    return shutil.which("exiftool")


def copy_maker_notes(part: Path, source: Path | None) -> tuple[str, ...]:
    """Copies maker notes from `source` into the TIFF `part`, and returns the notes on what could not be copied."""
    program = _executable()
    if program is None or source is None:
        return ("EXIF maker notes copied as they are: with exiftool on PATH they are moved whole",)
    temporary = part.with_name(f"{part.name}_exiftool_tmp")
    command = [program, "-q", "-q", "-m", "-overwrite_original", "-TagsFromFile", str(source.resolve()), *_PARTS]
    try:
        result = subprocess.run([*command, str(part.resolve())], capture_output=True, timeout=_SECONDS, check=False)
        succeeded = result.returncode == 0
    except (OSError, subprocess.TimeoutExpired, ValueError):
        succeeded = False
    finally:
        temporary.unlink(missing_ok=True)
    return () if succeeded else ("EXIF maker notes copied as they are: exiftool could not move them",)
