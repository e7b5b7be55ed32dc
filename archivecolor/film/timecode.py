"""SMPTE timecodes (ST 12-1). A timecode names the first frame of a film; a title card before it moves the timecode."""

from __future__ import annotations

import re
from fractions import Fraction

_TIMECODE = re.compile(r"\s*(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})\s*")


def earlier(text: str, rate: Fraction, frames: int) -> str | None:
    """The timecode a number of frames before another; None where `text` is no timecode for this rate.

    Args:
        text: `HH:MM:SS:FF`, or `HH:MM:SS;FF` for drop-frame timecode, which skips numbers to match 30000/1001 frames
            per second.
        rate: frames per second.
        frames: 0 or more; the count wraps at midnight.
    """
    match, fps = _TIMECODE.fullmatch(text), round(rate)
    if not match or fps < 1:
        return None
    hours, minutes, seconds, number = (int(match[i]) for i in (1, 2, 3, 5))
    drops = match[4] != ":"
    if hours > 23 or minutes > 59 or seconds > 59 or number >= fps or (drops and fps % 30):
        return None
    dropped = fps // 15 if drops else 0  # numbers skipped in each minute but every tenth
    minute = 60 * hours + minutes
    count = (60 * minute + seconds) * fps + number - dropped * (minute - minute // 10)
    day = 24 * 3600 * fps - dropped * 1296
    return _format((count - frames) % day, fps, dropped, match[4])


def _format(count: int, fps: int, dropped: int, mark: str) -> str:
    """The timecode of the frame `count` frames after midnight.

    Args:
        dropped: numbers skipped in each minute but every tenth.
        mark: between seconds and frame number.
    """
    if dropped:
        frames_in_ten_minutes, frames_in_minute = 600 * fps - 9 * dropped, 60 * fps - dropped
        tens, rest = divmod(count, frames_in_ten_minutes)
        count += dropped * (9 * tens + max(0, rest - dropped) // frames_in_minute)
    seconds, number = divmod(count, fps)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{number:02d}"
