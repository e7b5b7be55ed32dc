"""From a film's job to its row in the manifest: where it goes, what is said of it, what it is worth noting."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from archivecolor import files, photo, sequences
from archivecolor.errors import MissingDependencyError, PictureError
from archivecolor.film import write
from archivecolor.film.header import Film
from archivecolor.film.survey import Survey
from archivecolor.film.thumbnails import representative_frames
from archivecolor.film.work_folder import WorkFolder
from archivecolor.film.write import Coding
from archivecolor.imaging import watermark
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import STILL_CODECS, RunOptions
from archivecolor.pipeline.film.color_film import FilmObserver, color_film, open_film_to_color, survey_film
from archivecolor.pipeline.film.container_sink import ContainerSink
from archivecolor.pipeline.film.frame_sink import FrameSink, OutputInfo
from archivecolor.pipeline.film.gif_sink import GifSink
from archivecolor.pipeline.film.image_sequence_sink import ImageSequenceSink
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.outputs import make_folder
from archivecolor.provenance import DONE, FAILED, SKIPPED, ManifestWriter, Record
from archivecolor.weights import Card


def color_film_job(
    film: Film, job: Job, row: Record, colorizer: Colorizer, options: RunOptions, manifest: ManifestWriter,
    watch: FilmObserver, tool: str,
) -> Record:  # fmt: skip
    """The way of one film from its job to its row in the manifest.

    Raises:
        OutputError, PictureError: it cannot be done, or not to its end.
    """
    started = time.perf_counter()
    told = OutputInfo(tool, colorizer.card, options)
    row = replace(row, width=film.width, height=film.height, format=film.codec)
    row = replace(row, depth=film.stills.bits if film.stills else film.depth)
    before = manifest.row(job.name)
    if before and not options.overwrite and _is_same_failure(before, row, options.out):
        return before
    delivery = sink_for(film, job, told)
    # Named after the source: a run with another --suffix or --codec begins it anew, and leaves no old one behind.
    place = job.target.with_name(job.source.name)
    key = f"{row.source_sha256} {row.weights_sha256} {row.options} {tool} {delivery.settings}"
    work = WorkFolder(place, key)
    found = survey_film(film, options, work, watch)
    row = replace(row, film=_facts(film, found))
    if not options.recolor and found.coloured > 0.5:
        work.remove()
        return replace(row, status=SKIPPED, reason="already colour")
    if isinstance(delivery, ImageSequenceSink):
        delivery.take_over(found, before)
    make_folder(delivery.target.parent, options.out)
    manifest.begin(job.name, row.source, delivery.target, options.overwrite, isinstance(delivery, ImageSequenceSink))
    done = color_film(film, found, delivery, work, colorizer, options, watch)
    facts = {
        **row.film, "seen": done.shown, "reuse_error": _rounded(done.error), "reuse_worst": _rounded(done.worst),
        **(delivery.card_facts() if isinstance(delivery, ContainerSink) else {}),
        **(
            {"still_numbers": representative_frames(found.shots())}
            if isinstance(delivery, ImageSequenceSink) and not film.stills
            else {}
        ),
        **(delivery.facts(found) if isinstance(delivery, ImageSequenceSink) else {}),
    }  # fmt: skip
    return replace(
        row, status=FAILED if found.trouble else DONE,
        reason=f"{found.trouble}; what is there was coloured" if found.trouble else "",
        output=delivery.target.relative_to(options.out).as_posix(), output_sha256=files.sha256(delivery.target),
        film=facts, max_delta_l=done.max_delta_l, mark=watermark.mark_text(options.disclosure.mark),
        mark_font=str(options.disclosure.mark_font or ""), notes=(*_notes(film, found), *done.notes),
        seconds={"film": round(time.perf_counter() - started, 3)},
    )  # fmt: skip


def film_target(job: Job, card: Card, options: RunOptions, tool: str) -> Path:
    """Where a film would go; one that cannot be read, under its own name."""
    try:
        film = open_film_to_color(job.source, options)
    except (PictureError, MissingDependencyError, OSError):
        return job.target.with_name(f"{job.source.stem}{options.suffix}{job.source.suffix}")
    return sink_for(film, job, OutputInfo(tool, card, options)).target


def sink_for(film: Film, job: Job, told: OutputInfo) -> FrameSink:
    """What the film is to become, and where."""
    asked, suffix = told.options.film, told.options.suffix
    kind = asked.codec
    if film.stills and kind == "auto" and not asked.master:
        kind = film.stills.kind if film.stills.kind in ("dpx", *photo.WRITABLE) else "png"
    elif kind == "gif":
        return GifSink(film, gif_of(film, job, suffix), told)
    elif kind not in STILL_CODECS:
        coding = write.coding_for(film, "h264" if kind == "auto" else kind, asked.master)
        return ContainerSink(coding, target_of(job, coding, suffix), told)
    return ImageSequenceSink(film, kind, frames_of(film, job, kind, suffix), told)


def gif_of(film: Film, job: Job, suffix: str) -> Path:
    """Where a film goes as a GIF."""
    source = job.source
    stem = source.stem if source.suffix == ".gif" else source.name
    if film.stills and sequences.is_pattern(source):
        stem = sequences.name_with_range(source, sequences.frame_paths_by_number(source))
    return job.target.with_name(f"{stem}{suffix}.gif")


def frames_of(film: Film, job: Job, kind: str, suffix: str) -> Path:
    """The number pattern of a film's frames: its own, beside the outputs of photographs; with another file suffix, in a
    folder of the film's name, for a photograph may have that very name: `f_0001-0480.dpx_frames/f_%04d.png`."""
    source = job.source
    own = ".dpx" if kind == "dpx" else photo.suffix_for(kind, source.suffix)
    if not film.stills:
        plain = source.stem.replace("%", "_")
        return job.target.with_name(f"{source.name}_frames") / f"{plain}{suffix}_%06d{own}"
    if source.suffix and (kind == film.stills.kind or own == source.suffix):
        return job.target.with_name(f"{source.stem}{suffix}{source.suffix}")
    if not sequences.is_pattern(source):
        return job.target.with_name(f"{source.name}{suffix}{own}")
    folder = f"{sequences.name_with_range(source, sequences.frame_paths_by_number(source))}_frames"
    return job.target.with_name(folder) / f"{source.stem}{suffix}{own}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _facts(film: Film, found: Survey) -> dict[str, Any]:
    missing = sum(end - start + 1 for start, end in _gaps(film, found))
    more: dict[str, Any] = {"deinterlaced": found.deinterlaced} if film.deinterlaced else {}
    more |= {"first": film.stills.first, "missing": missing} if film.stills else {}
    more |= {"curve": film.stills.curve} if film.stills and film.stills.curve else {}
    last = found.pts[-1] - found.pts[0] + film.frame_ticks
    stills = representative_frames(found.shots())
    return {
        "frames": len(found.pts), "bad_frames": len(found.bad), "shots": len(found.shots()),
        "fps": round(float(film.rate), 4), "duration": round(float(last * film.time_base), 3),
        "stills": [float(round((found.pts[i] - found.pts[0]) * film.time_base, 4)) for i in stills],
        **more,
    }  # fmt: skip


def _gaps(film: Film, found: Survey) -> list[tuple[int, int]]:
    """Numbers that are missing among a film's files."""
    return sequences.missing_ranges(pts + film.stills.first for pts in found.pts) if film.stills else []


def _notes(film: Film, found: Survey) -> tuple[str, ...]:
    notes = list(film.stills.notes) if film.stills else []
    if found.bad:
        first = film.stills.first if film.stills else None
        bad = found.bad if first is None else [found.pts[i] + first for i in found.bad]
        notes.append(f"{len(bad)} frames could not be decoded; stand-ins keep the time: {bad[:20]}")
    if gaps := _gaps(film, found):
        told = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in gaps[:20])
        notes.append(f"frames are missing, and those before them stay longer: {told}{', …' if gaps[20:] else ''}")
    if film.deinterlaced and not found.deinterlaced:
        notes.append("--deinterlace: no frame says that it is interlaced; all are left as they are")
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
    return same and made and sequences.exists(out / str(before.output))


def target_of(job: Job, coding: Coding, suffix: str) -> Path:
    """Where the film goes: under its own name, or where the container must be another, that behind its whole name.
    Numbered files are named by their first and last number."""
    source, film = coding.film.path, coding.film
    stem = source.stem if coding.suffix == source.suffix else source.name
    if film.stills and sequences.is_pattern(source):
        stem = sequences.name_with_range(source, sequences.frame_paths_by_number(source))
    return job.target.with_name(f"{stem}{suffix}{coding.suffix}")
