"""Films that are coloured with the ink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from archivecolor.options import FilmOptions
from support.doubles import colour
from support.needs import av, package

VARIABLE = [7, 26, 47, 65, 86, 107, 140, 146, 167, 185, 206, 227, 245, 266, 300, 326, 347, 365, 386, 407, 425, 446, 467]
ALL_SHOWN = FilmOptions(every="1")


def colour_film(source: Path, out: Path, ink: Path, **options: Any) -> Any:
    """The row of one film."""
    if not options.setdefault("film", FilmOptions()).cuts:
        package("scenedetect")
    (row,) = colour(source, out=out, model=ink, **options)
    return row


def seconds_of_frames(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        return [float(frame.pts * stream.time_base) for frame in film.decode(stream)]
