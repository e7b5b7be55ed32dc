"""Reels of numbered DPX files, made here."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archivecolor.film import dpx
from archivecolor.imaging import lab
from archivecolor.options import FilmOptions
from support.doubles import colour
from support.films import scene
from support.needs import package

SIZE = (48, 65)


def light_of(index: int) -> Any:
    """A grey scene as light (H, W), 0 to 1."""
    return lab.linear_from_srgb(torch.from_numpy(scene(index, *SIZE)).float())


def save_dpx(path: Path, index: int, curve: str = "log", bits: int = 10, transfer: int = 1) -> Any:
    """A grey scene in RGB; its codes."""
    header = dpx.new_header(SIZE[1], SIZE[0], bits, transfer)
    codes = dpx.light_encoder(header, curve)(light_of(index)).numpy().astype(np.uint8 if bits == 8 else np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    dpx.write(path, header, np.dstack([codes] * 3), curve, "Scanner X")
    return codes


def television(header: dpx.DpxHeader) -> dpx.DpxHeader:
    """Whose black is 16 and white 235 of 255, and so on for other depths."""
    low, high = (code << (header.bits - 8) for code in (16, 235))
    head = bytearray(header.head)
    struct.pack_into(f"{header.order}I4xI", head, 784, low, high)
    return replace(header, head=bytes(head), low=(low, 0.0), high=(high, 0.0))


def save_reel(folder: Path, numbers: Any, **dpx_options: Any) -> Path:
    """A reel of DPX; its pattern."""
    for number in numbers:
        save_dpx(folder / f"reel_{number:06d}.dpx", number, **dpx_options)
    return folder / "reel_%06d.dpx"


def film_of(source: Any, out: Path, ink: Path, **options: Any) -> Any:
    """The row of one film."""
    film = options.setdefault("film", FilmOptions(fps="24"))
    if Path(source).suffix not in (".png", ".tif", ".jpg") or film.codec != "auto" or film.master:
        package("av")  # numbered pictures become numbered pictures without it
    if not film.cuts:
        package("scenedetect")
    (row,) = colour(source, out=out, model=ink, **options)
    return row
