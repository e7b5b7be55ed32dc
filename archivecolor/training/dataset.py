"""Colour photographs from a folder, decoded once into memory, cut into batches that depend on nothing but a seed.

Batch number k is a pure function of (seed, k): a training that resumes sees what an unbroken one would have seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archivecolor import lab
from archivecolor.errors import NoInputError, PictureError
from archivecolor.training.aging import age

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".jp2"}
VALIDATION_SHARE = 0.04
Bytes = NDArray[np.uint8]


def find(source: Path) -> list[Path]:
    """The photographs of a folder (recursively), or those a text file lists one per line, in a fixed order.

    Raises:
        NoInputError: there are none.
    """
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    elif source.is_file():
        lines = source.read_text(encoding="utf-8").splitlines()
        paths = [source.parent / line.strip() for line in lines if line.strip()]
    else:
        raise NoInputError(f"{source}: no such folder or list of photographs")
    if not paths:
        raise NoInputError(f"{source}: holds no photographs ({', '.join(sorted(SUFFIXES))})")
    return paths


def split(paths: Sequence[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """Training and validation pictures. Which side a picture is on depends on its name alone."""

    def in_validation(path: Path) -> bool:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < VALIDATION_SHARE * 2**32

    chosen = [in_validation(path) for path in paths]
    return (
        [p for p, held in zip(paths, chosen, strict=True) if not held],
        [p for p, held in zip(paths, chosen, strict=True) if held],
    )


def why_useless(rgb: Bytes) -> str | None:
    """The reason why a picture cannot teach colour, or None: too small, grey, or tinted in one tone."""
    if min(rgb.shape[:2]) < 64:
        return "under 64 pixels"
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    values = lab.lab_from_srgb(torch.from_numpy(small).permute(2, 0, 1).float() / 255).numpy().reshape(3, -1)
    lightness, ab = values[0] / 100, values[1:]
    if np.hypot(*ab).mean() < 3:
        return "grey"
    tone = np.stack([np.ones_like(lightness), lightness, lightness**2], axis=1)
    fit, *_ = np.linalg.lstsq(tone, ab.T, rcond=None)
    if np.hypot(*(ab.T - tone @ fit).T).mean() < 2:
        return "tinted in one tone"
    return None


@dataclass(frozen=True)
class PhotoSet:
    """Decoded photographs: `pictures[i]` is uint8 (H, W, 3), its short side at most `short`."""

    pictures: list[Bytes]
    names: list[str]
    left_out: dict[str, int]
    """Why pictures of the source are not in the set, and how many for each reason."""

    def __len__(self) -> int:
        return len(self.pictures)


def load(
    paths: Sequence[Path], read: Callable[[Path], Bytes], short: int, seen: Callable[[int], None] = lambda n: None
) -> PhotoSet:
    """Decodes all pictures in threads, reduced to `short` pixels on the short side.

    Args:
        read: gives the sRGB picture of a path; raises `PictureError` where it cannot.
        seen: called with the number of pictures decoded so far.

    Raises:
        NoInputError: no picture of the source can be used.
    """

    def one(path: Path) -> tuple[Path, Bytes | None, str]:
        try:
            rgb = read(path)
        except PictureError:
            return path, None, "unreadable"
        scale = short / min(rgb.shape[:2])
        if scale < 1:
            size = (max(short, round(rgb.shape[1] * scale)), max(short, round(rgb.shape[0] * scale)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        reason = why_useless(rgb)
        return path, (None if reason else rgb), reason or ""

    pictures, names, left_out = [], [], Counter[str]()
    workers = joblib.Parallel(n_jobs=joblib.cpu_count(), backend="threading", return_as="generator")  # type: ignore[no-untyped-call]
    for i, (path, rgb, reason) in enumerate(workers(joblib.delayed(one)(p) for p in paths)):  # type: ignore[no-untyped-call]
        if rgb is None:
            left_out[reason] += 1
        else:
            pictures.append(rgb)
            names.append(path.as_posix())
        seen(i + 1)
    if not pictures:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise NoInputError(f"none of the {len(paths)} pictures can teach colour ({reasons})")
    return PhotoSet(pictures, names, dict(left_out))


def random_crop(rgb: Bytes, size: int, random: np.random.Generator) -> Bytes:
    """A square of `size` px cut from 65 to 100 % of the short side, mildly stretched, flipped half of the time."""
    height, width = rgb.shape[:2]
    side = random.uniform(0.65, 1.0) * min(height, width)
    stretch = np.exp(random.uniform(-0.08, 0.08))
    h, w = min(height, round(side * stretch)), min(width, round(side / stretch))
    y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    way = cv2.INTER_AREA if min(h, w) >= size else cv2.INTER_LINEAR
    crop = cv2.resize(rgb[y : y + h, x : x + w], (size, size), interpolation=way)
    return np.asarray(crop[:, ::-1] if random.random() < 0.5 else crop, np.uint8)


def centre_crop(rgb: Bytes, size: int) -> Bytes:
    """The middle square, resized to `size`."""
    side = min(rgb.shape[:2])
    y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    way = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb[y : y + side, x : x + side], (size, size), interpolation=way), np.uint8)


@dataclass(frozen=True)
class Batch:
    """What one training step sees: l_net (N, 1, H, W), perhaps aged; ab_net (N, 2, H, W); rgb (N, 3, H, W) in
    [0, 1]."""

    l_net: Tensor
    ab_net: Tensor
    rgb: Tensor


def to_batch(crops: Sequence[Bytes], aging: float, random: torch.Generator) -> Batch:
    """uint8 pictures (H, W, 3) of one size -> a batch; a share `aging` of the luminances made to look old."""
    rgb = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    linear = lab.linear_from_srgb(rgb)
    _, ab_net = lab.net_from_lab(lab.lab_from_linear(linear))
    return Batch(age(linear, aging, random), ab_net.contiguous(), rgb)


def training_batch(photos: PhotoSet, start: int, count: int, size: int, aging: float, seed: int) -> Batch:
    """Pictures number `start` to `start + count` of the endless shuffled row of all epochs, cropped and aged."""
    n = len(photos)
    crops = []
    for position in range(start, start + count):
        order = np.random.default_rng((seed, position // n)).permutation(n)
        random = np.random.default_rng((seed, 1, position))
        crops.append(random_crop(photos.pictures[order[position % n]], size, random))
    return to_batch(crops, aging, torch.Generator().manual_seed(seed * 1_000_003 + start))


def validation_batch(photos: PhotoSet, start: int, count: int, size: int) -> Batch:
    """Pictures number `start` to `start + count` in their own order, centre crops, not aged."""
    crops = [centre_crop(rgb, size) for rgb in photos.pictures[start : start + count]]
    return to_batch(crops, 0.0, torch.Generator().manual_seed(0))
