"""Colours along the motion: exact at their own frame, sharp on the way, no jump where two meet, no dye for others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.pans import lab_of_frame, pan

from archivecolor.imaging import propagation, temporal
from archivecolor.imaging.propagation import ReferenceColors


def blends(lightness: list[Any], references: dict[int, ReferenceColors]) -> list[Any]:
    """The blend of each frame of one shot."""
    links = [None, *(temporal.link_frames(one, other) for one, other in pairwise(lightness))]
    count, size = len(lightness), lightness[0].shape

    def swept(frames: Any, link_of: Any) -> dict[int, list[Any]]:
        paths: list[Any] = []
        result = {}
        for frame in frames:
            link = link_of(frame)
            paths = [propagation.extend_path(path, *link) for path in paths] if link else []
            if frame in references:
                start = propagation.start_path(frame, *size)
                paths = propagation.add_reference(paths, start, references[frame].mask)
            result[frame] = paths
        return result

    forward = swept(range(count), lambda i: (links[i].back, links[i].trust_back) if i else None)
    later = swept(
        reversed(range(count)), lambda i: (links[i + 1].forth, links[i + 1].trust_forth) if i + 1 < count else None
    )
    return [propagation.blend_paths(i, [forward[i], later[i]], references.__getitem__) for i in range(count)]


def whole(ab: Any) -> ReferenceColors:
    return ReferenceColors(np.asarray(ab, np.float32), np.ones(ab.shape[1:], np.float32))


def even(a: float, b: float, size: tuple[int, ...]) -> Any:
    return np.stack([np.full(size, a, np.float32), np.full(size, b, np.float32)])


@pytest.fixture(scope="module")
def scene() -> Any:
    """Lab (n, 3, H, W) of a pan."""
    return np.stack([lab_of_frame(frame) for frame in pan(13)])


def test_a_reference_is_exact_at_its_frame_and_follows_the_motion_to_both_sides(scene: Any) -> None:
    result = blends(list(scene[:, 0]), {6: whole(scene[6, 1:])})
    assert np.abs(result[6].ab - scene[6, 1:]).max() < 1e-3
    assert result[6].confidence.min() > 0.999
    inner = (slice(8, -8), slice(24, -24))
    for i in (0, 3, 9, 12):
        error = np.hypot(*(result[i].ab - scene[i, 1:]))[inner]
        sharpness = result[i].ab[0][inner].std() / scene[i, 1][inner].std()
        assert np.median(error) < 3
        assert 0.9 < sharpness < 1.1  # looked up once, not blurred frame by frame
        assert np.median(result[i].confidence[inner]) > 0.5


def test_two_references_meet_without_a_jump(scene: Any) -> None:
    size = scene.shape[2:]
    result = blends(list(scene[:, 0]), {0: whole(even(60, 0, size)), 12: whole(even(-60, 0, size))})
    means = [float(np.median(blend.ab[0][8:-8, 24:-24])) for blend in result]
    assert means[0] == pytest.approx(60, abs=0.1)
    assert means[12] == pytest.approx(-60, abs=0.1)
    assert all(one > other for one, other in pairwise(means))
    assert max(one - other for one, other in pairwise(means)) < 1.8 * 120 / 12


def test_after_a_new_reference_the_old_one_has_no_say_but_in_its_gaps(scene: Any) -> None:
    size = scene.shape[2:]
    new = whole(even(0, -50, size))
    result = blends(list(scene[:, 0]), {0: whole(even(50, 0, size)), 4: new})
    assert set(result[6].shares) == {4}
    gap = np.ones(size, np.float32)
    gap[:, : size[1] // 2] = 0
    result = blends(list(scene[:, 0]), {0: whole(even(50, 0, size)), 4: ReferenceColors(new.ab, gap)})
    assert set(result[4].shares) == {0, 4}
    assert np.median(result[4].ab[0][8:-8, 8:48]) == pytest.approx(50, abs=1)
    assert np.median(result[4].ab[1][8:-8, 80:-8]) == pytest.approx(-50, abs=1)


def test_a_thing_that_enters_is_not_dyed(scene: Any) -> None:
    lightness = [scene[0, 0].copy() for _ in range(10)]
    draw = np.random.default_rng(1)
    thing = draw.uniform(5, 95, (10, 8)).repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
    for i, frame in enumerate(lightness[1:], 1):
        shown = min(6 * i, thing.shape[1])
        frame[30:70, :shown] = thing[:, -shown:]
    blend = blends(lightness, {0: whole(scene[0, 1:])})[9]
    assert np.quantile(blend.confidence[34:66, 2:28], 0.8) < 0.2
    assert np.median(blend.confidence[34:66, 60:]) > 0.7


def test_a_reference_that_is_to_come_counts_by_its_reach(scene: Any) -> None:
    references = {2: whole(scene[2, 1:])}
    path = propagation.start_path(2, *scene.shape[2:])
    near, far = (
        propagation.blend_paths(0, [[], [path]], references.__getitem__, lambda later, reach=reach: reach)
        for reach in (1, 0.25)
    )
    assert near is not None
    assert far is not None
    assert far.confidence.mean() == pytest.approx(0.25 * near.confidence.mean(), rel=1e-3)
