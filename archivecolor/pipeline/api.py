"""`archivecolor.run`: the command `archivecolor run` as a function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from archivecolor import weights
from archivecolor.options import ColorOptions, Disclosure, FilmOptions, RunOptions, parse_hint
from archivecolor.pipeline.reference_palette import read_palette
from archivecolor.pipeline.runner import drive_with
from archivecolor.provenance import Record


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
    """Colours files and folders into `out`, as the command `archivecolor run` does.

    The options are those of the command line; see `RunOptions`, `ColorOptions`, `Disclosure` and `FilmOptions`. Only
    `device` differs: here it names one device.

    Args:
        inputs: files, folders, patterns and lists; see `find_inputs`.
        out: the output folder.
        palette: a colour picture whose palette the outputs take on.
        hints: pinned colours, `X,Y,#RRGGBB` each.

    Returns:
        The manifest rows of the inputs, in input order. An input that could not be coloured has a row with the status
        `failed` and a reason; nothing is raised for it.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError, MissingDependencyError: the run cannot start or continue.
    """
    reference = read_palette(Path(palette), palette_strength) if palette else None
    options = RunOptions(
        inputs=tuple(map(str, inputs)),
        out=Path(out),
        model=model,
        color=ColorOptions(size, strength, tiles, reference, tuple(map(parse_hint, hints)), mirror),
        device=device,
        precision=precision,
        batch=batch,
        workers=workers,
        format=format,
        quality=quality,
        suffix=suffix,
        recolor=recolor,
        overwrite=overwrite,
        limit=limit,
        max_megapixels=max_megapixels,
        disclosure=disclosure or Disclosure(),
        strips_above=strips_above,
        engine=engine,
        redo=Path(redo) if redo else None,
        confidence=confidence,
        film=film or FilmOptions(),
    )
    return drive_with(list, options)
