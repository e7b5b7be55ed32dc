"""DPX: its curves, its depths, what FFmpeg reads and writes, and what is damaged."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.doubles import colourful
from support.needs import av
from support.reels import SIZE, save_dpx, television

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.film import dpx
from archivecolor.imaging import guided_filter
from archivecolor.pipeline.film import image_sequence_sink

# --- DPX --------------------------------------------------------------------------------------------------------------


def test_the_curve_of_printing_density_is_that_of_cineon() -> None:
    table = dpx._light_table(10, dpx.LOG, (0, 0.0), (1023, 2.046))
    assert table[95] == pytest.approx(0, abs=1e-7)
    assert table[685] == pytest.approx(1, rel=1e-6)
    offset = 10 ** ((95 - 685) * 0.002 / 0.6)
    for code in (0, 300, 445, 600, 1023):
        expected = (10 ** ((code - 685) * 0.002 / 0.6) - offset) / (1 - offset)
        assert table[code] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert table[445] == pytest.approx(0.15, abs=0.01)  # an 18 % grey card, as Cineon places it
    assert table[1023] > 13  # highlights are kept
    assert np.array_equal(table, dpx._light_table(10, dpx.LOG, (0xFFFFFFFF, 0.0), (0xFFFFFFFF, 0.0)))
    assert dpx._light_table(16, dpx.LOG, (0, 0.0), (0, 0.0))[round(685 / 1023 * 65535)] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("curve", [dpx.LOG, dpx.LINEAR, dpx.VIDEO, "television"])
def test_every_code_comes_back_from_its_light(bits: int, curve: str) -> None:
    header = dpx.new_header(4, 4, bits)
    if curve == "television":
        header, curve = television(header), dpx.VIDEO
        table = dpx.light_table(header, curve)
        assert table[16 << (bits - 8)] == 0 and table[235 << (bits - 8)] == pytest.approx(1, abs=1e-6)
        assert table[0] == -table[32 << (bits - 8)] < 0 and table[-1] > 1
    codes = torch.from_numpy(dpx.light_table(header, curve))
    back = dpx.light_encoder(header, curve)(codes).numpy()
    assert np.array_equal(back, np.arange(1 << bits))


@pytest.mark.parametrize(("bits", "pix_fmt"), [(8, "rgb24"), (10, "gbrp10le"), (12, "gbrp12le"), (16, "rgb48be")])
def test_what_is_written_is_what_ffmpeg_reads(tmp_path: Path, bits: int, pix_fmt: str) -> None:
    draw = np.random.default_rng(bits)
    codes = draw.integers(0, 1 << bits, (7, 13, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    dpx.write(tmp_path / "a.dpx", dpx.new_header(13, 7, bits), codes, dpx.VIDEO, "me")
    header, back = dpx.read(tmp_path / "a.dpx")
    assert np.array_equal(back, codes)
    assert (header.width, header.height, header.bits) == (13, 7, bits)
    with av.open(str(tmp_path / "a.dpx")) as film:
        frame = next(film.decode(video=0))
    assert frame.format.name == pix_fmt
    theirs = frame.to_ndarray(format="rgb24" if bits == 8 else "rgb48le")
    if bits in (8, 16):
        assert np.array_equal(theirs, codes)
    else:
        planes = [np.frombuffer(bytes(p), "<u2").reshape(7, -1)[:, :13] for p in frame.planes]
        assert np.array_equal(np.dstack([planes[2], planes[0], planes[1]]), codes)


@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [
        ("gray", 8),
        ("rgb24", 8),
        ("rgba", 8),
        ("gbrp10be", 10),
        ("gbrp12be", 12),
        ("rgb48le", 16),
        ("gray16be", 16),
    ],
)
def test_what_ffmpeg_writes_is_read(tmp_path: Path, pix_fmt: str, bits: int) -> None:
    rgb = colourful(9, 14)
    with av.open(str(tmp_path / "f_%d.dpx"), "w", format="image2") as out:
        stream = out.add_stream("dpx", rate=24)
        stream.width, stream.height, stream.pix_fmt = 14, 9, pix_fmt
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    header, codes = dpx.read(next(tmp_path.glob("*.dpx")))
    assert (header.bits, header.grey) == (bits, pix_fmt.startswith("gray"))
    shown = codes >> (bits - 8)
    expected = frame.reformat(format="gray").to_ndarray() if header.grey else rgb
    assert np.abs(shown.astype(int) - expected).max() <= 1


def test_ten_bit_luma_fills_its_words_from_below(tmp_path: Path) -> None:
    codes = np.arange(5 * 7).reshape(5, 7) * 29
    head = bytearray(dpx.new_header(7, 5, 10).head)
    head[800] = 6
    words = np.zeros((5, 9), np.uint32)
    words[:, :7] = codes
    packed = (words[:, 0::3] | words[:, 1::3] << 10 | words[:, 2::3] << 20) << 2
    (tmp_path / "a.dpx").write_bytes(bytes(head) + packed.astype(">u4").tobytes())
    header, back = dpx.read(tmp_path / "a.dpx")
    assert header.grey and np.array_equal(back, codes)
    with av.open(str(tmp_path / "a.dpx")) as film:
        frame = next(film.decode(video=0))
        assert frame.format.name == "gray10le"
        assert np.array_equal(np.frombuffer(bytes(frame.planes[0]), "<u2").reshape(5, -1)[:, :7], codes)


def test_a_damaged_dpx_says_what_is_wrong(tmp_path: Path) -> None:
    save_dpx(tmp_path / "a.dpx", 0)
    whole = (tmp_path / "a.dpx").read_bytes()

    def spoiled(content: bytes) -> Path:
        (tmp_path / "b.dpx").write_bytes(content)
        return tmp_path / "b.dpx"

    with pytest.raises(UnreadableError, match="truncated: 20 of 48 lines"):
        dpx.read(spoiled(whole[: 2048 + 20 * SIZE[1] * 4]))
    with pytest.raises(UnreadableError, match="not a DPX"):
        dpx.read(spoiled(b"II*\0" + whole[4:]))
    with pytest.raises(UnreadableError, match="header is not whole"):
        dpx.read(spoiled(whole[:900]))
    for at, value, word in (
        (800, 100, "descriptor 100"),
        (803, 32, "32 bits"),
        (807, 1, "run-length"),
        (771, 2, "2 image"),
    ):
        with pytest.raises(UnsupportedError, match=word):
            dpx.read(spoiled(whole[:at] + bytes([value]) + whole[at + 1 :]))


@pytest.mark.parametrize(("curve", "black", "white"), [(dpx.LOG, 95, 685), (dpx.VIDEO, 64, 940)])
def test_what_lies_beyond_black_and_white_is_kept(curve: str, black: int, white: int) -> None:
    header = dpx.new_header(1024, 1, 10, 1)
    header = header if curve == dpx.LOG else television(header)
    table = dpx.light_table(header, curve)
    codes = np.arange(1024)[None]
    warm = guided_filter.upsample_chroma(np.full((8, 8), 50, np.float32), np.full((2, 8, 8), 25, np.float32), 1, 1024)
    rgb, worst = image_sequence_sink.merge_dpx_light(table[codes], warm, dpx.light_encoder(header, curve), table)
    assert worst < 0.15
    outside = (codes[0] <= black) | (codes[0] >= white)
    assert np.array_equal(rgb[0, outside], np.repeat(codes[0, outside, None], 3, axis=1))
    assert (np.ptp(rgb[0, 300:600].astype(int), axis=1) > 20).all()


def test_clipping_beyond_black_and_white_is_measured() -> None:
    header = television(dpx.new_header(1024, 1, 10, 1))
    table, coder = dpx.light_table(header, dpx.VIDEO), dpx.light_encoder(header, dpx.VIDEO)
    none = guided_filter.upsample_chroma(np.full((8, 8), 50, np.float32), np.zeros((2, 8, 8), np.float32), 1, 1024)
    codes = {"white": np.full((1, 1024), 1000), "black": np.full((1, 1024), 10)}
    for at, beyond in codes.items():
        _, worst = image_sequence_sink.merge_dpx_light(
            table[beyond], none, lambda light: coder(light.clamp(0, 1)), table
        )
        assert worst > 2, at


@pytest.mark.parametrize(("bits", "padding"), [(10, 4), (10, 32), (8, 1), (8, 5), (16, 6)])
def test_padding_behind_lines_is_passed_over(tmp_path: Path, bits: int, padding: int) -> None:
    """Of 13 pixels: 8 bits fill 39 bytes, which a padding of 1 or 5 makes whole words."""
    draw = np.random.default_rng(bits)
    codes = draw.integers(0, 1 << bits, (7, 13, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    dpx.write(tmp_path / "a.dpx", dpx.new_header(13, 7, bits), codes, dpx.VIDEO, "me")
    plain = (tmp_path / "a.dpx").read_bytes()
    line = {8: 39, 10: 52, 16: 78}[bits]
    lines = np.frombuffer(plain[2048:], np.uint8).reshape(7, -1)[:, :line]
    padded = np.pad(lines, ((0, 0), (0, padding)), constant_values=0xAA).tobytes()

    def read(content: bytes, declared: int = padding) -> Any:
        head = bytearray(plain[:2048])
        struct.pack_into(">I", head, 812, declared)
        (tmp_path / "b.dpx").write_bytes(bytes(head) + content)
        return dpx.read(tmp_path / "b.dpx")[1]

    assert np.array_equal(read(padded), codes)
    assert np.array_equal(read(padded[:-padding]), codes), "the last line may end without"
    assert np.array_equal(read(padded + b"\0" * 512), codes)
    for absurd in (0, 0xFFFFFFFF, 0x80000000):
        assert np.array_equal(read(plain[2048:], absurd), codes)
    assert np.array_equal(read(plain[2048:]), codes), "a header that names padding which is not there"
    with pytest.raises(UnreadableError, match="truncated: 6 of 7 lines"):
        read(padded[: -padding - 1])
