"""The files that show how a training went: `history.jsonl`, `curves.png`, `samples.png`; and contact sheets."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from archivecolor import files
from archivecolor.errors import MissingDependencyError
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.contact_sheet import contact_sheet
from archivecolor.training import checkpoint
from archivecolor.training.dataset import Batch, PhotoSet, evenly_spaced, validation_batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HISTORY, CURVES, SAMPLES, BEFORE_AFTER = "history.jsonl", "curves.png", "samples.png", "before_after.png"
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


BEST = {
    "val_l1": "lower is better",
    "val_psnr_gain": "dB; higher is better",
    "val_colour": "÷ truth; 1 is best",
    "val_fine": "÷ truth; 1 is best",
    "val_wild": "share; lower is better",
}
"""The unit of each number of a validation, and which direction is better."""


def plot_curves(folder: Path) -> None:
    """Plots the history over the pictures seen, as `curves.png`: validations above, losses and learning rate below.

    A dashed line marks the value at the start, and a ring the average that is published.
    """
    from matplotlib.figure import Figure  # pyplot would start a window system's backend, and keep figures alive

    rows = read_history(folder)
    names = [name for name in rows[-1] if name not in ("pictures", "seconds", "kept_at")]
    lines = [[name for name in names if name not in _training_curves(names)], _training_curves(names)]
    lines = [line for line in lines if line]
    across = max(map(len, lines))
    width, height = 4 * across, 3 * len(lines)
    figure = Figure(figsize=(width, height))
    # Margins in inches. A layout that measures the labels would draw everything twice.
    figure.subplots_adjust(0.7 / width, 0.5 / height, 1 - 0.2 / width, 1 - 0.4 / height, wspace=0.35, hspace=0.45)
    axes = figure.subplots(len(lines), across, squeeze=False)
    for line, line_axes in zip(lines, axes, strict=True):
        for axis, name in zip(line_axes, line, strict=False):
            _plot_curve(axis, rows, name)
        for axis in line_axes[len(line) :]:
            axis.axis("off")
    with files.atomic_write(folder / CURVES) as part:
        figure.savefig(part, format="png", dpi=90)


def _training_curves(names: Sequence[str]) -> list[str]:
    return [name for name in names if name == "lr" or name.startswith("loss_")]


def _plot_curve(axis: Axes, rows: list[dict[str, float]], name: str) -> None:
    axis.plot([row["pictures"] for row in rows], [row.get(name, math.nan) for row in rows], marker=".")
    axis.set(title=name, xlabel="pictures seen", ylabel=BEST.get(name, ""))
    axis.grid(alpha=0.3)
    if name not in BEST:
        return
    if rows[0]["pictures"] == 0 and name in rows[0]:
        axis.axhline(rows[0][name], linestyle="--", color="grey", label="start")
    published = [row for row in rows if row["pictures"] == rows[-1].get("kept_at")]
    if published and name in published[0]:
        axis.plot(published[0]["pictures"], published[0][name], "o", markersize=11, fillstyle="none", label="published")
    axis.legend(fontsize="small")


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


def write_samples(
    folder: Path,
    network: nn.Module,
    values: Mapping[str, Tensor],
    validation: PhotoSet,
    before: Mapping[str, Tensor] | None = None,
    count: int = 10,
) -> None:
    """Writes a sheet of validation pictures as `samples.png`: grey, colorized by the average, true.

    Args:
        before: the weights that the training started from, if any; they get a row above the average's.
    """
    rows = {"before": before} if before else {}
    _write_colorized(folder / SAMPLES, network, {**rows, "now": values}, validation_batch(validation, 0, count, 256))


def write_before_after(
    folder: Path,
    network: nn.Module,
    weights: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    validation: PhotoSet,
    gains: Sequence[float],
    count: int = 12,
) -> Path:
    """Writes a sheet of validation pictures as `before_after.png`, from the largest loss to the largest gain.

    Args:
        weights: before and after the training.
        gains: of PSNR in dB, one for each picture that was measured, in order.

    Returns:
        The sheet.
    """
    order = sorted(range(len(gains)), key=lambda i: gains[i])
    shown = [order[i] for i in evenly_spaced(len(order), count - 1)] + order[-1:]
    shown = list(dict.fromkeys(shown))
    pictures = PhotoSet([validation.pictures[i] for i in shown], [validation.names[i] for i in shown], {})
    numbers = ", ".join(f"{gains[i]:+.1f}" for i in shown)
    captions = ("before", f"now; PSNR against before, dB: {numbers}")
    rows = dict(zip(captions, weights, strict=True))
    _write_colorized(folder / BEFORE_AFTER, network, rows, validation_batch(pictures, 0, len(shown), 256))
    return folder / BEFORE_AFTER


@torch.inference_mode()
def _write_colorized(path: Path, network: nn.Module, weights: Mapping[str, Mapping[str, Tensor]], batch: Batch) -> None:
    """Writes a sheet of one batch: grey, a row for each set of weights under its caption, true."""
    device = next(network.parameters()).device
    rows = {"grey": batch.colorized(torch.zeros_like(batch.ab_net))}
    for caption, values in weights.items():
        with checkpoint.temporary_values(network, values):
            rows[caption] = batch.colorized(network(batch.l_net.to(device)).float().cpu())
    rows["true colours"] = batch.rgb
    write_sheet(path, [[to_uint8(picture) for picture in row] for row in rows.values()], list(rows))
