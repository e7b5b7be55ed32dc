"""From the job of a film to its row in the manifest: every value of the row is filled in here."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

from archivecolor import files, photo, sequences
from archivecolor.errors import MissingDependencyError, PictureError, UnreadableError, UnsupportedError
from archivecolor.film.coding import Coding, coding_for
from archivecolor.film.header import Film, ImageSequence
from archivecolor.film.reference_files import reference_files, reference_folder
from archivecolor.film.survey import Survey
from archivecolor.film.thumbnails import representative_frames
from archivecolor.film.work_folder import WorkFolder
from archivecolor.imaging import watermark
from archivecolor.options import STILL_CODECS, FilmOptions, RunOptions
from archivecolor.pipeline import source_xmp
from archivecolor.pipeline.attempt import ALREADY_COLOUR, Attempt, RunContext
from archivecolor.pipeline.disclosure import TOOL
from archivecolor.pipeline.film.color_film import (
    ColoredFilm,
    color_film,
    film_megapixels,
    open_film_to_color,
    survey_film,
)
from archivecolor.pipeline.film.container_sink import ContainerSink
from archivecolor.pipeline.film.find_references import ReferenceFinder
from archivecolor.pipeline.film.frame_sink import FrameSink, OutputInfo
from archivecolor.pipeline.film.gif_sink import GifSink
from archivecolor.pipeline.film.image_sequence_sink import ImageSequenceSink
from archivecolor.pipeline.film.keyframes import LOOKAHEAD
from archivecolor.pipeline.film.reference_bank import ReferenceBank
from archivecolor.pipeline.film.reference_guidance import REFERENCE_LOOKAHEAD
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.observer import FilmObserver
from archivecolor.pipeline.outputs import make_folder
from archivecolor.provenance import DONE, FAILED, SKIPPED, Record
from archivecolor.weights import Card


def color_film_job(attempt: Attempt, observer: FilmObserver) -> Record:
    """Colours one film, and fills in its row.

    Returns:
        The row; that of the run before when the film is truncated and was coloured as far as it goes.

    Raises:
        OutputError: the output cannot be written.
        PictureError, MissingDependencyError: the film cannot be coloured, or not to its end.
    """
    job, context = attempt.job, attempt.context
    options = context.options
    film = open_film_to_color(job.source, options)
    _check_sound(film, options.film)
    make_folder(job.target.parent, options.out)
    row = replace(attempt.row, width=film.width, height=film.height, depth=film.stored_bits, format=film.codec)
    before = context.manifest.row(job.name)
    if before and not options.overwrite and _is_same_failure(before, row, options.out):
        return before
    lookahead = REFERENCE_LOOKAHEAD if options.film.references or options.color.film_hints else LOOKAHEAD
    with context.budgets.films.hold(film_megapixels(film, lookahead)):
        row = _color_to_output(film, attempt, row, before, observer)
    if row.output is None:
        return row
    try:
        attempt.check_unchanged()
    except UnreadableError:
        for path in sequences.frame_paths(options.out / row.output):
            path.unlink()
        raise
    if row.sidecar:
        attempt.write_sidecar(row, None)
    return row


def _color_to_output(
    film: Film, attempt: Attempt, row: Record, before: Record | None, observer: FilmObserver
) -> Record:
    """Surveys the film, colours it into its sink, and returns the finished row.

    Args:
        row: what is known before the film is surveyed.
        before: the row of an earlier run, if any.
    """
    started = time.perf_counter()
    job, context = attempt.job, attempt.context
    options, colorizer = context.options, context.colorizer
    sink = sink_for(film, job, OutputInfo(TOOL, colorizer.card, options))
    # The work folder is named after the source. A run with another --suffix or --codec thus replaces what an
    # interrupted run left.
    key = f"{row.source_sha256} {row.weights_sha256} {row.options} {TOOL} {sink.settings}"
    work = WorkFolder(job.target.with_name(f"{job.tag}{job.source.name}"), key)
    survey = survey_film(film, options, work, observer)
    if options.recolor or not sink.keeps_own_colour or isinstance(film, ImageSequence):
        survey = replace(survey, sections=[])
    row = replace(row, film=_survey_facts(film, survey))
    if not options.recolor and survey.coloured > 0.5:
        work.remove()
        return replace(row, status=SKIPPED, reason=ALREADY_COLOUR)
    sink.prepare(survey, before)
    make_folder(sink.target.parent, options.out)
    bank = _reference_bank(film, survey, job, work, context, observer)
    context.manifest.begin(job.name, row.source, sink.target, options.overwrite, frames=sink.one_file_per_frame)
    result = color_film(film, survey, sink, work, colorizer, options, observer, bank)
    disclosure = options.disclosure
    return replace(
        row,
        status=FAILED if survey.trouble else DONE,
        reason=f"{survey.trouble}; what is there was coloured" if survey.trouble else "",
        output=sink.target.relative_to(options.out).as_posix(),
        output_sha256=files.sha256(sink.target),
        film={
            **row.film,
            **_result_facts(result),
            **({"references": _reference_facts(film, survey, bank, result)} if bank else {}),
            **sink.facts(survey),
        },
        max_delta_l=result.max_delta_l,
        mark=watermark.mark_text(disclosure.mark),
        mark_font=str(disclosure.mark_font or ""),
        notes=(
            *_survey_notes(film, survey),
            *(_reference_notes(film, survey, bank) if bank else ()),
            *result.notes,
            *_ignored_options(options),
            *source_xmp.carry(job.source, sink.target, options),
        ),
        guidance=options.color.film_guidance(),
        sidecar=disclosure.sidecar,
        source_type=disclosure.source_type,
        seconds={"film": round(time.perf_counter() - started, 3)},
    )


def _reference_bank(
    film: Film, survey: Survey, job: Job, work: WorkFolder, context: RunContext, observer: FilmObserver
) -> ReferenceBank | None:
    """The references of a film, found now or by an interrupted run; None without any."""
    options = context.options
    folder = options.film.references
    paths = reference_files(reference_folder(folder, job.source)) if folder else []
    pinned = options.color.film_hints
    if not paths and not pinned:
        return None
    bank = ReferenceBank(work.references(), film.orientation)
    if bank.restore():
        return bank

    def progress(index: int, pts: int) -> bool:
        seconds = float((pts - survey.pts[0]) * film.time_base)
        observer.progress("reading references", index, len(survey.pts), seconds)
        return observer.stop_requested()

    finder = ReferenceFinder(film, survey, context.colorizer, options.film.on_bad_frame, progress)
    finder.fill(bank, paths, pinned)
    return bank


def _reference_facts(film: Film, survey: Survey, bank: ReferenceBank, result: ColoredFilm) -> list[dict[str, object]]:
    """What the manifest row says of each reference: which, where its colours went, and how much of the frames."""
    facts: list[dict[str, object]] = []
    for frame, reference in bank.references.items():
        number = film.frame_number(frame, survey.pts[frame])
        fact = {**asdict(reference), "frame": number}
        if frame in result.references:
            count, share, first, last = result.references[frame]
            first, last = (film.frame_number(i, survey.pts[i]) for i in (int(first), int(last)))
            fact |= {"frames": int(count), "first": first, "last": last, "share": round(share / count, 3)}
        facts.append(fact)
    return facts


def _reference_notes(film: Film, survey: Survey, bank: ReferenceBank) -> list[str]:
    """Remarks on references that do not agree with all of their frame, and on networks that cannot compare."""
    notes = [
        f"reference {one.name}: {1 - one.agrees:.0%} of frame {film.frame_number(one.frame, survey.pts[one.frame])} is "
        "not used, because the luminance differs there or the reference does not reach so far"
        for one in bank.references.values()
        if one.agrees < 0.99 and one.by != "hint"
    ]
    if not bank.compares:
        notes.append("its network has no encoder: the colours of the references come along the motion alone")
    return notes


def film_target(job: Job, card: Card, options: RunOptions) -> Path:
    """Where a film would be written. A film that cannot be read keeps its own name."""
    try:
        film = open_film_to_color(job.source, options)
    except (PictureError, MissingDependencyError, OSError):
        return job.target.with_name(f"{job.source.stem}{options.suffix}{job.source.suffix}")
    return sink_for(film, job, OutputInfo(TOOL, card, options)).target


def sink_for(film: Film, job: Job, output: OutputInfo) -> FrameSink:
    """What the film is written as, and where."""
    requested, suffix = output.options.film, output.options.suffix
    codec: str = requested.codec
    if isinstance(film, ImageSequence) and codec == "auto" and not requested.master:
        codec = film.codec if film.codec in ("dpx", *photo.WRITABLE) else "png"
    elif codec == "gif":
        return GifSink(film, _gif_target(film, job, suffix), output)
    elif codec not in STILL_CODECS:
        coding = _coding(film, requested)
        return ContainerSink(coding, _container_target(job, coding, suffix), output)
    return ImageSequenceSink(film, codec, _frames_target(film, job, codec, suffix), output)


def _check_sound(film: Film, options: FilmOptions) -> None:
    """Raises UnsupportedError if the output would be silent without anybody's wish."""
    if options.drop_audio or not options.in_one_file(isinstance(film, ImageSequence)):
        return
    container = _coding(film, options).container
    lost = [track.codec for track in film.sound if not track.decodable and container not in track.containers]
    if lost:
        raise UnsupportedError(
            f"its sound ({', '.join(lost)}) can neither be copied nor decoded; --drop-audio colours the film without it"
        )


def _coding(film: Film, options: FilmOptions) -> Coding:
    codec: str = options.codec
    return coding_for(film, "h264" if codec == "auto" else codec, options.master, options.drop_audio)


def _gif_target(film: Film, job: Job, suffix: str) -> Path:
    source = job.source
    return job.target.with_name(f"{_stem(film, source, source.suffix == '.gif')}{job.tag}{suffix}.gif")


def _container_target(job: Job, coding: Coding, suffix: str) -> Path:
    """The source's own name. Where the container must be another one, its suffix follows the whole name."""
    source = job.source
    stem = _stem(coding.film, source, coding.suffix == source.suffix)
    return job.target.with_name(f"{stem}{job.tag}{suffix}{coding.suffix}")


def _stem(film: Film, source: Path, same_suffix: bool) -> str:
    """The output's name without its suffix. An image sequence is named by its first and last number."""
    if isinstance(film, ImageSequence) and sequences.is_pattern(source):
        return _name_with_range(source)
    return source.stem if same_suffix else source.name


def _name_with_range(pattern: Path) -> str:
    return sequences.name_with_range(pattern, sequences.frame_paths_by_number(pattern))


def _frames_target(film: Film, job: Job, kind: str, suffix: str) -> Path:
    """The number pattern of a film's frames.

    Frames of the source's own kind keep the pattern of the source, beside the outputs of photographs. Frames of
    another kind lie in a folder of the film's name, since a photograph may have the same name as one of them:
    `f_0001-0480.dpx_frames/f_%04d.png`.
    """
    source = job.source
    own = ".dpx" if kind == "dpx" else photo.suffix_for(kind, source.suffix)
    if not isinstance(film, ImageSequence):
        plain = source.stem.replace("%", "_")
        return job.target.with_name(f"{source.name}{job.tag}_frames") / f"{plain}{suffix}_%06d{own}"
    if source.suffix and (kind == film.codec or own == source.suffix):
        return job.target.with_name(f"{source.stem}{suffix}{source.suffix}")
    if not sequences.is_pattern(source):
        return job.target.with_name(f"{source.name}{suffix}{own}")
    return job.target.with_name(f"{_name_with_range(source)}_frames") / f"{source.stem}{suffix}{own}"


def _survey_facts(film: Film, survey: Survey) -> dict[str, object]:
    """What the manifest row says of the film itself."""
    duration = (survey.end(film) - survey.pts[0]) * film.time_base
    facts: dict[str, object] = {
        "frames": len(survey.pts),
        "bad_frames": len(survey.bad),
        "shots": len(survey.shots()),
        "fps": round(float(film.rate), 4),
        "duration": round(float(duration), 3),
        "stills": [
            float(round((survey.pts[i] - survey.pts[0]) * film.time_base, 4))
            for i in representative_frames(survey.shots())
        ],
    }
    if film.deinterlaced:
        facts["deinterlaced"] = survey.deinterlaced
    if isinstance(film, ImageSequence):
        missing = sum(end - start + 1 for start, end in _missing_numbers(film, survey))
        facts |= {"first": film.first, "missing": missing}
        facts |= {"curve": film.curve} if film.curve else {}
    return facts


def _result_facts(result: ColoredFilm) -> dict[str, object]:
    """What the manifest row says of the colouring."""
    return {
        "seen": result.keyframes,
        "reuse_error": _rounded(result.mean_error),
        "reuse_worst": _rounded(result.worst_error),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _missing_numbers(film: Film, survey: Survey) -> list[tuple[int, int]]:
    """First and last number of each gap among a film's numbered files."""
    if not isinstance(film, ImageSequence):
        return []
    return sequences.missing_ranges(film.frame_number(i, pts) for i, pts in enumerate(survey.pts))


def _survey_notes(film: Film, survey: Survey) -> tuple[str, ...]:
    notes = list(film.notes)
    if survey.bad:
        bad = [film.frame_number(i, survey.pts[i]) for i in survey.bad]
        notes.append(f"{len(bad)} frames could not be decoded; stand-ins keep the time: {bad[:20]}")
    if gaps := _missing_numbers(film, survey):
        ranges = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in gaps[:20])
        notes.append(f"frames are missing, and those before them stay longer: {ranges}{', …' if gaps[20:] else ''}")
    if survey.breaks:
        places = "one place" if survey.breaks == 1 else f"{survey.breaks} places"
        notes.append(f"its time goes back or jumps at {places}, as in joined recordings; the output goes straight on")
    if film.deinterlaced and not survey.deinterlaced:
        notes.append("--deinterlace: no frame says that it is interlaced; all are left as they are")
    if survey.sections:
        spans = ", ".join(f"{first}-{end - 1}" for first, end in survey.sections[:20])
        notes.append(f"in colour and left as they are: frames {spans}{', …' if survey.sections[20:] else ''}")
    elif 0 < survey.coloured <= 0.5:
        notes.append(f"{survey.coloured:.0%} of the frames looked at were in colour and were coloured like the rest")
    if film.pix_fmt.startswith(("rgb", "bgr", "gbr", "pal", "argb", "abgr")):
        notes.append(f"{film.pix_fmt} has no luma of its own; it was computed (BT.709)")
    return tuple(notes)


def _ignored_options(options: RunOptions) -> list[str]:
    """A note on each requested option that films do not have."""
    color = replace(options.color, hints=options.color.photo_hints)
    photographs_only = {
        "--palette": options.color.palette,
        "--mirror": options.color.mirror,
        "--c2pa": options.disclosure.c2pa,
        **dict.fromkeys(color.of_one_picture(), True),
        "--confidence": options.confidence,
        "--access": options.access,
    }
    return [f"{flag} is for photographs" for flag, value in photographs_only.items() if value]


def _is_same_failure(before: Record, row: Record, out: Path) -> bool:
    """Whether the film is truncated and was coloured as far as it goes, from the same source, weights and options."""
    same = (before.source_sha256, before.weights_sha256, before.options) == (
        row.source_sha256,
        row.weights_sha256,
        row.options,
    )
    made = before.status == FAILED and bool(before.output_sha256) and before.output is not None
    return same and made and sequences.exists(out / str(before.output))
