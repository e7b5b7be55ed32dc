"""Films whose frames are files: found, named, read with their curves, coloured, written back under their numbers."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import tifffile
import torch
from doubles import INK, colour, colourful, contents, grey, lab_of, lightness
from films import facts, save_film, scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from archivecolor import bag, chroma, decisions, export, files, jobs, lab, numbered, rehearsal, verify
from archivecolor.errors import NoInputError, UnreadableError, UnsupportedError, UsageError
from archivecolor.film import dpx, segments, stills, write
from archivecolor.film.planes import lightness_table
from archivecolor.options import ColorOptions, Disclosure, FilmOptions, RunOptions
from archivecolor.provenance import DONE, FAILED, SKIPPED
from archivecolor.reel import in_files
from archivecolor.run import is_numbered_frame

SIZE = (48, 65)


def light_of(index: int) -> Any:
    """A grey scene as light (H, W), 0 to 1."""
    return lab.linear_from_srgb(torch.from_numpy(scene(index, *SIZE)).float())


def save_dpx(path: Path, index: int, curve: str = "log", bits: int = 10, transfer: int = 1) -> Any:
    """A grey scene in RGB; its codes."""
    header = dpx.blank(SIZE[1], SIZE[0], bits, transfer)
    codes = dpx.coder(header, curve)(light_of(index)).numpy().astype(np.uint8 if bits == 8 else np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    dpx.write(path, header, np.dstack([codes] * 3), curve, "Scanner X")
    return codes


def television(header: dpx.Dpx) -> dpx.Dpx:
    """Whose black is 16 and white 235 of 255, and so on for other depths."""
    low, high = (code << (header.bits - 8) for code in (16, 235))
    head = bytearray(header.head)
    struct.pack_into(f"{header.order}I4xI", head, 784, low, high)
    return replace(header, head=bytes(head), low=(low, 0.0), high=(high, 0.0))


def save_reel(folder: Path, numbers: Any, **how: Any) -> Path:
    """A reel of DPX; its pattern."""
    for number in numbers:
        save_dpx(folder / f"reel_{number:06d}.dpx", number, **how)
    return folder / "reel_%06d.dpx"


def film_of(source: Any, out: Path, ink: Path, **options: Any) -> Any:
    options.setdefault("film", FilmOptions(fps="24"))
    (row,) = colour(source, out=out, model=ink, **options)
    return row


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_pattern_stands_for_its_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("a_08.png", "a_09.png", "a_10.png", "a_100.png", "a_010.png", "a_1.png", "a_x.png", "b_08.png"):
        (tmp_path / name).write_bytes(name.encode())
    found = numbered.numbered(tmp_path / "a_%02d.png")
    assert {n: p.name for n, p in found.items()} == {8: "a_08.png", 9: "a_09.png", 10: "a_10.png", 100: "a_100.png"}
    assert list(found) == [8, 9, 10, 100]
    assert [p.name for p in numbered.members(tmp_path / "a_%d.png")] == ["a_1.png", "a_10.png", "a_100.png"]
    assert numbered.gaps(found) == [(11, 99)]
    assert numbered.span(tmp_path / "a_%02d.png", found) == "a_08-100.png"
    (tmp_path / "a_%02d.png").write_bytes(b"a file of that very name")
    assert numbered.members(tmp_path / "a_%02d.png") == [tmp_path / "a_%02d.png"]


@given(st.sets(st.integers(0, 10**7), min_size=1, max_size=20), st.integers(1, 9), st.sampled_from(["", "r2_f.", "x"]))
def test_names_gathered_by_their_number_are_named_again_by_their_pattern(
    numbers: set[int], width: int, before: str
) -> None:
    names = [f"{before}{n:0{width}d}.tif" for n in sorted(numbers)]
    ((pattern, gathered),) = numbered.patterns(names).items()
    assert sorted(gathered) == sorted(names)
    assert {numbered.name_of(Path(pattern), n) for n in numbers} == set(names)


def test_numbers_that_do_not_agree_and_names_without_one_stay_single() -> None:
    assert numbered.patterns(["a1.tif", "a01.tif", "b.tif", "100%d.tif"]) == {
        name: [name] for name in ("a1.tif", "a01.tif", "b.tif", "100%d.tif")
    }


def test_the_hash_of_a_sequence_is_that_of_the_list_of_sha256sum(tmp_path: Path) -> None:
    listed = b""
    for n in (3, 1, 2):
        (tmp_path / f"f_{n}.dpx").write_bytes(bytes([n]) * 9)
    for n in (1, 2, 3):
        listed += f"{hashlib.sha256(bytes([n]) * 9).hexdigest()}  f_{n}.dpx\n".encode()
    pattern = tmp_path / "f_%d.dpx"
    assert files.sha256(pattern) == hashlib.sha256(listed).hexdigest()
    seen = files.Seen.of(pattern)
    assert seen.still()
    (tmp_path / "f_4.dpx").write_bytes(b"4")
    assert not seen.still()
    with pytest.raises(FileNotFoundError):
        files.sha256(tmp_path / "g_%d.dpx")


def test_which_files_become_one_job(src: Path, out: Path) -> None:
    save_reel(src / "one", range(3))
    save_reel(src / "two", range(5, 7))
    for name in ("page_01.png", "page_02.png", "portrait.png"):
        Image.fromarray(grey()).save(src / name)

    def found(*inputs: str, sequences: bool = False) -> list[str]:
        frame = is_numbered_frame if sequences else (lambda path: path.suffix == ".dpx")
        pictures = (".png", ".dpx")
        return [job.name for job in jobs.find(inputs, out, lambda p: p.suffix in pictures, is_frame=frame)]

    assert found(str(src)) == [
        "one/reel_%06d.dpx", "page_01.png", "page_02.png", "portrait.png", "two/reel_%06d.dpx",
    ]  # fmt: skip
    assert found(str(src), sequences=True) == [
        "one/reel_%06d.dpx", "page_%02d.png", "portrait.png", "two/reel_%06d.dpx",
    ]  # fmt: skip
    assert found(str(src / "page_%02d.png")) == ["page_%02d.png"]
    assert found(str(src), str(src / "page_%02d.png")) == [
        "one/reel_%06d.dpx", "portrait.png", "two/reel_%06d.dpx", "page_%02d.png",
    ]  # fmt: skip
    assert found(str(src / "one/*.dpx")) == ["reel_%06d.dpx"]
    with pytest.raises(NoInputError, match="there is no file of this number pattern"):
        found(str(src / "page_%05d.png"))


# --- DPX --------------------------------------------------------------------------------------------------------------


def test_the_curve_of_printing_density_is_that_of_cineon() -> None:
    table = dpx.light_table(10, dpx.LOG, (0, 0.0), (1023, 2.046))
    assert table[95] == pytest.approx(0, abs=1e-7)
    assert table[685] == pytest.approx(1, rel=1e-6)
    offset = 10 ** ((95 - 685) * 0.002 / 0.6)
    for code in (0, 300, 445, 600, 1023):
        expected = (10 ** ((code - 685) * 0.002 / 0.6) - offset) / (1 - offset)
        assert table[code] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert table[445] == pytest.approx(0.15, abs=0.01)  # an 18 % grey card, as Cineon places it
    assert table[1023] > 13  # highlights are kept
    assert np.array_equal(table, dpx.light_table(10, dpx.LOG, (0xFFFFFFFF, 0.0), (0xFFFFFFFF, 0.0)))
    assert dpx.light_table(16, dpx.LOG, (0, 0.0), (0, 0.0))[round(685 / 1023 * 65535)] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("curve", [dpx.LOG, dpx.LINEAR, dpx.VIDEO, "television"])
def test_every_code_comes_back_from_its_light(bits: int, curve: str) -> None:
    header = dpx.blank(4, 4, bits)
    if curve == "television":
        header, curve = television(header), dpx.VIDEO
        table = dpx.table_of(header, curve)
        assert table[16 << (bits - 8)] == 0 and table[235 << (bits - 8)] == pytest.approx(1, abs=1e-6)
        assert table[0] == -table[32 << (bits - 8)] < 0 and table[-1] > 1
    codes = torch.from_numpy(dpx.table_of(header, curve))
    back = dpx.coder(header, curve)(codes).numpy()
    assert np.array_equal(back, np.arange(1 << bits))


@pytest.mark.parametrize(("bits", "pix_fmt"), [(8, "rgb24"), (10, "gbrp10le"), (12, "gbrp12le"), (16, "rgb48be")])
def test_what_is_written_is_what_ffmpeg_reads(tmp_path: Path, bits: int, pix_fmt: str) -> None:
    draw = np.random.default_rng(bits)
    codes = draw.integers(0, 1 << bits, (7, 13, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    dpx.write(tmp_path / "a.dpx", dpx.blank(13, 7, bits), codes, dpx.VIDEO, "me")
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
        ("gray", 8), ("rgb24", 8), ("rgba", 8), ("gbrp10be", 10), ("gbrp12be", 12), ("rgb48le", 16), ("gray16be", 16),
    ],
)  # fmt: skip
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
    head = bytearray(dpx.blank(7, 5, 10).head)
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


# --- in and out -------------------------------------------------------------------------------------------------------


def test_a_reel_of_log_dpx_comes_out_as_one(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(86400, 86412))
    row = film_of(pattern, out, ink)
    assert (row.status, row.reason, row.notes) == (DONE, "", ())
    assert (row.input, row.output) == ("reel_%06d.dpx", "reel_%06d.dpx")
    assert (row.depth, row.format, row.film["frames"], row.film["first"]) == (10, "dpx", 12, 86400)
    assert (row.film["curve"], row.film["missing"], row.film["fps"]) == ("log", 0, 24.0)
    assert {p.name for p in out.iterdir()} == {p.name for p in src.iterdir()} | {"manifest.jsonl"}
    for number in (86400, 86411):
        before, codes = dpx.read(src / f"reel_{number:06d}.dpx")
        after, rgb = dpx.read(out / f"reel_{number:06d}.dpx")
        assert (after.bits, after.transfer, after.head[1408:]) == (10, before.transfer, before.head[1408:])
        assert after.head[160:260].rstrip(b"\0") == b"Scanner X; archivecolor 0.1.0, colour added by AI"
        table = dpx.table_of(after, dpx.LOG)
        ours, theirs = (
            lab.lightness_from_luminance(torch.from_numpy(stills.light_of(c, table)).clamp(0, 1)) for c in (rgb, codes)
        )
        delta = (ours - theirs).abs()
        assert float(delta.max()) <= row.max_delta_l + 1e-4 < 0.2
        shown = stills.codes_of_light(table)[rgb]
        a, b = lab_of(shown)[15:35, 15:50, 1:].reshape(-1, 2).T
        assert abs(np.median(a) - INK[0]) < 2
        assert abs(np.median(b) - INK[1]) < 2


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("curve", "transfer"), [("log", 3), ("linear", 2), ("video", 6)])
def test_all_depths_and_curves_have_the_right_luminance(
    src: Path, out: Path, ink: Path, bits: int, curve: str, transfer: int
) -> None:
    pattern = save_reel(src, range(2), curve=curve, bits=bits, transfer=transfer)
    film = stills.open_stills(pattern, "24", "auto")
    assert film.stills and film.stills.curve == curve
    (frame, _) = stills.StillsReader(film)
    expected = lab.lightness_from_luminance(light_of(0)).numpy()
    coarse = {"log": 1.0, "linear": 9.0, "video": 0.4}[curve] if bits == 8 else 0.6
    assert np.abs(lightness_table(film.tags, film.depth)[frame.luma] - expected).max() < coarse
    row = film_of(pattern, out, ink)
    assert row.status == DONE, row.reason
    assert dpx.read_header(out / "reel_000000.dpx").bits == bits


@pytest.mark.parametrize(("curve", "black", "white"), [(dpx.LOG, 95, 685), (dpx.VIDEO, 64, 940)])
def test_what_lies_beyond_black_and_white_is_kept(curve: str, black: int, white: int) -> None:
    header = dpx.blank(1024, 1, 10, 1)
    header = header if curve == dpx.LOG else television(header)
    table = dpx.table_of(header, curve)
    codes = np.arange(1024)[None]
    warm = chroma.spread(np.full((8, 8), 50, np.float32), np.full((2, 8, 8), 25, np.float32), 1, 1024)
    rgb, worst = in_files.merged(table[codes], warm, dpx.coder(header, curve), table)
    assert worst < 0.15
    outside = (codes[0] <= black) | (codes[0] >= white)
    assert np.array_equal(rgb[0, outside], np.repeat(codes[0, outside, None], 3, axis=1))
    assert (np.ptp(rgb[0, 300:600].astype(int), axis=1) > 20).all()


def test_clipping_beyond_black_and_white_is_measured() -> None:
    header = television(dpx.blank(1024, 1, 10, 1))
    table, coder = dpx.table_of(header, dpx.VIDEO), dpx.coder(header, dpx.VIDEO)
    none = chroma.spread(np.full((8, 8), 50, np.float32), np.zeros((2, 8, 8), np.float32), 1, 1024)
    codes = {"white": np.full((1, 1024), 1000), "black": np.full((1, 1024), 10)}
    for at, beyond in codes.items():
        _, worst = in_files.merged(table[beyond], none, lambda light: coder(light.clamp(0, 1)), table)
        assert worst > 2, at


def test_a_television_reel_keeps_its_codes_beyond_white(src: Path, out: Path, ink: Path) -> None:
    header = television(dpx.blank(SIZE[1], SIZE[0], 10, 6))
    codes = np.linspace(4, 1019, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    for i in range(2):
        dpx.write(src / f"reel_{i:06d}.dpx", header, np.dstack([codes] * 3), dpx.VIDEO, "Scanner X")
    row = film_of(src / "reel_%06d.dpx", out, ink)
    assert (row.status, row.film["curve"]) == (DONE, "video")
    assert row.max_delta_l < 0.3
    made = dpx.read(out / "reel_000001.dpx")[1]
    beyond = (codes <= 64) | (codes >= 940)
    assert np.array_equal(made[beyond], np.repeat(codes[beyond][:, None], 3, axis=1))


@pytest.mark.parametrize(("bits", "padding"), [(10, 4), (10, 32), (8, 1), (8, 5), (16, 6)])
def test_padding_behind_lines_is_passed_over(tmp_path: Path, bits: int, padding: int) -> None:
    """Of 13 pixels: 8 bits fill 39 bytes, which a padding of 1 or 5 makes whole words."""
    draw = np.random.default_rng(bits)
    codes = draw.integers(0, 1 << bits, (7, 13, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    dpx.write(tmp_path / "a.dpx", dpx.blank(13, 7, bits), codes, dpx.VIDEO, "me")
    plain = (tmp_path / "a.dpx").read_bytes()
    line = {8: 39, 10: 52, 16: 78}[bits]
    lines = np.frombuffer(plain[2048:], np.uint8).reshape(7, -1)[:, :line]
    padded = np.pad(lines, ((0, 0), (0, padding)), constant_values=0xAA).tobytes()

    def read(content: bytes, said: int = padding) -> Any:
        head = bytearray(plain[:2048])
        struct.pack_into(">I", head, 812, said)
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


def test_a_header_that_says_nothing_is_named_and_can_be_overruled(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(2), transfer=0)
    for path in src.iterdir():
        content = bytearray(path.read_bytes())
        content[801] = 0
        path.write_bytes(content)
    row = film_of(pattern, out / "video", ink)
    assert row.film["curve"] == "video"
    assert "--dpx-curve" in row.notes[0]
    row = film_of(pattern, out / "log", ink, film=FilmOptions(fps="24", dpx_curve="log"))
    assert (row.film["curve"], row.notes) == ("log", ())
    assert dpx.read_header(out / "log/reel_000000.dpx").transfer == 1


def test_the_rate_of_a_header_is_taken_and_none_is_named(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(3))
    row = film_of(pattern, out / "usual", ink, film=FilmOptions())
    assert row.film["fps"] == 24.0
    assert "taken for 24, see --fps" in row.notes[0]
    for path in src.iterdir():
        content = bytearray(path.read_bytes())
        struct.pack_into(">f", content, 1724, 23.976)
        path.write_bytes(content)
    row = film_of(pattern, out / "said", ink, film=FilmOptions())
    assert (row.film["fps"], row.notes) == (23.976, ())
    assert stills.open_stills(pattern, "", "auto").time_base == Fraction(1001, 24000)
    assert stills.open_stills(pattern, "16.667", "auto").rate == Fraction(16667, 1000)
    for text in ("fast", "0", "24/0", "-3"):
        with pytest.raises(UsageError, match="--fps"):
            FilmOptions(fps=text)


@pytest.mark.parametrize(
    ("suffix", "dtype"), [("png", np.uint8), ("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16)]
)
def test_numbered_pictures_keep_depth_names_and_lightness(
    src: Path, out: Path, ink: Path, suffix: str, dtype: Any
) -> None:
    for i in range(5):
        samples = grey(40, 56, dtype, seed=i)
        path = src / "box" / f"{i:04d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        if suffix == "tif":
            tifffile.imwrite(path, samples, resolution=(300, 300))
        else:
            cv2.imwrite(str(path), samples)
    row = film_of(src, out, ink, film=FilmOptions(fps="18", sequences=True))
    assert (row.status, row.reason, row.input) == (DONE, "", f"box/%04d.{suffix}")
    assert row.depth == 8 * np.dtype(dtype).itemsize
    for i in (0, 4):
        made = cv2.imread(str(out / "box" / f"{i:04d}.{suffix}"), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert made.dtype == dtype
        delta = np.abs(lightness(made) - lightness(grey(40, 56, dtype, seed=i))).max()
        assert delta <= row.max_delta_l + 1e-3 <= (0.31 if dtype == np.uint8 else 0.003)
    content = (out / "box" / f"0000.{suffix}").read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in content


def test_without_a_word_numbered_photographs_stay_photographs(src: Path, out: Path, ink: Path) -> None:
    for i in range(2):
        Image.fromarray(grey(seed=i)).save(src / f"{i}.png")
    rows = colour(src, out=out, model=ink)
    assert [(row.input, row.film) for row in rows] == [("0.png", {}), ("1.png", {})]


def test_gaps_are_named_and_keep_the_time(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, [1, 2, 3, 6, 7, 9])
    row = film_of(pattern, out, ink)
    assert row.film["missing"] == 3
    assert row.notes == ("frames are missing, and those before them stay longer: 4-5, 8",)
    assert [p.name for p in numbered.members(out / "reel_%06d.dpx")] == [
        f"reel_00000{n}.dpx" for n in (1, 2, 3, 6, 7, 9)
    ]
    row = film_of(pattern, out / "film", ink, film=FilmOptions(codec="h264", fps="18"))
    assert row.output == "reel_000001-000009.dpx.mp4"
    made = facts(out / "film" / row.output)
    assert [p * made.time_base * 18 for p in made.pts] == [0, 1, 2, 5, 6, 8]


@pytest.mark.parametrize("how", ["repeat", "grey"])
def test_a_frame_that_cannot_be_read_gets_a_stand_in(src: Path, out: Path, ink: Path, how: str) -> None:
    pattern = save_reel(src, range(10, 16))
    (src / "reel_000012.dpx").write_bytes((src / "reel_000012.dpx").read_bytes()[:5000])
    row = film_of(pattern, out, ink, film=FilmOptions(fps="24", on_bad_frame=how))
    assert row.status == DONE
    assert row.film["bad_frames"] == 1
    assert row.notes == ("1 frames could not be decoded; stand-ins keep the time: [12]",)
    made, before = (dpx.read(out / f"reel_{n:06d}.dpx")[1].astype(int) for n in (12, 11))
    alike = np.abs(made - before).max() <= 2
    assert alike == (how == "repeat")
    if how == "grey":
        assert np.ptp(made[..., 1]) <= 1


def test_frames_of_another_size_end_the_film_with_their_name(src: Path, out: Path, ink: Path) -> None:
    for i in range(3):
        Image.fromarray(grey(40, 56 + i)).save(src / f"f_{i}.png")
    row = film_of(src / "f_%d.png", out, ink)
    assert row.status == FAILED
    assert "f_1.png has 57 x 40 pixels, the film 56 x 40" in row.reason


def test_a_reel_in_colour_is_left_alone(src: Path, out: Path, ink: Path) -> None:
    for i in range(3):
        Image.fromarray(colourful(40, 56)).save(src / f"f_{i}.png")
    row = film_of(src / "f_%d.png", out, ink)
    assert (row.status, row.reason) == (SKIPPED, "already colour")
    assert list(out.rglob("*.png")) == []


def test_one_dpx_is_a_film_of_one_frame(src: Path, out: Path, ink: Path) -> None:
    save_dpx(src / "still.dpx", 0)
    row = film_of(src, out, ink)
    assert (row.status, row.output, row.film["frames"]) == (DONE, "still.dpx", 1)
    assert dpx.read(out / "still.dpx")[1].shape == (*SIZE, 3)


def test_toned_frames_are_read_as_luminance(src: Path, out: Path, ink: Path) -> None:
    for i in range(3):
        toned = (grey(40, 56, seed=i)[..., None] * np.array([1, 0.85, 0.6])).astype(np.uint8)
        Image.fromarray(toned).save(src / f"f_{i}.png")
    row = film_of(src / "f_%d.png", out, ink, film=FilmOptions(fps="24", master=True))
    assert (row.status, row.output) == (DONE, "f_0-2.png.mkv")
    film = facts(out / row.output)
    assert film.pix_fmt == "yuv444p16le"
    toned = np.asarray(Image.open(src / "f_1.png"))
    shown = lab.srgb_from_linear(lab.luminance_from_lightness(torch.from_numpy(lightness(toned)))).numpy()
    assert np.abs(film.luma[1] / 65535 - shown).max() < 2e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_master_of_grey_frames_has_their_codes(src: Path, out: Path, ink: Path, dtype: Any) -> None:
    for i in range(4):
        cv2.imwrite(str(src / f"f_{i}.png"), grey(40, 56, dtype, seed=i))
    row = film_of(src / "f_%d.png", out, ink, film=FilmOptions(fps="25", master=True))
    made = facts(out / row.output)
    assert made.tags[1] == 2
    assert all(np.array_equal(made.luma[i], grey(40, 56, dtype, seed=i)) for i in range(4))


@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_a_film_file_of_a_reel_has_its_lightness(src: Path, out: Path, ink: Path, codec: str) -> None:
    pattern = save_reel(src, range(4))
    row = film_of(pattern, out, ink, film=FilmOptions(fps="24", codec=codec))
    with av.open(str(out / row.output)) as film:
        rgb = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)][2]
    expected = lab.lightness_from_luminance(light_of(2)).numpy()
    assert np.abs(lightness(rgb)[:, :-1] - expected[:, :-1]).mean() < 1.5  # coded, and 65 is odd


@pytest.mark.parametrize(("codec", "suffix"), [("png", ".png"), ("tiff", ".tif"), ("dpx", ".dpx")])
def test_a_film_file_comes_out_as_numbered_files_where_asked(
    src: Path, out: Path, ink: Path, codec: str, suffix: str
) -> None:
    source = save_film(src / "reel.mp4", sound=True)
    row = film_of(source, out, ink, film=FilmOptions(codec=codec))
    assert row.output == f"reel.mp4_frames/reel_%06d{suffix}"
    assert row.notes == ("sound and subtitles are not carried by files of frames",)
    made = numbered.members(out / row.output)
    assert (len(made), made[0].name, made[-1].name) == (24, f"reel_000000{suffix}", f"reel_000023{suffix}")
    luma = facts(source).luma[3].astype(float)
    shown = ((luma - 16) / 219).clip(0, 1)[..., None].repeat(3, axis=2)
    if codec == "dpx":
        header, codes = dpx.read(made[3])
        rgb = codes / 1023
        assert header.bits == 10
    else:
        rgb = cv2.imread(str(made[3]), cv2.IMREAD_UNCHANGED)[..., ::-1] / 255
    one, other = (lightness(np.rint(v * 65535).astype(np.uint16)) for v in (rgb, shown))
    assert np.abs(one - other).max() < 0.5


def test_a_reel_changes_its_format_where_asked(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(3))
    row = film_of(pattern, out, ink, film=FilmOptions(fps="24", codec="tiff"), suffix="_color")
    assert row.output == "reel_000000-000002.dpx_frames/reel_%06d_color.tif"
    made = tifffile.imread(out / "reel_000000-000002.dpx_frames/reel_000001_color.tif")
    assert made.dtype == np.uint16
    expected = lab.lightness_from_luminance(light_of(1)).numpy()
    assert np.abs(lightness(made) - expected).max() < 0.2


# --- kept, killed, checked --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_at_any_write_and_taken_up_again_the_reel_is_the_same(
    src: Path, tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = save_reel(src, [*range(20), *range(22, 40)])
    (src / "reel_000008.dpx").write_bytes(b"")  # the first of a segment: its stand-in comes from the one before
    monkeypatch.setattr("archivecolor.reel.way.LONGEST_SEGMENT", 8)
    film_of(pattern, tmp_path / "never", ink)
    never = contents(tmp_path / "never", lambda path: path.name == "manifest.jsonl")
    assert len(never) == 38
    out, left = tmp_path / "out", [0]

    def mortal(own: Any) -> Any:
        def dies(*given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return own(*given, **named)

        return dies

    monkeypatch.setattr(segments.WorkFolder, "save", mortal(segments.WorkFolder.save))
    monkeypatch.setattr(dpx, "write", mortal(dpx.write))
    monkeypatch.setattr("archivecolor.reel.in_files.os.replace", mortal(in_files.os.replace))
    deaths = 0
    for more in (3, 12, 9, 20, 13, 30, 40, 1000):
        left[0] = more
        try:
            row = film_of(pattern, out, ink, workers=1)
        except Killed:
            deaths += 1
    assert deaths >= 5
    assert row.status == DONE
    assert contents(out, lambda path: path.name == "manifest.jsonl") == never


def test_what_is_done_is_done_and_a_changed_frame_does_it_again(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(4))
    told = Disclosure()
    first = film_of(pattern, out, ink, disclosure=told)
    assert json.loads((out / "reel_%06d.dpx.json").read_text())["output"]["sha256"] == first.output_sha256
    assert film_of(pattern, out, ink, disclosure=told) == first
    save_dpx(src / "reel_000002.dpx", 30)
    second = film_of(pattern, out, ink, disclosure=told)
    assert (second.status, second.source_sha256 == first.source_sha256) == (DONE, False)
    (src / "reel_000003.dpx").unlink()
    third = film_of(pattern, out, ink, disclosure=told)
    assert third.film["frames"] == 3
    assert not (out / "reel_000003.dpx").exists()
    (out / "reel_000001.dpx").unlink()
    assert film_of(pattern, out, ink, disclosure=told).seconds != third.seconds
    assert (out / "reel_000001.dpx").exists()


def test_frames_of_others_are_not_replaced(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, range(3))
    out.mkdir()
    (out / "reel_000077.dpx").write_bytes(b"somebody's")
    row = film_of(pattern, out, ink)
    assert row.status == FAILED
    assert "was not made by this program" in row.reason
    assert (out / "reel_000077.dpx").read_bytes() == b"somebody's"


def test_a_reel_is_verified_bagged_and_exported_whole(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    pattern = save_reel(src, range(4))
    row = film_of(pattern, out, ink, disclosure=Disclosure())
    assert verify.verify(out).sound
    (tmp_path / "accepted.json").write_text(
        json.dumps(
            {
                "format": decisions.FORMAT,
                "decisions": [{"input": row.input, "decision": "accepted", "output_sha256": row.output_sha256}],
            }
        )
    )
    assert export.export(out, tmp_path / "accepted.json", tmp_path / "to")[:2] == (1, 0)
    assert {p.name for p in (tmp_path / "to").iterdir()} == {p.name for p in out.iterdir()} - {"manifest.jsonl"}
    pytest.importorskip("bagit")
    assert bag.bag(out, tmp_path / "bag") == 1
    shutil.copy(out / "reel_000001.dpx", out / "reel_000002.dpx")
    found = verify.verify(out)
    assert [(f.what, f.name) for f in found.findings] == [("changed", "reel_%06d.dpx")]
    (out / "reel_000002.dpx").unlink()
    assert not verify.verify(out).sound


def test_the_mark_is_burnt_into_frames(src: Path, out: Path, ink: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(src / f"f_{i}.png"), grey(240, 320, seed=i))
    plain = film_of(src / "f_%d.png", out / "plain", ink)
    marked = film_of(src / "f_%d.png", out / "marked", ink, disclosure=Disclosure(mark="auto", sidecar=False))
    assert (plain.mark, marked.mark) == ("", "Colour added by AI")
    one, other = (cv2.imread(str(out / where / "f_1.png")).astype(int) for where in ("plain", "marked"))
    rows, columns = np.nonzero(np.abs(one - other).max(axis=2))
    assert rows.min() > 220
    assert columns.min() > 200
    assert len(rows) > 300


@pytest.mark.parametrize("source", ["wave.gif", "reel.mp4", "f_%02d.png"])
def test_films_of_all_kinds_come_out_as_a_gif_where_asked(src: Path, out: Path, ink: Path, source: str) -> None:
    lasts = [40, 80, 120] * 2
    frames = [Image.fromarray(grey(64, 96, seed=i)) for i in range(6)]
    if source == "wave.gif":
        frames[0].save(src / source, save_all=True, append_images=frames[1:], duration=lasts, loop=0)
    elif source == "reel.mp4":
        save_film(src / source, [0, 24, 72, 144, 168, 216], size=(64, 96), sound=True)
    else:
        for i, n in enumerate((1, 2, 4, 7, 8, 10)):  # gaps: two and three frames of 40 ms
            frames[i].save(src / f"f_{n:02d}.png")
    row = film_of(src / source, out, ink, film=FilmOptions(codec="gif", fps="25"))
    assert row.status == DONE, row.reason
    assert row.output == {"wave.gif": "wave.gif", "reel.mp4": "reel.mp4.gif", "f_%02d.png": "f_01-10.png.gif"}[source]
    with Image.open(out / row.output) as made:
        shown, rgb = [], []
        for i in range(getattr(made, "n_frames", 1)):
            made.seek(i)
            shown.append(made.info["duration"])
            rgb.append(np.asarray(made.convert("RGB")))
        assert b"Colour invented by a neural network" in made.info["comment"]
    assert shown[:5] == [40, 80, 120, 40, 80]
    assert len(rgb) == 6
    a, b = np.median(lab_of(rgb[3])[8:56, 8:88, 1:].reshape(-1, 2), axis=0)
    assert abs(a - INK[0]) < 5
    assert abs(b - INK[1]) < 6


def test_a_reel_in_another_format_and_photographs_share_no_file(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        save_dpx(src / f"f_{i:04d}.dpx", i)
        cv2.imwrite(str(src / f"f_{i:04d}.png"), grey(40, 56, seed=i))
    for overwrite in (False, True, True):
        rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png"), overwrite=overwrite)
        assert {row.status for row in rows} == {DONE}
        assert {row.output: files.sha256(out / row.output) for row in rows} == {r.output: r.output_sha256 for r in rows}
        assert {row.output for row in rows} == {
            "f_0001-0003.dpx_frames/f_%04d.png", *(f"f_{i:04d}.png" for i in range(1, 4))
        }  # fmt: skip
        assert all(cv2.imread(str(out / f"f_{i:04d}.png")).shape == (40, 56, 3) for i in range(1, 4))


def test_reels_of_one_name_and_two_formats_share_no_file(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        save_dpx(src / f"f_{i:04d}.dpx", i)
        tifffile.imwrite(src / f"f_{i:04d}.tif", grey(40, 56, seed=i))
    rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png", sequences=True), overwrite=True)
    assert [(row.status, row.output) for row in rows] == [
        (DONE, "f_0001-0003.dpx_frames/f_%04d.png"), (DONE, "f_0001-0003.tif_frames/f_%04d.png"),
    ]  # fmt: skip
    assert all(files.sha256(out / row.output) == row.output_sha256 for row in rows)


def test_one_frame_in_another_format_leaves_a_photograph_its_name(src: Path, out: Path, ink: Path) -> None:
    save_dpx(src / "still.dpx", 0)
    cv2.imwrite(str(src / "still.png"), grey(40, 56))
    rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png"), overwrite=True)
    assert [(row.status, row.output) for row in rows] == [(DONE, "still.dpx.png"), (DONE, "still.png")]


def test_photographs_whose_format_changes_leave_a_reel_its_names(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        cv2.imwrite(str(src / f"f_{i:04d}.png"), grey(40, 56, seed=i))
    tifffile.imwrite(src / "f_0002.tif", grey(48, 64, seed=9))
    rows = colour(src / "f_%04d.png", src / "f_0002.tif", out=out, model=ink, format="png", overwrite=True)
    assert [(row.status, row.output) for row in rows] == [(DONE, "f_%04d.png"), (DONE, "f_0002.tif.png")]
    assert files.sha256(out / "f_%04d.png") == rows[0].output_sha256


def test_frames_are_taken_away_only_where_a_row_names_them(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, [0, 1, 2, 5])
    assert film_of(pattern, out, ink).film["numbers"] == [[0, 2], [5, 5]]
    strange = out / "reel_000004.dpx"
    strange.write_bytes(b"somebody's")
    (src / "reel_000005.dpx").unlink()
    row = film_of(pattern, out, ink, overwrite=True)
    assert row.status == FAILED
    assert "reel_000004.dpx was not made by this program from these frames" in row.reason
    assert strange.read_bytes() == b"somebody's"


def dpx_found(out: Path, *inputs: Any) -> list[tuple[str, str]]:
    found = jobs.find(list(map(str, inputs)), out, lambda p: True, is_frame=lambda p: p.suffix == ".dpx")
    return [(job.name, f"{job.source.parent.name}/{job.source.name}") for job in found]


def test_some_frames_that_are_named_are_not_the_whole_reel(src: Path, out: Path, tmp_path: Path) -> None:
    save_reel(src, range(12))
    for n in (8, 9, 10, 11, 12):
        save_dpx(src / f"z/f_{n}.dpx", n)
    (tmp_path / "list.txt").write_text(f"{src}/reel_000003.dpx\n{src}/reel_000004.dpx\n")
    some = [(f"reel_00000{n}.dpx", f"src/reel_00000{n}.dpx") for n in (3, 4)]
    assert dpx_found(out, src / "reel_000003.dpx") == some[:1]
    assert dpx_found(out, src / "reel_00000[34].dpx") == some
    assert dpx_found(out, f"@{tmp_path / 'list.txt'}") == some
    assert dpx_found(out, src / "z/f_10.dpx") == [("f_10.dpx", "z/f_10.dpx")]
    assert dpx_found(out, src / "z/*.dpx") == [("f_%d.dpx", "z/f_%d.dpx")]
    assert dpx_found(out, src / "reel_*.dpx") == [("reel_%06d.dpx", "src/reel_%06d.dpx")]


def test_no_reel_vanishes_behind_one_of_the_same_name(src: Path, out: Path) -> None:
    save_reel(src / "x", [1, 2])
    save_reel(src / "y", [100])
    expected = [("reel_%06d.dpx", "x/reel_%06d.dpx"), ("y/reel_%06d.dpx", "y/reel_%06d.dpx")]
    assert dpx_found(out, src / "x", src / "y/reel_000100.dpx") == expected
    save_reel(src / "y", [1])
    assert dpx_found(out, src / "x", src / "y/*.dpx") == expected


def test_options_count_where_they_have_an_effect(src: Path, ink: Path) -> None:
    def digests(numbered: bool, lossy: bool = False, quality: int = 95, **film: Any) -> str:
        told = RunOptions(("a",), src, quality=quality, film=FilmOptions(**film))
        return told.film_digest(numbered, lossy)

    assert digests(False) == digests(False, codec="h264") == digests(False, fps="18", dpx_curve="log")
    assert digests(False) != digests(False, title_card="x")
    assert digests(True) == digests(True, title_card="x", deinterlace=True) == digests(True, quality=50)
    assert (
        len({digests(True), digests(True, codec="h264"), digests(True, fps="18"), digests(True, dpx_curve="log")}) == 4
    )
    assert digests(True, lossy=True) == digests(True) != digests(True, lossy=True, quality=50)
    assert digests(True, lossy=True, quality=50, codec="png") == digests(True, codec="png", title_card="x")


def test_numbered_jpegs_of_another_quality_are_made_again(src: Path, out: Path, ink: Path) -> None:
    for i in range(2):
        Image.fromarray(grey(seed=i)).save(src / f"f_{i}.jpg")
    first, second = (film_of(src / "f_%d.jpg", out, ink, quality=quality) for quality in (95, 50))
    assert first.output_sha256 != second.output_sha256


def test_a_photograph_with_the_name_of_a_pattern_is_done_again(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "a%d.png")
    (first,) = colour(src, out=out, model=ink)
    (out / "a%d.png").unlink()
    (second,) = colour(src, out=out, model=ink)
    assert (second.status, second.output_sha256) == (DONE, first.output_sha256)
    assert (out / "a%d.png").is_file()


def test_the_rehearsal_of_a_reel_tells_what_the_run_does(
    src: Path, out: Path, ink: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = save_reel(src, range(3))
    told = RunOptions(
        (str(pattern),), out, str(ink), ColorOptions(64), precision="fp32", disclosure=Disclosure(sidecar=False),
        film=FilmOptions(fps="24"),
    )  # fmt: skip

    def rehearsed(options: RunOptions) -> Any:
        rehearsal.rehearse(options, as_json=True)
        return json.loads(capsys.readouterr().out)

    for codec in ("auto", "png", "h264"):
        how = replace(told, film=FilmOptions(fps="24", codec=codec))
        assert rehearsed(how)["target"] == str(out / film_of(pattern, out, ink, film=how.film).output)
    film_of(pattern, out, ink)
    (out / "reel_000001.dpx").unlink()
    assert rehearsed(told)["would"] == "colour again (the output is gone)"


def test_pieces_of_other_encoder_settings_are_not_joined(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    own = segments.WorkFolder.__init__

    def noted(self: Any, place: Path, key: str) -> None:
        keys.append(key)
        own(self, place, key)

    monkeypatch.setattr(segments.WorkFolder, "__init__", noted)
    pattern = save_reel(src, range(2))
    for preset in ("faster", "medium"):
        monkeypatch.setitem(write._ENCODERS["h264"][1], "preset", preset)
        film_of(pattern, out, ink, film=FilmOptions(fps="24", codec="h264"), overwrite=True)
    assert len(set(keys)) == 2
