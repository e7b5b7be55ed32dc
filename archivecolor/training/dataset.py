"""Colour photographs of a folder, decoded once into memory, and cut into batches that depend only on a seed.

Batch number k is a pure function of (seed, k), so a resumed training sees the same batches as an unbroken one.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import cv2
import joblib
import numpy as np
import torch
from torch import Tensor

from archivecolor import photo
from archivecolor.errors import MachineColoredError, NoInputError, PictureError
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray, IntArray
from archivecolor.training import copies
from archivecolor.training.aging import age_batch
from archivecolor.training.damage import margin
from archivecolor.training.mounts import lay_on_sheet

VALIDATION_SHARE = 0.04
MIN_VALIDATION = 16
"""At least so many validation pictures, if that is no more than a fifth of all."""
MIN_CROP = 0.65
"""The smallest side of a crop, as a share of the picture's short side. The largest is the whole short side."""
MEAN_CROP = (MIN_CROP + 1) / 2
MARGIN_SHARE = 0.15
"""The share of aged pictures that get a margin."""
MIN_SIDE = 64
"""In pixels; smaller pictures are not used."""

TRAINING_FILES = ("card.json", "checkpoint.safetensors", "history.jsonl")
"""A folder that contains one of these is a weights folder, or will be one."""

SPLIT = "split.json"
"""The file in a weights folder that says which pictures were for training and which for validation."""


class ReadRgb(Protocol):
    """Reads a picture as sRGB, uint8 (H, W, 3)."""

    def __call__(self, path: Path, short_side: int = 0, /) -> ByteArray:
        """Reads a picture.

        Args:
            short_side: a huge picture may be reduced to this; 0: it is read whole.

        Raises:
            PictureError: it cannot be read.
        """
        ...


def find(source: Path) -> list[Path]:
    """Lists the photographs in a folder and its subfolders, or those that a text file names, one per line.

    Always in the same order. Pictures in weights folders are not listed: they are samples of a training.

    Raises:
        NoInputError: there are none.
    """
    if source.is_dir():
        made = {path.parent for name in TRAINING_FILES for path in source.rglob(name)}
        paths = sorted(
            path
            for path in source.rglob("*")
            if path.suffix.lower() in photo.SUFFIXES and path.is_file() and made.isdisjoint(path.parents)
        )
    elif source.is_file():
        paths = read_list(source)
    else:
        raise NoInputError(f"{source}: no such folder or list of photographs")
    if not paths:
        raise NoInputError(f"{source}: contains no photographs ({', '.join(sorted(photo.SUFFIXES))})")
    return paths


def read_list(file: Path) -> list[Path]:
    """The paths in a text file, one per line, each once. Relative paths begin at the file's folder.

    Empty lines and comments (`# ...`) are skipped. A path may have quotes around it or begin with `~`.

    Raises:
        NoInputError: it is not a text file.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise NoInputError(
            f"{file}: is neither a folder nor a text file; name the folder of the photographs, or a list of them"
        ) from error
    if any("\0" in line for line in lines):
        raise NoInputError(f"{file}: contains a NUL byte, so it is not a list of photographs")
    names = [line.strip() for line in lines]
    names = [name for name in names if name and not name.startswith("#")]
    unquoted = [name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name for name in names]
    return list(dict.fromkeys(file.parent / Path(name).expanduser() for name in unquoted))


def split_train_validation(
    paths: Sequence[Path], root: Path, first_copies: Sequence[int] | None = None, minimum: int = MIN_VALIDATION
) -> tuple[list[Path], list[Path]]:
    """Splits pictures into training and validation pictures. Each side keeps the order.

    A hash of the picture's name below `root` decides, so pictures that are added later move no other picture. If there
    are few pictures, `VALIDATION_SHARE` gives less than `minimum` (or less than a fifth, if that is less). Then the
    pictures with the smallest hashes are validation pictures.

    Args:
        first_copies: for each picture the number of the first one that it is a copy of (`copies.first_copies`). Copies
            fall on the side of the first.
        minimum: at least so many validation pictures, if that is no more than a fifth of all.
    """
    own = [int(hashlib.sha256(relative_name(path, root).encode()).hexdigest()[:8], 16) for path in paths]
    hashes = [own[first] for first in first_copies] if first_copies else own
    smallest = sorted(hashes)[: max(min(minimum, len(paths) // 5), int(len(paths) > 1))]
    limit = max([int(VALIDATION_SHARE * 2**32) - 1, *smallest])
    if hashes and limit >= max(hashes):  # something must be left to learn from
        limit = max((number for number in hashes if number < max(hashes)), default=-1)
    return (
        [p for p, number in zip(paths, hashes, strict=True) if number > limit],
        [p for p, number in zip(paths, hashes, strict=True) if number <= limit],
    )


def relative_name(path: Path, root: Path) -> str:
    """The path below `root`, or below the folder of the list `root`, if it is there; else the whole path."""
    root = root.parent if root.is_file() else root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def first(photos: PhotoSet, count: int) -> PhotoSet:
    """The first pictures of a set."""
    return PhotoSet(photos.pictures[:count], photos.names[:count], {})


def paths_of(photos: PhotoSet, root: Path) -> list[Path]:
    """The paths of the pictures of a set; the inverse of `relative_name`."""
    folder = root.parent if root.is_file() else root
    return [folder / name for name in photos.names]


def rejection_reason(rgb: ByteArray) -> str | None:
    """Why a picture cannot teach colour, or None: too small, grey, or tinted in one tone."""
    if min(rgb.shape[:2]) < MIN_SIDE:
        return "under 64 pixels"
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    values = lab.lab_from_srgb(torch.from_numpy(small).permute(2, 0, 1).float() / 255).numpy().reshape(3, -1)
    lightness, ab = values[0] / 100, values[1:]
    if np.hypot(*ab).mean() < 3:
        return "grey"
    # A tinted picture's ab is a function of its lightness alone.
    powers = np.stack([np.ones_like(lightness), lightness, lightness**2], axis=1)
    fit, *_ = np.linalg.lstsq(powers, ab.T, rcond=None)
    if np.hypot(*(ab.T - powers @ fit).T).mean() < 2:
        return "tinted in one tone"
    return None


@dataclass(frozen=True)
class PhotoSet:
    """Decoded photographs: `pictures[i]` is uint8 (H, W, 3)."""

    pictures: list[ByteArray]
    names: list[str]
    reasons: dict[str, str]
    """Why pictures of the source are not in the set, by name."""

    @functools.cached_property
    def fingerprints(self) -> list[str]:
        """Of each picture; see `copies.fingerprint`."""
        return [copies.fingerprint(rgb) for rgb in self.pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def left_out(self) -> dict[str, int]:
        """How many pictures of the source are not in the set, for each reason."""
        return dict(Counter(self.reasons.values()))


def evenly_spaced(count: int, limit: int) -> list[int]:
    """At most `limit` of the numbers below `count`, evenly spaced; always the same."""
    return list(range(count)) if count <= limit else [i * count // limit for i in range(limit)]


def sample(paths: Sequence[Path], limit: int) -> list[Path]:
    """At most `limit` of the paths, evenly spaced; 0 for all."""
    return [paths[i] for i in evenly_spaced(len(paths), limit or len(paths))]


def find_sample(source: Path, limit: int) -> list[Path]:
    """At most `limit` photographs of a folder or list, evenly spaced; 0 for all."""
    return sample(find(source), limit)


def decode(path: Path, read: ReadRgb, short_side: int) -> tuple[ByteArray | None, str]:
    """Reads a picture and reduces it to at most `short_side` pixels. Returns None and the reason if it is rejected."""
    try:
        rgb = read(path, max(short_side, MIN_SIDE))
    except MachineColoredError:
        return None, "coloured by archivecolor"
    except PictureError:
        return None, "unreadable" if path.exists() else "missing"
    if reason := rejection_reason(rgb):
        return None, reason
    scale = short_side / min(rgb.shape[:2])
    if scale < 1:
        size = (max(short_side, round(rgb.shape[1] * scale)), max(short_side, round(rgb.shape[0] * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return rgb, ""


Decode = Callable[[Path, ReadRgb, int], tuple[ByteArray | None, str]]
"""`decode`, or one that remembers."""


def stream(
    paths: Sequence[Path], read: ReadRgb, short_side: int, decode: Decode = decode
) -> Iterator[tuple[Path, ByteArray | None, str]]:
    """Decodes pictures in threads, in order, a few ahead of the consumer. See `decode`."""
    threads = joblib.cpu_count()
    pending: deque[tuple[Path, Future[tuple[ByteArray | None, str]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            pending.append((path, pool.submit(decode, path, read, short_side)))
            if len(pending) > 2 * threads:
                done, future = pending.popleft()
                yield (done, *future.result())
        while pending:
            done, future = pending.popleft()
            yield (done, *future.result())


def load(
    paths: Sequence[Path],
    read: ReadRgb,
    short_side: int,
    root: Path = Path(),
    on_decoded: Callable[[int], None] = lambda count: None,
    decode: Decode = decode,
) -> PhotoSet:
    """Decodes all pictures into memory, reduced to at most `short_side` pixels.

    Args:
        root: pictures are named by their paths below it.
        on_decoded: called with the number of pictures decoded so far.
        decode: how one picture is decoded.

    Raises:
        NoInputError: all pictures were rejected.
    """
    photos = PhotoSet([], [], {})
    for i, (path, rgb, reason) in enumerate(stream(paths, read, short_side, decode)):
        name = relative_name(path, root)
        if rgb is None:
            photos.reasons[name] = reason
        else:
            photos.pictures.append(rgb)
            photos.names.append(name)
        on_decoded(i + 1)
    if not photos.pictures:
        raise all_rejected_error(len(paths), photos.left_out)
    return photos


def all_rejected_error(count: int, left_out: dict[str, int]) -> NoInputError:
    """An error that says why none of `count` pictures can be used."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "there are none"
    return NoInputError(f"none of the {count} pictures can teach colour ({reasons})")


def random_crop(rgb: ByteArray, size: int, rng: np.random.Generator) -> ByteArray:
    """A square of `size` px, cut from 65 to 100 % of the short side, mildly stretched, mirrored half of the time."""
    height, width = rgb.shape[:2]
    side = rng.uniform(MIN_CROP, 1.0) * min(height, width)
    stretch = np.exp(rng.uniform(-0.08, 0.08))
    h, w = min(height, round(side * stretch)), min(width, round(side / stretch))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    crop = _resize(rgb[y : y + h, x : x + w], size)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def centre_crop(rgb: ByteArray, size: int) -> ByteArray:
    """The middle square, resized to `size`."""
    side = min(rgb.shape[:2])
    y, x = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return _resize(rgb[y : y + side, x : x + side], size)


def _resize(crop: ByteArray, size: int) -> ByteArray:
    """(h, w, 3) -> (size, size, 3)."""
    interpolation = cv2.INTER_AREA if min(crop.shape[:2]) >= size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (size, size), interpolation=interpolation), np.uint8)


@dataclass(frozen=True)
class Batch:
    """What one training step sees."""

    l_net: Tensor
    """The network's input (N, 1, H, W) in [-1, 1]; may be aged."""
    l_true: Tensor
    """The same, never aged."""
    ab_net: Tensor
    """The target (N, 2, H, W), ab/110."""
    rgb: Tensor
    """The true pictures, sRGB (N, 3, H, W) in [0, 1]."""

    def colorized(self, ab_net: Tensor) -> Tensor:
        """The pictures in the colours ab_net (N, 2, H, W), as sRGB (N, 3, H, W) in [0, 1].

        They have the true L*, even if the network saw an aged one.
        """
        return lab.srgb_from_lab(lab.lab_from_net(self.l_true.to(ab_net.device), ab_net))

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; nothing is copied where it is there already. Pinned memory is not waited for."""
        return Batch(*(getattr(self, part.name).to(device, non_blocking=True) for part in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Batch], pinned: bool = False) -> Batch:
        """Parts of one batch in one, in the host's memory; `pinned` for a GPU to copy."""

        def join(tensors: list[Tensor]) -> Tensor:
            count = sum(map(len, tensors))
            whole = torch.empty(count, *tensors[0].shape[1:], dtype=tensors[0].dtype, pin_memory=pinned)
            return torch.cat(tensors, out=whole)

        return cls(*(join([getattr(part, name) for part in parts]) for name in (part.name for part in fields(cls))))


def to_batch(crops: Sequence[ByteArray], rngs: Sequence[np.random.Generator | None]) -> Batch:
    """uint8 pictures (H, W, 3) of one size -> a batch. Those with a random generator are aged by it."""
    rgb = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    linear = lab.linear_from_srgb(rgb)
    l_true, ab_net = lab.net_from_lab(lab.lab_from_linear(linear))
    aged = age_batch(linear, (l_true + 1) / 2, list(rngs))
    return Batch(aged * 2 - 1, l_true, ab_net.contiguous(), rgb)


def draw_aging(crop: ByteArray, aging: float, rng: np.random.Generator) -> tuple[ByteArray, np.random.Generator | None]:
    """Decides whether a crop is aged, with probability `aging`.

    Returns:
        The crop, perhaps with a margin, and the generator for `to_batch`: None if the crop is not aged.
    """
    if rng.random() >= aging:
        return crop, None
    return (margin(crop, rng) if rng.random() < MARGIN_SHARE else crop), rng


def draw_mount(crop: ByteArray, mounts: float, rng: np.random.Generator) -> ByteArray:
    """Lays a crop on a mount or beside a grey scale, with probability `mounts`.

    Args:
        rng: not that of the crop and its aging, so that these do not depend on `mounts`.
    """
    return lay_on_sheet(crop, rng) if rng.random() < mounts else crop


@functools.lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> IntArray:
    """The order (count,) in which an epoch shows the pictures."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def training_batch(
    photos: PhotoSet, start: int, count: int, size: int, aging: float, seed: int, mounts: float = 0.0
) -> Batch:
    """Pictures number `start` to `start + count` of the endless sequence of shuffled epochs, cropped and aged.

    Each picture is a function of its number and the seed, so a batch can be made in parts.

    Args:
        mounts: share of the pictures that `draw_mount` lays on a sheet.
    """
    n = len(photos)
    crops, rngs = [], []
    for position in range(start, start + count):
        order = epoch_order(n, seed, position // n)
        rng = np.random.default_rng((seed, 1, position))
        whole = random_crop(photos.pictures[order[position % n]], size, rng)
        crop, aging_rng = draw_aging(whole, aging, rng)
        crops.append(draw_mount(crop, mounts, np.random.default_rng((seed, 2, position))))
        rngs.append(aging_rng)
    return to_batch(crops, rngs)


def validation_batch(photos: PhotoSet, start: int, count: int, size: int) -> Batch:
    """Pictures number `start` to `start + count` in their own order: centre crops, not aged."""
    crops = [centre_crop(rgb, size) for rgb in photos.pictures[start : start + count]]
    return to_batch(crops, [None] * len(crops))
