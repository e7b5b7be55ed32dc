"""`archivecolor train preview`: what the network sees in training."""

from __future__ import annotations

from archivecolor.cli.console import echo, progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.options import PreviewOptions


@takes_options(PreviewOptions)
def train_preview(options: PreviewOptions) -> None:
    """Draw a sheet of aged samples: a row of photographs in their true colours, one in plain grey, and aged ones.

    Example: archivecolor train preview --data ./colour_photos --out ./sheet.png
    """
    from archivecolor.training import preview
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as bar:
        task = bar.add_task("reading", total=None, note="")
        count = preview.preview(options, read_rgb, lambda n: bar.update(task, completed=n))
    echo(f"{options.out}: {count} photographs in true colours, in grey, and aged {options.times} times")
