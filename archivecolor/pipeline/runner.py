"""One machine: read -> colour -> write, bounded and resumable. The way of a photograph is `color_one`.

Each worker thread takes one picture all the way, but for the network, which has threads of its own (`engine.py`), and
for the full-size pass, which a large picture shares out to all cores (`painting.py`). Memory is bounded in megapixels:
a worker waits until its picture fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch

from archivecolor import __version__, files, film, photo, provenance, sequences, weights
from archivecolor.errors import (
    MissingDependencyError,
    NoInputError,
    OutputError,
    PictureError,
    UnreadableError,
    UsageError,
)
from archivecolor.film.shots import read_cuts
from archivecolor.imaging import luminance, watermark
from archivecolor.inference.colorizer import ColorizedImage, Colorizer
from archivecolor.options import ColorOptions, Disclosure, FilmOptions, RunOptions, parse_hint
from archivecolor.photo import Page, Photo
from archivecolor.pipeline import film as film_pipeline
from archivecolor.pipeline import inputs, large
from archivecolor.pipeline.disclosure import disclosed_page
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.large import ColorizedScan
from archivecolor.pipeline.outputs import make_folder, target_of
from archivecolor.pipeline.reference_palette import read_palette
from archivecolor.pipeline.scheduling import Budgets, MegapixelBudget, SlowLast, StageTimer
from archivecolor.provenance import (
    DONE,
    FAILED,
    SKIPPED,
    CrashReport,
    FilmProgressCallback,
    Identity,
    Manifest,
    ManifestWriter,
    Record,
    decisions,
)

TOOL = f"archivecolor {__version__}"
ALREADY_COLOUR = "already colour"
WRITTEN_TO = "it was written to while it was being read; run again when it is finished"
IN_FLIGHT_MEGAPIXELS = 400.0
"""Decoded pictures held at one time; one larger than this goes alone."""


def drive(
    options: RunOptions,
    watch: Callable[[str, Record | None, int], None] = lambda name, row, total: None,
    stop: Callable[[], bool] = lambda: False,
    passed_over: Callable[[Path], None] = lambda path: None,
    begun: Callable[[str], None] = lambda name: None,
    known: CrashReport | None = None,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """Colours everything that is not settled and keeps the manifest.

    Args:
        watch: called once per input as it is finished, with its name, its row (None when it was settled already), and
            the number of inputs.
        stop: asked before each picture; when true, those in hand are finished and the rest is left for the next run.
            Films stop after a few seconds of film, and go on from there.
        passed_over: told of each file in the input folders that is no picture.
        begun: told the name of each input that is taken in hand, by the thread that takes it.
        known: from processes that were killed over the same run.
        film_watch: told of a film's name, what is done with it, frames done and in all, and seconds of film done.

    Returns:
        The rows of this run's inputs, old and new, in input order.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    todo = find_jobs(options, passed_over)
    check_files(options)
    with (
        Colorizer(
            options.model,
            options.color,
            options.device,
            options.precision,
            options.batch,
            options.engine,
            options.confidence,
        ) as colorizer,
        Manifest(options.out, options.disclosure.sidecar, options.shard) as manifest,
    ):
        if not options.overwrite:
            manifest.refuse_another_collection({job.name: job.source for job in todo})
        broken: OutputError | None = None

        def over() -> bool:
            return broken is not None or stop()

        suspects, rest = _settle_crashes(known or CrashReport(), todo, manifest, watch)
        alone = replace(options, workers=1)
        for job, outcome in itertools.chain.from_iterable(
            work(part, colorizer, how, manifest, begun, over, film_watch)
            for part, how in ((suspects, alone), (rest, options))
        ):
            if isinstance(outcome, OutputError):
                broken = outcome
                continue
            if outcome:
                manifest.append(outcome)
            watch(job.name, outcome, len(todo))
        if broken:
            raise broken
        return [manifest.rows[job.name] for job in todo if job.name in manifest.rows]


def check_files(options: RunOptions) -> None:
    """What can be wrong with every picture or film is found before the first one.

    Raises:
        UsageError: a font, a certificate or a list of cuts is not what it should be.
    """
    told = options.disclosure
    if told.mark:
        watermark.check_font(watermark.mark_text(told.mark), told.mark_font)
    if options.film.title_card:
        watermark.check_font(watermark.title_card_text(options.film.title_card), told.mark_font, "--title-card")
    if told.c2pa:
        provenance.check_credentials(told, TOOL)
    if options.film.cuts:
        read_cuts(options.film.cuts)


def run(
    *inputs: str | Path,
    out: str | Path,
    model: str = weights.DEFAULT_MODEL,
    size: int = 256,
    strength: float = 1.0,
    tiles: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int = 0,
    workers: int = 0,
    format: str = "same",
    quality: int = 95,
    suffix: str = "",
    recolor: bool = False,
    overwrite: bool = False,
    limit: int | None = None,
    max_megapixels: float = 500,
    strips_above: float = 100,
    disclosure: Disclosure | None = None,
    engine: str = "torch",
    mirror: bool = False,
    palette: str | Path | None = None,
    palette_strength: float = 0.7,
    hints: Iterable[str] = (),
    redo: str | Path | None = None,
    confidence: bool = False,
    film: FilmOptions | None = None,
) -> list[Record]:
    """`archivecolor run` as a function: colours files and folders into `out`, gives the manifest's rows.

    Pictures that cannot be done have a row with status `failed` and a reason; nothing is raised for them. The options
    are those of the command line, but for `device`, which is one here; see `RunOptions`, `ColorOptions`, `Disclosure`.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all.
    """
    reference = read_palette(Path(palette), palette_strength) if palette else None
    color = ColorOptions(size, strength, tiles, reference, tuple(map(parse_hint, hints)), mirror)
    return drive(
        RunOptions(
            tuple(map(str, inputs)), Path(out), model, color, device, precision, batch, workers, format, quality,
            suffix, recolor, overwrite, limit, max_megapixels, disclosure or Disclosure(), strips_above,
            engine, Path(redo) if redo else None, confidence, film or FilmOptions(),
        )
    )  # fmt: skip


def find_jobs(options: RunOptions, passed_over: Callable[[Path], None] = lambda path: None) -> list[Job]:
    """The pictures of the inputs, at most `options.limit` of them, and of these the shard's; `passed_over` is told of
    files that are none. What one picture's name has to do with another's is settled before they are shared out."""
    new_suffix = "" if options.format == "same" else photo.suffix_for(options.format, "")
    frame = is_numbered_frame if options.film.sequences else film.is_frame
    found = inputs.find_inputs(options.inputs, options.out, is_input, options.suffix, new_suffix, passed_over, frame)
    if options.redo:
        found = only_rejected(found, options.redo)
    found = found[: options.limit]
    if options.color.hints and len(found) > 1:
        raise UsageError(
            f"--hint: pins a colour in one picture, and there are {len(found)}; name the one it is meant for"
        )
    return [job for job in found if options.shard.has(job.name)] if options.shard else found


def only_rejected(found: list[Job], path: Path) -> list[Job]:
    """Those that the decisions in a file reject, each with the output that was rejected.

    Raises:
        NoInputError: none of them.
        UsageError: the file holds no decisions.
    """
    made = decisions.rejected(path)
    if not made:
        raise NoInputError(f"--redo {path}: rejects nothing, so there is nothing to do again")
    wanted = [replace(job, rejected=made[job.name]) for job in found if job.name in made]
    if not wanted:
        raise NoInputError(
            f"--redo {path}: none of its {len(made)} rejected pictures is among the inputs; give the same INPUT"
        )
    return wanted


def _settle_crashes(
    known: CrashReport, todo: list[Job], manifest: Manifest, watch: Callable[[str, Record | None, int], None]
) -> tuple[list[Job], list[Job]]:
    """Those to try one at a time, and the rest; those that kill get their row at once."""
    for job in todo:
        if job.name in known.killers and job.name not in known.settled:
            row = Record(job.name, str(job.source), None, FAILED, known.killers[job.name])
            manifest.append(row)
            watch(job.name, row, len(todo))
    left = [job for job in todo if job.name not in known.killers and job.name not in known.settled]
    suspects = set(known.suspects)
    return [job for job in left if job.name in suspects], [job for job in left if job.name not in suspects]


def work(
    todo: Iterable[Job],
    colorizer: Colorizer,
    options: RunOptions,
    manifest: ManifestWriter,
    begun: Callable[[str], None] = lambda name: None,
    stop: Callable[[], bool] = lambda: False,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> Iterator[tuple[Job, Record | OutputError | None]]:
    """Each job with its outcome, in the order in which they are ready. One film at a time is in hand beside the
    photographs; other films wait until these are through, and so do all films where there is one worker.

    Args:
        stop: asked before each job; what is in hand is finished, but for films, which stop within seconds.
    """
    workers = options.workers or joblib.cpu_count() + 1
    room = Budgets.of(IN_FLIGHT_MEGAPIXELS / options.beside)
    lanes = SlowLast(todo, lambda job: film.is_film(job.source), min(1, workers - 1))
    pool = joblib.Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=2 * workers)

    def task(job: Job) -> tuple[Job, Record | OutputError | None]:
        begun(job.name)
        watch = film_pipeline.FilmObserver(partial(film_watch, job.name), stop)
        try:
            return job, color_one(job, colorizer, options, manifest, room, watch)
        finally:
            lanes.finished(job)

    yield from pool(joblib.delayed(task)(job) for job in lanes if not stop())


def color_one(
    job: Job,
    colorizer: Colorizer,
    options: RunOptions,
    manifest: ManifestWriter,
    room: Budgets,
    watch: film_pipeline.FilmObserver = film_pipeline.FilmObserver(),  # noqa: B008  (frozen)
) -> Record | OutputError | None:
    """The way of one photograph: its row, or None when it is settled already. Only a broken output folder is handed
    on as an error; whatever is wrong with the picture becomes the reason in its row."""
    torch.set_num_threads(1)  # the other cores belong to the network and the other workers
    is_reel = film.is_film(job.source)
    identity = Identity(colorizer.card.sha256, options_digest(job.source, options))
    row = Record(
        job.name, str(job.source), None, FAILED, model=colorizer.card.name, weights_sha256=identity.weights_sha256,
        options=identity.options, guidance=options.color.guidance(), redone=bool(job.rejected),
    )  # fmt: skip
    clock = StageTimer()
    try:
        seen = files.SourceSnapshot.of(job.source)
        row = replace(row, source_sha256=seen.sha256)
        if manifest.settled(job.name, row.source_sha256, identity, job.rejected, options.overwrite):
            return None
        if is_reel:
            return color_one_film(job, row, colorizer, options, manifest, room.films, watch, clock, seen)
        with room.photographs.held(photo.measure(job.source, options.strips())):
            with clock.stage("decode"):
                source = photo.read(job.source, options.max_megapixels, options.strips())
            if not seen.still():
                raise UnreadableError(WRITTEN_TO)
            first = source.pages[0]
            row = replace(
                row, width=first.width, height=first.height, depth=8 * first.samples.itemsize,
                pages=len(source.pages), format=source.format,
            )  # fmt: skip
            coloured = [options.recolor or is_monochrome(page) for page in source.pages]
            if not any(coloured):
                return replace(row, status=SKIPPED, reason=ALREADY_COLOUR, seconds=clock.seconds)
            painted = [color_page(page, colorizer) if mono else None
                       for page, mono in zip(source.pages, coloured, strict=True)]  # fmt: skip
            for part in painted:
                clock.add(part.seconds if part else {})
            kind = photo.writable_format(source, options.format)
            target = target_of(job, kind, options)
            result = disclosed_photo(source, painted, colorizer, kind, options.disclosure)
            make_folder(target.parent, options.out)
            manifest.begin(job.name, row.source, target, options.overwrite)
            with clock.stage("encode"):
                notes = photo.write(target, result, kind, options.quality, TOOL)
                if any(page.scan for page in source.pages) and not seen.still():  # its rows were read just now
                    target.unlink()
                    raise UnreadableError(WRITTEN_TO)
                if options.disclosure.c2pa:
                    notes += provenance.sign(
                        target, kind, job.source, source.format, origin(source, row), options.disclosure, TOOL
                    )
        finished = replace(
            row, status=DONE, output=target.relative_to(options.out).as_posix(), output_sha256=files.sha256(target),
            max_delta_l=round(max(part.max_delta_l for part in painted if part), 5), seconds=clock.seconds,
            mark=watermark.mark_text(options.disclosure.mark), mark_font=str(options.disclosure.mark_font or ""),
            sidecar=options.disclosure.sidecar, confidence=least_sure(painted),
            source_type=options.disclosure.source_type,
            notes=(*(n for page in result.pages for n in page.notes), *notes),
        )  # fmt: skip
        if options.disclosure.sidecar:
            provenance.write_sidecar(
                options.out, finished, options, sidecar_facts(own_source_type(source), colorizer, clock)
            )
        return finished
    except OutputError as error:
        return error
    except (PictureError, MissingDependencyError) as error:
        return replace(row, reason=str(error), seconds=clock.seconds)
    except MemoryError:
        return replace(row, reason="too large for this machine's memory; colour it alone with --workers 1")
    except FileNotFoundError:
        return replace(row, reason="the file is not there (any more)")
    except OSError as error:
        return replace(row, reason=f"cannot be read ({error.strerror or error})")
    except Exception as error:
        return replace(row, reason=f"unexpected {type(error).__name__}: {error}; please report this with the file")


def least_sure(painted: list[ColorizedImage | ColorizedScan | None]) -> float | None:
    """The confidence of a picture is that of its least certain page."""
    known = [part.confidence for part in painted if part and part.confidence is not None]
    return round(min(known), 4) if known else None


def color_one_film(
    job: Job, row: Record, colorizer: Colorizer, options: RunOptions, manifest: ManifestWriter, budget: MegapixelBudget,
    watch: film_pipeline.FilmObserver, clock: StageTimer, seen: files.SourceSnapshot,
) -> Record:  # fmt: skip
    """The way of one film, as far as it is the run's: room for it in memory and in the output tree, and its sidecar."""
    source = film_pipeline.open_film_to_color(job.source, options)
    make_folder(job.target.parent, options.out)
    with budget.held(film_pipeline.film_megapixels(source)):
        before, row = (
            manifest.row(job.name),
            film_pipeline.color_film_job(source, job, row, colorizer, options, manifest, watch, TOOL),
        )
    if row.output is None or row == before:
        return row
    if not seen.still():
        for made in sequences.frame_paths(options.out / row.output):
            made.unlink()
        raise UnreadableError(WRITTEN_TO)
    only_photographs = {
        "--palette": options.color.palette, "--mirror": options.color.mirror,
        "--c2pa": options.disclosure.c2pa, "--hint": options.color.hints, "--confidence": options.confidence,
    }  # fmt: skip
    notes = (*row.notes, *(f"{flag} is for photographs" for flag, given in only_photographs.items() if given))
    told = options.disclosure
    row = replace(row, notes=notes, guidance=(), sidecar=told.sidecar, source_type=told.source_type)
    if row.sidecar:
        provenance.write_sidecar(options.out, row, options, sidecar_facts(None, colorizer, clock))
    return row


def options_digest(source: Path, options: RunOptions) -> str:
    """Of the options that decide what becomes of a source."""
    if not film.is_film(source):
        return options.digest()
    lossy = source.suffix.lower() not in (".dpx", ".png", ".tif", ".tiff")
    return options.film_digest(film.is_numbered(source), lossy)


def is_input(path: Path) -> bool:
    """Whether a file found in a folder is a picture or a film."""
    return photo.is_picture(path) or film.is_film(path)


def is_numbered_frame(path: Path) -> bool:
    """Whether a picture is a film's frame where all are that have a number at their end."""
    return film.is_frame(path) or (path.stem[-1:].isdecimal() and photo.is_picture(path))


def is_monochrome(page: Page) -> bool:
    """Grey, sepia, toned, stained; not a colour photograph."""
    return luminance.residual_chroma(page.samples) < luminance.MONOCHROME_CHROMA


def color_page(page: Page, colorizer: Colorizer) -> ColorizedImage | ColorizedScan:
    """Colours one page; of one too large to be held, finds the colours."""
    if page.scan:
        return large.colorize_scan(page, page.scan, colorizer)
    return colorizer.paint(page.samples, page.icc, page.orientation)


def disclosed_photo(
    source: Photo,
    painted: list[ColorizedImage | ColorizedScan | None],
    colorizer: Colorizer,
    kind: str,
    options: Disclosure,
) -> Photo:
    """The coloured samples in the source's envelopes, with the disclosure; pages that were colour stay as they are."""
    pages = []
    for page, part in zip(source.pages, painted, strict=True):
        if part is None:
            pages.append(page)
            continue
        scan = part.onto(page.scan) if page.scan and isinstance(part, ColorizedScan) else None
        pages.append(
            disclosed_page(page, part.rgb, colorizer.card, kind, options, TOOL, colorizer.options.guidance(), scan)
        )
    return replace(source, pages=tuple(pages))


def sidecar_facts(source_type: str | None, colorizer: Colorizer, clock: StageTimer) -> dict[str, Any]:
    """For the sidecar: what the manifest's row does not know."""
    return {
        "source_digital_source_type": source_type,
        "network": colorizer.card.network, "device": str(colorizer.device), "precision": colorizer.precision,
        "begun": clock.begun.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def own_source_type(source: Photo) -> str | None:
    """What the master says of where it comes from: `negativeFilm`, for example."""
    return next((found for page in source.pages if (found := provenance.own_source_type(page.xmp))), None)


def origin(source: Photo, row: Record) -> str:
    """In words, for the content credentials: which source it was."""
    return f"SHA-256 {row.source_sha256}, digital source type {own_source_type(source) or 'not stated'}"
