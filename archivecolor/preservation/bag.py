"""Copies a finished folder into a BagIt bag, with a PREMIS event for each picture.

bagit itself would turn the folder into a bag; then it could not be resumed, verified or reviewed any more. Every output
is hashed while it is copied and compared with its row, so that no changed file gets into the bag.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archivecolor import __version__, files, provenance, sequences
from archivecolor.errors import MissingDependencyError, NoInputError, OutputError
from archivecolor.film.probe import FOLDER_SUFFIX
from archivecolor.preservation.premis import premis
from archivecolor.provenance import DONE, LOCK, MANIFEST, Record

PREMIS = "metadata/premis"
"""In the bag beside `data`, as tag files, so that the payload is exactly the folder."""
_CHUNK = 1 << 20


def bag(
    folder: Path, out: Path, organization: str = "", watch: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Makes the bag `out` from the finished `folder`, or nothing at all.

    Args:
        organization: for `Source-Organization` in bag-info.txt.
        watch: called with the number of files copied, and of all.

    Returns:
        The number of PREMIS events in it.

    Raises:
        MissingDependencyError: bagit is not installed.
        NoInputError: the folder has no manifest.
        OutputError: the bag cannot be made, or the folder is not as its manifest says.
    """
    library = _library()
    rows = provenance.read_rows(folder)
    if not rows:
        raise NoInputError(f"{folder}: no {MANIFEST} with rows in it; name the --out of a run")
    names = _checked(folder, out)
    stage = _stage(out)
    try:
        _copy(folder, stage, names, rows, watch)
        info = {"Bag-Software-Agent": f"archivecolor {__version__}, bagit {library.VERSION}"}
        info |= {"Source-Organization": organization} if organization else {}
        made = library.make_bag(stage, info, checksums=["sha256"])
        done = [row for row in rows.values() if row.status == DONE]
        for row in done:
            _write_premis(stage, row)
        made.save()
        stage.rename(out)
    except (OSError, library.BagError) as error:
        raise OutputError(f"{out}: the bag cannot be made ({error})") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return len(done)


def _library() -> Any:
    try:
        library = importlib.import_module("bagit")
    except ImportError as error:
        raise MissingDependencyError("a bag needs a package: pip install 'archivecolor[bag]'") from error
    library.LOGGER.setLevel("CRITICAL")  # its errors are raised as well
    return library


def _checked(folder: Path, out: Path) -> list[str]:
    """Lists the files of the folder.

    Raises:
        OutputError: the folder cannot become a bag.
    """
    if os.path.lexists(out):
        raise OutputError(f"{out}: exists; choose another --out")
    if out.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"--out {out}: is inside the folder that goes into the bag; choose another")
    if (folder / LOCK).exists():
        raise OutputError(f"{folder}: a run is writing here, or was killed; let it finish, or run it again, first")
    paths = sorted(files.walk(folder))
    if unfinished := next((path for path in paths if path.name.endswith(FOLDER_SUFFIX)), None):
        raise OutputError(f"{unfinished}: pieces of a film that is not finished; run again first")
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise OutputError(
                f"{folder}: {name!r} is not UTF-8, which BagIt requires of every name; rename the scan and run again"
            ) from None
    return [name for name in names if not name.endswith(files.PART_SUFFIX)]


def _stage(out: Path) -> Path:
    """Makes a hidden folder beside the future bag."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name[:50]}-", suffix=files.PART_SUFFIX, dir=out.parent.resolve()))
        stage.chmod(0o755)  # mkdtemp makes it the owner's alone
        return stage
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error


def _copy(
    folder: Path, stage: Path, names: list[str], rows: dict[str, Record], watch: Callable[[int, int], None]
) -> None:
    done = {row.output: row.output_sha256 for row in rows.values() if row.status == DONE and row.output}
    expected = {name: sha256 for name, sha256 in done.items() if not sequences.is_pattern(folder / name)}
    missing = [name for name in done if name not in names and not sequences.exists(folder / name)]
    if missing:
        raise OutputError(f"{folder}: {min(missing)} is missing; run again, or see what archivecolor verify says")
    for count, name in enumerate(names, 1):
        copied = _copied(folder / name, stage / name)
        if copied != expected.get(name, copied):
            raise OutputError(f"{folder}: {name} is not what its row says; see what archivecolor verify says")
        watch(count, len(names))
    for name in done.keys() - expected.keys():
        if files.sha256(stage / name) != done[name]:
            raise OutputError(f"{folder}: {name} are not what their row says; see what archivecolor verify says")


def _copied(source: Path, target: Path) -> str:
    """Copies a file with its times. Returns the SHA-256 of the copied bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("wb") as copy:
        while chunk := original.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    shutil.copystat(source, target)
    return digest.hexdigest()


def _write_premis(stage: Path, row: Record) -> None:
    """Writes the event of one picture, with time and tool from its sidecar."""
    output = stage / "data" / str(row.output)
    source, sidecar = Path(row.source), provenance.sidecar_texts(output)
    term = provenance.TERMS + row.source_type if row.source_type else sidecar.get("digital_source_type")
    made = [path.stat() for path in sequences.frame_paths(output)]
    before = sum(path.stat().st_size for path in sequences.frame_paths(source)) if sequences.exists(source) else None
    text = premis(
        row,
        sum(status.st_size for status in made),
        before,
        provenance.finished_at(output, sidecar),
        sidecar.get("made_by") or "archivecolor",
        term or "not recorded",
    )
    path = stage / PREMIS / _plain(str(row.output))
    path = path.with_name(provenance.sidecar_of(path).stem + ".xml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def _plain(name: str) -> str:
    """A name without characters that bagit cannot list among the tag files: line breaks, and % which escapes them."""
    plain = re.sub(r"[\r\n%]", "_", name)
    return name if plain == name else f"{plain}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
