"""`archivecolor candidates`."""

from __future__ import annotations

from archivecolor.cli.console import echo
from archivecolor.cli.from_options import takes_options
from archivecolor.options import CandidateOptions


@takes_options(CandidateOptions)
def candidates(options: CandidateOptions) -> None:
    """Draw several colourings of one picture on one sheet, each over the flags of `run` that give it.

    Example: archivecolor candidates ./old_photos/people/portrait.jpg --out ./candidates.png
    """
    from archivecolor.review import candidates as sheets

    for line in sheets.sheet(options):
        echo(line)
