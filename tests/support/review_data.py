"""Reports read back, and decisions made."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from archivecolor import provenance
from archivecolor.options import ColorOptions, Disclosure, RunOptions
from archivecolor.provenance.decisions import FORMAT


def data_of(folder: Path) -> dict[str, Any]:
    text = (folder / "data.js").read_text(encoding="ascii")
    return json.loads(text.removeprefix("window.archivecolorReport = ").removesuffix(";\n"))


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    data = data_of(folder)
    return {row["input"]: row for row in (dict(zip(data["fields"], r, strict=True)) for r in data["rows"])}


class Links(HTMLParser):
    """Every src and href of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def decide(path: Path, out: Path, **verdicts: str) -> Path:
    """decisions.json as the page saves it: `accepted` or `rejected` by the stem of a picture's name."""
    rows = provenance.read_rows(out)
    made = [
        {"input": name, "decision": verdicts[Path(name).stem], "output_sha256": row.output_sha256, "note": ""}
        for name, row in rows.items()
        if Path(name).stem in verdicts
    ]
    path.write_text(json.dumps({"format": FORMAT, "collection": "x", "decisions": made}))
    return path


# --- decisions: redo and export ---------------------------------------------------------------------------------------


def options(src: Path, out: Path, model: Path, redo: Path | None = None, strength: float = 1.0) -> RunOptions:
    return RunOptions(
        inputs=(str(src),),
        out=out,
        model=str(model),
        color=ColorOptions(size=64, strength=strength),
        device="cpu",
        precision="fp32",
        redo=redo,
        disclosure=Disclosure(sidecar=False),
    )
