"""Times of packets that always advance, as players show a film whose recordings were joined end to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

BACK_S = 0.1
"""A decoding time this much before the last one of its stream begins a new recording; FFmpeg's limit."""
JUMP_S = 10.0
"""A decoding time this much later than expected does so too in MPEG streams (FFmpeg's `dts_delta_threshold`). In other
containers, a frame may stay that long."""
_FIT_S = 1.0
"""How late a packet may be that follows the packets before it."""
_MPEG = ("mpegts", "mpeg")


@dataclass
class _Clock:
    """The times of one stream, in seconds."""

    offset: Fraction
    last: float | None = None
    """Decoding time of the last packet."""
    expected: float = 0.0
    """Where the last packet ends."""
    start: float = 0.0
    """Decoding time of the first packet in the file."""
    shown_until: float = 0.0
    suspect: tuple[Packet[Stream], Fraction] | None = None
    """A packet out of time, and its own time. The next one decides whether it stands alone."""

    def error(self, own: Fraction, offset: Fraction) -> float:
        """Seconds by which a packet would be late, moved by this offset."""
        return float(own + offset) - self.expected

    def is_out_of_time(self, own: Fraction) -> bool:
        """Whether a packet lies before the last one, or long after it."""
        if self.last is None:
            return False
        return float(own + self.offset) < self.last - BACK_S or self.error(own, self.offset) > JUMP_S


class ContinuousTimes:
    """Moves the packets behind a break, in all streams by the same time, so that they follow those before it.

    `breaks` is the number of breaks so far. A single packet with a wrong time, which counts as one, gets the time that
    is expected at its place.

    Args:
        container: FFmpeg's name of the format.
        streams: those whose times tell where a break is: whoever reads the film must name the same. The packets of all
            others follow.
    """

    def __init__(self, container: str, streams: Iterable[Stream]) -> None:
        self.breaks = 0
        self._deciding = frozenset(stream.index for stream in streams)
        self._is_mpeg = container in _MPEG
        self._clocks: dict[int, _Clock] = {}
        self._offsets = [Fraction(0)]
        """Of all recordings."""
        self._current = Fraction(0)

    def corrected(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The packets of all streams with continuous times."""
        for packet in packets:
            clock = self._clocks.setdefault(packet.stream.index, _Clock(self._current))
            if packet.dts is None or packet.stream.index not in self._deciding:
                yield from self._released(clock)
                yield _moved(packet, self._current)
                continue
            own = Fraction(packet.dts * packet.time_base)
            if clock.suspect and -BACK_S <= clock.error(own, clock.offset) <= _FIT_S:
                (alone, its_own), clock.suspect = clock.suspect, None
                self.breaks += 1
                yield _moved(alone, Fraction(clock.expected) - its_own)
            yield from self._released(clock)
            self._choose_known_offset(clock, own)
            if clock.is_out_of_time(own):
                clock.suspect = packet, own
            else:
                yield self._placed(clock, packet, own)
        for clock in self._clocks.values():
            yield from self._released(clock)

    def _released(self, clock: _Clock) -> Iterator[Packet[Stream]]:
        """The suspect, which does not stand alone: a recording begins with it, or a frame stays long before it."""
        suspect, clock.suspect = clock.suspect, None
        if suspect:
            packet, own = suspect
            if self._is_mpeg or clock.error(own, clock.offset) < 0:
                self._begin_recording(clock, own)
            yield self._placed(clock, packet, own)

    def _begin_recording(self, clock: _Clock, own: Fraction) -> None:
        """Takes a known offset, or a new one that puts this time behind everything so far. Where a file starts again,
        other streams begin as much before this one as they did at first."""
        self._choose_known_offset(clock, own)
        if clock.is_out_of_time(own):
            self.breaks += 1
            clocks = [each for each in self._clocks.values() if each.last is not None]
            end = max(max(each.shown_until, each.expected) for each in clocks)
            starts_again = abs(float(own) - clock.start) <= _FIT_S
            before_it = clock.start - min(each.start for each in clocks) if starts_again else 0.0
            clock.offset = Fraction(end + before_it) - own
            self._offsets.append(clock.offset)

    def _choose_known_offset(self, clock: _Clock, own: Fraction) -> None:
        """Takes the offset of another recording where it fits much better."""
        error = abs(clock.error(own, clock.offset))
        if clock.last is None or len(self._offsets) == 1 or error <= BACK_S:
            return
        best = min(self._offsets, key=lambda offset: abs(clock.error(own, offset)))
        if abs(clock.error(own, best)) < min(_FIT_S, error / 2):
            clock.offset = best

    def _placed(self, clock: _Clock, packet: Packet[Stream], own: Fraction) -> Packet[Stream]:
        self._current = clock.offset
        if clock.last is None:
            clock.start = float(own)
        duration = float((packet.duration or 0) * packet.time_base)
        clock.last = float(own + clock.offset)
        clock.expected = clock.last + duration
        _moved(packet, clock.offset)
        if packet.pts is not None:
            clock.shown_until = max(clock.shown_until, float(packet.pts * packet.time_base) + duration)
        return packet


def _moved(packet: Packet[Stream], offset: Fraction) -> Packet[Stream]:
    if offset:
        ticks = round(offset / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packet
