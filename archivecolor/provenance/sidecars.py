"""The sidecar of an output: all that is needed to make it again, in a file beside it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from archivecolor import __version__, files, sequences
from archivecolor.errors import OutputError
from archivecolor.options import RunOptions
from archivecolor.provenance.disclosure import TERMS
from archivecolor.provenance.records import Record

SUFFIX = ".json"
_NOT_IN_SIDECARS = (
    "inputs",
    "exclude",
    "include",
    "limit",
    "decode_timeout",
    "overwrite",
    "redo",
    "copy_xmp",
    "access",
    "confidence",
    "shard",
    "on",
    "address",
)
"""Options that decide nothing about an output, or that the sidecar states elsewhere."""
_OPENING = '{\n "made_by": "archivecolor '
_LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pillow", "tifffile", "imagecodecs")


def sidecar_of(output: Path) -> Path:
    """`a.png.json` for `a.png`; a name that would be longer than file systems allow is cut, and made unique again."""
    name = output.name + SUFFIX
    if len(os.fsencode(name)) > files.LONGEST_NAME:
        unique = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:12]
        kept = os.fsencode(output.name)[: files.LONGEST_NAME - len(unique) - len(SUFFIX) - 1]
        name = f"{kept.decode('utf-8', 'ignore')}~{unique}{SUFFIX}"
    return output.with_name(name)


def xmp_files_of(picture: Path) -> tuple[Path, Path]:
    """Where programs keep XMP beside a picture: `a.xmp` or `a.jpg.xmp` for `a.jpg`."""
    return picture.with_suffix(".xmp"), picture.with_name(f"{picture.name}.xmp")


def is_sidecar(path: Path) -> bool:
    """Whether a file is a sidecar that this program wrote."""
    try:
        files.check_regular(path)
        with path.open("rb") as file:
            return file.read(len(_OPENING)) == _OPENING.encode()
    except OSError:
        return False


def sidecar_texts(output: Path) -> dict[str, str]:
    """The values of an output's sidecar that are texts; {} without a sidecar.

    Raises:
        OutputError: it is damaged.
    """
    path = sidecar_of(output)
    if not is_sidecar(path):
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {key: value for key, value in values.items() if isinstance(value, str)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise OutputError(f"{path}: damaged ({error}); see what archivecolor verify says") from error


def finished_at(output: Path, sidecar: Mapping[str, str]) -> str:
    """When an output was finished, in ISO 8601: by its sidecar, else by its last file's time.

    Raises:
        OSError: there is no output.
    """
    if finished := sidecar.get("finished"):
        return finished
    last = (sequences.frame_paths(output) or [output])[-1]
    return datetime.fromtimestamp(last.stat().st_mtime, UTC).isoformat(timespec="seconds")


def write_sidecar(out: Path, row: Record, options: RunOptions, made_with: Mapping[str, object]) -> None:
    """Writes the sidecar of a finished row, whole or not at all.

    Args:
        out: the output folder.
        made_with: what the row does not know: device, times, what the master says of itself.

    Raises:
        OutputError, PictureError: it cannot be written; see `files.write_error`.
    """
    if row.output is None:
        raise ValueError(f"{row.input} has no output")
    path = sidecar_of(out / row.output)
    try:
        with files.atomic_write(path) as part:
            part.write_text(_text(row, options, made_with), encoding="utf-8")
    except OSError as error:
        raise files.write_error(path, error) from error


def _text(row: Record, options: RunOptions, made_with: Mapping[str, object]) -> str:
    recorded = asdict(options)
    for name in _NOT_IN_SIDECARS:
        del recorded[name]
    recorded["beside"] = recorded.pop("local_processes")  # the key that sidecars have always had
    if not row.film:
        del recorded["film"]
    recorded["disclosure"]["c2pa"] = bool(options.disclosure.c2pa)  # where somebody keeps a key is nobody's business
    values = {
        "source": {
            "path": row.source,
            "sha256": row.source_sha256,
            "format": row.format,
            "width": row.width,
            "height": row.height,
            "depth": row.depth,
            "pages": row.pages,
        },
        "output": {"name": row.output, "sha256": row.output_sha256},
        "digital_source_type": TERMS + options.disclosure.source_type,
        "weights": {"name": row.model, "sha256": row.weights_sha256},
        "options": {**recorded, "digest": row.options},
        **made_with,
        "versions": versions() | (film_versions() if row.film else {}),
        **({"film": row.film} if row.film else {}),
        "seconds": row.seconds,
        "max_delta_l": row.max_delta_l,
        "notes": row.notes,
    }
    body = json.dumps(values, indent=1, default=str)  # ASCII: names of whatever bytes come through
    return f'{_OPENING}{__version__}",{body.removeprefix("{")}\n'


@cache
def film_versions() -> dict[str, str]:
    """Of what decodes and encodes films and finds their cuts."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("av", "scenedetect-headless", "scenedetect"):
        with suppress(PackageNotFoundError):  # either build of scenedetect will do
            found[name] = version(name)
    return found


@cache
def versions() -> dict[str, str]:
    """Of Python, the machine's kind, and the libraries that have a say in the pixels."""
    from importlib.metadata import version

    return {"python": platform.python_version(), "machine": platform.platform(), **{n: version(n) for n in _LIBRARIES}}
