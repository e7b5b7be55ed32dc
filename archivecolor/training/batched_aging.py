"""`aging.py` and `damage.py` for whole batches on any device: the same steps, drawn from hashes (`chance.py`).

Lightness is L*/100 (N, 1, H, W), float32, about [0, 1]. A picture's result depends on its own numbers alone. Lines and
specks are computed from their distance to each pixel, as wide and soft as `damage.py` draws them with OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from archivecolor.imaging import lab
from archivecolor.training import aging, damage
from archivecolor.training.chance import Draws, derived_keys, uniform

BatchedStep = Callable[[Tensor, Draws], Tensor]
MAX_SCRATCHES, MAX_SPECKS, MAX_HAIRS = 4, 25, 2
_EMULSION_PURPOSE, _STEP_PURPOSE, _DECISIONS = 101, 211, 2
"""Purposes of `chance.py`. Noise has those of `_WALK`, `_FINE` and `_CLUMPS`, within the keys of its own step."""
_WALK, _FINE, _CLUMPS = 11, 21, 23


def _grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each pixel, float32: (1, 1, H, 1) and (1, 1, 1, W)."""
    height, width = like.shape[-2:]
    rows, columns = (torch.arange(n, dtype=torch.float32, device=like.device) for n in (height, width))
    return rows.view(1, 1, -1, 1), columns.view(1, 1, 1, -1)


def emulsion(linear: Tensor, draws: Draws) -> Tensor:
    """`aging.emulsion`: linear RGB (N, 3, H, W) -> lightness (N, 1, H, W)."""
    is_orthochromatic, share = draws.chance(0.5), draws.between(0, 1)
    y = torch.zeros_like(linear[:, :1])
    for i, responses in enumerate(zip(aging.ORTHOCHROMATIC, aging.RED_SENSITIVE, lab.LUMA, strict=True)):
        orthochromatic, red_sensitive, eye = responses
        extreme = torch.where(is_orthochromatic, orthochromatic, red_sensitive)
        y = y + linear[:, i : i + 1] * (eye + share * (extreme - eye))
    return lab.lightness_from_luminance(y) / 100


def fade(lightness: Tensor, draws: Draws) -> Tensor:
    """`aging.fade`."""
    gamma = draws.between(-0.45, 0.45).exp()
    black, white = draws.between(-0.06, 0.22), draws.between(0.72, 1.06)
    return black + (white - black) * lightness.clamp(0, 1) ** gamma


def blur(lightness: Tensor, draws: Draws) -> Tensor:
    """`aging.blur`."""
    return gaussian_blur(lightness, draws.between(0.1, 1.3))


def gaussian_blur(lightness: Tensor, sigma: Tensor) -> Tensor:
    """As `cv2.GaussianBlur` with a kernel of 7 x 7.

    Args:
        sigma: (N, 1, 1, 1), in pixels.
    """
    radius = 3
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device=lightness.device).view(1, -1, 1, 1)
    weights = torch.exp(-0.5 * (offsets / sigma.double()) ** 2)
    weights = (weights / weights.sum(dim=1, keepdim=True)).float()
    for axis in (-1, -2):
        margins = (radius, radius, 0, 0) if axis == -1 else (0, 0, radius, radius)
        padded = F.pad(lightness, margins, mode="reflect")
        length = lightness.shape[axis]
        blurred = torch.zeros_like(lightness)
        for i in range(2 * radius + 1):
            blurred = blurred + padded.narrow(axis, i, length) * weights[:, i : i + 1]
        lightness = blurred
    return lightness


def grain(lightness: Tensor, draws: Draws) -> Tensor:
    """`aging.grain`."""
    height, width = lightness.shape[-2:]
    fine = draws.normal(_FINE, height, width)
    clumps = draws.normal(_CLUMPS, (height + 1) // 2, (width + 1) // 2)
    coarse = F.interpolate(clumps, size=(height, width), mode="bilinear", align_corners=False)
    tone = lightness.clamp(0, 1)
    return lightness + (0.6 * fine + 0.7 * coarse) * draws.between(0, 0.05) * (0.4 + 2.4 * tone * (1 - tone))


def halftone(lightness: Tensor, draws: Draws) -> Tensor:
    """`damage.halftone`."""
    turn, frequency = draws.between(0, math.pi / 2), 2 * math.pi / draws.between(2.5, 5.0)
    rows, columns = _grid(lightness)
    y, x, c, s = rows * frequency, columns * frequency, turn.cos(), turn.sin()
    screen = 0.5 + 0.25 * (torch.cos(c * x + s * y) + torch.cos(c * y - s * x))
    dots = ((lightness - screen) * 3 + 0.5).clamp(0, 1)
    return lightness + draws.between(0.05, 0.3) * (dots - lightness)


def _cover_lines(like: Tensor, start: tuple[Tensor, Tensor], lines: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """How much of each pixel thin bent lines cover: (N, 1, H, W) in [0, 1].

    Args:
        start: x and y in pixels, (N, K, 1, 1) each.
        lines: angle, length, bend (see `damage._bent_line`) and whether the line exists, (N, K, 1, 1) each.
    """
    rows, columns = _grid(like)
    angle, length, bend, exists = lines
    cos, sin = angle.cos(), angle.sin()
    cover = torch.zeros_like(like)
    for k in range(angle.shape[1]):  # one at a time: maps of all lines of a batch would be large
        one = slice(k, k + 1)
        dx, dy = columns - start[0][:, one], rows - start[1][:, one]
        along, across = dx * cos[:, one] + dy * sin[:, one], dy * cos[:, one] - dx * sin[:, one]
        bow = bend[:, one] * length[:, one] * torch.sin(math.pi * (along / length[:, one]).clamp(0, 1))
        on_line = (along >= 0) & (along <= length[:, one]) & exists[:, one]
        cover = torch.maximum(cover, torch.where(on_line, (1.2 - (across - bow).abs()).clamp(0, 0.93), 0.0))
    return cover


def _blend(lightness: Tensor, cover: Tensor, value: Tensor, opacity: Tensor) -> Tensor:
    return lightness + cover * opacity * (value - lightness)


def _indexes(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device).view(1, count, 1, 1)


def scratches(lightness: Tensor, draws: Draws) -> Tensor:
    """`damage.scratches`."""
    height, width = lightness.shape[-2:]
    k = MAX_SCRATCHES
    exists = _indexes(k, lightness) < draws.integer(1, k + 1)
    upright = draws.chance(0.7, k)
    bell = sum((draws.between(-0.5, 0.5, k) for _ in range(4)), torch.zeros_like(upright, dtype=torch.float32))
    # Four uniform numbers have a standard deviation of 1 / sqrt(3).
    angle = torch.where(upright, math.pi / 2 + 0.04 * math.sqrt(3) * bell, draws.between(0, math.pi, k))
    start = draws.between(0, width, k), draws.between(0, height, k) * torch.where(upright, 0.3, 1.0)
    lines = angle, draws.between(0.2, 1.0, k) * height, draws.between(-0.04, 0.04, k), exists
    value = draws.chance(0.7).float()
    return _blend(lightness, _cover_lines(lightness, start, lines), value, draws.between(0.15, 0.85))


def dust(lightness: Tensor, draws: Draws) -> Tensor:
    """`damage.dust`."""
    height, width = lightness.shape[-2:]
    side, k = min(height, width), MAX_SPECKS
    count = draws.integer(3, k + 1)
    x, y = draws.between(0, width, k), draws.between(0, height, k)
    exponential = -(1 - draws.between(0, 1, k)).log()
    radius = (0.3 + exponential * 0.004 * side).clamp_max(0.02 * side)
    strength = draws.between(90 / 255, 1.0, k)
    rows, columns = _grid(lightness)
    cover = torch.zeros_like(lightness)
    for i in range(k):
        one = slice(i, i + 1)
        distance = ((columns - x[:, one]).square() + (rows - y[:, one]).square()).sqrt()
        speck = (radius[:, one] + 1 - distance).clamp(0, 1) * strength[:, one]
        cover = torch.maximum(cover, torch.where(count > i, speck, 0.0))
    k = MAX_HAIRS
    exists = _indexes(k, lightness) < draws.integer(0, k + 1)
    start = draws.between(0, width, k), draws.between(0, height, k)
    length = draws.between(0.04, 0.15, k) * side
    lines = draws.between(0, 2 * math.pi, k), length, draws.between(-0.5, 0.5, k), exists
    cover = torch.maximum(cover, _cover_lines(lightness, start, lines))
    return _blend(lightness, cover, draws.chance(0.6).float(), draws.between(0.4, 1.0))


_JPEG_TABLE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
"""The luminance table of ITU-T T.81 (1992), annex K."""


def jpeg(lightness: Tensor, draws: Draws) -> Tensor:
    """`damage.jpeg`."""
    return jpeg_round_trip(lightness, draws.integer(15, 71))


def jpeg_round_trip(lightness: Tensor, quality: Tensor) -> Tensor:
    """A grey JPEG file and back, as libjpeg does it: sides are multiples of 8.

    Args:
        quality: (N, 1, 1, 1), whole numbers from 1 to 100.
    """
    n, _, height, width = lightness.shape
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality).view(n, 1, 1, 1, 1)
    table = ((_JPEG_TABLE.to(lightness.device, non_blocking=True) * scale + 50) / 100).floor().clamp(1, 255)
    k = torch.arange(8, dtype=torch.float32, device=lightness.device)
    dct = torch.cos((2 * k + 1) * k[:, None] * (math.pi / 16)) * 0.5
    dct[0] *= math.sqrt(0.5)
    levels = (lightness.clamp(0, 1) * 255).round() - 128
    blocks = levels.view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    kept = (_both_sides(dct, blocks) / table).round() * table
    pixels = _both_sides(dct.T, kept).transpose(2, 3).reshape(n, 1, height, width)
    return (pixels + 128).round().clamp(0, 255) / 255


def _both_sides(matrix: Tensor, blocks: Tensor) -> Tensor:
    """matrix @ block @ matrix.T for blocks (..., 8, 8). Written as sums, so that no block depends on its neighbours'
    number: a matrix product may add in another order in another batch."""
    rows = sum((matrix[:, i, None] * blocks[..., i : i + 1, :] for i in range(8)), torch.zeros_like(blocks))
    return sum((rows[..., i : i + 1] * matrix[:, i] for i in range(8)), torch.zeros_like(blocks))


def margin(rgb: Tensor, draws: Draws) -> Tensor:
    """`damage.margin`: (N, 3, H, W) in [0, 1]."""
    n, _, height, width = rgb.shape
    side, length = min(height, width), max(height, width)
    torn = draws.chance(0.3)
    dark = draws.chance(0.6) & ~torn
    roughness = side * torch.where(torn, draws.between(0.04, 0.12), draws.between(0, 0.01)).view(n, 1, 1)
    sides = draws.chance(0.55, 4) | (_indexes(4, rgb) == draws.integer(0, 4))
    depth = (draws.between(0.015, 0.14, 4) * side).view(n, 4, 1)
    first, last = draws.between(0.8, 1.2, 4).view(n, 4, 1), draws.between(0.8, 1.2, 4).view(n, 4, 1)
    slant = first + (last - first) * torch.linspace(0, 1, length, device=rgb.device)
    walk = draws.normal(_WALK, 4, length)[:, 0].cumsum(dim=-1) * (roughness / math.sqrt(length))
    reach = (depth * slant + walk - walk.mean(dim=-1, keepdim=True)).clamp(0, damage.DEEPEST_MARGIN * side)
    reach = torch.where(sides.view(n, 4, 1), reach, -1.0)
    rows, columns = (axis[0] for axis in _grid(rgb))
    covered = (rows < reach[:, 0, None, :width]) | (height - 1 - rows < reach[:, 1, None, :width])
    covered |= (columns < reach[:, 2, :height, None]) | (width - 1 - columns < reach[:, 3, :height, None])
    value = torch.where(dark, draws.integer(0, 30), draws.integer(205, 256)) / 255
    return torch.where(covered[:, None], value, rgb)


BATCHED_STEPS: dict[str, BatchedStep] = {
    step.__name__: step for step in (fade, blur, grain, halftone, scratches, dust, jpeg)
}
"""The steps by the names of those of `aging.STEPS`, which has their order and probabilities."""


def age(linear: Tensor, lightness: Tensor, keys: Tensor) -> Tensor:
    """The lightness of aged pictures, in [0, 1]. Each step is computed for the pictures that it is drawn for.

    Args:
        linear: their linear RGB (N, 3, H, W).
        lightness: their true lightness (N, 1, H, W).
        keys: (N,), on the CPU, so that no decision waits for the device.
    """
    decisions = uniform(keys, _DECISIONS, 1 + len(aging.STEPS))

    def send(values: Tensor) -> Tensor:
        return values.to(lightness.device, non_blocking=True)

    aged = lightness.clone()
    if len(chosen := torch.nonzero(decisions[:, 0] < aging.EMULSION_SHARE)[:, 0]):
        places, draws = send(chosen), Draws(send(derived_keys(keys[chosen], _EMULSION_PURPOSE)))
        aged[places] = emulsion(linear[places], draws)
    for i, (step, probability) in enumerate(aging.STEPS):
        if len(chosen := torch.nonzero(decisions[:, 1 + i] < probability)[:, 0]):
            places, draws = send(chosen), Draws(send(derived_keys(keys[chosen], _STEP_PURPOSE + i)))
            aged[places] = BATCHED_STEPS[step.__name__](aged[places], draws)
    return aged.clamp(0, 1)
