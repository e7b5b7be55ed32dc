"""Times that go back or jump are made continuous, the same in all streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from archivecolor.film.timeline import ContinuousTimes

VIDEO, AUDIO, TEXT = (SimpleNamespace(index=i, type=kind) for i, kind in enumerate(("video", "audio", "subtitle")))


@dataclass
class FakePacket:
    """As much of a packet as times need; milliseconds."""

    stream: Any
    dts: int | None
    duration: int = 40
    time_base: Fraction = Fraction(1, 1000)
    pts: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.pts = self.dts


def corrected(container: str, packets: list[FakePacket]) -> tuple[dict[str, list[int | None]], int]:
    """dts by kind of stream, and the number of breaks."""
    times = ContinuousTimes(container, [VIDEO, AUDIO])  # type: ignore[list-item]
    result: dict[str, list[int | None]] = {}
    for packet in times.corrected(packets):  # type: ignore[arg-type, misc]
        assert packet.pts == packet.dts
        result.setdefault(packet.stream.type, []).append(packet.dts)
    return result, times.breaks


def recording(start: int, frames: int = 5) -> list[FakePacket]:
    return [FakePacket(s, start + 40 * i + 10 * s.index) for i in range(frames) for s in (VIDEO, AUDIO)]


def test_times_without_a_break_stay_as_they_are() -> None:
    packets = [*recording(1000), FakePacket(VIDEO, 1180), FakePacket(AUDIO, 1150), FakePacket(VIDEO, 5000)]
    before = [packet.dts for packet in packets]
    result, breaks = corrected("mpegts", packets)
    assert breaks == 0
    assert sorted(t or 0 for times in result.values() for t in times) == sorted(t or 0 for t in before)


@pytest.mark.parametrize("container", ["mpeg", "mpegts", "flv", "avi"])
def test_a_recording_that_begins_again_follows_in_all_streams_by_the_same_time(container: str) -> None:
    again = recording(1000)
    again[3:3] = [FakePacket(TEXT, 1040)]
    result, breaks = corrected(container, [*recording(1000), *again])
    assert breaks == 1
    video, audio = result["video"], result["audio"]
    assert video[5:] == [t + video[5] - 1000 for t in video[:5]]
    assert [a - v for a, v in zip(audio, video, strict=True)] == [10] * 10
    assert 0 <= video[5] - (video[4] + 40) <= 100
    assert result["subtitle"] == [1040 + video[5] - 1000]


@pytest.mark.parametrize(("container", "gap"), [("mpegts", False), ("matroska,webm", True), ("flv", True)])
def test_a_jump_ahead_is_a_break_in_mpeg_and_a_frame_that_stays_elsewhere(container: str, gap: bool) -> None:
    result, breaks = corrected(container, [*recording(0), *recording(60_000)])
    assert breaks == (0 if gap else 1)
    assert (result["video"][5] == 60_000) == gap
    assert result["audio"][5] - result["video"][5] == 10


@pytest.mark.parametrize("wrong", [0, 90_000])
def test_one_wrong_time_is_replaced_and_moves_nothing_else(wrong: int) -> None:
    packets = [FakePacket(VIDEO, 2000 + 40 * i) for i in range(8)]
    packets[4].dts = packets[4].pts = wrong
    result, breaks = corrected("flv", packets)
    assert result["video"] == [2000 + 40 * i for i in range(8)]
    assert breaks == 1


def test_further_streams_follow_and_make_no_break() -> None:
    """A second picture track that is copied is not read when the first one is decoded."""
    other = SimpleNamespace(index=7, type="video")
    packets = [*recording(1000), FakePacket(other, 90_000), *recording(1000), FakePacket(other, 2_000)]
    result, breaks = corrected("mpegts", packets)
    alone, alone_breaks = corrected("mpegts", [*recording(1000), *recording(1000)])
    assert breaks == alone_breaks == 1
    assert [time for time in result["video"] if time in alone["video"]] == alone["video"]
    assert result["video"][5] == 90_000
    assert result["video"][-1] == 2_000 + (alone["video"][5] or 0) - 1000


def test_a_packet_held_back_comes_before_the_end_of_its_stream() -> None:
    result, _ = corrected("flv", [*recording(0), FakePacket(VIDEO, 50_000), FakePacket(VIDEO, None)])
    assert result["video"][-2:] == [50_000, None]
