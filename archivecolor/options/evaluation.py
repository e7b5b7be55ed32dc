"""How colours are compared with the truth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from archivecolor.errors import UsageError
from archivecolor.options.compute import DeviceOptions
from archivecolor.options.require import require
from archivecolor.options.run import DEFAULT_MODEL
from archivecolor.options.table import Option, Options, at_least, ends_in
from archivecolor.options.training import LARGEST_SIDE

DEFAULT_SHEET = Path("compare.png")
"""Where --compare draws its sheet."""


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    """Which part of the pictures is compared, and where it is drawn."""

    size: Annotated[int, Option("Side of the centre crops in pixels.")] = 256
    limit: Annotated[
        int,
        Option(
            "At most this many pictures, spread evenly over the folder; 0: all.", check=at_least(2).or_zero("for all")
        ),
    ] = 0
    sheet: Annotated[
        Path | None, Option("PNG to draw: rows of grey, each model's colours, and the truth.", check=ends_in(".png"))
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.size >= 64 and self.size % 32 == 0, f"--size {self.size}: must be a multiple of 32 from 64 on")
        require(self.size <= LARGEST_SIDE, f"--size {self.size}: must be at most {LARGEST_SIDE}")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(SampleOptions):
    """What to measure, and on which photographs or plates."""

    data: Path
    models: tuple[str, ...]
    """Names or folders of weights, as `weights.find` takes them."""
    compare: bool = False
    """Whether two models are compared: captions on the sheet, differences in the table."""
    held: Path | None = None
    """A weights folder: only the photographs that its training held out are used."""
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`, already decided."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        require(not self.compare or len(self.models) == 2, "--compare: name exactly two weights, and no --model")


def parse_every(text: str) -> int:
    """`every:25` -> 25; 0 stands for none.

    Raises:
        UsageError: it is not of this form.
    """
    form = re.fullmatch(r"every:(\d{1,9})|0", text, re.ASCII)
    require(form is not None, f"--references {text}: write every:N, for example every:25")
    return int(form[1] or 0) if form else 0


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest(SampleOptions, DeviceOptions):
    """All options of `archivecolor evaluate`; not all of them go together."""

    data: Annotated[
        Path | None, Option("Folder of colour photographs that no model has seen, or a text file that lists them.")
    ] = None
    film: Annotated[
        Path | None, Option("Measure on a colour film instead: how true and how steady its colours are.")
    ] = None
    plates: Annotated[
        Path | None,
        Option(
            "Measure on plates of three-colour photographs instead: a folder of NAME__truth.EXT and "
            "NAME__input_PLATE.EXT."
        ),
    ] = None
    held: Annotated[
        Path | None,
        Option(
            "A weights folder: measure only on the photographs of --data that its training held out.", metavar="DIR"
        ),
    ] = None
    csv: Annotated[
        Path | None, Option("CSV to write: the numbers of every picture, for each model.", check=ends_in(".csv"))
    ] = None
    plot: Annotated[
        Path | None, Option("With --film: PNG to draw mean a and b over time in.", check=ends_in(".png"))
    ] = None
    references: Annotated[
        int,
        Option(
            "With --film: take every Nth true frame as a reference, and measure the other frames by their distance "
            "from it.",
            metavar="every:N",
            parse=parse_every,
            check=at_least(2).or_zero("for none"),
        ),
    ] = 0
    models: Annotated[
        tuple[str, ...], Option("Weights by name or folder. May be repeated.", flag="--model", metavar="MODEL")
    ] = ()
    compare: Annotated[
        tuple[str, str] | None,
        Option(
            "Compare two weights, for example before and after adversarial training: a captioned sheet (compare.png, "
            "or --sheet), a column of differences, and whether they are more than chance.",
            metavar="A B",
        ),
    ] = None
    write_card: Annotated[
        bool,
        Option(
            "Write each model's numbers to its card as numbers/test. With --confidence, write only its median doubt, "
            "as numbers/confidence; later runs with --confidence use it."
        ),
    ] = False
    force: Annotated[bool, Option("With --write-card: change the cards of the weights that come with the program.")] = (
        False
    )
    confidence: Annotated[
        bool, Option("Measure instead how well signs of doubt rank with the true error (Spearman).")
    ] = False
    as_json: Annotated[bool, Option("Print JSON instead of a table.", flag="--json")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.film:
            self._check_film(self.film)
            return
        if (self.data is None) == (self.plates is None):
            raise UsageError(
                "name colour photographs with --data, or plates with --plates, or a colour film with --film"
            )
        require(not self.plot, "--plot: goes with --film alone")
        require(not self.references, "--references: goes with --film alone")
        draws = self.confidence and (self.sheet or self.compare)
        require(not draws, "--confidence: draws no sheet; leave --sheet out, and name the weights with --model")
        excluded = self.plates and (self.limit or self.confidence or self.write_card or self.compare)
        require(not excluded, "--plates: goes with none of --limit, --confidence, --write-card and --compare")
        require(not (self.plates and (self.held or self.csv)), "--plates: goes with neither --held nor --csv")
        require(not (self.confidence and (self.held or self.csv)), "--confidence: goes with neither --held nor --csv")
        require(self.write_card or not self.force, "--force: goes with --write-card alone")

    def _check_film(self, film: Path) -> None:
        others = self.data or self.plates or self.compare or self.limit or self.sheet or self.write_card
        alone = not (others or self.held or self.csv or self.confidence or self.size != EvaluationRequest.size)
        require(alone, "--film: goes with --model, --plot, --json, --device and --precision alone")
        require(not (self.plot and self.references), "--references: draws no --plot; leave one out")
        require("%" in film.name or film.exists(), f"--film {film}: there is no such film")

    @property
    def named_models(self) -> tuple[str, ...]:
        """All weights that are named; the default ones if none are."""
        return (*self.models, *(self.compare or ())) or (DEFAULT_MODEL,)

    def on_pictures(self, precision: str) -> EvaluationOptions:
        """The measurement on photographs or plates; `precision` is decided."""
        data = self.data or self.plates
        if data is None:
            raise UsageError("--data: name a folder of colour photographs")
        return EvaluationOptions(
            data=data,
            models=self.named_models,
            size=self.size,
            limit=self.limit,
            sheet=self.sheet or (DEFAULT_SHEET if self.compare else None),
            compare=self.compare is not None,
            held=self.held,
            precision=precision,
        )
