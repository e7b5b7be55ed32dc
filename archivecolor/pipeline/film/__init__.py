"""The way of one film: `color_film` in `way.py`; `color_job` goes it for a job of a run."""

from __future__ import annotations

from archivecolor.pipeline.film.color_film import (
    ColoredFilm,
    InterruptedFilmError,
    color_film,
    film_megapixels,
    open_film_to_color,
)
from archivecolor.pipeline.film.film_job import color_film_job, film_target

__all__ = [
    "ColoredFilm",
    "InterruptedFilmError",
    "color_film",
    "color_film_job",
    "film_megapixels",
    "film_target",
    "open_film_to_color",
]
