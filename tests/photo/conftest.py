"""Fixtures of photograph files."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def needs_exiftool() -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not on PATH: what it would read back is not checked")
