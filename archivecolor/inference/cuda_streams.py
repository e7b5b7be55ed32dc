"""Batches through a device: copied in, computed, copied out, several of them at one time.

On CUDA each of the three steps has its own stream, so that one batch is copied in and another copied out while a third
is computed. The host's buffers are pinned once and reused. Pictures come in few shapes (`tiling.network_size`); for
each shape the hundreds of kernel launches of the network are captured once as a CUDA graph and launched as one. On
other devices the same steps are done when their calls return.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from archivecolor.imaging.arrays import FloatArray
from archivecolor.inference import devices

Network = Callable[[Tensor], Tensor]

MAX_GRAPHS = 32
"""Graphs are kept for at most this many shapes."""
_CAPTURE_LOCK = threading.Lock()
"""One graph is captured at a time in the whole process. While any stream captures, CUDA forbids synchronising a device
or freeing its memory, and both are needed to prepare a network."""
_PREVIOUS_STEP = {"copy_in": "", "compute": "copy_in", "copy_out": "compute"}
"""The three steps, each with the one before it."""


class Completion(Protocol):
    """The end of the work started so far; a CUDA event is one."""

    def query(self) -> bool:
        """Whether it is done."""

    def synchronize(self) -> None:
        """Waits until it is done."""


class _Done:
    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


class Device(Protocol):
    """What a `DevicePipeline` needs of a device."""

    pinned: bool
    """Whether host buffers are in pinned memory."""
    pads: bool
    """Whether batches are padded to one size, so that every batch of a shape uses the same kernels: a picture gets the
    same bytes whatever else is in its batch."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """A step of a batch: `copy_in`, `compute` or `copy_out`. It begins when the step before it has ended."""

    def allocation(self) -> AbstractContextManager[None]:
        """Tensors that are made on the device in this context are for the steps to use."""

    def completion(self) -> Completion:
        """The end of everything started until now."""

    def wait_for_compute(self) -> None:
        """Waits until no step needs its memory any more."""

    def prepare(self, network: Network, shape: Sequence[int]) -> Network:
        """The network for float32 inputs of this shape."""


class HostDevice:
    """A device without streams: every step is done when it returns. See `Device`."""

    pinned = False
    pads = False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        yield

    def allocation(self) -> AbstractContextManager[None]:
        return nullcontext()

    def completion(self) -> Completion:
        return _Done()

    def wait_for_compute(self) -> None:
        pass

    def prepare(self, network: Network, shape: Sequence[int]) -> Network:
        return network


class CudaDevice:
    """A CUDA device; see `Device`. To be used from the thread that made it. Written without a GPU at hand; what can be
    tested without one is tested."""

    pinned = True
    pads = True

    def __init__(self, device: torch.device) -> None:
        devices.activate(device)  # of this thread; a capture synchronizes the current device
        self.device = device
        self._streams = {name: torch.cuda.Stream(device) for name in _PREVIOUS_STEP}
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        stream = self._streams[name]
        if previous := _PREVIOUS_STEP[name]:
            stream.wait_stream(self._streams[previous])
        with torch.cuda.stream(stream):
            yield

    @contextmanager
    def allocation(self) -> Iterator[None]:
        """Memory of the stream `copy_in`, for which the other steps wait. PyTorch reuses freed memory at once on the
        stream that it was allocated on: memory of the default stream may still be in use by another picture's merge."""
        with torch.cuda.stream(self._streams["copy_in"]):
            yield

    def completion(self) -> Completion:
        return self._streams["copy_out"].record_event()

    def wait_for_compute(self) -> None:
        """Graphs, their inputs and their outputs belong to the stream `compute`. Its steps have waited for those of
        `copy_in`."""
        self._streams["compute"].synchronize()

    def prepare(self, network: Network, shape: Sequence[int]) -> Network:
        """A CUDA graph of the network with its own input and output tensors. All graphs share memory: they are launched
        one after the other on one stream, and each output is copied before the next launch.

        Raises:
            torch.OutOfMemoryError: the device cannot hold it, whatever error ending the broken capture raised.
        """
        with _CAPTURE_LOCK:
            return self._capture(network, shape)

    def _capture(self, network: Network, shape: Sequence[int]) -> Network:
        stream = self._streams["compute"]
        x = torch.zeros(*shape, device=self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # cuDNN chooses its kernels, the allocator its blocks
                network(x)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads upsample chroma on this device meanwhile
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                y = network(x)
        except Exception as error:
            self._pool = torch.cuda.graph_pool_handle()  # the pool of a broken capture may be left half open
            if isinstance(error, torch.OutOfMemoryError) or not _caused_by_out_of_memory(error):
                raise
            raise torch.OutOfMemoryError("no memory for a graph of the network") from error

        def replay(batch: Tensor) -> Tensor:
            x.copy_(batch)
            graph.replay()
            return y

        return replay


def _caused_by_out_of_memory(error: BaseException | None) -> bool:
    """An error within a capture leaves the capture invalid; ending it raises another error over the first."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


@dataclass(frozen=True)
class _Buffers:
    """Flat float32 buffers for one batch of any shape: before and after the network, on the host and on the device."""

    host_input: Tensor
    device_input: Tensor
    device_output: Tensor
    host_output: Tensor


class InFlightBatch:
    """A batch on its way."""

    def __init__(self, output: Tensor, count: int, completion: Completion, release: Callable[[], None]) -> None:
        self._output, self._count, self._completion, self._release = output, count, completion, release

    def is_done(self) -> bool:
        """Whether `results` would return at once."""
        return self._completion.query()

    def results(self) -> list[FloatArray]:
        """Waits for the batch: ab/110 (2, H, W) of each picture. To be called once."""
        self._completion.synchronize()
        results = [ab_net.numpy().copy() for ab_net in self._output[: self._count]]
        self._release()
        return results


class DevicePipeline:
    """Carries batches through one network on one device. To be used from one thread.

    Args:
        dtype: of the network's input.
        steps: `CudaDevice` on a CUDA device unless given, else `HostDevice`.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, dtype: torch.dtype, steps: Device | None = None
    ) -> None:
        self.device, self._network, self._dtype = device, network, dtype
        self._steps: Device = steps or (CudaDevice(device) if device.type == "cuda" else HostDevice())
        self._free: list[_Buffers] = []
        self._prepared: OrderedDict[tuple[int, ...], Network] = OrderedDict()

    def padded_count(self, count: int, batch: int) -> int:
        """How many pictures really go through the network for `count` pictures."""
        return batch if self._steps.pads else count

    @torch.inference_mode()
    def start(self, pictures: Sequence[FloatArray], batch: int) -> InFlightBatch:
        """Starts a batch of L/50 - 1 (H, W): at most `batch` pictures of one shape.

        Raises:
            torch.OutOfMemoryError: the device cannot hold them. Batches in flight are not affected.
        """
        count, (height, width) = self.padded_count(len(pictures), batch), pictures[0].shape
        buffers = self._buffers(count * height * width)
        host_input, device_input = (
            flat[: count * height * width].view(count, 1, height, width)
            for flat in (buffers.host_input, buffers.device_input)
        )
        device_output, host_output = (
            flat[: 2 * count * height * width].view(count, 2, height, width)
            for flat in (buffers.device_output, buffers.host_output)
        )
        for i in range(count):
            host_input[i, 0] = torch.from_numpy(pictures[min(i, len(pictures) - 1)])
        network = self._prepared_network((count, 1, height, width))
        with self._steps.step("copy_in"):
            device_input.copy_(host_input, non_blocking=True)
        with self._steps.step("compute"):
            try:
                device_output.copy_(network(device_input))
            except Exception:
                self._steps.wait_for_compute()  # else what was started would use buffers that are freed now
                raise
        with self._steps.step("copy_out"):
            host_output.copy_(device_output, non_blocking=True)
        completion = self._steps.completion()
        return InFlightBatch(host_output, len(pictures), completion, lambda: self._free.append(buffers))

    def release_memory(self) -> None:
        """Frees the memory of everything that is not in flight."""
        self._steps.wait_for_compute()  # a batch in flight may still read what is freed here
        self._free.clear()
        self._prepared.clear()
        if self.device.type == "cuda":
            with _CAPTURE_LOCK:
                torch.cuda.empty_cache()

    def _buffers(self, size: int) -> _Buffers:
        """Buffers for this many pixels. Free buffers that have become too small are dropped."""
        while self._free:
            buffers = self._free.pop()
            if len(buffers.host_input) >= size:
                return buffers
        pinned = self._steps.pinned
        with self._steps.allocation():
            return _Buffers(
                host_input=torch.empty(size, pin_memory=pinned),
                device_input=torch.empty(size, device=self.device),
                device_output=torch.empty(2 * size, device=self.device),
                host_output=torch.empty(2 * size, pin_memory=pinned),
            )

    def _prepared_network(self, shape: tuple[int, ...]) -> Network:
        if shape not in self._prepared:
            if len(self._prepared) >= MAX_GRAPHS:
                self._steps.wait_for_compute()
                self._prepared.popitem(last=False)
            self._prepared[shape] = self._steps.prepare(self._in_dtype, shape)
        self._prepared.move_to_end(shape)
        return self._prepared[shape]

    def _in_dtype(self, x: Tensor) -> Tensor:
        return self._network(x.to(self._dtype).contiguous(memory_format=torch.channels_last))


def largest_batch(peak: Callable[[int], int], memory: int, most: int) -> int:
    """The largest power of two of pictures that takes at most half of the memory: full-size strips and other programs
    need some too. The result depends on device, network and `most` alone as long as that memory is free. Where it is
    not (here or later in the run, which then halves the batch for good), batches are smaller, and the last bits of the
    colours may differ from those of a run that had more.

    Args:
        peak: number of pictures -> the most bytes that a batch of them took.
        memory: the device's bytes.
        most: pictures; no more than the machine's workers can submit.
    """
    try:
        each = max(1, peak(2) - peak(1))
    except torch.OutOfMemoryError:
        return 1
    fits = max(1, min(most, 1 + (memory // 2 - peak(1)) // each))
    return 1 << (fits.bit_length() - 1)


def cuda_peak_memory(network: nn.Module, device: torch.device, dtype: torch.dtype, side: int) -> Callable[[int], int]:
    """For `largest_batch`: measures the network on square pictures of a CUDA device."""

    @torch.inference_mode()
    def peak(count: int) -> int:
        with _CAPTURE_LOCK:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            network(torch.zeros(count, 1, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last))
            torch.cuda.synchronize(device)
            return torch.cuda.max_memory_allocated(device)

    return peak
