"""The promises about speed: each with the number that is measured here, and the number that was promised."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from PIL import Image

from archivecolor.bench.pictures import SMALLEST, colour_scene, synthetic_scan
from archivecolor.bench.stages import ACCESS_FORM, Measured
from archivecolor.imaging import guided_filter, lab, luminance
from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.inference import devices
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorizerOptions, Engine, Precision
from archivecolor.provenance import read_rows

Result = TypeVar("Result")
REPEATS = 3
"""How often both sides of a comparison are measured, in turn; the best of each counts. Work in this process is measured
in CPU seconds, so that other programs on the machine do not count."""


@dataclass(frozen=True)
class Claim:
    """One line of the report."""

    what: str
    value: float
    promised: str
    kept: bool


def all_claims(measured: list[Measured], device: str, work: Path) -> list[Claim]:
    """All claims: about the measured pipelines, and from comparisons that are made now."""
    return [
        *_ratios(measured),
        *_access_copies(measured),
        *_models(measured),
        *_precisions(device),
        *_engines({m.model for m in measured}, device),
        *compare_with_scikit_image(),
        *start_up(work),
    ]


def at_least(what: str, value: float, least: float) -> Claim:
    return Claim(what, value, f"≥ {least:g}", value >= least)


def at_most(what: str, value: float, most: float) -> Claim:
    return Claim(what, value, f"≤ {most:g}", value <= most)


def _ratios(measured: list[Measured]) -> list[Claim]:
    return [at_least(f"{m.model}, {m.group}: whole ÷ best possible", m.ratio, 0.9) for m in measured]


def _access_copies(measured: list[Measured]) -> list[Claim]:
    timed = [m for m in measured if m.access_s]
    return [at_most(f"{m.model}, {m.group}: --access {ACCESS_FORM} ÷ whole", m.access_share, 0.1) for m in timed]


def _models(measured: list[Measured]) -> list[Claim]:
    """How much faster lite is than resnet18, if both were measured on pictures of 1600 x 1200. In larger pictures the
    network takes a smaller share of the time."""
    speeds = {m.model: m.pictures_per_second for m in measured if m.group == SMALLEST}
    if not {"lite", "resnet18"} <= set(speeds):
        return []
    return [at_least(f"{SMALLEST}: pictures/s of lite ÷ resnet18", speeds["lite"] / speeds["resnet18"], 2.5)]


def _precisions(device: str) -> list[Claim]:
    """How much faster resnet18's network is in bf16 than in fp32, if this machine chooses bf16."""
    chosen = devices.choose_device(device)
    if devices.choose_precision("auto", chosen) != "bf16":
        return []
    fp32, bf16 = (
        _network_seconds("resnet18", ColorizerOptions(device=device, precision=precision))
        for precision in (Precision.FP32, Precision.BF16)
    )
    return [at_least("resnet18, small copy and network: fp32 ÷ bf16 seconds", fp32 / bf16, 3)]


def _engines(models: set[str], device: str) -> list[Claim]:
    """Whether the default engine is the fastest on a CPU, or nearly."""
    if devices.choose_device(device).type != "cpu" or not find_spec("openvino"):
        return []
    return [
        at_least(
            f"{model}, small copy and network: seconds by --engine openvino ÷ torch",
            _network_seconds(model, ColorizerOptions(device=device, engine=Engine.OPENVINO))
            / _network_seconds(model, ColorizerOptions(device=device)),
            0.9,
        )
        for model in ("lite", "resnet18")
        if model in models
    ]


def _network_seconds(model: str, options: ColorizerOptions) -> float:
    """The CPU seconds that the small copy of one picture and the network take."""
    picture = synthetic_scan(1600, 1200, 0)
    with Colorizer(model, options) as colorizer:
        colorizer.predict_colors(picture)
        return min(cpu_seconds(lambda: colorizer.predict_colors(picture))[0] for _ in range(REPEATS))


def compare_with_scikit_image() -> list[Claim]:
    """Upsampling and merging, compared with the usual way: rgb2lab, bilinear ab, lab2rgb, rounded. Two megapixels."""
    samples = synthetic_scan(1600, 1200, 0)
    guide, ab = small_color_map(256)
    ours, theirs = [], []
    torch.set_num_threads(1)
    for _ in range(REPEATS):
        ours.append(cpu_seconds(lambda: upsample_and_merge(samples, guide, ab)))
        theirs.append(cpu_seconds(lambda: merge_with_scikit_image(samples, ab)))
    ratio = min(seconds for seconds, _ in ours) / min(seconds for seconds, _ in theirs)
    delta, usual_delta = (largest_delta_l(samples, results[0][1]) for results in (ours, theirs))
    return [
        at_most("upsample and merge, seconds ÷ scikit-image's", ratio, 0.25),
        at_most("largest |ΔL*| of upsample and merge", delta, 0.3),
        Claim("largest |ΔL*| of scikit-image's way", usual_delta, "above ours", usual_delta > delta),
        at_most("upsample and merge, ms a megapixel on one core", min(s for s, _ in ours) / 1.92 * 1e3, 60),
    ]


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """The CPU seconds of all threads, and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def small_color_map(side: int) -> tuple[FloatArray, FloatArray]:
    """True L* (h, w) and ab (2, h, w) of a small copy of `colour_scene`, as a perfect network would predict them."""
    small = cv2.resize(colour_scene(), (side, side), interpolation=cv2.INTER_AREA)
    values = lab.lab_from_srgb(torch.from_numpy(small).permute(2, 0, 1) / 255).numpy()
    return values[0], values[1:]


def upsample_and_merge(samples: Samples, guide: FloatArray, ab: FloatArray) -> Samples:
    """Samples -> sRGB as this package does it, on one thread."""
    reader = luminance.lightness_function(samples.dtype, samples.ndim == 2, None)
    chroma = guided_filter.upsample_chroma(guide, ab, *samples.shape[:2])
    return LuminanceMerge(reader, chroma, 0.0).rows(samples, 0)[0]


def merge_with_scikit_image(samples: ByteArray, ab: FloatArray) -> ByteArray:
    """Samples (H, W), uint8 -> sRGB as other programs do it."""
    from skimage.color import lab2rgb, rgb2lab
    from skimage.transform import resize

    values = rgb2lab(np.stack([samples] * 3, axis=-1))  # type: ignore[no-untyped-call]
    for i in range(2):
        values[..., 1 + i] = resize(ab[i], samples.shape, order=1)  # type: ignore[no-untyped-call]
    return np.rint(lab2rgb(values) * 255).astype(np.uint8)  # type: ignore[no-untyped-call]


def largest_delta_l(samples: Samples, rgb: Samples) -> float:
    """The largest |ΔL*| between grey samples (H, W) and sRGB (H, W, 3), both converted by scikit-image."""
    from skimage.color import rgb2lab

    grey, coloured = (rgb2lab(x)[..., 0] for x in (np.stack([samples] * 3, -1), rgb))  # type: ignore[no-untyped-call]
    return float(np.abs(grey - coloured).max())


def start_up(work: Path) -> list[Claim]:
    """The seconds of whole processes: the help, torch alone, and one small picture."""
    source, out = work / "one.jpg", work / "one_out"
    work.mkdir(parents=True, exist_ok=True)
    Image.fromarray(synthetic_scan(800, 600, 0)).save(source)
    torch_s = min(_process("-c", "import torch") for _ in range(REPEATS))
    own, runs = [], []
    for i in range(REPEATS):
        runs.append(_process("-m", "archivecolor", "run", str(source), "--out", f"{out}{i}", "--quiet"))
        own += [sum(row.seconds.values()) for row in read_rows(Path(f"{out}{i}")).values()]
    help_s = min(_process("-m", "archivecolor", "--help") for _ in range(REPEATS))
    return [
        at_most("--help, seconds", help_s, 0.3),
        at_most("one picture: (seconds - its own work) ÷ import torch", (min(runs) - min(own)) / torch_s, 2),
    ]


def _process(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=dict(os.environ))
    return time.perf_counter() - started
