"""One machine: read -> colour -> write, bounded and resumable. The way of a photograph is `color_one`.

Each worker thread takes one picture all the way; the network, which only one can use at a time, gathers the pictures
of all workers into batches (`engine.py`). Memory is bounded in megapixels: a worker waits until its picture fits.
"""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import torch

from archivecolor import __version__, files, film, jobs, large, photo, reel, tone, weights
from archivecolor.colorize import Colorizer, Painted
from archivecolor.errors import MissingDependencyError, OutputError, PictureError
from archivecolor.jobs import Job
from archivecolor.large import PaintedScan
from archivecolor.options import ColorOptions, FilmOptions, RunOptions
from archivecolor.photo import Page, Photo
from archivecolor.provenance import DONE, FAILED, SKIPPED, Identity, Manifest, Record, disclosure

TOOL = f"archivecolor {__version__}"
ALREADY_COLOUR = "already colour"
IN_FLIGHT_MEGAPIXELS = 400.0
"""Decoded pictures held at one time; one larger than this goes alone."""


def drive(
    options: RunOptions,
    watch: Callable[[str, Record | None, int], None] = lambda name, row, total: None,
    stop: Callable[[], bool] = lambda: False,
    passed_over: Callable[[Path], None] = lambda path: None,
    film_watch: Callable[[str, str, int, int, float], None] = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """Colours everything that is not settled and keeps the manifest.

    Args:
        watch: called once per input as it is finished, with its name, its row (None when it was settled already), and
            the number of inputs.
        stop: asked before each picture; when true, those in hand are finished and the rest is left for the next run.
            Films stop after a few seconds of film, and go on from there.
        passed_over: told of each file in the input folders that is no picture.
        film_watch: told of a film's name, what is done with it, frames done and in all, and seconds of film done.

    Returns:
        The rows of this run's inputs, old and new, in input order.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    todo = find_jobs(options, passed_over)
    with (
        Colorizer(options.model, options.color, options.device, options.precision, options.batch) as colorizer,
        Manifest(options.out) as manifest,
    ):
        if not options.overwrite:
            manifest.refuse_another_collection({job.name: job.source for job in todo})
        broken: OutputError | None = None
        wanted = (job for job in todo if not (broken or stop()))
        for job, outcome in work(wanted, colorizer, options, manifest, stop, film_watch):
            if isinstance(outcome, OutputError):
                broken = outcome
                continue
            if outcome:
                manifest.append(outcome)
            watch(job.name, outcome, len(todo))
        if broken:
            raise broken
        return [manifest.rows[job.name] for job in todo if job.name in manifest.rows]


def run(
    *inputs: str | Path,
    out: str | Path,
    model: str = weights.DEFAULT_MODEL,
    size: int = 256,
    strength: float = 1.0,
    tiles: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int = 8,
    workers: int = 0,
    format: str = "same",
    quality: int = 95,
    suffix: str = "",
    recolor: bool = False,
    overwrite: bool = False,
    limit: int | None = None,
    max_megapixels: float = 500,
    strips_above: float = 100,
    film: FilmOptions | None = None,
) -> list[Record]:
    """`archivecolor run` as a function: colours files and folders into `out`, gives the manifest's rows.

    Pictures that cannot be done have a row with status `failed` and a reason; nothing is raised for them. The options
    are those of the command line; see `RunOptions` and `ColorOptions`.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all.
    """
    color = ColorOptions(size, strength, tiles)
    return drive(
        RunOptions(
            tuple(map(str, inputs)), Path(out), model, color, device, precision, batch, workers, format, quality,
            suffix, recolor, overwrite, limit, max_megapixels, strips_above, film or FilmOptions(),
        )
    )  # fmt: skip


def find_jobs(options: RunOptions, passed_over: Callable[[Path], None] = lambda path: None) -> list[Job]:
    """The pictures of the inputs, at most `options.limit` of them; `passed_over` is told of files that are none."""
    new_suffix = "" if options.format == "same" else photo.suffix_for(options.format, "")
    found = jobs.find(options.inputs, options.out, is_ours, options.suffix, new_suffix, passed_over)
    return found[: options.limit]


def work(
    todo: Iterable[Job],
    colorizer: Colorizer,
    options: RunOptions,
    manifest: Manifest,
    stop: Callable[[], bool] = lambda: False,
    film_watch: Callable[[str, str, int, int, float], None] = lambda name, what, done, total, seconds: None,
) -> Iterator[tuple[Job, Record | OutputError | None]]:
    """Each job with its outcome, in the order in which they are ready."""
    workers = options.workers or joblib.cpu_count() + 1
    budget = Budget(IN_FLIGHT_MEGAPIXELS)
    pool = joblib.Parallel(workers, backend="threading", return_as="generator_unordered", pre_dispatch=2 * workers)

    def task(job: Job) -> tuple[Job, Record | OutputError | None]:
        watch = reel.Watch(partial(film_watch, job.name), stop)
        return job, color_one(job, colorizer, options, manifest, budget, watch)

    yield from pool(joblib.delayed(task)(job) for job in todo)


def color_one(
    job: Job,
    colorizer: Colorizer,
    options: RunOptions,
    manifest: Manifest,
    budget: Budget,
    watch: reel.Watch = reel.Watch(),  # noqa: B008  (frozen)
) -> Record | OutputError | None:
    """The way of one photograph: its row, or None when it is settled already. Only a broken output folder is handed
    on as an error; whatever is wrong with the picture becomes the reason in its row."""
    torch.set_num_threads(1)  # the other cores belong to the network and the other workers
    is_reel = film.is_film(job.source)
    identity = Identity(colorizer.card.sha256, options.film_digest() if is_reel else options.digest())
    row = Record(
        job.name, str(job.source), None, FAILED, model=colorizer.card.name, weights_sha256=identity.weights_sha256,
        options=identity.options,
    )  # fmt: skip
    clock = Clock()
    try:
        row = replace(row, source_sha256=files.sha256(job.source))
        if not options.overwrite and manifest.settled(job.name, row.source_sha256, identity):
            return None
        if is_reel:
            return color_reel(job, row, colorizer, options, manifest, budget, watch)
        with budget.held(photo.measure(job.source, options.strips())):
            with clock.stage("decode"):
                source = photo.read(job.source, options.max_megapixels, options.strips())
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
            result = dress(source, painted, colorizer)
            make_folder(target.parent, options.out)
            manifest.begin(job.name, row.source, target, options.overwrite)
            with clock.stage("encode"):
                notes = photo.write(target, result, kind, options.quality, TOOL)
        return replace(
            row, status=DONE, output=target.relative_to(options.out).as_posix(), output_sha256=files.sha256(target),
            max_delta_l=round(max(part.max_delta_l for part in painted if part), 5), seconds=clock.seconds,
            notes=(*(note for page in result.pages for note in page.notes), *notes),
        )  # fmt: skip
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


def color_reel(
    job: Job, row: Record, colorizer: Colorizer, options: RunOptions, manifest: Manifest, budget: Budget,
    watch: reel.Watch,
) -> Record:  # fmt: skip
    """The way of one film, as far as it is the run's: room for it in memory and in the output tree."""
    source = reel.open_to_color(job.source, options.max_megapixels)
    make_folder(job.target.parent, options.out)
    with budget.held(reel.megapixels(source)):
        return reel.color_job(source, job, row, colorizer, options, manifest, watch, TOOL)


def is_ours(path: Path) -> bool:
    """Whether a file found in a folder is a picture or a film."""
    return photo.is_picture(path) or film.is_film(path)


def is_monochrome(page: Page) -> bool:
    """Grey, sepia, toned, stained; not a colour photograph."""
    return tone.residual_chroma(page.samples) < tone.MONOCHROME_CHROMA


def color_page(page: Page, colorizer: Colorizer) -> Painted | PaintedScan:
    """Colours one page; of one too large to be held, finds the colours."""
    if page.scan:
        return large.paint(page, page.scan, colorizer)
    return colorizer.paint(page.samples, page.icc, page.orientation)


def target_of(job: Job, kind: str, options: RunOptions) -> Path:
    """Where the colour goes. A file whose content is not what its suffix says, or of a kind that is only read, gets the
    true suffix behind its whole name: `a.gif` becomes `a.gif.png`, unless there is a source of that name, too."""
    own = job.source.suffix
    if options.format != "same" or own == "" or photo.suffix_for(kind, own) == own:
        target = job.target
    else:
        true = photo.suffix_for(kind, "")
        taken = job.source.with_name(f"{job.source.name}{true}").exists()
        target = job.target.with_name(f"{job.source.name}{'.color' if taken else ''}{options.suffix}{true}")
    return target


def make_folder(folder: Path, out: Path) -> None:
    """Makes a folder of the output tree `out`.

    Raises:
        PictureError: a file has its name, or a link in the tree leads elsewhere, perhaps to a source.
        OutputError: the output cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise PictureError(
            f"{folder}: a file has the name of this output folder; move it or choose another --out"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
    if not folder.resolve().is_relative_to(out.resolve()):
        raise PictureError(f"{folder}: a link leads out of the output folder; remove it or choose another --out")


def dress(source: Photo, painted: list[Painted | PaintedScan | None], colorizer: Colorizer) -> Photo:
    """The coloured samples in the source's envelopes, with the disclosure; pages that were colour stay as they are."""
    pages = []
    for page, part in zip(source.pages, painted, strict=True):
        if part is None:
            pages.append(page)
            continue
        xmp, kept = disclosure(page.xmp, TOOL, colorizer.card.name, colorizer.card.sha256)
        notes = page.notes if kept else (*page.notes, "damaged XMP replaced")
        scan = part.onto(page.scan) if page.scan and isinstance(part, PaintedScan) else None
        icc = photo.SRGB_ICC if page.icc else None
        pages.append(replace(page, samples=part.rgb, scan=scan, icc=icc, xmp=xmp, notes=notes))
    return replace(source, pages=tuple(pages))


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, seconds: dict[str, float]) -> None:
        """Adds to what the stages have already."""
        for name, value in seconds.items():
            self.seconds[name] = round(self.seconds.get(name, 0) + value, 4)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - started})


class Budget:
    """Megapixels in memory at one time. What is larger than the whole budget is let in alone."""

    def __init__(self, megapixels: float) -> None:
        self.limit = megapixels
        self._held = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, megapixels: float) -> Iterator[None]:
        """Waits until there is room, and holds it."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + megapixels <= self.limit)
            self._held += megapixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= megapixels
                if self._held < 1e-9:
                    self._held = 0.0  # sums of floats drift; an empty budget is empty
                self._changed.notify_all()


class _CallableModule(types.ModuleType):
    """`archivecolor.run` is this module and also, as the documented call, its function of the same name."""

    __call__ = staticmethod(run)


sys.modules[__name__].__class__ = _CallableModule
