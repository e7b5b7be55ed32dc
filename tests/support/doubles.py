"""Cheap doubles: a network whose answer is known, its weights folder, and small pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from archivecolor import networks, weights
from archivecolor.imaging import lab

INK = (20.0, 30.0)
"""ab of `ConstantInk`, Lab units: the brown of an old print."""


class ConstantInk(nn.Module):
    """Answers one colour for every pixel: `tint`, plus `tilt` times the height in the picture, -1 above to 1 below."""

    delay_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        # Divided before it is a tensor: on the meta device, where networks are built, that would wake torch's compiler.
        self.tint = nn.Parameter(torch.tensor([value / lab.AB_SCALE for value in INK]))
        self.tilt = nn.Parameter(torch.zeros(2))

    def forward(self, l_net: Tensor) -> Tensor:
        time.sleep(self.delay_s)
        n, _, h, w = l_net.shape
        down = torch.linspace(-1, 1, h)[:, None]
        return (self.tint[:, None, None] + self.tilt[:, None, None] * down).expand(n, 2, h, w)


def register_ink() -> None:
    """Makes the network known by the name `ink`, for this process."""
    networks.NETWORKS["ink"] = ConstantInk
    networks.STRIDES["ink"] = 32


def save_ink(folder: Path, tint: tuple[float, float] = INK, tilt: tuple[float, float] = (0.0, 0.0)) -> Path:
    """A weights folder that holds an ink of this colour, Lab units."""
    network = ConstantInk()
    with torch.no_grad():
        network.tint.copy_(torch.tensor(tint) / lab.AB_SCALE)
        network.tilt.copy_(torch.tensor(tilt) / lab.AB_SCALE)
    weights.save(folder, network, {"name": folder.name, "network": "ink", "stage": "imported"})
    return folder


def grey(height: int = 40, width: int = 56, dtype: Any = np.uint8, seed: int = 0) -> Any:
    """A soft grey scene with some grain, all its tones between 15 and 85 per cent."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    scene = 0.5 + 0.25 * np.sin(x / 9 + seed) * np.cos(y / 7) + draw.uniform(-0.1, 0.1, (height, width))
    return np.rint(scene.clip(0.15, 0.85) * np.iinfo(dtype).max).astype(dtype)


def colourful(height: int = 40, width: int = 56) -> Any:
    """A colour picture: hues that no single tint explains."""
    y, x = np.mgrid[0:height, 0:width]
    hue = np.stack([np.sin(x / 5), np.sin(y / 6 + 2), np.sin((x + y) / 8 + 4)], axis=-1)
    return np.rint((0.5 + 0.4 * hue) * 255).astype(np.uint8)


def save_grey_tree(root: Path, count: int = 3, **picture: Any) -> list[Path]:
    """Folders of small grey pictures: 8-bit PNG and 16-bit TIFF in turn, no two alike."""
    import tifffile

    made = []
    for i in range(count):
        path = root / f"box{i % 2}" / (f"{i:02}.png" if i % 3 else f"{i:02}.tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(grey(seed=i, **picture)).save(path)
        else:
            tifffile.imwrite(path, grey(seed=i, dtype=np.uint16, **picture))
        made.append(path)
    return made


def lightness(samples: Any) -> Any:
    """L* of grey (H, W) or RGB (H, W, 3) samples by scikit-image, the judge that is not ours."""
    from skimage.color import rgb2lab

    rgb = samples / float(np.iinfo(samples.dtype).max)
    return rgb2lab(np.stack([rgb] * 3, axis=-1) if rgb.ndim == 2 else rgb)[..., 0]


def lab_of(rgb: Any) -> Any:
    """Lab of RGB samples (H, W, 3) by scikit-image."""
    from skimage.color import rgb2lab

    return rgb2lab(rgb / float(np.iinfo(rgb.dtype).max))


def contents(folder: Path, but_not: Callable[[Path], bool] = lambda path: False) -> dict[str, bytes]:
    """The bytes of all files below a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not but_not(path)
    }


def colour(*inputs: Path, out: Path, model: Path, **options: Any) -> list[Any]:
    """`archivecolor.run` on the CPU in float32 with a small network size: the same bytes on every machine.

    Without sidecars, which tell the time; `disclosure=Disclosure()` is what a user gets.
    """
    from archivecolor import run
    from archivecolor.options import Disclosure

    values = {
        "disclosure": Disclosure(sidecar=False),
        "device": "cpu",
        "precision": "fp32",
        "size": 64,
        "workers": 3,
        **options,
    }
    return run(*inputs, out=out, model=str(model), **values)


def colour_slowly(source: Path, out: Path, model: Path) -> None:
    """For a process of its own, which is to be killed on the way."""
    from archivecolor.options import Disclosure

    register_ink()
    ConstantInk.delay_s = 0.02
    colour(source, out=out, model=model, disclosure=Disclosure())
