"""`archivecolor export`."""

from __future__ import annotations

from pathlib import Path

from archivecolor.cli.console import echo
from archivecolor.cli.from_options import takes_options
from archivecolor.options import ExportOptions


@takes_options(ExportOptions)
def export(options: ExportOptions) -> None:
    """Copy the accepted outputs into another folder, or write a CSV for a catalogue.

    Sidecars and small copies come with the outputs. Files that are there already stay.

    Example: archivecolor export ./color --accepted ./decisions.json --to ./delivery
    """
    left = _copy(options.out, options.accepted, options.to) if options.accepted and options.to else 0
    if options.catalogue:
        _write_catalogue(options)
    if left:
        raise SystemExit(3)


def _copy(out: Path, accepted: Path, to: Path) -> int:
    """Returns how many pictures were left out."""
    from archivecolor.review import export as review_export

    copied, there, left = review_export.export(out, accepted, to)
    for name, reason in left:
        echo(f"left out {name}: {reason}", err=True)
    echo(f"{copied} copied, {there} there already, {len(left)} left out; {to}")
    return len(left)


def _write_catalogue(options: ExportOptions) -> None:
    from archivecolor.preservation import catalogue

    made = catalogue.write(options)
    if made.repeated:
        name, count = max(made.repeated.items(), key=lambda item: item[1])
        echo(
            f"{len(made.repeated)} identifiers stand for several pictures ({name}: {count}); "
            "--identifier '{folder}/{stem}' tells them apart",
            err=True,
        )
    left = f", {made.left_out} without an output or rejected left out" if made.left_out else ""
    echo(f"{made.rows} pictures{left}; {options.catalogue}")
