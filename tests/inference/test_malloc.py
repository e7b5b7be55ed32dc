"""The allocator: what a run needs again and again is not asked from the system each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
from archivecolor.inference import malloc
kept = malloc.keep_freed_memory() if sys.argv[1] == "kept" else True
def layers():
    for _ in range(10):
        blocks = [b"1" * 2_000_000 for _ in range(3)]
def work():
    layers()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    layers()
    print(kept, resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's allocator that is asked")
def test_the_blocks_of_a_thread_are_faulted_in_once():
    def faults(allocator: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, allocator], capture_output=True, text=True, check=True)
        kept, count = done.stdout.split()
        assert kept == "True"
        return int(count)

    assert faults("kept") < faults("fresh") / 10
