"""A finished folder as a CSV for a catalogue: a row for each picture.

AtoM imports archival descriptions by the columns of its ISAD template (accesstomemory.org, user manual, "CSV import";
the template itself is lib/task/import/example/isad in its source). It expects UTF-8 and line feeds. Omeka S maps a
column by itself if its header is a term of a vocabulary, such as `dcterms:title` (omeka.org/s/docs, "CSV Import"); the
column with the files is mapped by hand.
"""

from __future__ import annotations

import csv
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from archivecolor import files, provenance, sequences
from archivecolor.errors import NoInputError, OutputError, UsageError
from archivecolor.options import CatalogueKind, ExportOptions
from archivecolor.pipeline.access_copies import FOR_PHOTOGRAPHS
from archivecolor.preservation import own_words
from archivecolor.preservation.own_words import OwnWords
from archivecolor.preservation.premis import media_type
from archivecolor.provenance import DONE, MANIFEST, Record, decisions
from archivecolor.provenance.decisions import Decision

_ATOM = (
    *("legacyId", "parentId", "qubitParentSlug", "accessionNumber", "identifier", "title", "levelOfDescription"),
    *("extentAndMedium", "repository", "archivalHistory", "acquisition", "scopeAndContent", "appraisal", "accruals"),
    *("arrangement", "accessConditions", "reproductionConditions", "language", "script", "languageNote"),
    *("physicalCharacteristics", "findingAids", "locationOfOriginals", "locationOfCopies", "relatedUnitsOfDescription"),
    *("publicationNote", "digitalObjectPath", "digitalObjectURI", "generalNote", "subjectAccessPoints"),
    *("placeAccessPoints", "nameAccessPoints", "genreAccessPoints", "descriptionIdentifier", "institutionIdentifier"),
    *("rules", "descriptionStatus", "levelOfDetail", "revisionHistory", "languageOfDescription"),
    *("scriptOfDescription", "sources", "archivistNote", "publicationStatus", "physicalObjectName"),
    *("physicalObjectLocation", "physicalObjectType", "alternativeIdentifiers", "alternativeIdentifierLabels"),
    *("eventDates", "eventTypes", "eventStartDates", "eventEndDates", "eventActors", "eventActorHistories", "culture"),
)
"""All columns of the template, in its order. What is not known stays empty."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a cell that begins so for a formula (OWASP, "CSV Injection")."""
_FIELDS = ("stem", "name", "folder", "path")


@dataclass(frozen=True)
class Entry:
    """What is known of one picture."""

    identifier: str
    row: Record
    words: OwnWords
    decision: str
    """`accepted`, `rejected`, or "" if there is none about this output."""
    note: str
    software: str
    finished: str
    """ISO 8601; empty without an output."""
    access_note: str = ""
    """Why it has fewer small copies for the web than other pictures have."""

    @property
    def title(self) -> str:
        return self.words.title or self.identifier

    @property
    def can_be_imported(self) -> bool:
        return self.row.status == DONE and self.decision != decisions.REJECTED

    @property
    def provenance(self) -> str:
        """How the output came about, in one or two sentences; empty without an output."""
        row = self.row
        if row.status != DONE:
            return ""
        guided = " with hints by a person" if row.guidance else ""
        return (
            f"Coloured from {row.input} (SHA-256 {row.source_sha256}) by a neural network{guided}: {self.software}, "
            f"weights {row.model} {row.weights_sha256}, {self.finished}. The colours are invented; the luminance is "
            "the original's."
        )

    @property
    def extent(self) -> str:
        row = self.row
        if not row.width:
            return ""
        what = "film" if row.film else "photograph"
        pages = f", {row.pages} pages" if row.pages > 1 else ""
        return f"1 {what}{pages}, {row.width} x {row.height} pixels"


@dataclass(frozen=True)
class Written:
    """What a catalogue contains."""

    rows: int
    left_out: int
    """Pictures without an output, and rejected ones, which AtoM and Omeka S do not get."""
    repeated: dict[str, int]
    """Identifiers of several pictures, with their number."""


def write(options: ExportOptions) -> Written:
    """Writes the catalogue of a finished folder, whole or not at all.

    Raises:
        NoInputError: the folder has no manifest.
        OutputError: the file exists, or cannot be written.
        UsageError: the decisions or the pattern of identifiers cannot be read.
    """
    path = options.catalogue
    if path is None:
        raise ValueError("no catalogue is asked for")
    if path.exists() and not options.overwrite:
        raise OutputError(f"--catalogue {path}: exists; choose another name, or use --overwrite")
    rows = provenance.read_rows(options.out)
    if not rows:
        raise NoInputError(f"{options.out}: contains no {MANIFEST} with a row; name the --out of a run")
    cells = _CELLS[options.catalogue_for]
    known = list(entries(options, rows, decisions_of(options)))
    is_import = options.catalogue_for != CatalogueKind.PLAIN
    wanted = [one for one in known if not is_import or one.can_be_imported]
    try:
        # Names that are not UTF-8 become escapes.
        encoding = "utf-8-sig" if options.excel else "utf-8"
        with (
            files.atomic_write(path) as part,
            part.open("w", encoding=encoding, errors="backslashreplace", newline="") as file,
        ):
            writer = csv.DictWriter(file, cells(known[0], options), lineterminator="\n")
            writer.writeheader()
            for one in wanted:
                writer.writerow({column: _safe(text) for column, text in cells(one, options).items()})
    except OSError as error:
        raise OutputError(f"--catalogue {path}: cannot be written ({error.strerror})") from error
    counts = Counter(one.identifier for one in wanted)
    return Written(len(wanted), len(known) - len(wanted), {name: n for name, n in counts.items() if n > 1})


def decisions_of(options: ExportOptions) -> Mapping[str, Decision]:
    """The decisions that count for an export, by picture: those of --accepted, else those of OUT.

    Raises:
        UsageError: they cannot be read.
    """
    if options.accepted:
        return decisions.read(options.accepted, "--accepted")
    own = options.out / decisions.DECISIONS
    return decisions.read(own, "OUT") if own.exists() else {}


def entries(options: ExportOptions, rows: Mapping[str, Record], made: Mapping[str, Decision]) -> Iterator[Entry]:
    """What is known of each picture of some rows.

    Raises:
        OutputError: a sidecar is damaged.
        UsageError: the pattern of identifiers cannot be read.
    """
    identify = _identifiers(options.identifier)
    kinds = {kind for row in rows.values() for kind in _access_kinds(row)}
    for row in rows.values():
        output = options.out / row.output if row.output and row.status == DONE else None
        sidecar = provenance.sidecar_texts(output) if output else {}
        decision = made.get(row.input)
        if decision and decision.decision and decision.output_sha256 != row.output_sha256:
            decision = None  # it was about another output
        yield Entry(
            identify(row),
            row,
            own_words.read(output, bool(row.film)) if output else OwnWords(),
            decision.decision if decision else "",
            decision.note if decision else "",
            sidecar.get("made_by") or "archivecolor",
            provenance.finished_at(output, sidecar) if output and sequences.exists(output) else "",
            _access_note(row, kinds),
        )


def _access_kinds(row: Record) -> set[str]:
    """The kinds of small copies that a picture has, such as `jpg-2000`."""
    return {PurePosixPath(name).parts[1] for name in row.access if name.count("/") > 1}


def _access_note(row: Record, kinds: set[str]) -> str:
    """Why a picture lacks small copies.

    Args:
        kinds: the kinds that any picture has.
    """
    if row.film and (kinds or FOR_PHOTOGRAPHS in row.notes):
        return "none: a film"
    missing = sorted(kinds - _access_kinds(row))
    if not missing:
        return ""
    if row.status != DONE:
        return f"none: not coloured ({row.reason or row.status})"
    return f"missing: {', '.join(missing)}; run makes them with --access"


def _identifiers(pattern: str) -> Callable[[Record], str]:
    """What gives a row its identifier.

    Raises:
        UsageError: the pattern has other fields than `_FIELDS`.
    """
    known = ", ".join(f"{{{field}}}" for field in _FIELDS)
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise UsageError(f"--identifier {pattern!r}: {error}; known are {known}") from error
    if unknown := names.difference(_FIELDS):
        raise UsageError(f"--identifier {pattern!r}: no field {{{min(unknown)}}}; known are {known}")

    def identifier(row: Record) -> str:
        path = PurePosixPath(row.input)
        folder = "" if path.parent == PurePosixPath() else str(path.parent)
        return pattern.format(stem=path.stem, name=path.name, folder=folder, path=str(path))

    return identifier


def _safe(text: str) -> str:
    """The text in a form that no spreadsheet runs: behind an apostrophe, if it begins as a formula and is no number."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _place(entry: Entry, base: str) -> str:
    """The output's path below OUT, or below `--base`."""
    return _below(entry.row.output, base) if entry.row.output else ""


def _below(name: str, base: str) -> str:
    return f"{base.rstrip('/')}/{name}" if base else name


# --- kinds of catalogues ----------------------------------------------------------------------------------------------


def _plain(entry: Entry, options: ExportOptions) -> dict[str, str]:
    row = entry.row
    return {
        "identifier": entry.identifier,
        "status": row.status,
        "reason": row.problem or row.reason,
        "original": row.input,
        "original_sha256": row.source_sha256,
        "coloured": _place(entry, options.base),
        "coloured_sha256": row.output_sha256,
        "access": " ".join(_below(name, options.base) for name in row.access),
        "access_note": entry.access_note,
        "width": str(row.width or ""),
        "height": str(row.height or ""),
        "pages": str(row.pages or ""),
        "finished": entry.finished,
        "software": entry.software if row.status == DONE else "",
        "weights": row.model,
        "weights_sha256": row.weights_sha256,
        "options": row.options,
        "digital_source_type": provenance.TERMS + row.source_type if row.source_type else "",
        "confidence": "" if row.confidence is None else f"{row.confidence:g}",
        "decision": entry.decision,
        "note": entry.note,
        **_dublin_core(entry),
    }


def _dublin_core(entry: Entry) -> dict[str, str]:
    """Terms of DCMI (dublincore.org/specifications/dublin-core/dcmi-terms)."""
    row = entry.row
    return {
        "dcterms:identifier": entry.identifier,
        "dcterms:title": entry.title,
        "dcterms:isVersionOf": row.input,
        "dcterms:format": media_type(row.output) if row.output else "",
        "dcterms:extent": entry.extent,
        "dcterms:provenance": entry.provenance,
        "dcterms:rights": entry.words.rights,
    }


def _atom(entry: Entry, options: ExportOptions) -> dict[str, str]:
    is_url = options.base.startswith(("http://", "https://"))
    place = _place(entry, options.base)
    return dict.fromkeys(_ATOM, "") | {
        "legacyId": entry.row.input,
        "identifier": entry.identifier,
        "title": entry.title,
        "levelOfDescription": "Item",
        "extentAndMedium": entry.extent,
        "reproductionConditions": entry.words.rights,
        "locationOfOriginals": f"{entry.row.input} (SHA-256 {entry.row.source_sha256})",
        "digitalObjectPath": "" if is_url else place,
        "digitalObjectURI": place if is_url else "",
        "generalNote": entry.provenance,
        "archivistNote": entry.note,
        "publicationStatus": "Draft",
        "culture": "en",
    }


def _omeka_s(entry: Entry, options: ExportOptions) -> dict[str, str]:
    return {**_dublin_core(entry), "file": _place(entry, options.base)}


_CELLS: dict[CatalogueKind, Callable[[Entry, ExportOptions], dict[str, str]]] = {
    CatalogueKind.PLAIN: _plain,
    CatalogueKind.ATOM: _atom,
    CatalogueKind.OMEKA_S: _omeka_s,
}
