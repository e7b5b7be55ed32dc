"""Films that pan over a wide colour picture, made here."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from archivecolor.imaging import lab
from support.needs import av

SIZE = (96, 128)
STEP = 3
"""Pixels to the right from frame to frame."""


def wide_picture(width: int, height: int = SIZE[0], seed: int = 0) -> Any:
    """sRGB (height, width, 3): patches of many colours, with soft edges and things to hold on to."""
    draw = np.random.default_rng(seed)
    rgb = Image.fromarray(draw.integers(30, 220, (height // 12, width // 12, 3), np.uint8))
    patches = np.asarray(rgb.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    y, x = np.mgrid[0:height, 0:width]
    waves = 12 * np.sin(x / 3.1 + y / 7 + seed) + 12 * np.sin(y / 2.7 - x / 9)
    return (patches + waves[..., None].astype(np.int16)).clip(0, 255).astype(np.uint8)


def pan(count: int, seed: int = 0) -> list[Any]:
    """The frames of a pan, sRGB (H, W, 3)."""
    wide = wide_picture(SIZE[1] + STEP * count, seed=seed)
    return [np.ascontiguousarray(wide[:, STEP * i : STEP * i + SIZE[1]]) for i in range(count)]


def save(path: Path, frames: Sequence[Any], colour: bool = False, rotation: int = 0) -> Path:
    """A film of 24 frames a second, nearly without loss; grey unless `colour`."""
    with av.open(str(path), "w") as out:
        if path.suffix == ".mkv":
            stream = out.add_stream("ffv1", rate=Fraction(24))
        else:
            stream = out.add_stream("libx264", rate=Fraction(24), options={"crf": "4"})
            stream.set_display_rotation(rotation)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for i, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv444p")
            if not colour:
                for plane in list(frame.planes)[1:]:
                    plane.update(bytes([128]) * plane.buffer_size)
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def save_picture(path: Path, rgb: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    return path


def frames_of(path: Path) -> list[Any]:
    """The frames of a film, sRGB (H, W, 3)."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def lab_of_frame(rgb: Any) -> Any:
    """(3, H, W)."""
    return lab.lab_from_srgb(torch.from_numpy(rgb).permute(2, 0, 1).float() / 255).numpy()


def colour_error(rgb: Any, truth: Any) -> float:
    """Mean distance of ab, Lab units."""
    return float(np.hypot(*(lab_of_frame(rgb)[1:] - lab_of_frame(truth)[1:])).mean())
