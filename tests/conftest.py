"""Fixtures for all rooms.

Torch computes in one thread here: on a machine that is busy with something else (a training, another test run), two
threads wait for each other at the end of every layer, and the tests take four times as long.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch


@pytest.fixture
def ink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of `doubles.ConstantInk`, whose network is known for the length of the test."""
    from doubles import ConstantInk, save_ink

    from archivecolor import networks

    monkeypatch.setitem(networks.NETWORKS, "ink", ConstantInk)
    monkeypatch.setitem(networks.STRIDES, "ink", 32)
    return save_ink(tmp_path / "weights" / "inky")


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """An empty folder for sources."""
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A name for an output folder that is not there yet."""
    return tmp_path / "out"
