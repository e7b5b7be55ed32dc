"""Batches on their way through a device: in, through the network, and out again, several of them at one time.

On CUDA each of the three has a stream of its own, so that one batch is copied in and another out while a third is
computed; the buffers on this side are pinned once and used again. Frames come in few shapes (`tiles.frame`), and for
each the network's hundreds of launches are captured once as a graph and launched as one. Everywhere else the same steps
are done when they return.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archivecolor.imaging.arrays import FloatArray

Network = Callable[[Tensor], Tensor]

SHAPES = 32
"""Of how many shapes the graphs are kept."""
_PREPARING = threading.Lock()
"""One graph is captured at a time, in the whole process: while any stream captures, CUDA forbids to synchronise a
device or to free its memory, and what two engines on it do to prepare themselves needs both."""
_BEFORE = {"in": "", "through": "in", "out": "through"}
"""The steps of the way, each with the one before it."""


class HostDevice:
    """A device without streams: every step is done when it returns."""

    pinned = False
    pads = False
    """Whether batches are filled up, so that every one of a shape goes through the same kernels: the same bytes
    whatever company a picture has."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A part of the way: `in`, `through` or `out`; it begins when the one before has ended."""
        yield

    def mark(self) -> Callable[[], object]:
        """Gives what waits for all that has been begun until now."""
        return lambda: None

    def settle(self) -> None:
        """Waits until no step needs its memory any more."""

    def prepared(self, network: Network, shape: Sequence[int]) -> Network:
        """The network for float32 inputs of this shape."""
        return network


class CudaDevice:
    """A CUDA device. No GPU was at hand when this was written; what can be is tested without one."""

    pinned = True
    pads = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams = {name: torch.cuda.Stream(device) for name in _BEFORE}
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See `Immediate`."""
        stream = self._streams[name]
        if before := _BEFORE[name]:
            stream.wait_stream(self._streams[before])
        with torch.cuda.stream(stream):
            yield

    def mark(self) -> Callable[[], object]:
        """See `Immediate`."""
        return self._streams["out"].record_event().synchronize

    def settle(self) -> None:
        """See `Immediate`; graphs and what they read and leave are of the stream `through`."""
        self._streams["through"].synchronize()

    def prepared(self, network: Network, shape: Sequence[int]) -> Network:
        """A graph of the network, into and out of places of its own; all graphs share memory, since they are launched
        one after the other on one stream and what they leave is copied there before the next.

        Raises:
            torch.OutOfMemoryError: the device cannot hold it, whatever the end of the broken capture said after that.
        """
        with _PREPARING:
            return self._captured(network, shape)

    def _captured(self, network: Network, shape: Sequence[int]) -> Network:
        stream = self._streams["through"]
        x = torch.zeros(*shape, device=self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # cuDNN chooses its kernels, the allocator its blocks
                network(x)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # other threads spread colours on this device meanwhile
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                y = network(x)
        except Exception as error:
            self._pool = torch.cuda.graph_pool_handle()  # that of a broken capture may be left half open
            if isinstance(error, torch.OutOfMemoryError) or not _began_with_want_of_memory(error):
                raise
            raise torch.OutOfMemoryError("no memory for a graph of the network") from error

        def replayed(now: Tensor) -> Tensor:
            x.copy_(now)
            graph.replay()
            return y

        return replayed


def _began_with_want_of_memory(error: BaseException | None) -> bool:
    """What breaks within a capture leaves it invalid, and ending that raises an error of its own over the first."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


@dataclass(frozen=True)
class _Buffers:
    """Room for one batch, of any shape, float32: on this side and on the device, before and after the network."""

    into: Tensor
    arrived: Tensor
    leaving: Tensor
    out_of: Tensor


class InFlightBatch:
    """A batch under way."""

    def __init__(self, answers: Tensor, count: int, done: Callable[[], object], give_back: Callable[[], None]) -> None:
        self._answers, self._count, self._done, self._give_back = answers, count, done, give_back

    def answers(self) -> list[FloatArray]:
        """Waits for it: ab/110 (2, H, W) of each picture; to be asked for once."""
        self._done()
        found = [answer.numpy().copy() for answer in self._answers[: self._count]]
        self._give_back()
        return found


class DevicePipeline:
    """Carries batches through one network on one device; for use from one thread.

    Args:
        dtype: that of the network's input.
        how: `Cuda` on a CUDA device unless given, else `Immediate`.
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype, how: Any = None) -> None:
        self.device, self._network, self._dtype = device, network, dtype
        self._how = how or (CudaDevice(device) if device.type == "cuda" else HostDevice())
        self._free: list[_Buffers] = []
        self._prepared: OrderedDict[tuple[int, ...], Network] = OrderedDict()

    def filled(self, count: int, batch: int) -> int:
        """How many pictures really go through the network when `count` do."""
        return batch if self._how.pads else count

    @torch.inference_mode()
    def start(self, pictures: Sequence[FloatArray], batch: int) -> InFlightBatch:
        """Sends L/50 - 1 (H, W), at most `batch` of them and of one shape, on their way.

        Raises:
            torch.OutOfMemoryError: the device cannot hold them; what is under way already is not touched.
        """
        count, (height, width) = self.filled(len(pictures), batch), pictures[0].shape
        room = self._room(count * height * width)
        into, arrived = (flat[: count * height * width].view(count, 1, height, width)
                         for flat in (room.into, room.arrived))  # fmt: skip
        leaving, out_of = (flat[: 2 * count * height * width].view(count, 2, height, width)
                           for flat in (room.leaving, room.out_of))  # fmt: skip
        for i in range(count):
            into[i, 0] = torch.from_numpy(pictures[min(i, len(pictures) - 1)])
        network = self._for((count, 1, height, width))
        with self._how.step("in"):
            arrived.copy_(into, non_blocking=True)
        with self._how.step("through"):
            leaving.copy_(network(arrived))
        with self._how.step("out"):
            out_of.copy_(leaving, non_blocking=True)
        return InFlightBatch(out_of, len(pictures), self._how.mark(), lambda: self._free.append(room))

    def forget(self) -> None:
        """Gives back the memory of all that is not under way."""
        self._how.settle()  # a batch under way may still read what is let go here
        self._free.clear()
        self._prepared.clear()
        if self.device.type == "cuda":
            with _PREPARING:
                torch.cuda.empty_cache()

    def _room(self, size: int) -> _Buffers:
        """Buffers for so many pixels; what has become too small is let go."""
        while self._free:
            room = self._free.pop()
            if len(room.into) >= size:
                return room
        pinned = self._how.pinned
        return _Buffers(
            into=torch.empty(size, pin_memory=pinned),
            arrived=torch.empty(size, device=self.device),
            leaving=torch.empty(2 * size, device=self.device),
            out_of=torch.empty(2 * size, pin_memory=pinned),
        )

    def _for(self, shape: tuple[int, ...]) -> Network:
        if shape not in self._prepared:
            if len(self._prepared) >= SHAPES:
                self._how.settle()
                self._prepared.popitem(last=False)
            self._prepared[shape] = self._how.prepared(self._narrow, shape)
        self._prepared.move_to_end(shape)
        return self._prepared[shape]

    def _narrow(self, x: Tensor) -> Tensor:
        return self._network(x.to(self._dtype).contiguous(memory_format=torch.channels_last))


def largest_batch(peak: Callable[[int], int], memory: int, most: int) -> int:
    """A power of two of pictures that together take at most half of the memory, since full-size strips and other
    programs want some too. It depends on device, network and `most` alone as long as the memory is there: where it is
    not at the moment, here or in the run (which then halves the batch for good), batches are smaller, and the last bits
    of what follows may differ from those of a run that had more.

    Args:
        peak: pictures -> the largest number of bytes that so many took.
        memory: the device's bytes.
        most: pictures; the engine asks for no more than its machine's workers can hand in.
    """
    try:
        each = max(1, peak(2) - peak(1))
    except torch.OutOfMemoryError:
        return 1
    fits = max(1, min(most, 1 + (memory // 2 - peak(1)) // each))
    return 1 << (fits.bit_length() - 1)


def cuda_peak_memory(network: nn.Module, device: torch.device, dtype: torch.dtype, side: int) -> Callable[[int], int]:
    """For `batch_that_fits`: measures the network on square pictures of a CUDA device."""

    @torch.inference_mode()
    def peak(count: int) -> int:
        with _PREPARING:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            network(torch.zeros(count, 1, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last))
            torch.cuda.synchronize(device)
            return torch.cuda.max_memory_allocated(device)

    return peak
