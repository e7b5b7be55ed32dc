"""Draws two PNGs: the time of each stage, and an edge in colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from archivecolor import files
from archivecolor.bench.claims import upsample_and_merge
from archivecolor.bench.stages import STAGES, Measured
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import ByteArray, FloatArray

_INKS = ("#4477aa", "#66ccee", "#cc3311", "#bbbbbb", "#009988", "#ee7733", "#aa3377")
_ROW, _LEFT, _WIDTH = 54, 330, 1180


def chart(measured: list[Measured], path: Path) -> None:
    """A bar for every measurement: core-seconds of each stage per megapixel, the best possible and the whole."""
    font = ImageFont.load_default(16)
    image = Image.new("RGB", (_LEFT + _WIDTH + 40, _ROW * len(measured) + 90), "white")
    pen = ImageDraw.Draw(image)
    for i, (name, ink) in enumerate(zip(STAGES, _INKS, strict=True)):
        pen.rectangle((20 + i * 150, 14, 36 + i * 150, 30), ink)
        pen.text((42 + i * 150, 13), name, "black", font)
    most = max(max(m.whole_s * m.cores, sum(m.stages.values())) / m.megapixels for m in measured)
    for i, m in enumerate(measured):
        top = 50 + i * _ROW
        scale = _WIDTH / (most * m.megapixels)
        pen.text((20, top + 10), f"{m.model}, {m.group}", "black", font)
        left = float(_LEFT)
        for name, ink in zip(STAGES, _INKS, strict=True):
            right = left + m.stages[name] * scale
            pen.rectangle((left, top, right, top + 26), ink)
            left = right
        end = _LEFT + m.whole_s * m.cores * scale
        pen.rectangle((_LEFT, top + 29, end, top + 34), "black")
        pen.text((_LEFT, top + 35), f"whole: {m.pictures_per_second:.2f}/s, {m.ratio:.2f} of the best", "black", font)
    note = f"core-seconds per megapixel; the longest bar is {most * 1e3:.0f} ms; black: the whole, all cores"
    pen.text((20, image.height - 28), note, "black", font)
    _save(np.asarray(image), path)


def edges(path: Path) -> tuple[float, float]:
    """Draws, from left to right: a true photograph, and its colours from a small map, enlarged bilinearly and by us.

    Returns:
        The mean distance in ab from the truth, over the tenth of the pixels where the true colour changes most: ours,
        and the bilinear one.

    The picture is scikit-image's cup of coffee by Rachel Michetti (CC0). The maps are the reduced true colours, so
    that only the enlargement differs.
    """
    from skimage import data

    truth = np.asarray(data.coffee())[80:320, 160:480]  # type: ignore[no-untyped-call]
    height, width = truth.shape[:2]
    values = lab.lab_from_srgb(torch.from_numpy(truth.copy()).permute(2, 0, 1) / 255)
    grey = (lab.srgb_from_lab(values * torch.tensor([1.0, 0, 0])[:, None, None])[0] * 255).round().byte().numpy()
    size = (width // 16, height // 16)
    small = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_AREA) for channel in values.numpy()])
    wide = np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in small[1:]])
    plain = lab.srgb_from_lab(torch.cat([values[:1], torch.from_numpy(wide)]))
    bilinear = (plain * 255).round().byte().permute(1, 2, 0).numpy()
    ours = upsample_and_merge(grey, small[0], small[1:])
    _save(np.concatenate([_enlarged(picture, 2) for picture in (truth, bilinear, ours)], axis=1), path)
    true_ab = values[1:].numpy()
    change = np.hypot(*(np.hypot(cv2.Sobel(c, -1, 1, 0), cv2.Sobel(c, -1, 0, 1)) for c in true_ab))
    strong = change > np.percentile(change, 90)
    ours_off, bilinear_off = (np.hypot(*(_ab(picture) - true_ab))[strong].mean() for picture in (ours, bilinear))
    return float(ours_off), float(bilinear_off)


def _ab(rgb: ByteArray) -> FloatArray:
    return lab.lab_from_srgb(torch.from_numpy(rgb).permute(2, 0, 1) / 255).numpy()[1:]


def _enlarged(picture: ByteArray, factor: int) -> ByteArray:
    return np.pad(picture.repeat(factor, 0).repeat(factor, 1), ((0, 0), (0, 8), (0, 0)), constant_values=255)


def _save(picture: ByteArray, path: Path) -> None:
    with files.atomic_write(path) as part:
        Image.fromarray(picture).save(part, format="png")
