"""What is non_photographs the photographs of a scan_layout, and the halves of stereo pairs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from archivecolor.imaging import scan_layout, stereo

BOX = slice(40, 150), slice(50, 200)


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """L* of overlapping things with grain, 5 to 95."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width), 60.0)
    for _ in range(60):
        radius = rng.uniform(0.03, 0.2) * height
        inside = (x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2 < radius**2
        picture[inside] = rng.uniform(5, 95)
    return picture + rng.normal(0, 1, picture.shape)


def on_card(tone: float, box: tuple[slice, slice] = BOX) -> np.ndarray:
    """A scene on a card that is a little lighter at one side, with the texture of paper."""
    card = tone + np.linspace(-2, 2, 260)[None] + np.random.default_rng(1).normal(0, 1, (200, 260))
    card[box] = scene(*card[box].shape)
    return card


def wedge(height: int, width: int, steps: int = 12) -> np.ndarray:
    """A grey scale on a white strip."""
    strip = np.full((height, width), 97.0)
    bounds = np.linspace(4, width - 4, steps + 1).astype(int)
    for i, tone in enumerate(np.linspace(95, 8, steps)):
        strip[4:-4, bounds[i] : bounds[i + 1]] = tone
    return strip


def blurred(lightness: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(lightness.clip(0, 100).astype(np.float32), (0, 0), 0.6)


def rest_of(box: tuple[slice, slice], shape: tuple[int, int] = (200, 260)) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[box] = True
    return inside


def with_wedge(edge: str) -> tuple[np.ndarray, np.ndarray]:
    picture = scene(180, 240)
    if edge in ("left", "right"):
        picture, mask = with_wedge({"left": "top", "right": "bottom"}[edge])
        return picture.T, mask.T
    parts = [picture, wedge(24, 240)]
    masks = [np.ones((180, 240), bool), np.zeros((24, 240), bool)]
    turn = -1 if edge == "top" else 1
    return np.concatenate(parts[::turn]), np.concatenate(masks[::turn])


def with_target() -> tuple[np.ndarray, np.ndarray]:
    """A colour target on a grey card; the tone of some patches is near that of the card."""
    strip = np.full((22, 240), 53.0)
    tones = (38, 66, 50, 44, 55, 72, 61, 40, 52, 31, 72, 71, 29, 55, 42, 81, 51)
    for i, tone in enumerate(tones):
        strip[4:-3, 4 + i * 14 : 16 + i * 14] = tone
    mask = np.ones((202, 240), bool)
    mask[180:] = False
    return np.concatenate([scene(180, 240), strip]), mask


def under_a_wedge_on_the_bed() -> tuple[np.ndarray, np.ndarray]:
    bed = np.full((240, 260), 96.0)
    bed[10:170, 20:240] = scene(160, 220)
    bed[190:220, 20:220] = wedge(30, 200)
    return bed, rest_of((slice(10, 170), slice(20, 240)), bed.shape)


SHEETS = {
    "grey mount": (on_card(52), rest_of(BOX)),
    "dark mount": (on_card(25), rest_of(BOX)),
    "white border": (on_card(98, (slice(9, 191), slice(9, 251))), rest_of((slice(9, 191), slice(9, 251)))),
    "black border": (on_card(3, (slice(9, 191), slice(9, 251))), rest_of((slice(9, 191), slice(9, 251)))),
    "border on one side": (on_card(50, (slice(0, 200), slice(20, 260))), rest_of((slice(0, 200), slice(20, 260)))),
    "in a corner": (on_card(50, (slice(0, 150), slice(0, 200))), rest_of((slice(0, 150), slice(0, 200)))),
    "grey scale above": with_wedge("top"),
    "grey scale below": with_wedge("bottom"),
    "grey scale to the left": with_wedge("left"),
    "grey scale to the right": with_wedge("right"),
    "colour target below": with_target(),
    "grey scale on the bed": under_a_wedge_on_the_bed(),
}


@pytest.mark.parametrize("name", SHEETS)
def test_what_is_beside_the_photograph_is_found(name: str) -> None:
    lightness, photograph = SHEETS[name]
    found = scan_layout.find_layout(blurred(lightness))
    assert found.non_photographs and (found.photograph != photograph).mean() < 0.03
    assert "left without colour" in found.notes()[0]


def horizon(sky: float, ground: float) -> np.ndarray:
    picture = np.full((200, 260), sky)
    picture[80:] = ground + np.random.default_rng(0).normal(0, 4, (120, 260))
    return picture


def against_the_sky(shape: str) -> np.ndarray:
    y, x = np.mgrid[:200, :260]
    tower = (np.abs(x - 130) < 40) & (y > 50)
    head = ((x - 130) / 45) ** 2 + ((y - 90) / 60) ** 2 < 1
    shoulders = ((x - 130) / 100) ** 2 + ((y - 220) / 80) ** 2 < 1
    inside = tower if shape == "tower" else head | shoulders
    return np.where(inside, scene(200, 260), 86 + np.random.default_rng(0).normal(0, 1, (200, 260)))


def vignette() -> np.ndarray:
    y, x = np.mgrid[:200, :260]
    shade = np.clip(1.3 - ((x - 130) / 140) ** 2 - ((y - 100) / 105) ** 2, 0, 1)
    return scene(200, 260) * shade


PHOTOGRAPHS = {
    "scene": scene(200, 260),
    "sky over the sea": horizon(88, 50),
    "snow under a grey sky": horizon(60, 93),
    "portrait before a backdrop": against_the_sky("portrait"),
    "wall to the left": on_card(50, (slice(0, 200), slice(60, 260))),
    "vignette": vignette(),
    "fog": 70 + scene(200, 260) * 0.05,
    "one tone": np.full((200, 260), 55.0),
    "gradient": np.linspace(10, 90, 200)[:, None].repeat(260, axis=1),
    "grain": np.random.default_rng(0).normal(50, 15, (200, 260)),
    "fence": 50 + 30 * np.sign(np.sin(np.arange(260) / 5))[None].repeat(200, axis=0) + scene(200, 260) * 0.2,
    "tiny": scene(6, 9),
    "one row": scene(1, 300),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_without_a_mount_keeps_all_its_colour(name: str) -> None:
    found = scan_layout.find_layout(blurred(PHOTOGRAPHS[name]))
    assert found.photograph.all() and not found.notes()


# --- stereo pairs -----------------------------------------------------------------------------------------------------


def pair(gap: int = 12, seed: int = 0) -> np.ndarray:
    """Two views on a card: things shift the more, the lower they are; the right one is darker."""
    left = scene(160, 150)
    y, x = np.mgrid[:160, :150].astype(np.float32)
    right = cv2.remap(left.astype(np.float32), x + 2 + y / 25, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    other = scene(160, 150, seed) if seed else right * 0.95 - 2
    card = np.full((200, 360 + gap), 70.0)
    card[20:180, 30:180] = left
    card[20:180, 180 + gap : 330 + gap] = other
    return blurred(card)


@pytest.mark.parametrize("gap", [0, 12])
def test_the_halves_of_a_stereo_pair_get_the_same_colours(gap: int) -> None:
    lightness = pair(gap)
    found = scan_layout.find_layout(lightness)
    assert len(found.pairs) == 1 and "both halves" in found.notes()[-1]
    ab = np.stack([cv2.GaussianBlur(lightness, (0, 0), 3), 100 - lightness]) - 50
    ab[:, :, lightness.shape[1] // 2 :] += 8  # what the network answers differently
    left, right = found.pairs[0]
    same = stereo.unify(lightness, ab, found.pairs[0])

    def difference(ab: np.ndarray) -> float:
        """Between the lower parts of the halves, where things lie 6 pixels apart."""
        first, second = (ab[:, box[0], box[1]][:, 90:120] for box in (left, right))
        return float(np.abs(first[:, :, 20:140] - second[:, :, 14:134]).mean())

    assert difference(ab) > 6 and difference(same) < 2


def test_two_views_of_different_things_are_no_pair() -> None:
    found = scan_layout.find_layout(pair(seed=5))
    assert not found.pairs and found.non_photographs
    assert not scan_layout.find_layout(blurred(scene(160, 320))).pairs
