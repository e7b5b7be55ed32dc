"""Colours films: `color_film_job` colours one film of a run."""

from __future__ import annotations

from archivecolor.pipeline.film.film_job import color_film_job, film_target

__all__ = ["color_film_job", "film_target"]
