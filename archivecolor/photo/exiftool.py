"""The one part of EXIF that only exiftool moves rightly: maker notes, whose inner offsets go astray in another file."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

_SECONDS = 120
_PARTS = ("-MakerNotes", "-InteropIFD:all")


@lru_cache(maxsize=1)
def _program() -> str | None:
    return shutil.which("exiftool")


def completed(part: Path, source: Path | None) -> tuple[str, ...]:
    """Moves what our own copy of EXIF lacks from `source` into the TIFF `part`; gives what is to be noted."""
    program = _program()
    if program is None or source is None:
        return ("EXIF maker notes copied as they are: with exiftool on PATH they are moved whole",)
    own = part.with_name(f"{part.name}_exiftool_tmp")
    command = [program, "-q", "-q", "-m", "-overwrite_original", "-TagsFromFile", str(source.resolve()), *_PARTS]
    try:
        done = subprocess.run([*command, str(part.resolve())], capture_output=True, timeout=_SECONDS, check=False)
        whole = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired, ValueError):
        whole = False
    finally:
        own.unlink(missing_ok=True)
    return () if whole else ("EXIF maker notes copied as they are: exiftool could not move them",)
