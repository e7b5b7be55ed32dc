"""What is measured: speed, and colours against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archivecolor.options.film import FilmOptions
from archivecolor.options.require import require
from archivecolor.options.run import ENGINES


@dataclass(frozen=True)
class FilmEvaluationOptions:
    """A colour film to be coloured from its luma and compared."""

    film: Path
    options: FilmOptions = FilmOptions()
    plot: Path | None = None
    """A PNG to draw mean a and b over time in."""

    def __post_init__(self) -> None:
        require("%" in self.film.name or self.film.exists(), f"--film {self.film}: there is no such film")
        require(self.plot is None or self.plot.suffix == ".png", f"--plot {self.plot}: must end in .png")


MEGAPIXELS = (2, 12, 50)


@dataclass(frozen=True)
class BenchOptions:
    """What to measure the speed of."""

    folder: Path | None = None
    """The user's own pictures; None for generated ones."""
    models: tuple[str, ...] = ("lite", "resnet18")
    pictures: int = 12
    """Of each group."""
    megapixels: tuple[int, ...] = MEGAPIXELS
    """Which sizes to generate."""
    device: str = "auto"
    precision: str = "auto"
    engine: str = "torch"
    chart: Path | None = None
    edges: Path | None = None
    """PNGs to draw."""
    flat: int = 0
    """Colour so many small files instead, and open a manifest of a hundred times as many rows."""

    def __post_init__(self) -> None:
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        require(self.engine in ENGINES, f"--engine {self.engine}: write one of {', '.join(ENGINES)}")
        require(self.pictures >= 1, f"--pictures {self.pictures}: must be at least 1")
        known = ", ".join(map(str, MEGAPIXELS))
        fits = bool(self.megapixels) and set(self.megapixels) <= set(MEGAPIXELS)
        require(fits, f"--megapixels {' '.join(map(str, self.megapixels))}: choose among {known}")
        require(self.flat == 0 or self.flat >= 10, f"--flat {self.flat}: must be at least 10 files, or 0 for none")
        for flag, path in (("--chart", self.chart), ("--edges", self.edges)):
            require(path is None or path.suffix == ".png", f"{flag} {path}: must end in .png")


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure, and on what."""

    data: Path
    models: tuple[str, ...]
    """Names or folders of weights, as `weights.find` takes them."""
    size: int = 256
    """The side of the centre crops."""
    limit: int = 0
    """At most so many pictures, spread evenly over the folder; 0 for all."""
    sheet: Path | None = None
    """A PNG to draw the same few pictures in: grey, by each model, true."""
    compare: bool = False
    """Two models are set side by side: captions on the sheet, differences in the table."""
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`, already decided."""

    def __post_init__(self) -> None:
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        require(not self.compare or len(self.models) == 2, "--compare: name exactly two weights, and no --model")
        require(self.size >= 64 and self.size % 32 == 0, f"--size {self.size}: must be a multiple of 32 from 64 on")
        require(self.limit >= 0 and self.limit != 1, f"--limit {self.limit}: must be 2 or more, or 0 for all")
        require(self.sheet is None or self.sheet.suffix == ".png", f"--sheet {self.sheet}: must end in .png")
