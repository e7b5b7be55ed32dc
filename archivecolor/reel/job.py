"""From a film's job to its row in the manifest: where it goes, what is said of it, what it is worth noting."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from archivecolor import files, provenance
from archivecolor.colorize import Colorizer
from archivecolor.film import write
from archivecolor.film.contact import telling
from archivecolor.film.header import Film
from archivecolor.film.segments import WorkFolder
from archivecolor.film.survey import Survey
from archivecolor.film.write import Coding
from archivecolor.jobs import Job
from archivecolor.options import RunOptions
from archivecolor.provenance import DONE, FAILED, SKIPPED, Keeper, Record
from archivecolor.reel.way import Watch, color_film, look_through


def color_job(
    film: Film, job: Job, row: Record, colorizer: Colorizer, options: RunOptions, manifest: Keeper, watch: Watch,
    tool: str,
) -> Record:  # fmt: skip
    """The way of one film from its job to its row in the manifest.

    Raises:
        OutputError, PictureError: it cannot be done, or not to its end.
    """
    started = time.perf_counter()
    coding = write.coding_for(film, options.film.codec, options.film.master)
    target = target_of(job, coding, options.suffix)
    row = replace(row, width=film.width, height=film.height, depth=film.depth, format=film.codec)
    before = manifest.row(job.name)
    if before and not options.overwrite and _is_same_failure(before, row, options.out):
        return before
    # Named after the source: a run with another --suffix or --codec begins it anew, and leaves no old one behind.
    place, key = target.with_name(job.source.name), f"{row.source_sha256} {row.weights_sha256} {row.options} {tool}"
    work = WorkFolder(place, key)
    found = look_through(film, options, work, watch)
    row = replace(row, film=_facts(film, found))
    if not options.recolor and found.coloured > 0.5:
        work.remove()
        return replace(row, status=SKIPPED, reason="already colour")
    manifest.begin(job.name, row.source, target, options.overwrite)
    source_type = provenance.TERMS + options.disclosure.source_type
    said = {"comment": disclosed(tool, colorizer, source_type), "digital_source_type": source_type}
    done = color_film(film, found, coding, work, target, colorizer, options, said, watch)
    facts = {**row.film, "seen": done.shown, "reuse_error": _rounded(done.error), "reuse_worst": _rounded(done.worst)}
    return replace(
        row, status=FAILED if found.trouble else DONE,
        reason=f"{found.trouble}; what is there was coloured" if found.trouble else "",
        output=target.relative_to(options.out).as_posix(), output_sha256=files.sha256(target), film=facts,
        notes=(*_notes(film, found), *done.notes), seconds={"film": round(time.perf_counter() - started, 3)},
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _facts(film: Film, found: Survey) -> dict[str, Any]:
    last = found.pts[-1] - found.pts[0] + film.frame_ticks
    return {
        "frames": len(found.pts), "bad_frames": len(found.bad), "shots": len(found.shots()),
        "fps": round(float(film.rate), 4), "duration": round(float(last * film.time_base), 3),
        "stills": [float(round((found.pts[i] - found.pts[0]) * film.time_base, 4)) for i in telling(found.shots())],
    }  # fmt: skip


def _notes(film: Film, found: Survey) -> tuple[str, ...]:
    notes = []
    if found.bad:
        notes.append(f"{len(found.bad)} frames could not be decoded; stand-ins keep the time: {found.bad[:20]}")
    if 0 < found.coloured <= 0.5:
        notes.append(f"{found.coloured:.0%} of the frames looked at were in colour and were coloured like the rest")
    if film.pix_fmt.startswith(("rgb", "bgr", "gbr", "pal", "argb", "abgr")):
        notes.append(f"{film.pix_fmt} has no luma of its own; it was computed (BT.709)")
    return tuple(notes)


def _is_same_failure(before: Record, row: Record, out: Path) -> bool:
    """A truncated film that was coloured as far as it goes, whose source, weights and options are still the same."""
    same = (before.source_sha256, before.weights_sha256, before.options) == (
        row.source_sha256, row.weights_sha256, row.options,
    )  # fmt: skip
    made = before.status == FAILED and bool(before.output_sha256) and before.output is not None
    return same and made and (out / str(before.output)).is_file()


def disclosed(tool: str, colorizer: Colorizer, source_type: str) -> str:
    """The statement for the file's comment."""
    card = colorizer.card
    return (
        f"Colour invented by a neural network ({tool}, weights {card.name} {card.sha256[:16]}); the luminance is the "
        f"original's. Digital source type: {source_type}"
    )


def target_of(job: Job, coding: Coding, suffix: str) -> Path:
    """Where the film goes: under its own name, or where the container must be another, that behind its whole name."""
    source = coding.film.path
    stem = source.stem if coding.suffix == source.suffix else source.name
    return job.target.with_name(f"{stem}{suffix}{coding.suffix}")
