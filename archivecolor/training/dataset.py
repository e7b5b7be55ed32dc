"""Colour photographs from a folder, decoded once into memory, cut into batches that depend on nothing but a seed.

Batch number k is a pure function of (seed, k): a training that resumes sees what an unbroken one would have seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from torch import Tensor

from archivecolor import photo
from archivecolor.errors import NoInputError, PictureError
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray
from archivecolor.training.aging import aged_batch
from archivecolor.training.damage import margin

VALIDATION_SHARE = 0.04
FEW_HELD = 16
"""So many pictures are held at least, if that is no more than a fifth."""
LEAST_CROP = 0.65
"""Of the short side, what a crop takes at least; at most it takes all."""
MEAN_CROP = (LEAST_CROP + 1) / 2
MARGIN_SHARE = 0.15
"""Of the aged pictures, those that get a margin."""


def find(source: Path) -> list[Path]:
    """The photographs of a folder (recursively), or those a text file lists one per line, in a fixed order.

    Raises:
        NoInputError: there are none.
    """
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in photo.SUFFIXES and p.is_file())
    elif source.is_file():
        try:
            lines = source.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise NoInputError(
                f"{source}: is neither a folder nor a text file; name the folder of the photographs, or a list of them"
            ) from error
        paths = [source.parent / line.strip() for line in lines if line.strip()]
    else:
        raise NoInputError(f"{source}: no such folder or list of photographs")
    if not paths:
        raise NoInputError(f"{source}: holds no photographs ({', '.join(sorted(photo.SUFFIXES))})")
    return paths


def split(paths: Sequence[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """Training and validation pictures, both in their old order.

    Which side a picture is on depends on a hash of its name below `root` alone, so that pictures that come later move
    none. Only of few pictures, where that share would be less than `FEW_HELD` (but no more than a fifth), are those of
    the smallest hashes held.
    """
    hashes = [int(hashlib.sha256(name_of(path, root).encode()).hexdigest()[:8], 16) for path in paths]
    few = sorted(hashes)[: max(min(FEW_HELD, len(paths) // 5), int(len(paths) > 1))]
    limit = max([int(VALIDATION_SHARE * 2**32) - 1, *few])
    return (
        [p for p, number in zip(paths, hashes, strict=True) if number > limit],
        [p for p, number in zip(paths, hashes, strict=True) if number <= limit],
    )


def name_of(path: Path, root: Path) -> str:
    """What a picture is called wherever its folder lies: its path below `root`, where it is."""
    root = root.parent if root.is_file() else root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def why_useless(rgb: ByteArray) -> str | None:
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

    pictures: list[ByteArray]
    names: list[str]
    reasons: dict[str, str]
    """Why pictures of the source are not in the set, by name."""

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def left_out(self) -> dict[str, int]:
        """How many pictures of the source are not in the set, for each reason."""
        return dict(Counter(self.reasons.values()))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spread; always the same."""
    return list(range(count)) if count <= most else [i * count // most for i in range(most)]


def chosen(data: Path, limit: int) -> list[Path]:
    """The photographs of a folder or list, at most `limit` of them, evenly spread; 0 for all."""
    paths = find(data)
    return [paths[i] for i in spread(len(paths), limit or len(paths))]


Read = Callable[[Path], ByteArray]
"""Gives the sRGB picture of a path; raises `PictureError` where it cannot."""


def decode(path: Path, read: Read, short: int) -> tuple[ByteArray | None, str]:
    """A picture reduced to `short` pixels on the short side, or None and the reason why it is useless."""
    try:
        rgb = read(path)
    except PictureError:
        return None, "unreadable"
    if reason := why_useless(rgb):
        return None, reason
    scale = short / min(rgb.shape[:2])
    if scale < 1:
        size = (max(short, round(rgb.shape[1] * scale)), max(short, round(rgb.shape[0] * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return rgb, ""


def stream(paths: Sequence[Path], read: Read, short: int) -> Iterator[tuple[Path, ByteArray | None, str]]:
    """Decodes pictures in threads, in order; never more than a few ahead of what was taken."""
    threads = joblib.cpu_count()
    waiting: deque[tuple[Path, Future[tuple[ByteArray | None, str]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            waiting.append((path, pool.submit(decode, path, read, short)))
            if len(waiting) > 2 * threads:
                done, future = waiting.popleft()
                yield (done, *future.result())
        while waiting:
            done, future = waiting.popleft()
            yield (done, *future.result())


def load(
    paths: Sequence[Path], read: Read, short: int, root: Path = Path(), seen: Callable[[int], None] = lambda n: None
) -> PhotoSet:
    """All pictures in memory, reduced to `short` pixels on the short side, named by their places below `root`.

    Args:
        seen: called with the number of pictures decoded so far.

    Raises:
        NoInputError: no picture of the source can be used.
    """
    photos = PhotoSet([], [], {})
    for i, (path, rgb, reason) in enumerate(stream(paths, read, short)):
        name = name_of(path, root)
        if rgb is None:
            photos.reasons[name] = reason
        else:
            photos.pictures.append(rgb)
            photos.names.append(name)
        seen(i + 1)
    if not photos.pictures:
        raise nothing_useful(len(paths), photos.left_out)
    return photos


def nothing_useful(count: int, left_out: dict[str, int]) -> NoInputError:
    """That none of so many pictures can be used, and why."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "there are none"
    return NoInputError(f"none of the {count} pictures can teach colour ({reasons})")


def random_crop(rgb: ByteArray, size: int, random: np.random.Generator) -> ByteArray:
    """A square of `size` px cut from 65 to 100 % of the short side, mildly stretched, flipped half of the time."""
    height, width = rgb.shape[:2]
    side = random.uniform(LEAST_CROP, 1.0) * min(height, width)
    stretch = np.exp(random.uniform(-0.08, 0.08))
    h, w = min(height, round(side * stretch)), min(width, round(side / stretch))
    y, x = random.integers(0, height - h + 1), random.integers(0, width - w + 1)
    way = cv2.INTER_AREA if min(h, w) >= size else cv2.INTER_LINEAR
    crop = cv2.resize(rgb[y : y + h, x : x + w], (size, size), interpolation=way)
    return np.asarray(crop[:, ::-1] if random.random() < 0.5 else crop, np.uint8)


def centre_crop(rgb: ByteArray, size: int) -> ByteArray:
    """The middle square, resized to `size`."""
    side = min(rgb.shape[:2])
    y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    way = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb[y : y + side, x : x + side], (size, size), interpolation=way), np.uint8)


@dataclass(frozen=True)
class Batch:
    """What one training step sees: l_net (N, 1, H, W), perhaps aged; l_true, the same and never aged; ab_net
    (N, 2, H, W); rgb (N, 3, H, W) in [0, 1]."""

    l_net: Tensor
    l_true: Tensor
    ab_net: Tensor
    rgb: Tensor

    def painted(self, ab_net: Tensor) -> Tensor:
        """The pictures in the colours ab_net (N, 2, H, W), sRGB (N, 3, H, W) in [0, 1]. They have the true L*, whatever
        the aged L* was that the colours were answered to."""
        return lab.srgb_from_lab(lab.lab_from_net(self.l_true.to(ab_net.device), ab_net))


def to_batch(crops: Sequence[ByteArray], randoms: Sequence[np.random.Generator | None]) -> Batch:
    """uint8 pictures (H, W, 3) of one size -> a batch; those that have a generator are made to look old by it."""
    rgb = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    linear = lab.linear_from_srgb(rgb)
    l_true, ab_net = lab.net_from_lab(lab.lab_from_linear(linear))
    old = aged_batch(linear, (l_true + 1) / 2, list(randoms))
    return Batch(old * 2 - 1, l_true, ab_net.contiguous(), rgb)


def aged_or_not(
    crop: ByteArray, aging: float, random: np.random.Generator
) -> tuple[ByteArray, np.random.Generator | None]:
    """The crop, perhaps with a margin, and its generator if it is to be aged: a share `aging` of all is."""
    if random.random() >= aging:
        return crop, None
    return (margin(crop, random) if random.random() < MARGIN_SHARE else crop), random


def training_batch(photos: PhotoSet, start: int, count: int, size: int, aging: float, seed: int) -> Batch:
    """Pictures number `start` to `start + count` of the endless shuffled row of all epochs, cropped and aged.

    Each picture is a function of its number and the seed, so that a batch can be made in parts.
    """
    n = len(photos)
    crops, randoms = [], []
    for position in range(start, start + count):
        order = np.random.default_rng((seed, position // n)).permutation(n)
        random = np.random.default_rng((seed, 1, position))
        whole = random_crop(photos.pictures[order[position % n]], size, random)
        crop, old = aged_or_not(whole, aging, random)
        crops.append(crop)
        randoms.append(old)
    return to_batch(crops, randoms)


def validation_batch(photos: PhotoSet, start: int, count: int, size: int) -> Batch:
    """Pictures number `start` to `start + count` in their own order, centre crops, not aged."""
    crops = [centre_crop(rgb, size) for rgb in photos.pictures[start : start + count]]
    return to_batch(crops, [None] * len(crops))
