"""How often a run opens a source. Each open costs a round trip where scans lie on a network drive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image
from support.doubles import grey
from support.paths import ROOT

MOST = 4
"""Its kind, its hash, its samples; and its hash again, because these files were written just now."""
MOST_WHEN_SETTLED = 2
"""Its kind and its hash."""

COUNTING_RUNS = """
import collections, json, os, sys
from pathlib import Path
from support.doubles import colour, register_ink

src, out, ink = map(Path, sys.argv[1:])
opened = collections.Counter()

def count(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = Path(os.fsdecode(arguments[0]))
        if path.parent == src:
            opened[path.name] += 1

sys.addaudithook(count)
register_ink()
result = []
for _ in range(2):
    opened.clear()
    rows = colour(src, out=out, model=ink)
    result.append([sorted(row.status for row in rows), dict(opened)])
print(json.dumps(result))
"""


def test_a_source_is_opened_at_most_four_times(src: Path, out: Path, ink: Path) -> None:
    names = ["a.jpg", "b.png", "c.tif"]
    for name in names:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[36867] = "1931:05:01 12:00:00"
        Image.fromarray(grey()).save(src / name, exif=exif)
    command = [sys.executable, "-c", COUNTING_RUNS, str(src), str(out), str(ink)]
    child = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    (first, opened), (second, opened_again) = json.loads(child.stdout)
    assert first == second == ["done"] * 3
    assert opened.keys() == opened_again.keys() == set(names)
    assert max(opened.values()) <= MOST, opened
    assert max(opened_again.values()) <= MOST_WHEN_SETTLED, opened_again
