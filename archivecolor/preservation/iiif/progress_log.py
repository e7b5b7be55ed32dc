"""Remembers which images of an IIIF site are complete, so that a stopped export continues."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from archivecolor import __version__, files, provenance
from archivecolor.preservation.iiif.tiles import TiledImage, photograph_pages, write_image

LIST, WORK = ".done.jsonl", ".work"
"""In the folder of a site that is not whole: the list of its images, and the place of the one that is being made."""
ORIGINAL, COLOURED = "original", "coloured"
_BATCH = 16
"""Number of images that are synced to the disk at a time."""


class ProgressLog:
    """The images of a site that are on the disk, known from the list in its folder.

    An image is in the list twice: before its first file is written, and when the last is safe from a power cut.

    Args:
        base: the address of the site. If it is another, everything is made again.
        keep: the name of a file that stays nevertheless.
    """

    def __init__(self, part: Path, base: str, keep: str) -> None:
        self._part, self._base = part, base
        head = {"format": "archivecolor iiif 1", "version": __version__, "base": base}
        lines = list(_json_lines(part / LIST))
        if lines[:1] != [head]:
            _empty(part, keep)
            lines = []
        self._known: dict[str, tuple[str, list[TiledImage]]] = {}
        self._used: set[str] = set()
        self._unsynced: list[dict[str, object]] = []
        for line in lines[1:]:
            self._known[line["path"]] = (line["sha256"], [_parsed(page) for page in line.get("pages", ())])
        self._file = (part / LIST).open("a", encoding="ascii")
        if not lines:
            self._append(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()

    def images(self, name: str, kind: str, source: Path, sha256: str, packet: bytes, tool: str) -> list[TiledImage]:
        """The pages of a file as images of the site; those of the list are not made again.

        Args:
            name: the picture.
            kind: ORIGINAL or COLOURED.
            sha256: of the file.
            packet: XMP for every tile.

        Raises:
            OutputError: the site cannot be written.
            PictureError: the file cannot be read, or this image not be written.
        """
        path = f"{name}/{kind}"
        self._used.add(path)
        before, done = self._known.get(path, ("", []))
        if done and before == sha256:
            return done
        shutil.rmtree(self._part / path, ignore_errors=True)
        self._append({"path": path, "sha256": sha256})
        pages, made = photograph_pages(source), []
        for number, page in enumerate(pages, 1):
            is_coloured = kind == COLOURED and (len(pages) == 1 or provenance.is_machine_colored(page.xmp))
            own = f"{path}/{number}" if len(pages) > 1 else path
            try:
                tiles = write_image(
                    page, self._part, own, self._base, self._part / WORK, packet if is_coloured else b"", tool
                )
            except OSError as error:
                raise files.write_error(self._part / own, error) from error
            made.append(replace(tiles, is_coloured=is_coloured))
        self._unsynced.append({"path": path, "sha256": sha256, "pages": [asdict(page) for page in made]})
        if len(self._unsynced) >= _BATCH:
            self._sync()
        return made

    def remove_others(self) -> None:
        """Removes the images that are not in use: of pictures that were accepted when the run before was stopped."""
        for path in self._known.keys() - self._used:
            shutil.rmtree(self._part / path, ignore_errors=True)
            with suppress(OSError):  # until a folder is not empty
                for folder in (self._part / path).parents:
                    folder.rmdir()

    def _sync(self) -> None:
        if self._unsynced:
            files.sync_disks()
            self._append(*self._unsynced)
            self._unsynced = []

    def _append(self, *lines: object) -> None:
        for line in lines:
            self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _parsed(page: dict[str, Any]) -> TiledImage:
    sizes = {key: (page[key][0], page[key][1]) for key in ("size", "largest", "small")}
    return TiledImage(page["path"], **sizes, is_coloured=page["is_coloured"])


def _json_lines(path: Path) -> Iterator[Any]:
    """The lines of a list, up to the first that is damaged."""
    with suppress(FileNotFoundError, ValueError), path.open(encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def _empty(folder: Path, keep: str) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != keep:
            path.unlink()
