"""`archivecolor review`."""

from __future__ import annotations

import secrets
import webbrowser

import typer

from archivecolor.cli.from_options import takes_options
from archivecolor.errors import MissingDependencyError
from archivecolor.options import ReviewOptions


@takes_options(ReviewOptions)
def review(options: ReviewOptions) -> None:
    """Review a finished folder in the browser.

    Look at pictures in full size, decide, pin colours, run again.
    The page is served to this machine alone. Decisions are kept in OUT/decisions.json. Ctrl-C ends it.

    Example: archivecolor review ./color --inputs ./old_photos
    """
    try:
        from archivecolor.review.desk import server
    except ImportError as error:
        raise MissingDependencyError(f"review needs a package: pip install 'archivecolor[app]' ({error})") from error

    desk = server.Desk(options)
    listener = server.listen(options.host, options.port)
    token = options.token or secrets.token_urlsafe(24)
    shown = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{shown}:{listener.getsockname()[1]}/{token}/"
    typer.echo(address)
    if options.browser:
        webbrowser.open(address)
    server.serve(desk, token, listener, options.host)
