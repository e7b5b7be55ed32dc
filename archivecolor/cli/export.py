"""`archivecolor export`."""

from __future__ import annotations

from pathlib import Path

from archivecolor.cli.console import echo, progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.options import ExportOptions


@takes_options(ExportOptions)
def export(options: ExportOptions) -> None:
    """Copy the accepted outputs, list all in a CSV, or make a site for IIIF viewers.

    Sidecars and small copies come with the outputs. Files that are there already stay.

    Example: archivecolor export ./color --accepted ./decisions.json --to ./delivery
    """
    left = 0
    if options.iiif:
        left = _publish(options)
    elif options.accepted and options.to:
        left = _copy(options.out, options.accepted, options.to)
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


def _publish(options: ExportOptions) -> int:
    """Returns how many pictures were left out."""
    from archivecolor.preservation.iiif.site import publish

    with progress_bar() as bar:
        task = bar.add_task("tiling", total=None, note="")
        made = publish(options, lambda done, total: bar.update(task, completed=done, total=total))
    for name, reason in made.no_original:
        echo(f"{name}: in colour alone, because {reason}", err=True)
    for name, reason in made.left_out:
        echo(f"left out {name}: {reason}", err=True)
    counts = {"left out": len(made.left_out), "films": made.films, "without an output": made.without}
    counts["not accepted"] = made.not_accepted
    others = "".join(f", {count} {what}" for what, count in counts.items() if count)
    echo(f"{made.pictures} pictures in {made.folders} folders{others}; {options.to}")
    return len(made.left_out)


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
