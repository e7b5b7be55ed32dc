"""A hot folder: an input folder that somebody else fills."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.errors import UsageError
from archivecolor.options.require import require
from archivecolor.options.run import Place, RunOptions
from archivecolor.options.table import Option, Options, above, at_least


@dataclass(frozen=True, kw_only=True)
class WatchOptions(Options):
    """When a file counts as arrived, and when to end."""

    HEADING: ClassVar[str] = "Arrivals"

    settle: Annotated[
        float,
        Option(
            "Take a file when its size and time have not changed for so long.", metavar="SECONDS", check=at_least(0)
        ),
    ] = 5.0
    poll: Annotated[
        float,
        Option(
            "Look at the whole folder at least so often. Where the system reports changes, they are seen at once.",
            metavar="SECONDS",
            check=above(0),
        ),
    ] = 10.0
    once: Annotated[bool, Option("End when everything that is there, or arrives meanwhile, is coloured.")] = False
    idle_exit: Annotated[
        float,
        Option("End when nothing has arrived for so long; 0: never.", metavar="SECONDS", check=above(0).or_zero("")),
    ] = 0.0


def check_watchable(options: RunOptions) -> None:
    """Checks that the options of a run make sense for a folder that is filled meanwhile.

    Raises:
        UsageError: they do not.
    """
    for text in options.inputs:
        is_list = text == "-" or text.startswith("@")
        is_missing = not os.path.exists(text)  # noqa: PTH110  (also where the server of a share is down)
        require(not is_list and (is_missing or Path(text).is_dir()), f"{text}: watch takes folders")
    require(options.redo is None, "--redo: goes with run; stop watch first")
    require(options.limit is None, "--limit: goes with run, not with watch")
    for flag in options.color.of_one_picture():
        raise UsageError(f"{flag}: is for one picture; use run")
    require(options.shard is None, "--shard: goes with run; watch a folder on one machine")
    require(options.on == Place.LOCAL, "--on ray: goes with run, not with watch")
    require("," not in options.device, f"--device {options.device}: watch takes one device")
