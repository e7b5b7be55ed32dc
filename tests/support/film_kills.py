"""Kills a run over a film at random moments, lets it end, and compares; not part of the test run.

    python tests/support/film_kills.py reel.mp4 --out scratch --kills 10 [run's own options]

Prints how many segments were finished at each kill, and whether the film and all its copied streams are byte for byte
those of a run that was never killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from archivecolor import files
from archivecolor.film.work_folder import FOLDER_SUFFIX
from archivecolor.provenance import DONE, read_rows


def command(film: str, out: Path, options: list[str]) -> list[str]:
    return [
        sys.executable, "-m", "archivecolor", "run", film, "--out", str(out), "--quiet", "--no-sidecar", *options,
    ]  # fmt: skip


def finished(out: Path) -> int:
    """Segments that lie in the work folder."""
    return len(list(out.glob(f"**/.*{FOLDER_SUFFIX}/*.packets")))


def main() -> int:
    """0 when both films are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments, options = parser.parse_known_args()
    never, killed = arguments.out / "never", arguments.out / "killed"
    began = time.monotonic()
    subprocess.run(command(arguments.film, never, options), check=True)
    whole = time.monotonic() - began
    draw, kills = random.Random(arguments.seed), 0
    while kills < arguments.kills:
        before = finished(killed)
        child = subprocess.Popen(command(arguments.film, killed, options), start_new_session=True)
        while child.poll() is None and finished(killed) <= before:  # the next one first, then at a random moment
            time.sleep(0.01)
        time.sleep(draw.uniform(0, min(0.8, whole / (3 * arguments.kills))))
        if child.poll() is not None:
            print(f"finished after {kills} kills: cut it finer, for example with --cuts")
            return 1
        _kill(child)
        kills += 1
        print(f"kill {kills}: {finished(killed)} segments finished", flush=True)
    subprocess.run(command(arguments.film, killed, options), check=True)
    same = True
    for name, row in read_rows(killed).items():
        assert row.status == DONE and row.output, row.reason
        one, other = (files.sha256(out / row.output) for out in (never, killed))
        same &= one == other
        print(f"{name}: {'identical' if one == other else 'DIFFERENT'} ({one[:16]}, {other[:16]})")
    left = [path.name for path in killed.rglob(".*")]
    print(f"left behind: {left or 'nothing'}")
    return 0 if same and not left else 1


def _kill(child: subprocess.Popen[bytes]) -> None:
    """The run and the process that works for it, at once."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    sys.exit(main())
