"""What was made from what, by what: the manifest, resuming from it, and the disclosure inside every file.

`manifest.jsonl` holds one row per input. While a run works it is only appended to, so that a kill costs at most its
last line; when the run ends it is rewritten whole without the rows that newer ones replace.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.etree import ElementTree

from archivecolor import files
from archivecolor.errors import OutputError, PictureError

MANIFEST, LOCK = "manifest.jsonl", ".archivecolor.lock"
DONE, SKIPPED, FAILED, STARTED = "done", "skipped", "failed", "started"


@dataclass(frozen=True)
class Record:
    """One row of the manifest."""

    input: str
    """The picture's name below its input folder; the key of the row."""
    source: str
    output: str | None
    """Below the output folder."""
    status: str
    """`done`, `skipped` or `failed`; `started` only while a run works on it."""
    reason: str = ""
    source_sha256: str = ""
    output_sha256: str = ""
    model: str = ""
    weights_sha256: str = ""
    options: str = ""
    """Digest of all options that decide the result's bytes."""
    width: int = 0
    height: int = 0
    pages: int = 0
    depth: int = 0
    format: str = ""
    max_delta_l: float | None = None
    """Largest |ΔL*| between source and result, before lossy compression where the format has that."""
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    film: dict[str, Any] = field(default_factory=dict)
    """Of films: `frames`, `bad_frames` (that could not be decoded), `shots`, `fps`, `duration` (seconds), `seen`
    (frames that the network saw), `reuse_error` (Lab units by which colours that travelled missed the network's, mean)
    and `reuse_worst`."""
    earlier: tuple[str, ...] = ()
    """Outputs that earlier runs made of this input under other names (another --format or --suffix, for example)."""


@dataclass(frozen=True)
class Identity:
    """What must be equal for a finished picture to stay as it is."""

    weights_sha256: str
    options: str


def read_rows(folder: Path) -> dict[str, Record]:
    """The newest row of each input. A last line that a kill cut short is passed over."""
    path = folder / MANIFEST
    rows: dict[str, Record] = {}
    if not path.exists():
        return rows
    known = {f.name for f in fields(Record)}
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            try:
                values: dict[str, Any] = json.loads(line)
                values |= {key: tuple(values.get(key, ())) for key in ("notes", "earlier")}
                record = Record(**{key: value for key, value in values.items() if key in known})
            except (ValueError, TypeError, AttributeError):
                continue
            rows[record.input] = record
    return rows


class Manifest:
    """The open manifest of an output folder, which one run at a time may hold.

    Raises:
        OutputError: the folder cannot be written, or another run holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.Lock()
        self._begun: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _Lock(folder / LOCK)
            for part in folder.rglob(f".*{files.PART_SUFFIX}"):
                part.unlink()
            self.rows = read_rows(folder)
            self._cut_torn_line()
            self._file = (folder / MANIFEST).open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error

    def _cut_torn_line(self) -> None:
        """Ends a line that a kill left open, so that the next row begins on one of its own."""
        path = self.folder / MANIFEST
        if path.exists() and path.stat().st_size:
            with path.open("rb+") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            self._compact()
        except OSError as error:
            if value is None:  # an error already on its way says more
                raise self._unwritable(error) from error
        finally:
            self._lock.release()

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.folder / MANIFEST}: cannot be written ({error.strerror}); free some space")

    def append(self, record: Record) -> None:
        """Adds a row and hands it to the operating system."""
        with self._turn:
            before = self.rows.get(record.input)
            if before:
                made = {*before.earlier, *filter(None, [before.output])} - {record.output}
                record = replace(record, earlier=tuple(sorted(made)))
            self.rows[record.input] = record
            try:
                self._file.write(_line(record))
                self._file.flush()
            except OSError as error:
                raise self._unwritable(error) from error

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False) -> None:
        """Notes that `target` is about to be written, so that a resumed run knows it for its own.

        Raises:
            PictureError: a file of that name is there and no run recorded here made it, or another input has it.
        """
        row = self.rows.get(name)
        output = target.relative_to(self.folder).as_posix()
        with self._turn:
            owner = self._begun.setdefault(output, name)
        if owner != name:
            raise PictureError(
                f"its output {target} is already that of {owner}; colour it with another --out or --suffix"
            )
        if not overwrite and target.exists() and (row is None or output not in (row.output, *row.earlier)):
            raise PictureError(f"{target} exists and was not made by this program; move it, or use --overwrite")
        self.append(Record(name, source, output, STARTED))

    def refuse_another_collection(self, sources: Mapping[str, Path]) -> None:
        """Raises OutputError where an output here is that of a different, still existing picture of the same name.

        A collection that has moved keeps its rows: its old place is gone, or the files there are the same.
        """
        for name, source in sources.items():
            row = self.rows.get(name)
            if row is None or row.status != DONE or row.source == str(source) or not Path(row.source).is_file():
                continue
            if source.is_file() and files.sha256(source) != files.sha256(Path(row.source)):
                raise OutputError(
                    f"{self.folder}: {row.output} is there already, made from {row.source}; choose another --out for "
                    f"{source}, or --overwrite to replace it"
                )

    def settled(self, name: str, source_sha256: str, identity: Identity) -> bool:
        """Whether this input needs nothing: same source, weights and options, and its output is there."""
        row = self.rows.get(name)
        if row is None or row.status not in (DONE, SKIPPED) or row.source_sha256 != source_sha256:
            return False
        if Identity(row.weights_sha256, row.options) != identity:
            return False
        return row.status == SKIPPED or (row.output is not None and (self.folder / row.output).is_file())

    def _compact(self) -> None:
        """Leaves one row per input, whole or not at all. What was begun and not finished counts as failed."""
        for name, row in self.rows.items():
            if row.status == STARTED:
                self.rows[name] = replace(row, status=FAILED, reason="interrupted while it was being written")
        with files.written_whole(self.folder / MANIFEST) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(_line(record) for record in self.rows.values())


def _line(record: Record) -> str:
    values = {key: value for key, value in asdict(record).items() if value not in ("", (), {}) or key == "reason"}
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8: its raw bytes travel as escapes
        text = json.dumps(values, ensure_ascii=True)
    return text + "\n"


class _Lock:
    """One run per output folder, by a lock that the system drops when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+", encoding="ascii")
        try:
            _lock_now(self._file.fileno())
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise OutputError(
                f"{path.parent}: another run (pid {holder}) is writing here; wait for it or choose another --out"
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        self._file.close()


def _lock_now(handle: int) -> None:
    """Takes the lock or raises OSError."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def totals(rows: Iterable[Record]) -> Counter[tuple[str, str]]:
    """How many rows there are of each (status, reason)."""
    return Counter((row.status, row.reason) for row in rows)


# --- the disclosure inside the file ---------------------------------------------------------------------------------

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "archivecolor": "https://pypi.org/project/archivecolor/ns/1.0/",
}
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a picture that a trained model added to: the scene was captured, its colour was not."""


def disclosure(xmp: bytes | None, tool: str, weights_name: str, weights_sha256: str) -> tuple[bytes, bool]:
    """The picture's XMP with the statement that its colour was added by a model; everything else in it stays.

    Returns:
        The packet, and whether the picture's own XMP could be kept (False when it is damaged).
    """
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root, kept = _parsed(xmp)
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if rdf is None:
        rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    statements = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": f"{tool}, weights {weights_name}",
        "Iptc4xmpExt:AISystemVersionUsed": weights_sha256,
        "archivecolor:Colour": "invented by a neural network; the luminance is the original's",
    }
    for name in statements:
        _drop(rdf, _qualified(name))
    about = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for name, value in statements.items():
        ElementTree.SubElement(about, _qualified(name)).text = value
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'.encode(), kept


def _parsed(xmp: bytes | None) -> tuple[ElementTree.Element, bool]:
    fresh = ElementTree.Element(_qualified("x:xmpmeta"))
    if not xmp:
        return fresh, True
    try:
        text = xmp.decode("utf-8").strip("\x00\ufeff \r\n\t")
        # Packets are small and flat; an entity definition in one can only be an attack on the parser.
        if "<!ENTITY" in text or "<!DOCTYPE" in text:
            return fresh, False
        return ElementTree.fromstring(text), True
    except (ElementTree.ParseError, UnicodeDecodeError):
        return fresh, False


def _qualified(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


def _drop(rdf: ElementTree.Element, name: str) -> None:
    """Removes a property wherever a description has it, as an element or as an attribute."""
    for description in rdf.iter(f"{{{_RDF}}}Description"):
        description.attrib.pop(name, None)
        for child in list(description):
            if child.tag == name:
                description.remove(child)
