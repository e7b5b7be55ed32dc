"""What outputs say of themselves, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archivecolor.provenance import Record

Colour = Callable[..., list[Record]]


def sidecar(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / f"{name}.json").read_text())
