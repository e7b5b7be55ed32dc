"""Fixtures of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.doubles import (
    colour,
    contents,
)
from support.runs import Colour

from archivecolor.provenance import Record


@pytest.fixture
def go(src: Path, out: Path, ink: Path) -> Colour:
    """Colours `src` into `out` with the ink, and sees that the sources stay as they are."""

    def run(**options: Any) -> list[Record]:
        before = contents(src)
        rows = colour(src, **{"out": out, "model": ink, **options})
        assert contents(src) == before
        return rows

    return run
