"""Pictures wait in line for the network, which has its own threads.

Workers hand in small luminances and wait for the colours. On a GPU one thread owns the network, and pictures of one
size go through it together: while some batches are under way (`conveyor.py`), the next one gathers by itself, so
batches are large when there is much to do and a lone picture never waits. On a CPU there is a lane for every core, each
a thread that takes one picture at a time and computes on its own core alone: no core waits for another at the end of a
layer, and batches would only outgrow the caches (measured: eight at a time cost half as much again per picture as one).
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
"""Batches on a GPU at one time: one comes, one is computed, one goes."""
LARGEST_BATCH = 32


class PredictionFuture(Future[FloatArray]):
    """The future ab/110 (2, H, W) of one picture."""

    seconds = 0.0
    """The picture's share of the time its batch spent in the network; known with the result."""


@dataclass(frozen=True)
class _Request:
    l_net: FloatArray
    answer: PredictionFuture


class BatchScheduler:
    """Runs one network on one device.

    Args:
        batch: the largest number of pictures that go through together on a GPU; 0 for what its memory and the number
            of workers allow, measured with pictures of `side` x `side`.
        precision: `fp32`, `bf16` or `fp16`.
        lanes: threads that compute, on a CPU; 0 for one per core.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, precision: str, batch: int, lanes: int = 0, side: int = 256
    ) -> None:
        self.device, self.precision = device, precision
        self.network = _narrowed(network.eval(), DTYPES[precision])
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_cpu = device.type == "cpu"
        # One by one, a picture's colours do not depend on its company either: other batches are other kernels, whose
        # last bits differ, and a resumed run is to give the same bytes.
        self.batch = 1 if on_cpu else batch or self._found(side)
        self._under_way = 1 if on_cpu else BATCHES_IN_FLIGHT
        self._waiting: deque[_Request] = deque()
        self._wake = threading.Condition()
        self._closed = False
        count = (lanes or joblib.cpu_count()) if on_cpu else 1
        self._threads = [threading.Thread(target=self._serve, name="archivecolor-network", daemon=True)
                         for _ in range(count)]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def _found(self, side: int) -> int:
        """The batch for a CUDA device."""
        peak = cuda_peak_memory(self.network, self.device, DTYPES[self.precision], side)
        memory = torch.cuda.get_device_properties(self.device).total_memory
        return largest_batch(peak, memory, min(LARGEST_BATCH, joblib.cpu_count() + 1))

    def submit(self, l_net: FloatArray) -> PredictionFuture:
        """L/50 - 1 (H, W) -> a future of ab/110 (2, H, W).

        Raises:
            RuntimeError: the engine is closed.
        """
        request = _Request(l_net, PredictionFuture())
        with self._wake:
            if self._closed:
                raise RuntimeError("this Colorizer is closed; make a new one")
            self._waiting.append(request)
            self._wake.notify()
        return request.answer

    def close(self) -> None:
        """Finishes what waits and ends the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        torch.set_num_threads(1)  # of this lane
        conveyor = DevicePipeline(self.network, self.device, DTYPES[self.precision])
        under_way: deque[_Batch] = deque()
        ended = 0.0
        while (group := self._next_group(wait=not under_way)) or under_way:
            if group:
                under_way += self._begun(group, conveyor)
            while under_way and (not group or len(under_way) >= self._under_way):
                ended = under_way.popleft().end(ended)

    def _next_group(self, wait: bool) -> list[_Request]:
        """The oldest request and others of its shape, at most a batch; [] when nothing waits and nothing is to be
        waited for, or at the end."""
        with self._wake:
            if wait:
                self._wake.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            shape = self._waiting[0].l_net.shape
            group = [r for r in self._waiting if r.l_net.shape == shape][: self.batch]
            chosen = {id(r) for r in group}
            self._waiting = deque(r for r in self._waiting if id(r) not in chosen)
            return group

    def _begun(self, group: list[_Request], conveyor: DevicePipeline) -> list[_Batch]:
        """Sends them through the network; a batch that does not fit into the device's memory is halved, for good."""
        started, tried = time.perf_counter(), conveyor.filled(len(group), self.batch)
        try:
            return [_Batch(group, conveyor.start([r.l_net for r in group], self.batch), started)]
        except torch.OutOfMemoryError as error:
            if tried == 1:
                height, width = group[0].l_net.shape
                refusal = PictureError(
                    f"the device's memory does not hold one picture of {width} x {height} at network size; "
                    "use a smaller --size or --device cpu"
                )
                refusal.__cause__ = error
                return _refused(group, refusal)
        except Exception as error:
            return _refused(group, error)
        self.batch = tried // 2
        conveyor.forget()
        batches: list[_Batch] = []
        while group:  # the batch may shrink further on the way
            now, group = group[: self.batch], group[self.batch :]
            batches += self._begun(now, conveyor)
        return batches


@dataclass(frozen=True)
class _Batch:
    """Pictures that are on their way through the network."""

    group: list[_Request]
    load: InFlightBatch
    started: float

    def end(self, before: float) -> float:
        """Waits for it and answers; `before` is when the batch before it ended, and what is given is when this did."""
        try:
            answers = self.load.answers()
        except Exception as error:
            _refused(self.group, error)
            return time.perf_counter()
        now = time.perf_counter()
        share = (now - max(before, self.started)) / len(self.group)
        for request, ab_net in zip(self.group, answers, strict=True):
            request.answer.seconds = share
            request.answer.set_result(ab_net)
        return now


def _refused(group: list[_Request], error: Exception) -> list[_Batch]:
    for request in group:
        request.answer.set_exception(error)
    return []


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _narrowed(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with its filters in this type, once and for all: autocast would convert them anew for every batch,
    a quarter of the lite network's time. The norms keep their float32 numbers, as they do under autocast."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
    return network
