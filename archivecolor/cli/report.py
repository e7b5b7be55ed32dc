"""`archivecolor report`."""

from __future__ import annotations

from archivecolor.cli.console import echo, progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.options import ReportOptions


@takes_options(ReportOptions)
def report(options: ReportOptions) -> None:
    """Make a review page: contact sheets, before/after, facts, decisions. It opens from the disk, without a network.

    Run it again after another run: only new pictures are reduced.

    Example: archivecolor report ./color --to ./color-report
    """
    from archivecolor.provenance import locks
    from archivecolor.review import report as pages

    running = locks.is_running(options.out)
    with progress_bar() as bar:
        task = bar.add_task("reducing", total=None, note="")
        index = pages.report(options, lambda done, total: bar.update(task, completed=done, total=total))
    echo(index)
    if running:
        echo(pages.RUNNING, err=True)
