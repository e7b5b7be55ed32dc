"""Random numbers as a hash of (seed, picture, purpose, index): the same on every device, whatever the batch.

A generator would give numbers in the order of the calls, and other ones on a GPU than on a CPU. A hash gives each
picture its own numbers, however many pictures are in the batch, and however many processes share it. The hash is
lowbias32 (Wellons 2018), computed in int64, because PyTorch has no unsigned shifts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def hash32(x: Tensor) -> Tensor:
    """int64 -> int64 in [0, 2^32): of the low 32 bits; each bit of the result depends on each of them."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def picture_keys(positions: Tensor, seed: int) -> Tensor:
    """A key for each picture of a training.

    Args:
        positions: (N,) int64, the pictures' numbers in the endless sequence of epochs.

    Returns:
        (N,) int64 in [0, 2^32).
    """
    high = hash32((positions >> 32) + (seed * _GOLDEN + 0x51ED270B & _MASK))
    return hash32(positions ^ high)


def derived_keys(keys: Tensor, purpose: int) -> Tensor:
    """Keys (N,) that are independent of the others, for another purpose."""
    return hash32(keys + (purpose * 0x632BE5AB & _MASK))


def uniform(keys: Tensor, purpose: int, count: int) -> Tensor:
    """Keys (N,) -> (N, count), float32 in [0, 1), on the keys' device."""
    places = hash32(torch.arange(count, device=keys.device) * _GOLDEN + 1)
    bits = hash32(derived_keys(keys, purpose)[:, None] ^ places)
    return (bits >> 8).float() * 2.0**-24


def normal(keys: Tensor, purpose: int, height: int, width: int) -> Tensor:
    """Keys (N,) -> (N, 1, height, width), standard normal (Box and Muller 1958). Uses `purpose` and the next one."""
    radius, angle = (uniform(keys, purpose + i, height * width) for i in range(2))
    values = (-2 * (1 - radius).log()).sqrt() * torch.cos(2 * math.pi * angle)
    return values.view(-1, 1, height, width)


class Draws:
    """Draws numbers for all pictures of a batch, one call after the other. Each picture has its own.

    Args:
        keys: (N,), see `picture_keys`.
    """

    MOST = 192

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._numbers = uniform(keys, 0, self.MOST).view(-1, self.MOST, 1, 1)
        self._next = 0

    def between(self, low: float, high: float, count: int = 1) -> Tensor:
        """(N, count, 1, 1), uniform in [low, high)."""
        drawn = self._numbers[:, self._next : self._next + count]
        self._next += count
        assert self._next <= self.MOST
        return low + (high - low) * drawn

    def integer(self, low: int, high: int) -> Tensor:
        """(N, 1, 1, 1), float32: whole numbers from low to high - 1."""
        return self.between(low, high).floor()

    def chance(self, probability: float, count: int = 1) -> Tensor:
        """(N, count, 1, 1), bool: true with this probability."""
        return self.between(0, 1, count) < probability

    def normal(self, purpose: int, height: int, width: int) -> Tensor:
        """(N, 1, height, width), standard normal. Different purposes, at least 2 apart, give different numbers."""
        return normal(self.keys, purpose, height, width)
