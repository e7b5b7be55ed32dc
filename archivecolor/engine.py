"""Pictures wait in line for the network, which has its own threads.

Workers hand in small luminances and wait for the colours. On a GPU one thread owns the network, and pictures of one
size go through it together: while it works on one batch, the next one gathers by itself, so batches are large when
there is much to do and a lone picture never waits. On a CPU there is a lane for every core, each a thread that takes
one picture at a time and computes on its own core alone: no core waits for another at the end of a layer, and batches
would only outgrow the caches (measured: eight at a time cost half as much again per picture as one).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archivecolor.errors import PictureError

Floats = NDArray[np.float32]


class Answer(Future[Floats]):
    """The future ab/110 (2, H, W) of one picture."""

    seconds = 0.0
    """The picture's share of the time its batch spent in the network; known with the result."""


@dataclass(frozen=True)
class _Request:
    l_net: Tensor
    """(H, W), on the device or on its way there."""
    answer: Answer


class Engine:
    """Runs one network on one device.

    Args:
        batch: the largest number of pictures that go through together on a GPU.
        precision: `fp32`, `bf16` or `fp16`.
        lanes: threads that compute, on a CPU; 0 for one per core.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str, batch: int, lanes: int = 0) -> None:
        self.device, self.precision = device, precision
        self.network = _narrowed(network.eval(), DTYPES[precision])
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_cpu = device.type == "cpu"
        # One by one, a picture's colours do not depend on its company either: other batches are other kernels, whose
        # last bits differ, and a resumed run is to give the same bytes.
        self.batch = 1 if on_cpu else batch
        self._copies = None if on_cpu else torch.cuda.Stream(device)
        self._waiting: deque[_Request] = deque()
        self._wake = threading.Condition()
        self._closed = False
        count = (lanes or joblib.cpu_count()) if on_cpu else 1
        self._threads = [threading.Thread(target=self._serve, name="archivecolor-network", daemon=True)
                         for _ in range(count)]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def submit(self, l_net: Floats) -> Answer:
        """L/50 - 1 (H, W) -> a future of ab/110 (2, H, W).

        Raises:
            RuntimeError: the engine is closed.
        """
        request = _Request(self._sent(l_net), Answer())
        with self._wake:
            if self._closed:
                raise RuntimeError("this Colorizer is closed; make a new one")
            self._waiting.append(request)
            self._wake.notify()
        return request.answer

    def _sent(self, l_net: Floats) -> Tensor:
        """The picture on the device. On CUDA the worker that hands it in starts the copy, from pinned memory on a
        stream of its own, so that it travels while the network works on the batch before."""
        x = torch.from_numpy(l_net)
        if self._copies is None:
            return x
        with torch.cuda.stream(self._copies):
            return x.pin_memory().to(self.device, non_blocking=True)

    def close(self) -> None:
        """Finishes what waits and ends the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        torch.set_num_threads(1)  # of this lane
        while group := self._next_group():
            started = time.perf_counter()
            try:
                answers = self._colour([r.l_net for r in group])
                share = (time.perf_counter() - started) / len(group)
                for request, ab_net in zip(group, answers, strict=True):
                    request.answer.seconds = share
                    request.answer.set_result(ab_net)
            except Exception as error:
                for request in group:
                    if not request.answer.done():
                        request.answer.set_exception(error)

    def _next_group(self) -> list[_Request]:
        """Blocks until something waits; the oldest request and others of its shape, at most a batch. [] at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            shape = self._waiting[0].l_net.shape
            group = [r for r in self._waiting if r.l_net.shape == shape][: self.batch]
            chosen = {id(r) for r in group}
            self._waiting = deque(r for r in self._waiting if id(r) not in chosen)
            return group

    def _colour(self, pictures: list[Tensor]) -> list[Floats]:
        """The network's answers; a batch that does not fit into the device's memory is halved, for good."""
        try:
            if self._copies is not None:
                torch.cuda.current_stream(self.device).wait_stream(self._copies)
            return list(self._forward(torch.stack(pictures)[:, None]))
        except torch.OutOfMemoryError as error:
            tried = self.batch if self.device.type == "cuda" else len(pictures)  # on CUDA, what `_padded` makes of it
            if tried == 1:
                raise PictureError(
                    f"the device's memory does not hold one picture of {pictures[0].shape[1]} x {pictures[0].shape[0]} "
                    "at network size; use a smaller --size or --device cpu"
                ) from error
        self.batch = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        answers: list[Floats] = []
        while len(answers) < len(pictures):  # the batch may shrink further on the way
            answers += self._colour(pictures[len(answers) : len(answers) + self.batch])
        return answers

    @torch.inference_mode()
    def _forward(self, l_net: Tensor) -> Floats:
        """(N, 1, H, W) on the device -> (N, 2, H, W), float32, on this side."""
        x = self._padded(l_net).to(DTYPES[self.precision]).contiguous(memory_format=torch.channels_last)
        ab_net: Tensor = self.network(x)
        return ab_net[: len(l_net)].float().cpu().numpy()

    def _padded(self, l_net: Tensor) -> Tensor:
        """On CUDA, always a full batch: one shape means one choice of kernels, and so the same bytes every time."""
        if self.device.type != "cuda" or len(l_net) == self.batch:
            return l_net
        return torch.cat([l_net, l_net[-1:].expand(self.batch - len(l_net), -1, -1, -1)])


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _narrowed(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with its filters in this type, once and for all: autocast would convert them anew for every batch,
    a quarter of the lite network's time. The norms keep their float32 numbers, as they do under autocast."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.to(dtype)
    return network
