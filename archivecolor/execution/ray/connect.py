"""Ray itself: importing it, and connecting to a cluster."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from archivecolor.errors import MissingDependencyError, UsageError

RayModule: TypeAlias = Any
"""Ray, which is imported when it is used and has types of its own making."""
ActorHandle: TypeAlias = Any
"""What Ray gives for an actor: its methods have `.remote`."""

_OBJECT_STORE_BYTES = 200 * 1024**2
"""Size of the object store of a Ray that is started here: paths and rows are small."""
_CONNECT_TIMEOUT_S = 10.0


def library() -> RayModule:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
        importlib.import_module("ray.util.scheduling_strategies")
    except ImportError as error:
        raise MissingDependencyError("--on ray needs a package: pip install 'archivecolor[ray]'") from error
    return ray


@contextmanager
def connected(ray: RayModule, address: str) -> Iterator[None]:
    """Connects to the Ray that this process uses already, else to the one at the address, else to one that is started
    here and ended afterwards.

    Raises:
        UsageError: no cluster answers at the address.
    """
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports from an archive's machine
    local = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _check_reachable(address)
        ray.init(address or "local", log_to_driver=False, logging_level=logging.WARNING, **({} if address else local))
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from error
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray has put its own in their place
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises OSError when nothing listens at `host:port`; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
