"""`archivecolor frames`."""

from __future__ import annotations

from archivecolor.cli.console import echo, progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.options import ColorizerOptions, FrameOptions


@takes_options(FrameOptions)
def frames(options: FrameOptions) -> None:
    """Write the frames of a film that are worth colouring by hand.

    They are coloured as the program would do it. There is one for each shot, and more where much is new. Correct them
    in a paint program and keep their names; then `run --references` lets the film keep to them.

    Example: archivecolor frames ./reel.mp4 --to ./reel_frames
    """
    from archivecolor.inference.colorizer import Colorizer
    from archivecolor.pipeline.film.frames_to_color import write_frames

    colorizer_options = ColorizerOptions(device=options.device, precision=options.precision)
    with progress_bar() as bar, Colorizer(options.model, colorizer_options) as colorizer:
        task = bar.add_task("", total=None, note="")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        written = list(write_frames(options, colorizer, show))
    for path, was_there in written:
        echo(f"{path}{' (was there, left as it is)' if was_there else ''}")
    command = f"archivecolor run {options.film} --references {options.to} --out OUT"
    what = "1 frame; correct it" if len(written) == 1 else f"{len(written)} frames; correct them"
    echo(f"{what}, then: {command}")
