"""Fixtures of preservation."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doubles import colour, save_grey_tree

from archivecolor.options import Disclosure


@pytest.fixture
def finished(src: Path, out: Path, ink: Path) -> Path:
    """A folder with four pictures in it, one source that failed, and sidecars."""
    save_grey_tree(src, 4)
    (src / "broken.png").write_bytes(b"\x89PNG no more")
    colour(src, out=out, model=ink, disclosure=Disclosure())
    return out
