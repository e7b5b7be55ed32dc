"""Batches pictures for the network, which has its own threads.

Workers submit small luminances and wait for the colours. On a GPU one thread owns the network, and pictures of one
size go through it together. While some batches are in flight (`cuda_streams.py`), the next one fills up, so batches are
large under load and a single picture never waits for company. On a CPU one thread per core takes one picture at a time
and computes on its own core alone: no core waits for another at the end of a layer, and larger batches would only
outgrow the caches (measured: a batch of eight costs half as much again per picture as a batch of one).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import joblib
import torch
from torch import nn

from archivecolor.errors import PictureError
from archivecolor.imaging.arrays import FloatArray
from archivecolor.inference.cuda_streams import DevicePipeline, InFlightBatch, cuda_peak_memory, largest_batch

BATCHES_IN_FLIGHT = 3
"""On a GPU: one batch is copied in, one is computed, one is copied out."""
LARGEST_BATCH = 32
POLL_SECONDS = 0.0005
"""While batches are in flight: how often a thread without requests looks whether the oldest is done."""


class PredictionFuture(Future[FloatArray]):
    """The future ab/110 (2, H, W) of one picture."""

    seconds = 0.0
    """The picture's share of the time its batch spent in the network. Set with the result."""


@dataclass(frozen=True)
class _Request:
    l_net: FloatArray
    future: PredictionFuture


class BatchScheduler:
    """Runs one network on one device.

    Args:
        batch: the largest number of pictures in a batch on a GPU. 0: as many as its memory and the number of workers
            allow, measured with pictures of `side` x `side`.
        precision: `fp32`, `bf16` or `fp16`.
        workers: threads that compute on a CPU; 0 for one per core.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, precision: str, batch: int, workers: int = 0, side: int = 256
    ) -> None:
        self.device, self.precision = device, precision
        self.network = _with_filters_in(network.eval(), DTYPES[precision])
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_cpu = device.type == "cpu"
        # One at a time also keeps a picture's colours independent of the others: other batch sizes use other kernels,
        # whose last bits differ, and a resumed run must give the same bytes.
        self.batch = 1 if on_cpu else batch or self._largest_batch(side)
        self._max_in_flight = 1 if on_cpu else BATCHES_IN_FLIGHT
        self._queue: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        count = (workers or joblib.cpu_count()) if on_cpu else 1
        self._threads = [
            threading.Thread(target=self._run, name="archivecolor-network", daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _largest_batch(self, side: int) -> int:
        """The batch size for a CUDA device."""
        peak = cuda_peak_memory(self.network, self.device, DTYPES[self.precision], side)
        memory = torch.cuda.get_device_properties(self.device).total_memory
        return largest_batch(peak, memory, min(LARGEST_BATCH, joblib.cpu_count() + 1))

    def submit(self, l_net: FloatArray) -> PredictionFuture:
        """L/50 - 1 (H, W) -> a future of ab/110 (2, H, W).

        Raises:
            RuntimeError: the scheduler is closed.
        """
        request = _Request(l_net, PredictionFuture())
        with self._changed:
            if self._closed:
                raise RuntimeError("this Colorizer is closed; make a new one")
            self._queue.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Finishes the queue and stops the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread
        pipeline = DevicePipeline(self.network, self.device, DTYPES[self.precision])
        in_flight: deque[_Batch] = deque()
        previous_end = 0.0
        while (group := self._next_group(in_flight)) or in_flight:
            if group:
                in_flight += self._start(group, pipeline)
            # Without new requests only the oldest batch is finished: those behind it keep the device busy meanwhile.
            while in_flight and (len(in_flight) >= self._max_in_flight or not group):
                previous_end = in_flight.popleft().finish(previous_end)
                if not group:
                    break

    def _next_group(self, in_flight: deque[_Batch]) -> list[_Request]:
        """The oldest request and others of its shape, at most a batch. [] if the oldest batch in flight is done before
        a request comes, or at the end."""
        with self._changed:
            if in_flight:
                while not (self._queue or self._closed or in_flight[0].batch.is_done()):
                    self._changed.wait(POLL_SECONDS)
            else:
                self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            shape = self._queue[0].l_net.shape
            group = [request for request in self._queue if request.l_net.shape == shape][: self.batch]
            chosen = {id(request) for request in group}
            self._queue = deque(request for request in self._queue if id(request) not in chosen)
            return group

    def _start(self, group: list[_Request], pipeline: DevicePipeline) -> list[_Batch]:
        """Sends them through the network. If they do not fit into the device's memory, the batch size is halved for
        good."""
        started, size = time.perf_counter(), pipeline.padded_count(len(group), self.batch)
        try:
            return [_Batch(group, pipeline.start([request.l_net for request in group], self.batch), started)]
        except torch.OutOfMemoryError as error:
            if size == 1:
                height, width = group[0].l_net.shape
                refusal = PictureError(
                    f"the device's memory does not hold one picture of {width} x {height} at network size; "
                    "use a smaller --size or --device cpu"
                )
                refusal.__cause__ = error
                return _fail(group, refusal)
        except Exception as error:
            return _fail(group, error)
        self.batch = size // 2
        pipeline.release_memory()
        batches: list[_Batch] = []
        while group:  # the batch size may shrink further on the way
            part, group = group[: self.batch], group[self.batch :]
            batches += self._start(part, pipeline)
        return batches


@dataclass(frozen=True)
class _Batch:
    """Pictures on their way through the network."""

    group: list[_Request]
    batch: InFlightBatch
    started: float

    def finish(self, previous_end: float) -> float:
        """Waits for the batch and sets its results. Takes the time at which the batch before it ended, and returns that
        at which this one did."""
        try:
            predictions = self.batch.results()
        except Exception as error:
            _fail(self.group, error)
            return time.perf_counter()
        now = time.perf_counter()
        share = (now - max(previous_end, self.started)) / len(self.group)
        for request, ab_net in zip(self.group, predictions, strict=True):
            request.future.seconds = share
            request.future.set_result(ab_net)
        return now


def _fail(group: list[_Request], error: Exception) -> list[_Batch]:
    for request in group:
        request.future.set_exception(error)
    return []


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _with_filters_in(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with its filters converted to this type once. Autocast would convert them again for every batch, a
    quarter of the lite network's time. The norms keep their float32 numbers, as under autocast."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
    return network
