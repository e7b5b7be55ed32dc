"""Sheets with monochrome and with colour photographs, as scanners see them, made from one photograph."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

Sheet = Callable[[np.ndarray, np.random.Generator], np.ndarray]

BOARDS = ((238, 226, 196), (90, 60, 40), (190, 160, 120), (60, 85, 65), (70, 90, 130), (130, 50, 50), (28, 25, 24))
INKS = ((190, 30, 40), (35, 55, 150), (110, 50, 140), (40, 120, 60))
PATCHES = ((115, 82, 68), (98, 122, 157), (103, 189, 170), (214, 126, 44), (193, 90, 99), (157, 188, 64), (56, 61, 150))


def scanned(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise, then JPEG with subsampled chroma."""
    file = io.BytesIO()
    noisy = np.clip(rgb + rng.normal(0, 1.2, rgb.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(file, "JPEG", quality=int(rng.choice([60, 80, 92])), subsampling=2)
    return np.asarray(Image.open(file))


def print_of(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph in grey or in one of three tones, float RGB."""
    t = (rgb.astype(float) @ np.array([0.3, 0.59, 0.11]))[..., None] / 255
    dark, light = (
        ((0, 0, 0), (255, 255, 255)), ((45, 28, 15), (245, 226, 190)), ((20, 20, 20), (240, 235, 222)),
        ((15, 35, 90), (235, 242, 245)),
    )[rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])]  # fmt: skip
    return np.array(dark) * (1 - t) + np.array(light) * t


def any_of(colours: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> np.ndarray:
    return np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 6, 3)


def mounted(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = rgb.shape[:2]
    edge = [int(max(height, width) * rng.uniform(0.05, 0.3)) for _ in range(4)]
    sheet = np.ones((height + edge[0] + edge[1], width + edge[2] + edge[3], 3)) * any_of(BOARDS, rng)
    sheet += rng.normal(0, 2, (*sheet.shape[:2], 1)) + np.linspace(-5, 5, len(sheet))[:, None, None]
    sheet[edge[0] : edge[0] + height, edge[2] : edge[2] + width] = rgb
    return sheet


def stamped(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sheet, (height, width) = rgb.astype(float).copy(), rgb.shape[:2]
    side = int((rng.uniform(0.004, 0.014) * height * width) ** 0.5)
    y, x = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
    sheet[y : y + side, x : x + side] = any_of(INKS, rng)
    return sheet


def with_target(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = rgb.shape[:2]
    strip = np.ones((int(rng.uniform(0.08, 0.16) * height), width, 3)) * 255
    step = width / 14
    for i in range(14):
        strip[6:-3, int(i * step) + 1 : int((i + 1) * step) - 1] = PATCHES[i % 7]
    return np.concatenate([rgb, strip])


def transmitted(rgb: np.ndarray, mask: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    return rgb * (1 - mask[..., None] * (1 - np.array(colour)))


def foxed(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(rgb.shape[:2], np.float32)
    for _ in range(int(rng.integers(20, 120))):
        centre = int(rng.integers(mask.shape[1])), int(rng.integers(mask.shape[0]))
        cv2.circle(mask, centre, int(rng.integers(2, 6)), float(rng.uniform(0.4, 1)), -1)
    return transmitted(rgb, cv2.GaussianBlur(mask, (0, 0), 1), (0.8, 0.58, 0.34))


def yellowed(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = rgb.shape[:2]
    mask = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), min(height, width) / 4)
    mask = (mask - mask.min()) / np.ptp(mask)
    return transmitted(rgb, mask * rng.uniform(0.5, 1), (0.97, 0.88, 0.62))


def paler(rgb: np.ndarray, share: float) -> np.ndarray:
    values = cv2.cvtColor((rgb / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    values[..., 1:] *= share
    return np.clip(cv2.cvtColor(values, cv2.COLOR_LAB2RGB) * 255, 0, 255)


def faded(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A chromogenic print whose cyan or yellow dye went: a cast, and little range in each channel."""
    ends = ((70, 30, 50), (250, 215, 215)), ((60, 45, 20), (250, 230, 180)), ((70, 60, 50), (235, 225, 205))
    dark, light = (np.array(end) for end in ends[rng.integers(3)])
    return dark + (light - dark) * rgb / 255


def tinted(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Painted by hand: grey but for the two strongest of five colours."""
    values = cv2.cvtColor((rgb / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    ab = np.ascontiguousarray(values[..., 1:].reshape(-1, 2))
    cv2.setRNGSeed(1)
    _, labels, centres = cv2.kmeans(ab, 5, None, (3, 8, 1.0), 1, cv2.KMEANS_PP_CENTERS)
    centres[np.argsort(np.hypot(*centres.T))[:3]] = 0
    values[..., 1:] = cv2.GaussianBlur(centres[labels.ravel()].reshape(*rgb.shape[:2], 2), (0, 0), 2)
    values[..., 1:] *= rng.uniform(0.5, 0.8)
    return np.clip(cv2.cvtColor(values, cv2.COLOR_LAB2RGB) * 255, 0, 255)


MONOCHROME: dict[str, Sheet] = {
    "print": print_of,
    "on a board": lambda rgb, rng: mounted(print_of(rgb, rng), rng),
    "stamp": lambda rgb, rng: stamped(print_of(rgb, rng), rng),
    "colour target": lambda rgb, rng: with_target(print_of(rgb, rng), rng),
    "foxing": lambda rgb, rng: foxed(print_of(rgb, rng), rng),
    "yellowed": lambda rgb, rng: yellowed(print_of(rgb, rng), rng),
}
COLOUR: dict[str, Sheet] = {
    "colour": lambda rgb, rng: rgb,
    "60 % of the colour": lambda rgb, rng: paler(rgb, 0.6),
    "45 % of the colour": lambda rgb, rng: paler(rgb, 0.45),
    "faded": faded,
    "hand-tinted": tinted,
    "colour on a board": lambda rgb, rng: mounted(rgb, rng),
    "colour, stamp": lambda rgb, rng: stamped(rgb, rng),
    "colour, target": lambda rgb, rng: with_target(rgb, rng),
}
