"""Films whose frames are files: read with their curves, coloured, written back under their numbers."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.doubles import INK, colour, colourful, grey, lab_of, lightness
from support.films import facts, save_film
from support.needs import av, needs
from support.reels import SIZE, film_of, light_of, save_dpx, save_reel, television

from archivecolor import sequences
from archivecolor.errors import UsageError
from archivecolor.film import dpx, image_sequence
from archivecolor.film.planes import lightness_table
from archivecolor.imaging import lab
from archivecolor.options import Disclosure, FilmOptions
from archivecolor.provenance import DONE, FAILED, SKIPPED

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
        table = dpx.light_table(after, dpx.LOG)
        ours, theirs = (
            lab.lightness_from_luminance(torch.from_numpy(image_sequence.light_of(c, table)).clamp(0, 1))
            for c in (rgb, codes)
        )
        delta = (ours - theirs).abs()
        assert float(delta.max()) <= row.max_delta_l + 1e-4 < 0.2
        shown = image_sequence.srgb16_from_light(table)[rgb]
        a, b = lab_of(shown)[15:35, 15:50, 1:].reshape(-1, 2).T
        assert abs(np.median(a) - INK[0]) < 2
        assert abs(np.median(b) - INK[1]) < 2


@needs("av")
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("curve", "transfer"), [("log", 3), ("linear", 2), ("video", 6)])
def test_all_depths_and_curves_have_the_right_luminance(
    src: Path, out: Path, ink: Path, bits: int, curve: str, transfer: int
) -> None:
    pattern = save_reel(src, range(2), curve=curve, bits=bits, transfer=transfer)
    film = image_sequence.open_sequence(pattern, "24", "auto")
    assert film.curve == curve
    (frame, _) = image_sequence.ImageSequenceReader(film)
    expected = lab.lightness_from_luminance(light_of(0)).numpy()
    coarse = {"log": 1.0, "linear": 9.0, "video": 0.4}[curve] if bits == 8 else 0.6
    assert np.abs(lightness_table(film.tags, film.depth)[frame.luma] - expected).max() < coarse
    row = film_of(pattern, out, ink)
    assert row.status == DONE, row.reason
    assert dpx.read_header(out / "reel_000000.dpx").bits == bits


def test_a_television_reel_keeps_its_codes_beyond_white(src: Path, out: Path, ink: Path) -> None:
    header = television(dpx.new_header(SIZE[1], SIZE[0], 10, 6))
    codes = np.linspace(4, 1019, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    for i in range(2):
        dpx.write(src / f"reel_{i:06d}.dpx", header, np.dstack([codes] * 3), dpx.VIDEO, "Scanner X")
    row = film_of(src / "reel_%06d.dpx", out, ink)
    assert (row.status, row.film["curve"]) == (DONE, "video")
    assert row.max_delta_l < 0.3
    made = dpx.read(out / "reel_000001.dpx")[1]
    beyond = (codes <= 64) | (codes >= 940)
    assert np.array_equal(made[beyond], np.repeat(codes[beyond][:, None], 3, axis=1))


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
    assert image_sequence.open_sequence(pattern, "", "auto").time_base == Fraction(1001, 24000)
    assert image_sequence.open_sequence(pattern, "16.667", "auto").rate == Fraction(16667, 1000)
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
    assert [p.name for p in sequences.frame_paths(out / "reel_%06d.dpx")] == [
        f"reel_00000{n}.dpx" for n in (1, 2, 3, 6, 7, 9)
    ]
    row = film_of(pattern, out.with_name("film"), ink, film=FilmOptions(codec="h264", fps="18"))
    assert row.output == "reel_000001-000009.dpx.mp4"
    made = facts(out.with_name("film") / row.output)
    assert [p * made.time_base * 18 for p in made.pts] == [0, 1, 2, 5, 6, 8]


@pytest.mark.parametrize("on_bad_frame", ["repeat", "grey"])
def test_a_frame_that_cannot_be_read_gets_a_stand_in(src: Path, out: Path, ink: Path, on_bad_frame: str) -> None:
    pattern = save_reel(src, range(10, 16))
    (src / "reel_000012.dpx").write_bytes((src / "reel_000012.dpx").read_bytes()[:5000])
    row = film_of(pattern, out, ink, film=FilmOptions(fps="24", on_bad_frame=on_bad_frame))
    assert row.status == DONE
    assert row.film["bad_frames"] == 1
    assert row.notes == ("1 frames could not be decoded; stand-ins keep the time: [12]",)
    made, before = (dpx.read(out / f"reel_{n:06d}.dpx")[1].astype(int) for n in (12, 11))
    alike = np.abs(made - before).max() <= 2
    assert alike == (on_bad_frame == "repeat")
    if on_bad_frame == "grey":
        assert np.ptp(made[..., 1]) <= 1


def test_frames_of_another_size_end_the_film_with_their_name(src: Path, out: Path, ink: Path) -> None:
    for i in range(3):
        Image.fromarray(grey(40, 56 + i)).save(src / f"f_{i}.png")
    row = film_of(src / "f_%d.png", out, ink)
    assert row.status == FAILED
    assert "f_1.png has 57 x 40 pixels, the film 56 x 40" in row.reason


@needs("av")
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
    made = sequences.frame_paths(out / row.output)
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
