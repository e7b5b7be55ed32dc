"""The way of one film: `color_film` in `way.py`; `color_job` goes it for a job of a run."""

from __future__ import annotations

from archivecolor.reel.job import color_job, target
from archivecolor.reel.way import Coloured, InterruptedFilmError, Watch, color_film, megapixels, open_to_color

__all__ = [
    "Coloured",
    "InterruptedFilmError",
    "Watch",
    "color_film",
    "color_job",
    "megapixels",
    "open_to_color",
    "target",
]
