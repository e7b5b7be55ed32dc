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
    """`archivecolor run` as a function: colours files and folders into `out`, gives the manifest's rows.

    Pictures that cannot be done have a row with status `failed` and a reason; nothing is raised for them. The options
    are those of the command line, but for `device`, which is one here; see `RunOptions`, `ColorOptions`, `Disclosure`.

    Raises:
        NoInputError, OutputError, WeightsError, UsageError: nothing can be done at all.
    """
    reference = read_palette(Path(palette), palette_strength) if palette else None
    color = ColorOptions(size, strength, tiles, reference, tuple(map(parse_hint, hints)), mirror)
    return drive_with(
        list,
        RunOptions(
            tuple(map(str, inputs)), Path(out), model, color, device, precision, batch, workers, format, quality,
            suffix, recolor, overwrite, limit, max_megapixels, disclosure or Disclosure(), strips_above,
            engine, Path(redo) if redo else None, confidence, film or FilmOptions(),
        ),
    )  # fmt: skip
