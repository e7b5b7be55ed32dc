"""The desk over a finished run, without a socket and with one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TOKEN = "abcdefghijklmnop0123"
HOST = "127.0.0.1:7777"


@contextmanager
def client(out: Path, **options: Any) -> Iterator[Any]:
    """A client of the desk's application, with its guard, that speaks as the desk's own page does."""
    from starlette.testclient import TestClient

    from archivecolor.options import ReviewOptions
    from archivecolor.review.desk.server import Desk, application

    desk = Desk(ReviewOptions(out=out, device="cpu", **options))
    desk.warm_up = lambda: None  # type: ignore[method-assign]
    with TestClient(application(desk, TOKEN, (HOST,)), f"http://{HOST}/{TOKEN}/") as made:
        made.desk = desk
        yield made


@contextmanager
def served(out: Path, **options: Any) -> Iterator[str]:
    """The desk behind a real socket: the address of its page."""
    import uvicorn

    from archivecolor.options import ReviewOptions
    from archivecolor.review.desk.server import Desk, application, listen

    listener = listen("127.0.0.1", 0)
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    desk = Desk(ReviewOptions(out=out, device="cpu", **options))
    server = uvicorn.Server(uvicorn.Config(application(desk, TOKEN, (host,)), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join()
