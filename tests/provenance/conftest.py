"""Fixtures of disclosure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.disclosed import Colour
from support.doubles import colour

from archivecolor.options import Disclosure
from archivecolor.provenance import Record


@pytest.fixture
def go(src: Path, out: Path, ink: Path) -> Colour:
    """Colours `src` into `out` as a user would get it, with sidecars; keywords are those of `Disclosure`."""

    def run(disclosure: Disclosure | None = None, **options: Any) -> list[Record]:
        return colour(src, **{"out": out, "model": ink, "disclosure": disclosure or Disclosure(), **options})

    return run
