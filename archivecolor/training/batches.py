"""Where the batches of a training are made: on the host, in threads, or on the device that trains.

Both are functions of (seed, number of the picture), so a resumed training sees the batches of an unbroken one. They
draw different numbers, so a training keeps the one that it began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import torch
from torch import Tensor

from archivecolor.imaging import lab
from archivecolor.options import DataOn, StageOptions
from archivecolor.training import batched_aging, distributed
from archivecolor.training.chance import Draws, derived_keys, picture_keys, uniform
from archivecolor.training.dataset import MARGIN_SHARE, Batch, PhotoSet, epoch_order, training_batch
from archivecolor.training.packed_photos import PackedPhotos

_AGING_DECISIONS, _MARGIN_PURPOSE = 3, 307
"""Purposes of `chance.py`."""


@contextmanager
def open_batches(photos: PhotoSet, stage: StageOptions, start: int, device: torch.device) -> Iterator[Iterator[Batch]]:
    """This process's part of all batches from picture `start` on, on the device."""
    if stage.data_on == DataOn.DEVICE:
        yield _device_batches(PackedPhotos(photos.pictures, device), stage, start)
        return
    # On a CPU the network needs the cores: batches are made by one thread beside it.
    threads = joblib.cpu_count() if device.type == "cuda" else 1
    with _HostBatches(photos, stage, start, device, threads) as batches:
        yield batches


def _local_batches(stage: StageOptions, start: int) -> Iterator[tuple[int, int, int]]:
    """The first picture, the number of pictures and the size of each batch of this process, without end."""
    while True:
        yield *distributed.local_slice(start, stage.batch), size_at(start / stage.pictures, stage.sizes)
        start += stage.batch


def size_at(done: float, sizes: tuple[tuple[int, float], ...]) -> int:
    """The side of the crops at this point of the training. `sizes` are (side, share of the pictures)."""
    passed = 0.0
    for side, share in sizes:
        passed += share
        if done < passed - 1e-9:
            return side
    return sizes[-1][0]


# On the host


class _HostBatches:
    """Makes the next batch in threads while the network computes on this one.

    Args:
        threads: each makes a part of the batch; 1: the whole batch, on as many cores as PyTorch has.
    """

    def __init__(self, photos: PhotoSet, stage: StageOptions, start: int, device: torch.device, threads: int) -> None:
        self._photos, self._stage, self._device, self._threads = photos, stage, device, threads
        self._places = _local_batches(stage, start)
        self._next = ThreadPoolExecutor(1, "archivecolor-batch")
        self._parts = ThreadPoolExecutor(threads, "archivecolor-part", torch.set_num_threads, (1,))

    def __enter__(self) -> Iterator[Batch]:
        return self._generate()

    def __exit__(self, *_: object) -> None:
        for pool in (self._next, self._parts):
            pool.shutdown(wait=False, cancel_futures=True)

    def _generate(self) -> Iterator[Batch]:
        future = self._next.submit(self._prepare, *next(self._places))
        while True:
            batch = future.result()
            future = self._next.submit(self._prepare, *next(self._places))
            yield batch.to(self._device)

    def _prepare(self, start: int, count: int, size: int) -> Batch:
        """The batch in the host's memory; in pinned memory for a GPU, which then copies it while it computes."""
        draws = size, self._stage.aging, self._stage.seed, self._stage.mounts
        if self._threads == 1:
            return training_batch(self._photos, start, count, *draws)
        step = -(-count // self._threads)
        futures = [
            self._parts.submit(training_batch, self._photos, at, min(step, start + count - at), *draws)
            for at in range(start, start + count, step)
        ]
        return Batch.joined([future.result() for future in futures], pinned=self._device.type == "cuda")


# On the device


def _device_batches(photos: PackedPhotos, stage: StageOptions, start: int) -> Iterator[Batch]:
    for first, count, size in _local_batches(stage, start):
        yield device_batch(photos, first, count, size, stage.aging, stage.seed)


@torch.no_grad()
def device_batch(photos: PackedPhotos, start: int, count: int, size: int, aging: float, seed: int) -> Batch:
    """As `dataset.training_batch`, computed where the photographs are, with the draws of `chance.py`.

    Nothing in it waits for the device: what is drawn to decide which pictures are aged is drawn on the host.
    """
    positions = torch.arange(start, start + count)
    order = [int(epoch_order(len(photos), seed, p // len(photos))[p % len(photos)]) for p in positions.tolist()]
    keys = picture_keys(positions, seed)
    decisions = uniform(keys, _AGING_DECISIONS, 2)
    is_aged = decisions[:, 0] < aging

    def send(values: Tensor) -> Tensor:
        return values.to(photos.device, non_blocking=True)

    rgb = photos.random_crops(send(torch.tensor(order)), size, Draws(send(keys)))
    if len(framed := torch.nonzero(is_aged & (decisions[:, 1] < MARGIN_SHARE))[:, 0]):
        places = send(framed)
        rgb[places] = batched_aging.margin(rgb[places], Draws(send(derived_keys(keys[framed], _MARGIN_PURPOSE))))
    linear = lab.linear_from_srgb(rgb)
    l_true, ab_net = lab.net_from_lab(lab.lab_from_linear(linear))
    l_net = l_true.clone()
    if len(aged := torch.nonzero(is_aged)[:, 0]):
        places = send(aged)
        l_net[places] = batched_aging.age(linear[places], (l_true[places] + 1) / 2, keys[aged]) * 2 - 1
    return Batch(l_net, l_true, ab_net.contiguous(), rgb)
