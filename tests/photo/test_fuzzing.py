"""The fuzzer finds nothing, and would find what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT, SUPPORT

# --- the fuzzer -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_fuzzing_finds_nothing(tmp_path: Path) -> None:
    """Twenty seconds; `python tests/support/fuzz_readers.py --minutes 10` looks longer."""
    if not hasattr(os, "fork"):
        pytest.skip("the fuzzer forks: it is not run here")
    command = [sys.executable, str(SUPPORT / "fuzz_readers.py"), "--minutes", "0.33", "--keep", str(tmp_path / "found")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split(" cases")[0].split()[-1]) > 20


def test_the_fuzzer_sees_crashes_hangs_memory_and_foreign_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import ctypes, pathlib, time
from support import fuzz_readers as f
def foreign(*_): raise KeyError("x")
print(f.apart(lambda: ctypes.string_at(0)[0])[0])
limit, f.SECONDS = f.SECONDS, 1
print(f.apart(lambda: time.sleep(60) or 0)[0])
f.SECONDS = limit
print(f.apart(lambda: len(bytearray(b"x" * (300 << 20))) * 0)[1] - f.apart(lambda: 0)[1] > 250)
f.photo.read = foreign
print(f.apart(lambda: f.look(pathlib.Path(f.__file__)))[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == ["crash by SIGSEGV", "hang", "True", "foreign exception"]
