"""The desk's process killed while a person decides and corrects, and while a run or a file is in work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.desk import TOKEN, client
from support.doubles import grey
from support.needs import package

from archivecolor import run
from archivecolor.preservation.verify import verify
from archivecolor.provenance import DONE, read_rows
from archivecolor.provenance.decisions import CORRECTIONS, DECISIONS, read

SETTINGS = {"model": "lite", "size": 64}


@contextmanager
def process(src: Path, out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`archivecolor review` as a shell starts it, and its address."""
    words = [sys.executable, "-m", "archivecolor", "review", str(out), "--inputs", str(src), "--no-browser"]
    words += ["--token", TOKEN, "--device", "cpu"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield child, child.stdout.readline().strip()
        finally:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)


def post(address: str, path: str, body: object) -> Any:
    request = urllib.request.Request(
        address + path, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


@pytest.mark.long
@pytest.mark.parametrize("work", ["run", "keep"])
@pytest.mark.parametrize("after", [1, 7])
def test_a_desk_that_is_killed_loses_nothing_that_it_has_answered(src: Path, out: Path, work: str, after: int) -> None:
    package("starlette")
    package("uvicorn")
    for i in range(4):
        Image.fromarray(grey(300, 400, seed=i)).save(src / f"old{i}.png")
    run(src, out=out, device="cpu", **SETTINGS)
    for i in range(12):
        Image.fromarray(grey(300, 400, seed=10 + i)).save(src / f"new{i:02}.png")
    old = read_rows(out)
    answered: dict[str, str] = {}
    drafts: dict[str, int] = {}

    def correct(address: str, child: subprocess.Popen[str]) -> None:
        """Pins a colour to one picture again and again; keeps another again and again."""
        with suppress(OSError, ValueError, urllib.error.URLError):
            shown, kept = (post(address, "open", {"input": f"old{i}.png"})["key"] for i in (0, 1))
            for x in range(1000):
                hint = {"x": x % 300, "y": 9, "colour": "#b0252a"}
                post(address, "preview", {"key": shown, **SETTINGS, "hints": [hint]})
                drafts["old0.png"] = x % 300
                if work == "keep":
                    post(address, "keep", {"input": "old1.png", "key": kept, **SETTINGS, "hints": [hint]})

    with process(src, out) as (child, address):
        if work == "run":
            post(address, "task", {"do": "run"})
        hand = threading.Thread(target=correct, args=(address, child), daemon=True)
        hand.start()
        while len(answered) < after or not drafts:
            name = f"old{len(answered) % 4}.png"
            word = "accepted" if len(answered) % 2 else "rejected"
            note = f"number {len(answered)}"
            decision = {"input": name, "decision": word, "output_sha256": old[name].output_sha256, "note": note}
            post(address, "decide", {"decisions": [decision]})
            answered[f"{name} {note}"] = word
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        hand.join(60)

    newest = dict(key.split(" ", 1) for key in answered)
    found = read(out / DECISIONS, "x")
    assert {name: one.note for name, one in found.items()} == newest
    [draft] = json.loads((out / CORRECTIONS).read_text())["corrections"]
    assert draft["settings"]["hints"][0]["x"] in (drafts["old0.png"], drafts["old0.png"] + 1), "the one in work, or it"
    with client(out, inputs=src) as desk:  # the lock is free
        assert desk.post("open", json={"input": "old0.png"}).json()["draft"] == draft["settings"]
        assert desk.post("task", json={"do": "run"}).status_code == 200
        desk.desk.tasks._thread.join()
        state = desk.get("changes").json()["task"]
        assert state["state"] == "done", state
    rows = read_rows(out)
    assert {name for name, row in rows.items() if row.status == DONE} == {path.name for path in src.iterdir()}
    assert verify(out).findings == (), "no half-written file is left"
    for name, row in rows.items():
        assert np.asarray(Image.open(out / str(row.output))).shape == (300, 400, 3), name
