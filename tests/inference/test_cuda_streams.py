"""conveyor: batches come out as the network answers, buffers are used again, and a CUDA device's way can be walked
without one: its shapes by fake tensors, its streams and graphs by doubles that note what they are asked for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.streams import recorded_device
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from archivecolor.inference import cuda_streams
from archivecolor.inference.cuda_streams import MAX_GRAPHS, CudaDevice, DevicePipeline, HostDevice, largest_batch
from archivecolor.networks import NETWORKS

CPU = torch.device("cpu")


class Both(nn.Module):
    """ab = (L, -2 L); notes its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.dtype, tuple[int, ...]]] = []

    def forward(self, l_net: Tensor) -> Tensor:
        self.seen.append((l_net.dtype, tuple(l_net.shape)))
        return torch.cat([l_net, -2 * l_net], dim=1)


def picture(value: float, height: int = 3, width: int = 5) -> np.ndarray:
    return np.full((height, width), value, np.float32)


def checked(answers: list[np.ndarray], values: Sequence[float]) -> None:
    assert [(float(a[0, 0, 0]), float(a[1, -1, -1])) for a in answers] == [(v, -2 * v) for v in values]
    assert all(np.ptp(a[0]) == np.ptp(a[1]) == 0 for a in answers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_picture_has_its_own_answer(dtype: torch.dtype) -> None:
    network = Both()
    pipeline = DevicePipeline(network, CPU, dtype)
    for count, height, width in ((3, 4, 6), (1, 2, 2), (4, 8, 8), (3, 4, 6)):
        checked(pipeline.start([picture(i, height, width) for i in range(count)], 4).results(), range(count))
    assert network.seen[0] == (dtype, (3, 1, 4, 6))


def test_batches_under_way_do_not_share_buffers_and_later_ones_use_them_again() -> None:
    pipeline = DevicePipeline(Both(), CPU, torch.float32)
    loads = [pipeline.start([picture(i), picture(i + 10)], 2) for i in range(3)]
    for i, batch in enumerate(loads):
        checked(batch.results(), (i, i + 10))
    assert len(pipeline._free) == 3
    free = {id(buffer) for buffer in pipeline._free}
    small = pipeline.start([picture(7, 2, 2)], 2)
    assert {id(buffer) for buffer in pipeline._free} < free, "a smaller one has room there"
    kept = small.results()[0]
    pipeline.start([picture(9, 2, 2)], 2).results()
    checked([kept], (7,))
    pipeline.release_memory()
    assert pipeline._free == []


def test_where_batches_are_filled_up_only_what_was_asked_comes_back() -> None:
    class Filling(HostDevice):
        pads = True

    network = Both()
    pipeline = DevicePipeline(network, CPU, torch.float32, Filling())
    assert pipeline.padded_count(2, 8) == 8
    checked(pipeline.start([picture(1), picture(2)], 8).results(), (1, 2))
    assert network.seen == [(torch.float32, (8, 1, 3, 5))]


def test_each_shape_is_prepared_once_and_the_oldest_is_let_go() -> None:
    class Counting(HostDevice):
        def __init__(self) -> None:
            self.shapes: list[tuple[int, ...]] = []

        def prepare(self, network: Any, shape: Any) -> Any:
            self.shapes.append(tuple(shape))
            return network

    device_steps = Counting()
    pipeline = DevicePipeline(Both(), CPU, torch.float32, device_steps)
    for _ in range(3):
        for width in range(1, MAX_GRAPHS + 1):
            pipeline.start([picture(0, 2, width)], 1).results()
    assert len(device_steps.shapes) == MAX_GRAPHS
    pipeline.start([picture(0, 3, 1)], 1).results()
    pipeline.start([picture(0, 2, 2)], 1).results()
    assert len(device_steps.shapes) == MAX_GRAPHS + 1
    pipeline.start([picture(0, 2, 1)], 1).results()
    assert len(device_steps.shapes) == MAX_GRAPHS + 2


@pytest.mark.parametrize("name", ["lite", "resnet18"])
def test_shapes_and_types_on_a_cuda_device_that_is_not_there(name: str) -> None:
    """Fake tensors know which device they would be on and refuse to mix them: a copy that is missing is an error."""
    seen = []

    class Noting(HostDevice):
        pads = True

        @contextmanager
        def step(self, name: str) -> Iterator[None]:
            seen.append(name)
            yield

    with FakeTensorMode(allow_non_fake_inputs=True):
        device = torch.device("cuda:0")
        with device:
            network = NETWORKS[name]().eval()
        pipeline = DevicePipeline(network, device, torch.float32, Noting())
        batch = pipeline.start([np.zeros((64, 96), np.float32)] * 3, 4)
        assert batch._output.shape == (4, 2, 64, 96)
        assert batch._output.device.type == "cpu"
        assert batch._output.dtype == torch.float32
        (buffer,) = [pipeline._buffers(4 * 64 * 96)]
        assert buffer.device_input.device == buffer.device_output.device == device
    assert seen == ["copy_in", "compute", "copy_out"]


class Stream:
    """Notes what is asked of it."""

    events: list[str]

    def __init__(self, events: list[str], name: str) -> None:
        self.events, self.name = events, name

    def wait_stream(self, other: Any) -> None:
        self.events.append(f"{self.name} after {other.name}")

    def synchronize(self) -> None:
        self.events.append(f"{self.name} done")

    def record_event(self) -> SimpleNamespace:
        return SimpleNamespace(synchronize=lambda: self.events.append(f"marked on {self.name}"))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.cuda's streams and graphs, by doubles that compute at once and on the CPU."""
    events: list[str] = []
    names = itertools.cycle(("copy_in", "compute", "copy_out"))

    class Graph:
        redo: Callable[[], object] = staticmethod(lambda: None)

        def replay(self) -> None:
            events.append("replayed")

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        events.append(f"on {stream.name}")
        yield

    @contextmanager
    def capturing(graph: Graph, pool: str, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        events.append(f"captured on {stream.name}, {pool}, {capture_error_mode}")
        yield

    doubles = {
        "Stream": lambda device: Stream(events, next(names)), "stream": on, "graph_pool_handle": lambda: "one pool",
        "current_stream": lambda device: Stream(events, "default"), "CUDAGraph": Graph, "graph": capturing,
    }  # fmt: skip
    for name, double in doubles.items():
        monkeypatch.setattr(torch.cuda, name, double)
    monkeypatch.setattr(CudaDevice, "pinned", False)
    return events


def test_the_way_over_streams_and_graphs(events: list[str]) -> None:
    pipeline = DevicePipeline(Both(), CPU, torch.float32, CudaDevice(CPU))
    batch = pipeline.start([picture(1)], 2)
    assert events == [
        "on copy_in", "compute after default", "on compute", "compute done",
        "captured on compute, one pool, thread_local", "on copy_in", "compute after copy_in", "on compute", "replayed",
        "copy_out after compute", "on copy_out",
    ]  # fmt: skip
    events.clear()
    batch.results()
    assert events == ["marked on copy_out"]
    events.clear()
    pipeline.start([picture(2)], 2)
    assert events == [
        "on copy_in",
        "compute after copy_in",
        "on compute",
        "replayed",
        "copy_out after compute",
        "on copy_out",
    ]


def test_a_graph_reads_and_leaves_places_of_its_own(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The double does not compute again, so what a replay leaves must be the very tensor of the capture."""
    network = Both()
    seen: list[Tensor] = []
    run = CudaDevice(CPU).prepare(lambda x: seen.append(x) or network(x), (2, 1, 3, 5))
    assert len(seen) == 4
    assert all(x is seen[0] for x in seen)
    left = run(torch.ones(2, 1, 3, 5))
    assert bool((seen[0] == 1).all()), "the input was copied to where the graph reads"
    assert left is run(torch.zeros(2, 1, 3, 5))


def test_graphs_are_prepared_one_at_a_time(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine on the device synchronises it while it prepares itself, which CUDA forbids during a capture."""
    inside, most, turn = [0], [0], threading.Lock()

    def network(x: Tensor) -> Tensor:
        with turn:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        with turn:
            inside[0] -= 1
        return x

    devices = [CudaDevice(CPU) for _ in range(2)]
    threads = [threading.Thread(target=cuda_device.prepare, args=(network, (1, 1, 2, 2))) for cuda_device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_what_a_batch_under_way_reads_is_not_let_go(events: list[str]) -> None:
    class Freed:
        def __init__(self, run: Any) -> None:
            self.run = run

        def __call__(self, x: Tensor) -> Tensor:
            return self.run(x)

        def __del__(self) -> None:
            events.append("freed")

    device_steps = CudaDevice(CPU)
    pipeline = DevicePipeline(Both(), CPU, torch.float32, device_steps)
    prepare = device_steps.prepare
    device_steps.prepare = lambda network, shape: Freed(prepare(network, shape))  # type: ignore[method-assign]
    pipeline.start([picture(1)], 1)
    events.clear()
    pipeline.release_memory()
    assert events == ["compute done", "freed"]
    for width in range(1, MAX_GRAPHS + 1):
        pipeline.start([picture(0, 2, width)], 1).results()
    events.clear()
    pipeline.start([picture(0, 3, 3)], 1)
    assert events[:2] == ["compute done", "freed"]


@pytest.mark.parametrize("first", [torch.OutOfMemoryError("pretended"), ValueError("a fault")])
def test_want_of_memory_in_a_capture_is_told_as_such(
    events: list[str], monkeypatch: pytest.MonkeyPatch, first: Exception
) -> None:
    """As torch does it: the end of the broken capture raises over what broke it."""

    @contextmanager
    def capturing(*_: Any, **__: Any) -> Iterator[None]:
        try:
            yield
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    calls: list[int] = []

    def network(x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise first
        return x

    monkeypatch.setattr(torch.cuda, "graph", capturing)
    expected = torch.OutOfMemoryError if isinstance(first, torch.OutOfMemoryError) else RuntimeError
    with pytest.raises(RuntimeError) as caught:
        CudaDevice(CPU).prepare(network, (2, 1, 3, 5))
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("memory", "most", "fits"), [(10_000, 64, 32), (10_000, 20, 16), (1_000, 64, 4), (300, 64, 1), (0, 64, 1)]
)
def test_the_batch_that_fits(memory: int, most: int, fits: int) -> None:
    assert largest_batch(lambda count: 20 + 100 * count, memory, most) == fits


def test_where_two_do_not_fit_it_is_one() -> None:
    def peak(count: int) -> int:
        raise torch.OutOfMemoryError("pretended")

    assert largest_batch(peak, 1 << 40, 64) == 1


def test_a_device_decides_how() -> None:
    assert isinstance(DevicePipeline(Both(), CPU, torch.float32)._steps, cuda_streams.HostDevice)


@pytest.mark.parametrize("runs", [1, 4])
def test_no_stream_uses_memory_before_the_work_that_it_depends_on_is_over(
    runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New buffers, buffers that are used again, buffers that have become too small, and shapes in turn."""
    monkeypatch.setattr(CudaDevice, "pinned", False)
    with recorded_device(monkeypatch) as (device, recorder):
        with device:
            network = nn.Conv2d(1, 2, 3, padding=1)
        pipeline = DevicePipeline(network, device, torch.float32)
        for width in range(8, 8 + 8 * runs, 8):
            batches = [pipeline.start([picture(0, 8, width)] * 2, 2) for _ in range(2)]
            for batch in batches:
                batch._completion.synchronize()
                batch._release()
        pipeline.release_memory()
        recorder.check_freed()
        assert recorder.races == []


def test_memory_of_a_batch_that_failed_is_not_reused_before_its_copy_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaDevice, "pinned", False)

    def failing(x: Tensor) -> Tensor:
        x + 1
        raise torch.OutOfMemoryError("pretended")

    with recorded_device(monkeypatch) as (device, recorder):
        pipeline = DevicePipeline(nn.Identity(), device, torch.float32)
        pipeline._prepared[1, 1, 8, 8] = failing
        with pytest.raises(torch.OutOfMemoryError):
            pipeline.start([picture(0, 8, 8)], 1)
        recorder.check_freed()
        assert recorder.races == []


def test_the_thread_of_the_network_works_on_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture synchronizes the current device of its thread; a new thread begins at GPU 0."""
    active: list[torch.device] = []
    with recorded_device(monkeypatch):
        monkeypatch.setattr(torch.cuda, "set_device", active.append)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: active.append(f"stream on {device}"))
        DevicePipeline(nn.Identity(), torch.device("cuda:1"), torch.float32)
    assert active[:2] == [torch.device("cuda:1"), "stream on cuda:1"]
