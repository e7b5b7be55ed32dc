"""Options of the candidate sheet, of the review page, of the desk and of what is exported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from archivecolor.options.colour import ColorOptions
from archivecolor.options.compute import DeviceOptions
from archivecolor.options.require import require
from archivecolor.options.table import Choice, Option, Options, at_least, between, ends_in


@dataclass(frozen=True, kw_only=True)
class CandidateOptions(DeviceOptions):
    """Which colourings of a picture to show side by side."""

    picture: Annotated[Path, Option("The picture to colour in several ways.", metavar="PICTURE", positional=True)]
    out: Annotated[Path, Option("PNG to draw.", short="-o", check=ends_in(".png"))]
    models: Annotated[
        tuple[str, ...], Option("Weights by name or folder. May be repeated.", flag="--model", metavar="MODEL")
    ] = ("lite", "resnet18")
    sizes: Annotated[
        tuple[int, ...] | None,
        Option(
            "As --size of run. May be repeated. With it, every size, strength and model is shown.",
            flag="--size",
            metavar="SIZE",
        ),
    ] = None
    strengths: Annotated[
        tuple[float, ...] | None,
        Option("As --strength of run. May be repeated. The same.", flag="--strength", metavar="STRENGTH"),
    ] = None
    side: Annotated[int, Option("Long side of each colouring on the sheet in pixels.", check=between(100, 2000))] = 360

    def __post_init__(self) -> None:
        super().__post_init__()
        named = bool(self.models) and self.sizes != () and self.strengths != ()
        require(named, "--model, --size, --strength: name at least one each")
        self.grid()

    def grid(self) -> list[list[ColorOptions]]:
        """The colourings of one model where sizes or strengths are named: for each size, one for each strength and one
        with --mirror. Empty where none are: then the sheet shows variations (`review.variations`).

        Raises:
            UsageError: a size or a strength is not allowed.
        """
        if self.sizes is None and self.strengths is None:
            return []
        strengths = self.strengths or (1.0, 1.4)
        return [
            [*(ColorOptions(size=size, strength=one) for one in strengths), ColorOptions(size=size, mirror=True)]
            for size in self.sizes or (256, 384)
        ]


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """A review page of a run."""

    out: Annotated[Path, Option("The --out folder of a run.", metavar="OUT", positional=True)]
    to: Annotated[Path | None, Option("Folder for the page and its pictures; without it, OUT-report beside OUT.")] = (
        None
    )
    view: Annotated[int, Option("Long side of the before/after pictures in pixels.", check=between(300, 8000))] = 1000
    workers: Annotated[
        int, Option("Threads that read and reduce pictures; 0: as many as there are cores.", check=at_least(0))
    ] = 0

    def folder(self) -> Path:
        """Where the report goes."""
        whole = self.out.resolve()
        return self.to or whole.with_name(f"{whole.name}-report")


@dataclass(frozen=True, kw_only=True)
class ReviewOptions(Options):
    """The review page with a server behind it, on this machine."""

    out: Annotated[Path, Option("The --out folder of a run.", metavar="OUT", positional=True)]
    inputs: Annotated[
        Path | None,
        Option("The input folder of the run: needed to run again from the page. No picture outside it is opened."),
    ] = None
    to: Annotated[
        Path | None, Option("Folder for the reduced pictures; without it, OUT-report beside OUT, as report has it.")
    ] = None
    export_to: Annotated[
        Path | None, Option("Where the page exports the accepted pictures; without it, OUT-accepted beside OUT.")
    ] = None
    view: Annotated[int, Option("Long side of the reduced pictures in pixels.", check=between(300, 8000))] = 1000
    device: Annotated[str, Option("Where colours are computed: auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto"
    host: Annotated[str, Option("Address to listen at; only this machine can reach the default.")] = "127.0.0.1"
    token: Annotated[
        str, Option("First part of the page's address, a secret; needed with another --host, else made at random.")
    ] = ""
    port: Annotated[int, Option("Port to listen at; 0: any that is free.", check=between(0, 65535))] = 0
    browser: Annotated[bool, Option("Open the page in a browser.")] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        private = self.host in ("127.0.0.1", "localhost", "::1")
        require(private or bool(self.token), f"--host {self.host}: others can reach it; choose a secret --token")
        require(self.host not in ("0.0.0.0", "::"), f"--host {self.host}: name one address of this machine")
        secret = self.token == "" or bool(re.fullmatch(r"[A-Za-z0-9_-]{16,}", self.token))
        require(secret, "--token: must have at least 16 letters, digits, - or _")


class CatalogueKind(Choice):
    """Whose columns a catalogue has."""

    PLAIN = "plain"
    ATOM = "atom"
    OMEKA_S = "omeka-s"


_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[!$&'()*+,;=:@%/A-Za-z0-9._~-]*)?")
"""An http or https URI (RFC 3986) without user, query and fragment."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """What leaves a finished folder: copies of the accepted outputs, a catalogue, a site for IIIF viewers."""

    out: Annotated[Path, Option("The --out folder of a run.", metavar="OUT", positional=True)]
    accepted: Annotated[
        Path | None,
        Option("decisions.json of its review page; for a catalogue and --iiif, without it, OUT/decisions.json."),
    ] = None
    to: Annotated[
        Path | None,
        Option("Folder for copies of the accepted outputs, where files that are there stay; with --iiif, the site."),
    ] = None
    iiif: Annotated[
        str,
        Option(
            "Make --to a site for IIIF viewers, to be served at this address: each picture as original and in colour.",
            metavar="BASE_URL",
        ),
    ] = ""
    catalogue: Annotated[
        Path | None, Option("CSV to write: a row for each picture, for a catalogue.", check=ends_in(".csv"))
    ] = None
    catalogue_for: Annotated[
        CatalogueKind, Option("Columns: all that is known, or those that AtoM or Omeka S import.", flag="--for")
    ] = CatalogueKind.PLAIN
    identifier: Annotated[
        str, Option("Each picture's identifier, of {stem}, {name}, {folder}, {path}.", metavar="PATTERN")
    ] = "{stem}"
    base: Annotated[
        str, Option("Address or folder under which the catalogue's reader finds the files of OUT.", metavar="URL")
    ] = ""
    excel: Annotated[bool, Option("Begin the CSV with a byte order mark, which Excel needs to read UTF-8.")] = False
    overwrite: Annotated[bool, Option("Replace a catalogue or a site that exists.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.iiif or bool(self.to), "--iiif: needs --to, the folder to make")
        require(bool(self.to or self.catalogue), "name --to with --accepted, or --catalogue, or --iiif with --to")
        is_address = not self.iiif or bool(_ADDRESS.fullmatch(self.iiif))
        require(is_address, f"--iiif {self.iiif}: write a whole address, for example https://archive.example/iiif")
        accepted = bool(self.accepted or self.iiif)
        require(not self.to or accepted, "--to: needs --accepted, the decisions of a review page, or --iiif")
