"""A CUDA device that is not there: its streams and events as clocks, its memory as fake tensors.

Each tensor remembers where it was allocated and used. A use is in order if the stream, by the events that it waited
for, or the host, by what it waited for, comes after all earlier uses that it would disturb. Memory that is freed
goes back to the stream that it was allocated on, so all uses on other streams must be over by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Clock = dict[str, int]


def _later(one: Clock, other: Clock) -> Clock:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}


class Event:
    def __init__(self, recorder: StreamRecorder, clock: Clock) -> None:
        self.recorder, self.clock = recorder, clock

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.recorder.check_freed()
        self.recorder.host = _later(self.recorder.host, self.clock)


class Stream:
    def __init__(self, recorder: StreamRecorder, name: str) -> None:
        self.recorder, self.name, self.clock = recorder, name, {}

    def wait_stream(self, other: Stream) -> None:
        self.clock = _later(self.clock, other.clock)

    def record_event(self) -> Event:
        return Event(self.recorder, dict(self.clock))

    def synchronize(self) -> None:
        self.record_event().synchronize()


class Memory:
    """When the memory of one tensor was last written, and its reads since then; each as (stream, its time)."""

    def __init__(self, now: tuple[str, int]) -> None:
        self.allocated_on, self.written, self.uses = now[0], now, {now}


class StreamRecorder(TorchDispatchMode):
    """Finds uses of a device's memory that no event puts in order."""

    def __init__(self) -> None:
        super().__init__()
        self.host: Clock = {}
        self.default = Stream(self, "default")
        self.current = self.default
        self.races: list[str] = []
        self._memory: dict[StorageWeakRef, Memory] = {}
        self._names = iter(("copy_in", "compute", "copy_out"))

    def new_stream(self, device: torch.device) -> Stream:
        return Stream(self, next(self._names))

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.check_freed()
        result = function(*args, **(kwargs or {}))
        read, written = (
            {StorageWeakRef(leaf.untyped_storage()) for leaf in tree_leaves(values) if _on_device(leaf)}
            for values in ((args, kwargs), result)
        )
        is_view = bool(read & written) and not function._schema.is_mutable
        if function.namespace == "aten" and read | written and not is_view:
            self._launch(read, written, str(function))
        return result

    def _launch(self, read: set[StorageWeakRef], written: set[StorageWeakRef], what: str) -> None:
        stream = self.current
        stream.clock = _later(stream.clock, self.host)
        now = stream.name, stream.clock.get(stream.name, 0) + 1
        stream.clock[stream.name] = now[1]
        for key in read | written:
            memory = self._memory.setdefault(key, Memory(now))
            for name, time in {memory.written, *(memory.uses if key in written else ())}:
                if stream.clock.get(name, 0) < time:
                    self.races.append(f"{what} on {stream.name} does not wait for {name}")
            memory.uses.add(now)
            if key in written:
                memory.written = now

    def check_freed(self) -> None:
        """Looks at the memory that was freed since the last call."""
        for key in [key for key in self._memory if key.expired()]:
            memory = self._memory.pop(key)
            for name, time in memory.uses:
                if name != memory.allocated_on and self.host.get(name, 0) < time:
                    self.races.append(f"memory of {memory.allocated_on} is freed while {name} uses it")


def _on_device(value: object) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cuda"


@contextmanager
def recorded_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[torch.device, StreamRecorder]]:
    """A device whose streams are recorded, and the recorder."""
    recorder = StreamRecorder()

    class Graph:
        replay: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def capture(graph: Graph, pool: object, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        with recorder.on(stream):
            yield

    doubles = {
        "Stream": recorder.new_stream,
        "stream": recorder.on,
        "current_stream": lambda device: recorder.current,
        "graph_pool_handle": lambda: None,
        "CUDAGraph": Graph,
        "graph": capture,
        "set_device": lambda device: None,
        "empty_cache": lambda: None,
    }
    for name, double in doubles.items():
        monkeypatch.setattr(torch.cuda, name, double)
    with FakeTensorMode(allow_non_fake_inputs=True), recorder:
        yield torch.device("cuda:0"), recorder
