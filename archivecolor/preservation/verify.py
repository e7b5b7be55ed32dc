"""Compares a finished folder with its manifest: all hashes, and the luminance of a sample of the pictures."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np

from archivecolor import files, photo, provenance, sequences
from archivecolor.errors import NoInputError, PictureError
from archivecolor.film.probe import FOLDER_SUFFIX
from archivecolor.imaging import luminance, watermark
from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import Page
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, Record, locks
from archivecolor.provenance.decisions import CORRECTIONS, DECISIONS, DECISIONS_LOCK

MISSING, CHANGED, EXTRA, LUMINANCE, FAILED_BEFORE = "missing", "changed", "extra", "luminance", "not coloured"
_SLACK = 0.01
"""L* by which a second measurement may differ from the first, because sums in another order round differently."""
_LOSSY_MEAN = 2.0
"""Mean |ΔL*| that lossy compression may add. At quality 95 it adds about 0.3; a wrong picture has 10 or more."""
_STRIP_ROWS = 512
_NO_LIMIT = 1e6
"""Megapixels that a file may have: the run has already checked it."""
_MOST_MEGAPIXELS = 200
"""Larger pictures are hashed, but not measured."""


@dataclass(frozen=True)
class Finding:
    """One difference from the manifest."""

    what: str
    """`missing`, `changed`, `extra`, `luminance`; or `not coloured` for a picture that failed, which is not an error
    here."""
    name: str
    """The path below the output folder; for a source, its own path."""
    detail: str

    @property
    def wrong(self) -> bool:
        return self.what != FAILED_BEFORE


@dataclass(frozen=True)
class Measured:
    """|ΔL*| between the present files of a source and its output, without the visible mark."""

    name: str
    max_delta_l: float
    mean_delta_l: float
    recorded: float | None
    lossy: bool


@dataclass(frozen=True)
class VerifyReport:
    """The result of `verify`."""

    pictures: int
    sources: int
    """How many sources were hashed."""
    findings: tuple[Finding, ...]
    measured: tuple[Measured, ...]
    running: bool = False
    """Whether a run was writing into the folder, so that some of it may be unfinished."""

    @property
    def sound(self) -> bool:
        return not any(finding.wrong for finding in self.findings)

    def as_json(self) -> str:
        return json.dumps({"sound": self.sound, **asdict(self)}, indent=1)


def verify(
    out: Path, sample: int = 20, watch: Callable[[int, int], None] = lambda done, total: None, seed: int = 0
) -> VerifyReport:
    """Hashes every source and output of a manifest, measures a sample, and lists the differences. Changes nothing.

    Args:
        sample: how many of the unchanged pictures to measure, chosen by `seed`.
        watch: called with the number of rows that are checked, and of all.

    Raises:
        NoInputError: there is no manifest.
    """
    rows = provenance.read_rows(out)
    if not rows:
        raise NoInputError(f"{out}: no {MANIFEST} with rows in it; name the --out of a run")
    done = [row for row in rows.values() if row.status == DONE]
    findings = [Finding(FAILED_BEFORE, row.input, row.reason) for row in rows.values() if row.status == FAILED]
    threads = joblib.Parallel(-1, backend="threading", return_as="generator")
    for count, differences in enumerate(threads(joblib.delayed(_check_row)(out, row) for row in rows.values()), 1):
        findings += differences
        watch(count, len(rows))
    findings += _extra(out, rows)
    broken = {finding.name for finding in findings}
    whole = [row for row in done if not {row.output, row.source} & broken and _is_measurable(out, row)]
    measured = []
    for row in random.Random(seed).sample(whole, min(sample, len(whole))):
        try:
            result = measure(out, row)
        except PictureError as error:
            findings.append(Finding(LUMINANCE, str(row.output), f"cannot be measured: {error}"))
            continue
        measured.append(result)
        findings += _luminance_findings(result)
    hashed = sum(row.source_sha256 != "" for row in rows.values())
    return VerifyReport(len(done), hashed, tuple(findings), tuple(measured), locks.is_running(out))


def _check_row(out: Path, row: Record) -> list[Finding]:
    """The differences of one input: its source, its output, and what the sidecar says of both."""
    findings = list(_check_file(Path(row.source), row.source, row.source_sha256))
    if row.output and row.output_sha256:  # also what was coloured of a truncated film
        findings += _check_file(out / row.output, row.output, row.output_sha256)
    for name, sha256 in row.access.items():
        findings += _check_file(out / name, name, sha256)
    if row.status == DONE and row.output:
        findings += _check_sidecar(out, row)
    return findings


def _check_file(path: Path, name: str, sha256: str) -> Iterator[Finding]:
    if sha256 == "":
        return
    try:
        now = files.sha256(path)
    except FileNotFoundError:
        yield Finding(MISSING, name, "it is not there")
    except OSError as error:
        yield Finding(MISSING, name, f"it cannot be read ({error.strerror})")
    else:
        if now != sha256:
            yield Finding(CHANGED, name, f"SHA-256 is {now}, was {sha256}")


def _check_sidecar(out: Path, row: Record) -> Iterator[Finding]:
    path = provenance.sidecar_of(out / str(row.output))
    if not path.exists():
        if row.sidecar:
            yield Finding(MISSING, path.relative_to(out).as_posix(), "the sidecar is not there")
        return
    try:
        files.check_regular(path)
        sidecar = json.loads(path.read_text(encoding="utf-8"))
        agrees = (sidecar["output"]["sha256"], sidecar["source"]["sha256"]) == (row.output_sha256, row.source_sha256)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        agrees = False
    if not agrees:
        yield Finding(CHANGED, path.relative_to(out).as_posix(), "the sidecar is not that of this output")


def _extra(out: Path, rows: dict[str, Record]) -> Iterator[Finding]:
    """Files that belong to no row. Outputs of earlier runs under other names belong to theirs."""
    outputs = {name for row in rows.values() for name in (row.output, *row.earlier) if name}
    known = {out / name for name in (MANIFEST, LOCK, DECISIONS, CORRECTIONS, DECISIONS_LOCK)}
    known |= {path for name in outputs for path in sequences.frame_paths(out / name)}
    known |= {out / name for row in rows.values() for name in row.access}
    known |= {provenance.sidecar_of(out / name) for name in outputs}
    known |= {path for name in outputs for path in provenance.xmp_files_of(out / name)}
    folding = files.NameRules(fold_case=True, fold_form=True)
    by_key: dict[str, Path] = {}

    def is_known(path: Path) -> bool:
        """Also under a name that this file system takes for the same, such as that of a folder in other letters."""
        if path in known:
            return True
        if not by_key:
            by_key.update((folding.key(str(each)), each) for each in known)
        like = by_key.get(folding.key(str(path)))
        return like is not None and like.exists() and path.samefile(like)

    for path in sorted(files.walk(out)):
        if path.is_dir():
            if path.name.endswith(FOLDER_SUFFIX):
                yield Finding(
                    EXTRA, path.relative_to(out).as_posix(), "pieces of a film that is not finished; run again"
                )
        elif not is_known(path) and not any(above.name.endswith(FOLDER_SUFFIX) for above in path.parents):
            yield Finding(EXTRA, path.relative_to(out).as_posix(), "no row of the manifest names it")


def measure(out: Path, row: Record) -> Measured:
    """Reads a source and its output again and compares their L*, page by page, outside the visible mark.

    Raises:
        PictureError: one of them cannot be read, or they are not of one size.
    """
    source = photo.read(Path(row.source), _NO_LIMIT)
    result = photo.read(out / str(row.output), _NO_LIMIT)
    pages = _page_pairs(source.pages, result.pages)
    worst, total, pixels = 0.0, 0.0, 0
    for before, after in pages:
        for delta in _delta_l(before, after, row):
            worst = max(worst, float(delta.max(initial=0)))
            total, pixels = total + float(delta.sum(dtype=np.float64)), pixels + delta.size
    smaller = any(after.samples.itemsize < before.samples.itemsize for before, after in pages)
    lossy = smaller or not result.lossless
    return Measured(str(row.output), round(worst, 5), round(total / max(pixels, 1), 5), row.max_delta_l, lossy)


def _page_pairs(before: tuple[Page, ...], after: tuple[Page, ...]) -> list[tuple[Page, Page]]:
    if len(before) == len(after):
        return list(zip(before, after, strict=True))
    # only TIFF keeps infrared plates and masks
    old, new = ([page for page in pages if not page.is_plate] for pages in (before, after))
    if len(old) != len(new):
        raise PictureError(f"the source has {len(before)} pages, the output {len(after)}")
    return list(zip(old, new, strict=True))


def _delta_l(before: Page, after: Page, row: Record) -> Iterator[FloatArray]:
    """|ΔL*| of all pixels outside the mark, strip by strip; both pages are turned upright."""
    old, new = (to_upright(page.samples, page.orientation, axes=(0, 1)) for page in (before, after))
    if old.shape[:2] != new.shape[:2]:
        raise PictureError(f"the source is {old.shape[1]} x {old.shape[0]} pixels, the output is not")
    height, width = old.shape[:2]
    font = Path(row.mark_font) if row.mark_font else None
    free = watermark.outside_mark(height, width, row.mark, font) if row.mark else None
    readers = [
        luminance.lightness_function(a.dtype, a.ndim == 2, page.icc) for a, page in ((old, before), (new, after))
    ]
    for top in range(0, len(old), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        first, second = (read(np.ascontiguousarray(a[rows])) for read, a in zip(readers, (old, new), strict=True))
        delta = np.abs(first - second)
        yield delta[free[rows]] if free is not None else delta


def _is_measurable(out: Path, row: Record) -> bool:
    """Whether the output is a picture that fits into memory twice."""
    return (
        not row.film
        and photo.is_picture(out / str(row.output))
        and row.width * row.height * row.pages < 1e6 * _MOST_MEGAPIXELS
    )


def _luminance_findings(result: Measured) -> Iterator[Finding]:
    if result.lossy:
        if result.mean_delta_l > _LOSSY_MEAN:
            yield Finding(LUMINANCE, result.name, f"mean |ΔL*| is {result.mean_delta_l:.2f}, over {_LOSSY_MEAN}")
    elif result.recorded is not None and result.max_delta_l > result.recorded + _SLACK:
        yield Finding(LUMINANCE, result.name, f"max |ΔL*| is {result.max_delta_l:.3f}, was {result.recorded:.3f}")
