"""SMPTE timecodes: the name that a film's first frame has in its lab. With a card before it, that is another frame."""

from __future__ import annotations

import re
from fractions import Fraction

_TIMECODE = re.compile(r"\s*(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})\s*")


def earlier(text: str, rate: Fraction, frames: int) -> str | None:
    """The timecode so many frames before; None where `text` is none that frames of this rate can have.

    Args:
        text: `HH:MM:SS:FF`, or `HH:MM:SS;FF` for one that drops numbers to keep up with 30000/1001 frames a second.
        rate: frames a second.
        frames: at least 0; before midnight comes the day before.
    """
    found, fps = _TIMECODE.fullmatch(text), round(rate)
    if not found or fps < 1:
        return None
    hours, minutes, seconds, number = (int(found[i]) for i in (1, 2, 3, 5))
    drops = found[4] != ":"
    if hours > 23 or minutes > 59 or seconds > 59 or number >= fps or (drops and fps % 30):
        return None
    dropped = fps // 15 if drops else 0  # numbers, in every minute but each tenth
    minute = 60 * hours + minutes
    count = (60 * minute + seconds) * fps + number - dropped * (minute - minute // 10)
    day = 24 * 3600 * fps - dropped * 1296
    return _named((count - frames) % day, fps, dropped, found[4])


def _named(count: int, fps: int, dropped: int, mark: str) -> str:
    """The frame `count` frames after midnight."""
    if dropped:
        ten, one = 600 * fps - 9 * dropped, 60 * fps - dropped
        tens, rest = divmod(count, ten)
        count += dropped * (9 * tens + max(0, rest - dropped) // one)
    seconds, number = divmod(count, fps)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{number:02d}"
