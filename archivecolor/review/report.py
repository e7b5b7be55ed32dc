"""The review page: a folder, made from a manifest and its pictures, that opens in a browser without a network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from archivecolor import __version__, files
from archivecolor.errors import NoInputError, OutputError
from archivecolor.options import FilmOptions, ReportOptions
from archivecolor.provenance import MANIFEST, TERMS, Record, locks, read_rows
from archivecolor.review import page_data, speed_curves, thumbnails
from archivecolor.review.thumbnails import ThumbnailRequest

MARK = "archivecolor-report.json"
"""Says that a folder is a report, which the next one may replace."""
ASSETS = Path(__file__).with_name("assets")
RUNNING = "a run is writing here now, so some of it is unfinished; make the report again after it"
COPIED = ("report.css", "report.js", "img-comparison-slider")


def report(options: ReportOptions, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Makes the review page of a run's output folder, or brings it up to date.

    Args:
        on_progress: called with how many picture files are reduced, and of how many.

    Returns:
        Its index.html.

    Raises:
        NoInputError: there is no manifest.
        OutputError: the folder contains something else, may not be there, or cannot be written.
    """
    rows = list(read_rows(options.out).values())
    if not rows:
        raise NoInputError(f"{options.out}: contains no {MANIFEST} with a row; name the --out of a run")
    target = options.folder()
    refuse(target, options.out, rows)
    try:
        target.mkdir(parents=True, exist_ok=True)
        collection = mark(target, options.out)
        wanted = [one for row in rows for one in wanted_of(row, options)]
        reasons = thumbnails.make(wanted, target, options.workers, on_progress)
        thumbnails.remove_unused(
            target, {thumbnails.file_name(one.sha256, side) for one in wanted for side in one.sides}
        )
        for name in COPIED:
            if (ASSETS / name).is_dir():
                shutil.copytree(ASSETS / name, target / name, dirs_exist_ok=True)
            else:
                shutil.copyfile(ASSETS / name, target / name)
        write(target / "data.js", page_data.as_script(collection, options.view, rows, reasons))
        write(target / "index.html", page(options, rows))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}); choose another --to") from error
    return target / "index.html"


def refuse(target: Path, out: Path, rows: list[Record]) -> None:
    """Raises OutputError if the report may not be there: in the output folder, in a source folder, over something
    else."""
    place, results = target.resolve(), out.resolve()
    if place.is_relative_to(results) or results.is_relative_to(place):
        raise OutputError(f"--to {target}: must not overlap with {out}; choose another folder")
    above = {place, *place.parents} - set(results.parents)  # what the outputs lie in, too, was allowed to the run
    if among := above & {Path(folder) for folder in {row.source.rpartition(os.sep)[0] for row in rows}}:
        raise OutputError(f"--to {target}: lies in the source folder {min(among)}, which is never written to")
    if target.is_dir() and any(target.iterdir()) and not (target / MARK).is_file():
        raise OutputError(f"--to {target}: contains something that is not a report; choose another folder")


def mark(target: Path, out: Path) -> str:
    """Marks the folder as a report. Returns the collection's name, under which the browser keeps the decisions."""
    path = target / MARK
    try:
        collection = str(json.loads(path.read_text(encoding="utf-8"))["collection"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        collection = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]
    write(path, json.dumps({"made by": f"archivecolor {__version__}", "collection": collection}) + "\n")
    return collection


def wanted_of(row: Record, options: ReportOptions) -> list[ThumbnailRequest]:
    """The files of a row that the page shows: the output, or for a skipped picture the source."""
    before, after = page_data.shown(row)
    both, times = (thumbnails.THUMB, options.view), stills_of(row)
    source_options, (later, output_options) = read_as(row), made_as(row)
    wanted = (
        [ThumbnailRequest(options.out / row.output, after, both, later, output_options)] if after and row.output else []
    )
    sides = (options.view,) if after and not times else both  # a film's poster is one frame, its sheet is many
    return wanted + ([ThumbnailRequest(Path(row.source), before, sides, times, source_options)] if before else [])


def read_as(row: Record) -> FilmOptions:
    """The options with which an image sequence was read; the defaults for other sources."""
    numbered = "first" in row.film
    return FilmOptions(fps=str(row.film["fps"]), dpx_curve=row.film.get("curve", "auto")) if numbered else FilmOptions()


def made_as(row: Record) -> tuple[tuple[float, ...], FilmOptions]:
    """The seconds of the output's stills, and the options to read it with. If a film in one file became an image
    sequence, its numbers count frames, however long each is shown; so it is read with one frame a second."""
    if "still_numbers" in row.film:
        return tuple(map(float, row.film["still_numbers"])), FilmOptions(fps="1")
    card = row.film.get("title_card", {}).get("seconds", 0)  # everything else comes this much later than in the source
    return tuple(time + card for time in stills_of(row)), read_as(row)


def stills_of(row: Record) -> tuple[float, ...]:
    """The seconds of the frames that stand for a film; () for a photograph."""
    if not row.film:
        return ()
    from archivecolor.film.thumbnails import COUNT

    even = [i * row.film.get("duration", 0) / COUNT for i in range(COUNT)]
    return tuple(row.film.get("stills") or even)


def page(options: ReportOptions, rows: list[Record], desk: bool = False) -> str:
    """index.html: everything but the pictures and their facts, which the script lays out.

    Args:
        desk: whether a server is behind the page.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    base = "outputs" if desk else os.path.relpath(options.out.resolve(), options.folder().resolve())
    text: str = environment.get_template("index.html").render(
        desk=desk,
        title=readable(options.out.resolve().name),
        count=len(rows),
        totals=page_data.totals(rows),
        curves=speed_curves.speed(rows),
        curve_width=speed_curves.WIDTH,
        curve_height=speed_curves.HEIGHT,
        base=quote(os.fsencode(Path(base).as_posix())) + "/",
        version=__version__,
        source_types=sorted({TERMS + r.source_type for r in rows if r.source_type}),
        films=any(r.film for r in rows),
        running=RUNNING if locks.is_running(options.out) else "",
        rated=any(r.confidence is not None for r in rows),
        readable=readable,
        figure=figure,
    )
    return text


def readable(name: str) -> str:
    """A name for HTML: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def figure(value: float) -> str:
    """Three digits: 0.172, 20.6, 3570."""
    return f"{value:.3g}" if abs(value) < 100 else f"{float(f'{value:.3g}'):.0f}"


def write(path: Path, text: str) -> None:
    """Writes a text file."""
    with files.atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
