"""Makes an IIIF site: chooses the pictures, and puts the site in its place when it is whole.

It is made in a hidden folder beside its place. A run that was stopped is resumed by the same command.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from archivecolor import files, provenance
from archivecolor.errors import NoInputError, OutputError, PictureError
from archivecolor.options import ExportOptions, SourceType
from archivecolor.preservation import catalogue
from archivecolor.preservation.iiif.manifests import (
    COLLECTION,
    MANIFEST,
    Json,
    PagePair,
    Published,
    collection,
    manifest,
    manifest_path,
)
from archivecolor.preservation.iiif.progress_log import COLOURED, LIST, ORIGINAL, WORK, ProgressLog
from archivecolor.preservation.iiif.tiles import INFO, load_pyvips
from archivecolor.provenance import DONE, Record, decisions
from archivecolor.provenance.decisions import Decision
from archivecolor.provenance.locks import Lock

_LOCK = ".lock"
_OWN_FILES = frozenset((COLLECTION, MANIFEST, INFO, "default.jpg"))


@dataclass
class Site:
    """What was made, and what was not."""

    pictures: int = 0
    canvases: int = 0
    folders: int = 0
    films: int = 0
    """Films, which have no tiles."""
    without: int = 0
    """Inputs that have no output."""
    not_accepted: int = 0
    no_original: list[tuple[str, str]] = field(default_factory=list)
    """(picture, reason) of those that are offered in colour alone."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """(picture, reason)."""


def publish(options: ExportOptions, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Site:
    """Makes the site `options.to` for the address `options.iiif`.

    Only accepted pictures are in it, if anything was decided.

    Args:
        on_progress: called with the number of pictures that are done, and of all.

    Raises:
        MissingDependencyError: pyvips is not installed.
        NoInputError: there is no manifest, or no picture to show.
        OutputError: the site exists, is inside a folder of pictures, or cannot be written.
        UsageError: the decisions or the pattern of identifiers cannot be read.
    """
    if options.to is None or not options.iiif:
        raise ValueError("no site is asked for")
    load_pyvips()
    rows = provenance.read_rows(options.out)
    if not rows:
        raise NoInputError(f"{options.out}: contains no {provenance.MANIFEST} with a row; name the --out of a run")
    _check_place(options.to, options, rows)
    site = Site()
    wanted = _wanted(rows, options, site)
    place = options.to.resolve()
    part = files.part_path(place)
    try:
        files.make_folders(part)
        lock = Lock(part / _LOCK)
        try:
            _build(part, wanted, options, site, on_progress)
        finally:
            lock.release()
        _put_in_place(part, place)
    except OSError as error:
        raise OutputError(f"--to {options.to}: cannot be written ({error.strerror or error})") from error
    return site


def _check_place(place: Path, options: ExportOptions, rows: dict[str, Record]) -> None:
    """Raises OutputError if the site may not be made there."""
    whole, out = place.resolve(), options.out.resolve()
    if whole.is_relative_to(out) or out.is_relative_to(whole):
        raise OutputError(f"--to {place}: must not overlap with {options.out}; choose another folder")
    roots = {row.source.removesuffix(row.input) for row in rows.values() if row.source.endswith(row.input)}
    for inputs in (Path(root).resolve() for root in roots):
        if whole.is_relative_to(inputs) and not out.is_relative_to(inputs):
            raise OutputError(
                f"--to {place}: is inside {inputs}, where a later run would treat its tiles as input pictures"
            )
    if not os.path.lexists(place) or _is_empty(place):
        return
    if not options.overwrite:
        raise OutputError(f"--to {place}: exists; choose another name, or use --overwrite")
    if not _is_site(place):
        raise OutputError(f"--to {place}: is not an IIIF site that this program made, so --overwrite leaves it alone")
    if foreign := next((path for path in files.walk(place) if path.is_file() and path.name not in _OWN_FILES), None):
        raise OutputError(f"{foreign}: was not made by this program, and --overwrite would remove it; move it first")


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _is_site(place: Path) -> bool:
    try:
        text = (place / COLLECTION).read_text(encoding="utf-8")
        return json.loads(text)["type"] == "Collection" and "archivecolor" in text
    except (OSError, ValueError, KeyError, TypeError):
        return False


# --- which pictures ---------------------------------------------------------------------------------------------------


def _wanted(rows: dict[str, Record], options: ExportOptions, site: Site) -> list[tuple[Record, Decision | None]]:
    """The photographs to show, in the order of their names. The others are counted."""
    made = {name: one for name, one in catalogue.decisions_of(options).items() if one.decision}
    wanted = []
    for name, row in sorted(rows.items()):
        decision = made.get(name)
        if row.film:
            site.films += 1
        elif row.status != DONE or row.output is None:
            site.without += 1
        elif made and (decision is None or decision.decision != decisions.ACCEPTED):
            site.not_accepted += 1
        else:
            wanted.append((row, decision))
    if not wanted:
        raise NoInputError(
            f"{options.out}: has no {'accepted ' if made else ''}photograph to show "
            f"({site.films} films, {site.without} without an output, {site.not_accepted} not accepted)"
        )
    return wanted


def _problem(row: Record, decision: Decision | None, out: Path, key: str, names: dict[str, str]) -> str:
    """Why a picture cannot be shown, or "".

    Args:
        key: its name as the disk of the site compares names (case, Unicode form).
        names: the pictures of the site by their keys.
    """
    parts = PurePosixPath(row.input).parts
    if MANIFEST in parts or COLLECTION in parts:
        return f"{MANIFEST} and {COLLECTION} are names of files of the site; rename the scan"
    if (same := names.setdefault(key, row.input)) != row.input:
        return f"the disk of --to takes its name for that of {same}; choose another disk, or rename the scan"
    try:
        return decisions.why_not(row, decision, out) if decision else provenance.output_problem(row, out)
    except OSError as error:
        return str(files.read_error(error, str(row.output)))


# --- the work ---------------------------------------------------------------------------------------------------------


def _build(
    part: Path,
    wanted: list[tuple[Record, Decision | None]],
    options: ExportOptions,
    site: Site,
    on_progress: Callable[[int, int], None],
) -> None:
    """Makes all files of the site in `part`."""
    base, rules, names = options.iiif.rstrip("/"), files.name_rules(part), dict[str, str]()
    with ProgressLog(part, base, _LOCK) as finished:
        folders: dict[str, list[Published]] = {}
        for count, (row, decision) in enumerate(wanted):
            on_progress(count, len(wanted))
            reason = _problem(row, decision, options.out, rules.key(row.input), names)
            try:
                if not reason:
                    one = _published(row, decision, options, finished, site)
                    folders.setdefault(one.folder, []).append(one)
            except PictureError as error:
                reason = str(error)
            if reason:
                site.left_out.append((row.input, reason))
        on_progress(len(wanted), len(wanted))
        finished.remove_others()
    if not folders:
        raise NoInputError(f"{options.out}: no picture can be shown; the first: {': '.join(site.left_out[0])}")
    title = options.out.resolve().name
    manifests = {folder: manifest(folder, pictures, base, title) for folder, pictures in sorted(folders.items())}
    for folder, made in manifests.items():
        _write_json(part / manifest_path(folder), made)
    makers = (one.maker for pictures in folders.values() for one in pictures)
    _write_json(part / COLLECTION, collection(manifests.values(), makers, base, title))
    site.folders = len(folders)
    site.pictures = sum(map(len, folders.values()))
    site.canvases = sum(len(one.pages) for pictures in folders.values() for one in pictures)


def _published(
    row: Record, decision: Decision | None, options: ExportOptions, finished: ProgressLog, site: Site
) -> Published:
    """Makes the tiles of a picture and of its original.

    Raises:
        OutputError: the site cannot be written.
        PictureError: the output cannot be shown.
    """
    try:
        entry = next(catalogue.entries(options, {row.input: row}, {row.input: decision} if decision else {}))
    except OutputError as error:  # a damaged sidecar
        raise PictureError(str(error)) from error
    packet, _ = provenance.disclosure(
        None,
        entry.software,
        row.model,
        row.weights_sha256,
        row.source_type or SourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
        row.guidance,
    )
    output = options.out / str(row.output)
    coloured = finished.images(row.input, COLOURED, output, row.output_sha256, packet, entry.software)
    try:
        _check_original(row)
        originals = finished.images(row.input, ORIGINAL, Path(row.source), row.source_sha256, b"", entry.software)
    except PictureError as error:
        originals = []
        site.no_original.append((row.input, str(error)))
    pairs = itertools.zip_longest(coloured, originals[: len(coloured)])
    return Published(entry, tuple(PagePair(number, *pair) for number, pair in enumerate(pairs, 1)))


def _check_original(row: Record) -> None:
    """Raises PictureError if the source is not what was coloured."""
    try:
        if files.sha256(Path(row.source)) != row.source_sha256:
            raise PictureError(f"its original {row.source} was changed after the run")
    except OSError as error:
        raise files.read_error(error, row.source) from error


def _write_json(path: Path, content: Json) -> None:
    try:
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); free some space") from error


def _put_in_place(part: Path, place: Path) -> None:
    """Gives the site its name, and removes the one before."""
    before = files.part_path(place.with_name(f"{place.name} before"))
    shutil.rmtree(before, ignore_errors=True)
    (part / LIST).unlink()
    shutil.rmtree(part / WORK, ignore_errors=True)
    files.sync_disks()
    if place.exists():
        place.rename(before)
    part.rename(place)
    files.fsync_folder(place.parent)
    shutil.rmtree(before, ignore_errors=True)
