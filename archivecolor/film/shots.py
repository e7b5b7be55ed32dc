"""Where one shot ends and the next begins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2

from archivecolor import files
from archivecolor.errors import MissingDependencyError, UsageError
from archivecolor.imaging.arrays import ByteArray

DETECT_HEIGHT = 144
"""Height in pixels of the copy in which cuts are detected."""
SHORTEST_SHOT = 3
"""Least number of frames between two detected cuts."""
LEAST_CHANGE = 15.0
"""Least score of a cut in PySceneDetect; a jump in the gate of an old projector scores up to 14."""


class ShotDetector:
    """PySceneDetect's AdaptiveDetector, frame by frame. It compares each change with those around it, so that flicker
    and camera movement do not count as cuts.

    Raises:
        MissingDependencyError: PySceneDetect is not installed.
    """

    def __init__(self, rate: Fraction) -> None:
        try:
            from scenedetect.common import FrameTimecode
            from scenedetect.detectors import AdaptiveDetector
        except ImportError as error:
            raise MissingDependencyError(
                f"finding cuts needs PySceneDetect ({error}); install it with: pip install 'archivecolor[video]', "
                "or name the cuts with --cuts"
            ) from error
        self._timecode: Any = FrameTimecode
        self._rate = float(rate)
        self._detector = AdaptiveDetector(min_scene_len=SHORTEST_SHOT, luma_only=True, min_content_val=LEAST_CHANGE)
        self.cuts: list[int] = []

    def add(self, index: int, grey: ByteArray) -> None:
        """Examines the next frame: a small grey picture (H, W)."""
        cuts = self._detector.process_frame(self._timecode(index, self._rate), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
        self.cuts += [cut.frame_num for cut in cuts]


def read_cuts(path: Path) -> list[int]:
    """Reads the first frames of shots, counted from 0, from a text file. Spaces, commas, semicolons or line ends
    separate the numbers; a # begins a comment.

    Raises:
        UsageError: the file cannot be read or holds something else.
    """
    try:
        files.check_regular(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--cuts {path}: cannot be read ({error})") from error
    words = re.split(r"[\s,;]+", re.sub(r"#.*", "", text).strip())
    if not all(word.isdecimal() for word in words if word):
        raise UsageError(f"--cuts {path}: must hold frame numbers only, counted from 0")
    return sorted({int(word) for word in words if word})


def shots(cuts: Iterable[int], frames: int) -> list[tuple[int, int]]:
    """First frame and end (one past the last) of every shot."""
    inner = sorted({cut for cut in cuts if 0 < cut < frames})
    starts = [0, *inner]
    return list(zip(starts, [*inner, frames], strict=True)) if frames else []
