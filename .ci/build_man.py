"""A step of the wheel's build: writes the manual page, which the wheel then installs into share/man/man1."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPage(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `archivecolor.1` to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)
        try:
            from archivecolor.cli.man import page
        except ImportError as error:  # a package that the build does not have: the program matters more than its page
            self.app.display_warning(f"no manual page: {error}")
            return
        path = Path(tempfile.mkdtemp(prefix="archivecolor-man-")) / "archivecolor.1"
        path.write_text(page(), encoding="utf-8")
        build_data["shared_data"][str(path)] = "share/man/man1/archivecolor.1"
