"""The files that show how a training went: `history.jsonl`, `curves.png`, `samples.png`; and contact sheets."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from archivecolor import files
from archivecolor.errors import MissingDependencyError
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.contact_sheet import contact_sheet
from archivecolor.training import checkpoint
from archivecolor.training.dataset import PhotoSet, validation_batch

HISTORY, CURVES, SAMPLES = "history.jsonl", "curves.png", "samples.png"
CAPTION_PX = 22
"""Height of a caption on a sheet."""


def append_history(folder: Path, row: dict[str, float]) -> None:
    """Adds one row to the history. Replaces rows of as many or more pictures, left by a training that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [*(old for old in read_history(folder) if old["pictures"] < row["pictures"]), row]
    with files.atomic_write(folder / HISTORY) as part:
        part.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def read_history(folder: Path) -> list[dict[str, float]]:
    """The rows of `history.jsonl`; empty if there is no such file.

    Raises:
        WeightsError: the file is damaged.
    """
    path = folder / HISTORY
    if not path.exists():
        return []
    with checkpoint.damaged_file(path):
        rows: list[dict[str, float]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            row["pictures"]  # KeyError if it is missing
    return rows


def require_matplotlib() -> None:
    """Checks, before the training starts, that the curves can be drawn.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if not importlib.util.find_spec("matplotlib"):
        raise MissingDependencyError("the curves are drawn by matplotlib: pip install 'archivecolor[train]'")


def plot_curves(folder: Path) -> None:
    """Plots every number of the history over the pictures seen, as `curves.png`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = read_history(folder)
    names = [name for name in rows[-1] if name not in ("pictures", "seconds")]
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot([row["pictures"] for row in rows], [row.get(name) for row in rows], marker=".")
        axis.set(title=name, xlabel="pictures seen")
        axis.grid(alpha=0.3)
    with files.atomic_write(folder / CURVES) as part:
        figure.savefig(part, format="png", dpi=90)
    pyplot.close(figure)


def write_sheet(path: Path, rows: list[list[ByteArray]], captions: Sequence[str] = ()) -> None:
    """Writes rows of equal tiles as a PNG, with a caption above each row if there are captions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if captions:
        pairs = zip(rows, captions, strict=True)
        picture = np.concatenate([add_caption(_sheet([row]), caption) for row, caption in pairs])
    else:
        picture = _sheet(rows)
    with files.atomic_write(path) as part:
        Image.fromarray(picture).save(part, format="png")


def _sheet(rows: list[list[ByteArray]]) -> ByteArray:
    """Rows of equal tiles (h, w, 3) on one picture, with thin white gaps."""
    return contact_sheet(rows, gap=4, margin=2, background=(255, 255, 255))


def add_caption(picture: ByteArray, text: str) -> ByteArray:
    """The picture (H, W, 3) with a line of text above it, black on white."""
    line = Image.new("RGB", (picture.shape[1], CAPTION_PX), "white")
    ImageDraw.Draw(line).text((4, 2), text, fill="black", font=ImageFont.load_default(CAPTION_PX - 6))
    return np.concatenate([np.asarray(line, np.uint8), picture])


def to_uint8(rgb: Tensor) -> ByteArray:
    """(3, H, W) in [0, 1] -> uint8 (H, W, 3)."""
    return (rgb * 255).round().byte().permute(1, 2, 0).numpy()


@torch.inference_mode()
def write_samples(
    folder: Path, network: nn.Module, values: dict[str, Tensor], validation: PhotoSet, count: int = 10
) -> None:
    """Writes a sheet of validation pictures as `samples.png`: grey, colorized by the average, true."""
    batch = validation_batch(validation, 0, count, 256)
    with checkpoint.temporary_values(network, values):
        device = next(network.parameters()).device
        ab_net = network(batch.l_net.to(device)).float().cpu()
    rows = (batch.colorized(ab_net * 0), batch.colorized(ab_net), batch.rgb)
    write_sheet(folder / SAMPLES, [[to_uint8(picture) for picture in row] for row in rows])
