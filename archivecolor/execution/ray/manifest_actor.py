"""The one process that has the manifest open, and the client that all others use."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from archivecolor.errors import ArchivecolorError
from archivecolor.execution.ray.connect import ActorHandle, RayModule
from archivecolor.options import RunOptions
from archivecolor.provenance import Identity, Manifest, Record, Settled


class ManifestActor:
    """The open manifest, in a process of its own on the driver's machine; and what the actors have in hand.

    Errors of ours are answers, because those that are raised come through Ray as something else.
    """

    def __init__(self, options: RunOptions, folder: str) -> None:
        os.chdir(folder)
        self.options = options
        self.in_hand: Counter[str] = Counter()
        self.stopped = False

    def open(self) -> tuple[Path, str]:
        """Opens the manifest. Returns its lock and the text in it."""
        self.manifest = Manifest(self.options.out, self.options.disclosure.sidecar, self.options.shard)
        lock = self.manifest.own_lock
        return lock, lock.read_text(encoding="ascii")

    def refuse_another_collection(self, sources: dict[str, Path]) -> None:
        self.manifest.refuse_another_collection(sources)

    def settled(self, name: str, source_sha256: str, identity: Identity, rejected: str, overwrite: bool) -> Settled:
        return self.manifest.settled(name, source_sha256, identity, rejected, overwrite)

    def row(self, name: str) -> Record | None:
        return self.manifest.row(name)

    def begin(self, name: str, source: str, target: Path, overwrite: bool, frames: bool) -> None:
        self.manifest.begin(name, source, target, overwrite, frames)

    def append(self, row: Record) -> None:
        self.manifest.append(row)

    def close(self) -> None:
        self.manifest.__exit__(None, None, None)

    def take(self, name: str) -> bool:
        """A picture is taken in hand; whether no more should be."""
        self.in_hand[name] += 1
        return self.stopped

    def let_go(self, name: str) -> None:
        """Closes the manifest of a run in which no actor died."""
        del self.in_hand[name]

    def deaths(self, names: list[str]) -> dict[str, int]:
        """Of those that were taken in hand and never let go: how often."""
        return {name: self.in_hand[name] for name in names if name in self.in_hand}

    def stop(self) -> None:
        """No picture is to be taken in hand any more."""
        self.stopped = True

    def is_stopped(self) -> bool:
        return self.stopped

    def answer(self, method: str, *arguments: Any) -> tuple[Any, ArchivecolorError | None]:
        """What a method returns, and the error of ours that it raises."""
        try:
            return getattr(self, method)(*arguments), None
        except ArchivecolorError as error:
            return None, error


class ManifestClient:
    """A `provenance.ManifestWriter` for workers: it forwards each call to the manifest actor."""

    def __init__(self, ray: RayModule, actor: ActorHandle) -> None:
        self.ray, self.actor = ray, actor

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the manifest actor and waits for its answer; errors of ours are raised here."""
        answer, error = self.ray.get(self.actor.answer.remote(method, *arguments))
        if error:
            raise error
        return answer

    def settled(
        self, name: str, source_sha256: str, identity: Identity, rejected: str = "", overwrite: bool = False
    ) -> Settled:
        """As of a `Manifest`."""
        answer: Settled = self.call("settled", name, source_sha256, identity, rejected, overwrite)
        return answer

    def begin(self, name: str, source: str, target: Path, overwrite: bool = False, frames: bool = False) -> None:
        """As of a `Manifest`."""
        self.call("begin", name, source, target, overwrite, frames)

    def row(self, name: str) -> Record | None:
        """As of a `Manifest`."""
        row: Record | None = self.call("row", name)
        return row
