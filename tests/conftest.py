"""Fixtures for all rooms."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def ink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of `doubles.ConstantInk`, whose network is known for the length of the test."""
    from doubles import ConstantInk, save_ink

    from archivecolor import networks

    monkeypatch.setitem(networks.NETWORKS, "ink", ConstantInk)
    monkeypatch.setitem(networks.STRIDES, "ink", 32)
    return save_ink(tmp_path / "weights" / "inky")
