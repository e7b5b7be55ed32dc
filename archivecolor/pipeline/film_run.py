"""One film as a job of a run: its share of memory, its output folder and its sidecar."""

from __future__ import annotations

from dataclasses import replace

from archivecolor import sequences
from archivecolor.errors import UnreadableError
from archivecolor.pipeline import film as film_pipeline
from archivecolor.pipeline.attempt import SOURCE_CHANGED, Attempt
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.outputs import make_folder
from archivecolor.provenance import Record


def color_one_film(attempt: Attempt, observer: film_pipeline.FilmObserver) -> Record:
    """Colours one film, and writes its sidecar.

    Raises:
        OutputError, PictureError, MissingDependencyError: it cannot be done, or not to its end.
    """
    job, context = attempt.job, attempt.context
    options, manifest = context.options, context.manifest
    film = film_pipeline.open_film_to_color(job.source, options)
    make_folder(job.target.parent, options.out)
    with context.budgets.films.hold(film_pipeline.film_megapixels(film)):
        before = manifest.row(job.name)
        row = film_pipeline.color_film_job(film, job, attempt.row, context.colorizer, options, manifest, observer, TOOL)
    if row.output is None or row == before:
        return row
    if not attempt.snapshot.still():
        for path in sequences.frame_paths(options.out / row.output):
            path.unlink()
        raise UnreadableError(SOURCE_CHANGED)
    disclosure = options.disclosure
    only_photographs = {
        "--palette": options.color.palette,
        "--mirror": options.color.mirror,
        "--c2pa": disclosure.c2pa,
        "--hint": options.color.hints,
        "--confidence": options.confidence,
    }
    notes = (*row.notes, *(f"{flag} is for photographs" for flag, value in only_photographs.items() if value))
    row = replace(row, notes=notes, guidance=(), sidecar=disclosure.sidecar, source_type=disclosure.source_type)
    if row.sidecar:
        attempt.write_sidecar(row, None)
    return row
