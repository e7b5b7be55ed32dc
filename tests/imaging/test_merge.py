"""painting: the full-size pass gives the plain formulas' colours, measures them truly, needs little memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.doubles import grey, lightness
from support.paintings import colorized

from archivecolor.errors import PictureError
from archivecolor.imaging import guided_filter, lab, merge_numba, native_code
from archivecolor.imaging import merge as merge_module

BITS = {256: np.uint8, 65536: np.uint16}


def wild(seed: int, height: int = 30, width: int = 41, reach: float = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Any L* (h, W), black and white among them, and any ab (2, h, W): most of them outside sRGB when `reach` is."""
    draw = torch.Generator().manual_seed(seed)
    light = torch.rand(height, width, generator=draw) * 100
    light[0, 0], light[0, 1], light[0, 2] = 0, 100, 8
    return light, (torch.rand(2, height, width, generator=draw) * 2 - 1) * reach


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 3.0, 30.0, 120.0, 500.0]), st.sampled_from([256, 65536]))
def test_the_colours_are_those_of_the_plain_formulas(seed: int, reach: float, levels: int) -> None:
    light, ab = wild(seed, reach=reach)
    plain = lab.srgb_from_lab(torch.cat([light[None], ab]).double()) * (levels - 1)
    codes, _ = merge_module.merge_planes(light, ab, levels)
    near = 0.53 if levels == 256 else 1.0  # 16 bit: float32 itself is worth a good part of a code
    assert float((codes - plain).abs().max()) <= near


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 30.0, 500.0]), st.sampled_from([256, 65536]))
def test_the_largest_change_of_lightness_is_measured_truly(seed: int, reach: float, levels: int) -> None:
    light, ab = wild(seed, reach=reach)
    codes, worst = merge_module.merge_planes(light, ab, levels)
    true = (lab.lab_from_srgb(codes.double() / (levels - 1))[0] - light.double()).abs().max()
    assert float(worst) == pytest.approx(float(true), rel=0.01, abs=3e-5)
    assert float(worst) <= (0.3 if levels == 256 else 0.002)


@pytest.mark.parametrize("levels", [256, 65536])
def test_a_wrong_code_would_be_noticed(monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    """The measure looks at the codes that are written, at every pixel."""
    light, ab = wild(3, reach=20)
    coded = merge_module._encode

    def spoilt(rgb: torch.Tensor, levels: int) -> torch.Tensor:
        codes = coded(rgb, levels)
        codes[1, 17, 23] += levels // 16 if int(codes[1, 17, 23]) < levels // 2 else -levels // 16
        return codes

    monkeypatch.setattr(merge_module, "_encode", spoilt)
    codes, worst = merge_module.merge_planes(light, ab, levels)
    true = (lab.lab_from_srgb(codes.double() / (levels - 1))[0] - light.double()).abs().max()
    assert float(worst) > 1
    assert float(worst) == pytest.approx(float(true), rel=0.02)


@pytest.mark.parametrize("levels", [256, 65536])
def test_no_colour_gives_grey(levels: int) -> None:
    ramp = torch.linspace(0, 100, 4096).view(64, 64)
    codes, _ = merge_module.merge_planes(ramp, torch.zeros(2, 64, 64), levels)
    assert int((codes.amax(0).int() - codes.amin(0).int()).max()) <= (0 if levels == 256 else 1)
    assert int(codes.min()) == 0
    assert int(codes.max()) == levels - 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3.0, 60.0, 300.0]), st.sampled_from([256, 65536]), st.integers(1, 40))
def test_pixel_by_pixel_and_plane_by_plane_are_the_same(seed: int, reach: float, levels: int, top: int) -> None:
    """More than one piece of a row wide; the maps end before the picture does on all sides."""
    draw = np.random.default_rng(seed)
    guide = draw.uniform(0, 100, (9, 13)).astype(np.float32)
    ab = draw.uniform(-reach, reach, (2, 9, 13)).astype(np.float32)
    band = guided_filter.upsample_chroma(guide, ab, 70, merge_numba.PIECE + 77).band(top, 30)
    light = draw.uniform(0, 100, (30, merge_numba.PIECE + 77)).astype(np.float32)
    light[0, :3] = 0, 100, 8
    mine, other = (np.zeros((*light.shape, 3), BITS[levels]) for _ in range(2))
    worst = merge_module.merge_rows(band, light, top, mine)
    assert worst == pytest.approx(merge_module.merge_rows_on_device(band, light, top, other), rel=0.02, abs=1e-4)
    apart = np.abs(mine.astype(int) - other)
    assert apart.max() <= 1
    assert (apart > 0).mean() < (0.001 if levels == 256 else 0.05)
    true = np.abs(lightness(mine) - light).max()
    assert worst == pytest.approx(true, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("levels", [256, 65536])
def test_the_kernel_gives_the_colours_of_the_plain_formulas(levels: int) -> None:
    """Every colour of the map on every L*: one row of the map is as wide as the picture, so nothing is spread."""
    light, ab = wild(7, 40, 600, 140)
    flat = guided_filter.upsample_chroma(np.zeros((40, 600), np.float32), np.zeros((2, 40, 600), np.float32), 40, 600)
    maps = torch.cat([torch.zeros_like(ab), ab, torch.full_like(ab, -500), torch.full_like(ab, 500)])
    band = replace(flat, maps=maps).band(0, 40)
    out = np.zeros((40, 600, 3), BITS[levels])
    merge_module.merge_rows(band, light.numpy(), 0, out)
    plain = lab.srgb_from_lab(torch.cat([light[None], ab]).double()).permute(1, 2, 0).numpy() * (levels - 1)
    assert np.abs(out - plain).max() <= (0.53 if levels == 256 else 1.0)
    ramp = np.linspace(0, 100, 40 * 600, dtype=np.float32).reshape(40, 600)
    merge_module.merge_rows(replace(flat, maps=maps * 0).band(0, 40), ramp, 0, out)
    assert np.ptp(out.astype(int), axis=2).max() <= (0 if levels == 256 else 1)
    assert (out.min(), out.max()) == (0, levels - 1)


@pytest.mark.parametrize("levels", [256, 65536])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 50), (50, 1), (2, merge_numba.PIECE), (2, merge_numba.PIECE + 1)]
)
def test_thin_pictures_too(levels: int, height: int, width: int) -> None:
    draw = np.random.default_rng(1)
    guide, ab = draw.uniform(0, 100, (5, 7)).astype(np.float32), draw.uniform(-40, 40, (2, 5, 7)).astype(np.float32)
    band = guided_filter.upsample_chroma(guide, ab, height, width).band(0, height)
    light = draw.uniform(0, 100, (height, width)).astype(np.float32)
    mine, other = (np.zeros((height, width, 3), BITS[levels]) for _ in range(2))
    assert merge_module.merge_rows(band, light, 0, mine) == pytest.approx(
        merge_module.merge_rows_on_device(band, light, 0, other), rel=0.02, abs=1e-4
    )
    assert np.abs(mine.astype(int) - other).max() <= 1


@pytest.mark.parametrize("levels", [256, 65536])
def test_what_is_no_number_is_an_error_or_some_colour_but_never_a_crash(levels: int) -> None:
    guide, ab = np.full((5, 7), 50, np.float32), np.zeros((2, 5, 7), np.float32)
    band = guided_filter.upsample_chroma(guide, ab, 20, 30).band(0, 20)
    light = np.full((20, 30), np.nan, np.float32)
    light[10:] = 50
    out = np.zeros((20, 30, 3), BITS[levels])
    merge_module.merge_rows(band, light, 0, out)
    assert (out[10:] == out[15, 15]).all()
    ab[0, 2, 2] = np.inf
    with pytest.raises(PictureError, match="no numbers"):
        guided_filter.upsample_chroma(guide, ab, 20, 30)


def test_maps_for_another_width_are_refused() -> None:
    band = guided_filter.upsample_chroma(np.zeros((5, 7), np.float32), np.zeros((2, 5, 7), np.float32), 20, 30).band(
        0, 20
    )
    with pytest.raises(ValueError, match="30 wide for a picture 31 wide"):
        merge_module.merge_rows(band, np.zeros((20, 31), np.float32), 0, np.zeros((20, 31, 3), np.uint8))


CACHE = """
import sys, numpy as np
from pathlib import Path
from types import SimpleNamespace
from support.paintings import colorized
print(colorized(np.full((40, 40), 90, np.uint8)).rows(np.full((40, 40), 90, np.uint8), 0)[1])
"""


@pytest.mark.parametrize("harm", ["damaged", "no folder"])
@pytest.mark.long
def test_the_folder_of_compiled_code_is_not_needed(tmp_path: Path, harm: str) -> None:
    """A kill leaves half a file; a small machine has no place for it. The file in the folder's place stands for both a
    full disk and a forbidden one: writing fails."""
    folder = tmp_path / "compiled"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}

    def worst() -> str:
        run = subprocess.run([sys.executable, "-c", CACHE], capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        return run.stdout

    first = worst()
    made = [path for path in folder.rglob("*") if path.suffix == ".native"]
    assert len(made) >= 1
    if harm == "damaged":
        for path in made:
            path.write_bytes(path.read_bytes()[:20])
    else:
        shutil.rmtree(folder)
        folder.write_text("in the way")
    assert worst() == first


@pytest.mark.parametrize("dtype", BITS.values())
@pytest.mark.parametrize("rgb", [False, True])
def test_rows_may_come_in_any_pieces(dtype: type, rgb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = grey(97, 61, dtype)
    samples = np.stack([samples] * 3, axis=-1) if rgb else samples
    one = colorized(samples)
    at_once, worst = one.rows(samples, 0)
    assert at_once.dtype == dtype
    assert np.abs(lightness(at_once) - lightness(samples)).max() == pytest.approx(worst, abs=0.02 * worst + 1e-3)
    pieces = [one.rows(samples[top : top + 7], top) for top in reversed(range(0, 97, 7))]
    top = int(np.iinfo(dtype).max)
    apart = np.concatenate([piece for piece, _ in reversed(pieces)]).astype(int) - at_once
    assert np.abs(apart).max() <= top // 255  # the rounding of a row's place between two small ones
    monkeypatch.setattr(merge_module, "STRIP_PIXELS", 500)
    monkeypatch.setattr(merge_module, "BAND_PIXELS", 1300)
    with ThreadPoolExecutor(3) as threads:
        shared, same = one.whole(samples, threads)
    assert np.abs(shared.astype(int) - at_once).max() <= top // 255
    assert same == pytest.approx(worst, rel=0.05)


def test_a_strip_too_large_for_the_device_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "merge_rows", merge_module.merge_rows_on_device)
    samples = grey(40, 56)
    one = colorized(samples)
    wanted, _ = one.rows(samples, 0)
    merge, sizes = merge_module.merge_planes, []

    def small_only(light: torch.Tensor, ab: torch.Tensor, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(light))
        if len(light) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return merge(light, ab, levels)

    monkeypatch.setattr(merge_module, "merge_planes", small_only)
    fits = 7
    assert np.abs(one.rows(samples, 0)[0].astype(int) - wanted).max() <= 1
    assert max(size for size in sizes if size <= fits) == 5
    fits = 0
    with pytest.raises(torch.OutOfMemoryError):
        one.rows(samples, 0)


@pytest.mark.parametrize("levels", [256, 65536])
def test_every_step_runs_where_its_tensors_are(levels: int) -> None:
    """On torch's device without memory: a tensor left on the CPU by mistake is an error there."""
    meta = torch.device("meta")
    guide, ab = np.zeros((12, 16), np.float32), np.zeros((2, 12, 16), np.float32)
    spread = guided_filter.upsample_chroma(guide, ab, 300, 400, device=meta)
    light = torch.empty(50, 400, device=meta)
    colours = spread.rows(light, 120)
    assert (colours.shape, colours.device) == ((2, 50, 400), meta)
    codes, worst = merge_module.merge_planes(light, colours, levels)
    assert (codes.shape, codes.device, worst.shape) == ((3, 50, 400), meta, ())
    assert codes.dtype == (torch.uint8 if levels == 256 else torch.int32)


MEMORY = """
import sys, torch, numpy as np
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from support.paintings import colorized
from archivecolor.bench.memory import peak_megabytes, reset_peak
threads = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
warm = np.full((1500, 1000), 90, np.uint8)
colorized(warm, size=256).whole(warm, threads)
reset_peak()
before = peak_megabytes()
samples = np.full((6000, 4000), 90, np.uint8)
colorized(samples, size=256).whole(samples, threads)
print((peak_megabytes() - before) * 2**20 / samples.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is asked of Linux")
def test_memory_stays_below_six_pictures() -> None:
    """24 megapixels of 8-bit grey with their result (four times that), above what the same needs for a small picture:
    the hardest case, as the result is as large beside any other source or smaller."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert 1 < float(run.stdout) < 6


COMPILED_ONCE = """
import sys, numpy as np
from support.paintings import colorized
for dtype in (np.uint8, np.uint8):
    samples = np.full((40, 40), 90, dtype)
    print(colorized(samples).rows(samples, 0)[1])
print(*sorted({"numba", "llvmlite", "scipy"} & sys.modules.keys()))
"""


def test_a_second_process_neither_compiles_nor_imports_the_compiler(tmp_path: Path) -> None:
    """And the wait is announced once, only where nothing is compiled yet."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    first, second = (
        subprocess.run([sys.executable, "-c", COMPILED_ONCE], capture_output=True, text=True, env=environment)
        for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr.count("compiling the loop over pixels once, about 20 s; later runs begin at once") == 1
    assert second.stderr == ""
    assert first.stdout.split()[-3:] == ["llvmlite", "numba", "scipy"]
    assert second.stdout.split()[-1] == "llvmlite"
    assert first.stdout.splitlines()[:2] == second.stdout.splitlines()[:2]
    assert len(list((tmp_path / "compiled").iterdir())) == 1


def test_compiled_code_is_for_one_source_and_one_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loops.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    names = [native_code._path("loops", "a")]
    (tmp_path / "loops.py").write_text("# changed")
    names.append(native_code._path("loops", "a"))
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    names.append(native_code._path("loops", "a"))
    assert len(set(names)) == 3


def test_rows_that_do_not_lie_in_one_piece_are_refused() -> None:
    band = guided_filter.upsample_chroma(np.zeros((5, 7), np.float32), np.zeros((2, 5, 7), np.float32), 20, 30).band(
        0, 20
    )
    with pytest.raises(ValueError, match="not all in one piece"):
        merge_module.merge_rows(band, np.zeros((20, 30), np.float32), 0, np.zeros((20, 60, 3), np.uint8)[:, ::2])
