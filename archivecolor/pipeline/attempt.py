"""One job on its way through the pipeline: its row as far as it is known, and why it failed."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from archivecolor import files, provenance
from archivecolor.errors import MissingDependencyError, PictureError, UnreadableError
from archivecolor.options import RunOptions
from archivecolor.pipeline import access_copies, source_xmp
from archivecolor.pipeline.inputs import Job, SourceKind
from archivecolor.pipeline.scheduling import Budgets, StageTimer
from archivecolor.provenance import DONE, FAILED, SKIPPED, UNEXPECTED, Identity, ManifestWriter, Record

if TYPE_CHECKING:
    from archivecolor.inference.colorizer import Colorizer

_log = logging.getLogger(__name__)
ALREADY_COLOUR = "already colour"
SOURCE_CHANGED = "it was written to while it was being read; run again when it is finished"
_LOSSLESS_FRAMES = (".dpx", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class RunContext:
    """What all jobs of a run share."""

    colorizer: Colorizer
    options: RunOptions
    manifest: ManifestWriter
    budgets: Budgets


class Attempt:
    """One job of a run, and what is known of it so far."""

    def __init__(self, job: Job, context: RunContext) -> None:
        card, options = context.colorizer.card, context.options
        self.job, self.context, self.timer = job, context, StageTimer()
        self.snapshot: files.SourceSnapshot | None = None
        self.identity = identity_of(job, card.sha256, options)
        self.row = Record(
            job.name,
            str(job.source),
            None,
            FAILED,
            model=card.name,
            weights_sha256=self.identity.weights_sha256,
            options=self.identity.options,
            guidance=options.color.guidance(),
            redone=bool(job.rejected),
        )
        """The row to write if the job fails now."""

    def take_snapshot(self) -> None:
        """Hashes the source.

        Raises:
            OSError: it cannot be read.
        """
        snapshot = files.SourceSnapshot.of(self.job.source)
        self.snapshot, self.row = snapshot, replace(self.row, source_sha256=snapshot.sha256)

    def is_settled(self) -> bool:
        """Whether the manifest says that the job needs nothing; see `provenance.check_settled`."""
        sha256, rejected = self.row.source_sha256, self.job.rejected
        manifest, overwrite = self.context.manifest, self.context.options.overwrite
        return bool(manifest.settled(self.job.name, sha256, self.identity, rejected, overwrite))

    def add_what_is_missing(self) -> Record | None:
        """Adds what an earlier run of a finished source was not asked for: its .xmp files, and its small copies.

        Returns:
            The new row; None if the one before holds.
        """
        row, options = self.context.manifest.row(self.job.name), self.context.options
        if row is None or row.status != DONE or row.output is None:
            return None
        if options.copy_xmp:
            source_xmp.carry(self.job.source, options.out / row.output, options)
        return access_copies.add_missing(row, options, self.context.budgets.photographs)

    def check_unchanged(self) -> None:
        """Raises UnreadableError if the source no longer holds the bytes that were hashed."""
        if self.snapshot is not None and not self.snapshot.still():
            raise UnreadableError(SOURCE_CHANGED)

    def _has_changed(self) -> bool:
        """Whether the source is known to be no longer what was hashed."""
        try:
            self.check_unchanged()
        except UnreadableError:
            return True
        except OSError:
            return False
        return False

    def skipped(self) -> Record:
        """The row of a source that is in colour already."""
        return replace(self.row, status=SKIPPED, reason=ALREADY_COLOUR, seconds=self.timer.seconds)

    def failed(self, error: Exception) -> Record:
        """The row of a source that could not be coloured. The log gets the traceback.

        A source that changed meanwhile may seem damaged; its row says that it changed.
        """
        if isinstance(error, UnreadableError) and self._has_changed():
            error = UnreadableError(SOURCE_CHANGED)
        level = logging.ERROR if is_unexpected(error) else logging.DEBUG
        _log.log(level, "%s: %s", self.job.source, failure_reason(error), exc_info=error)
        return replace(self.row, reason=failure_reason(error), seconds=self.timer.seconds)

    def write_sidecar(self, row: Record, source_type: str | None, damaged_xmp: Sequence[bytes] = ()) -> None:
        """Writes the sidecar of a finished row, with the facts that the row does not hold.

        Args:
            source_type: the digital source type that the source states itself; None where it states none.
            damaged_xmp: the packets of the source that had to be repaired or replaced; they are kept whole.
        """
        colorizer, options = self.context.colorizer, self.context.options
        facts: dict[str, object] = {
            "source_digital_source_type": source_type,
            "network": colorizer.card.network,
            "device": str(colorizer.device),
            "precision": colorizer.precision,
            "begun": self.timer.started_at.isoformat(timespec="seconds"),
            "finished": self.timer.now().isoformat(timespec="seconds"),
        }
        if damaged_xmp:
            facts["source_xmp_base64"] = [b64encode(packet).decode() for packet in damaged_xmp]
        provenance.write_sidecar(options.out, row, options, facts)


def identity_of(job: Job, weights_sha256: str, options: RunOptions) -> Identity:
    """What decides the output of a job. The font of the mark counts by its content, not by its path."""
    font = options.disclosure.mark_font
    former = _digest(job, options)
    try:
        status = font.stat() if font else None
    except OSError:  # the check before the first picture says so
        status = None
    if font is None or status is None:
        return Identity(weights_sha256, former)
    content = Path(f"sha256:{_font_sha256(font, status.st_size, status.st_mtime_ns)}")
    by_content = replace(options, disclosure=replace(options.disclosure, mark_font=content))
    digest = _digest(job, by_content)
    if digest == former:  # there is neither a mark nor a title card
        return Identity(weights_sha256, former)
    return Identity(weights_sha256, digest, former, status.st_mtime)


@lru_cache(maxsize=8)
def _font_sha256(font: Path, size: int, mtime_ns: int) -> str:
    """The hash of a font file, read again when its size or its time has changed."""
    return files.sha256(font)


def _digest(job: Job, options: RunOptions) -> str:
    """The digest of the options that decide the output of a job."""
    if job.kind is SourceKind.PHOTO:
        return options.digest()
    if options.film.references:
        from archivecolor.film.reference_files import reference_files, reference_folder, references_digest

        own = reference_files(reference_folder(options.film.references, job.source))
        content = Path(f"sha256:{references_digest(own)}") if own else None
        options = replace(options, film=replace(options.film, references=content))
    lossy = job.source.suffix.lower() not in _LOSSLESS_FRAMES
    return options.film_digest(job.kind is SourceKind.IMAGE_SEQUENCE, lossy)


def is_unexpected(error: Exception) -> bool:
    """Whether an error is a fault of this program, and not of the file or the machine."""
    return not isinstance(error, PictureError | MissingDependencyError | MemoryError | OSError)


def failure_reason(error: Exception) -> str:
    """The reason that a failed row gives for an error: what is wrong, in words for the owner of the files."""
    if isinstance(error, PictureError | MissingDependencyError):
        return str(error)
    if isinstance(error, MemoryError):
        return "too large for this machine's memory; colour it alone with --workers 1"
    if isinstance(error, FileNotFoundError):
        return "the file is not there (any more)"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return f"{UNEXPECTED}{type(error).__name__}: {error}; please report this with the file"
