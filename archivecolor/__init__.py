"""archivecolor: colorizes whole collections of old photographs, keeping every scan's luminance exactly.

    from archivecolor import Colorizer, run

    rgb = Colorizer().colorize(grey)                  # numpy, uint8 or uint16
    Colorizer().colorize_file("a.jpg", "b.jpg")       # one file
    rows = run("./old_photos", out="./color")         # the manifest's rows

The names are loaded when they are first used, so that `import archivecolor` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ColorOptions", "Colorizer", "Record", "RunOptions", "run"]

if TYPE_CHECKING:
    from archivecolor.options import ColorOptions, RunOptions
    from archivecolor.pipeline.api import Colorizer, run
    from archivecolor.provenance import Record

_HOMES = {
    "ColorOptions": "options",
    "Colorizer": "pipeline.api",
    "Record": "provenance",
    "RunOptions": "options",
    "run": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"archivecolor.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'archivecolor' has no attribute {name!r}")
