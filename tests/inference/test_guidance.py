"""A person's word on the colours: palette and hints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from support.doubles import INK, colour, grey, lab_of, lightness, save_ink

from archivecolor import Colorizer, photo
from archivecolor.errors import UsageError
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.inference.guidance import hints, palette
from archivecolor.options import (
    ColorizerOptions,
    ColorOptions,
    Digest,
    Hint,
    Palette,
    Region,
    RunOptions,
    parse_hint,
    parse_region,
)
from archivecolor.pipeline.reference_palette import read_palette
from archivecolor.provenance import read_rows

BLUE = "#3a5f8b"


def two_halves(height: int = 96, width: int = 128) -> Any:
    """Dark to the left, light to the right, with grain: one strong edge in the middle."""
    draw = np.random.default_rng(3)
    picture = np.full((height, width), 80.0)
    picture[:, width // 2 :] = 170
    return np.rint(picture + draw.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def colorized(ink: Path, samples: Any, **options: Any) -> Any:
    with Colorizer(
        ink, ColorizerOptions(color=ColorOptions(size=128, **options), device="cpu", precision="fp32")
    ) as colorizer:
        return colorizer.colorize_image(samples)


# --- hints ------------------------------------------------------------------------------------------------------------


def test_a_hint_holds_its_place_and_its_side_of_the_edge(ink: Path) -> None:
    samples = two_halves()
    result = colorized(ink, samples, hints=(Hint(30, 40, BLUE),))
    ab = lab_of(result.rgb)[..., 1:]
    wanted = hints.ab_of(BLUE)
    assert np.hypot(*(ab[40, 30] - wanted)) < 2
    assert np.hypot(*(ab[4:-4, 4:56] - wanted).transpose(2, 0, 1)).mean() < 6, "it colours the whole even side"
    assert np.hypot(*(ab[:, 72:] - INK).transpose(2, 0, 1)).max() < 3, "nothing of it is beyond the edge"


def test_a_hint_keeps_to_a_ribbon_finer_than_what_the_network_sees(ink: Path) -> None:
    """A light ribbon of 5 pixels, of which the network's copy has one and a quarter, wandering over a dark coat."""
    y, x = np.mgrid[0:512, 0:512]
    ribbon = np.abs(y - 250 - 30 * np.sin(x / 60)) < 2.5
    samples = np.where(ribbon, 190, 70).astype(np.uint8)
    row = int(np.flatnonzero(ribbon[:, 100])[2])
    result = colorized(ink, samples, hints=(Hint(100, row, BLUE),), tiles="never")
    ab = lab_of(result.rgb)[..., 1:]
    wanted = np.array(hints.ab_of(BLUE))
    missed = np.hypot(*(ab - wanted).transpose(2, 0, 1))
    core = np.abs(y - 250 - 30 * np.sin(x / 60)) < 1
    assert missed[core][:: core.sum() // 200].mean() < 10, "all along it"
    beside = np.abs(np.abs(y - 250 - 30 * np.sin(x / 60)) - 6) < 1.5
    assert np.hypot(*(ab - INK).transpose(2, 0, 1))[beside].mean() < 8, "and not beside it"


def test_a_hint_on_a_coat_is_not_stopped_by_its_seams(ink: Path) -> None:
    """Lines that the network's copy averages away are no edges for what is much larger than they are."""
    samples = np.full((512, 512), 90, np.uint8)
    samples[:, 400:] = 200
    samples[:, 40::60] = 130
    ab = lab_of(colorized(ink, samples, hints=(Hint(75, 256, BLUE),), tiles="never").rgb)[..., 1:]
    missed = np.hypot(*(ab - np.array(hints.ab_of(BLUE))).transpose(2, 0, 1))
    assert missed[100:400, 20:380].mean() < 8
    assert np.hypot(*(ab - INK).transpose(2, 0, 1))[:, 410:].mean() < 3


def test_where_no_hint_reaches_the_colours_are_those_without_one(ink: Path) -> None:
    samples = np.repeat(np.repeat(two_halves(), 4, axis=0), 4, axis=1)
    tilted = save_ink(ink.with_name("tilted"), (5.0, 10.0), (10.0, -20.0))
    plain, hinted = (lab_of(colorized(tilted, samples, hints=h).rgb)[..., 1:] for h in ((), (Hint(30, 40, BLUE),)))
    assert np.hypot(*(plain - hinted)[:, 300:].transpose(2, 0, 1)).mean() < 0.5


def test_a_hint_leaves_the_lightness_alone(ink: Path) -> None:
    samples = two_halves()
    result = colorized(ink, samples, hints=(Hint(30, 40, "#ff0000"), Hint(100, 40, "#00ff00")))
    assert np.abs(lightness(result.rgb) - lightness(samples)).max() < 0.35
    assert result.max_delta_l < 0.35


def test_hints_side_by_side_each_hold_their_own_place(ink: Path) -> None:
    result = colorized(ink, two_halves(), hints=(Hint(15, 40, BLUE), Hint(50, 40, "#8b5f3a")))
    ab = lab_of(result.rgb)[..., 1:]
    assert np.hypot(*(ab[40, 15] - hints.ab_of(BLUE))) < 3
    assert np.hypot(*(ab[40, 50] - hints.ab_of("#8b5f3a"))) < 3


def test_a_hint_counts_in_the_pixels_of_the_upright_picture(ink: Path) -> None:
    upright = two_halves()
    stored = np.rot90(upright)  # orientation 6: turned right it is upright
    options = ColorOptions(size=128, hints=(Hint(30, 40, BLUE),))
    with Colorizer(ink, ColorizerOptions(color=options, device="cpu", precision="fp32")) as colorizer:
        turned = np.rot90(colorizer.colorize(np.ascontiguousarray(stored), orientation=6), -1)
    assert np.hypot(*(lab_of(turned)[40, 30, 1:] - hints.ab_of(BLUE))) < 2


@settings(max_examples=20, deadline=None)
@given(
    lightness=hnp.arrays(np.float32, (16, 24), elements=st.floats(0, 100, width=32)),
    places=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 23)), min_size=1, max_size=3, unique=True),
)
def test_whatever_the_picture_a_pinned_pixel_has_its_colour(lightness: Any, places: list[tuple[int, int]]) -> None:
    colours = [(10.0 * i, 40.0 - 30 * i) for i in range(len(places))]
    result = hints.apply_hints(lightness, np.full((2, 16, 24), 5, np.float32), places, colours)
    for (row, column), wanted in zip(places, colours, strict=True):
        assert np.abs(result[:, row, column] - wanted).max() < 1
    low, high = min(5, *(min(c) for c in colours)), max(5, *(max(c) for c in colours))
    assert result.min() > low - 0.01 and result.max() < high + 0.01, "no colour comes up that nobody asked for"


@pytest.mark.parametrize("text", ["", "1,2", "1,2,red", "-1,2,#aabbcc", "1.5,2,#aabbcc", "1,2,#abc"])
def test_a_hint_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--hint"):
        parse_hint(text)


def test_a_hint_is_read_as_people_write_it() -> None:
    assert parse_hint(" 120, 80, #AA3322") == Hint(120, 80, "#aa3322") == parse_hint("120,80,aa3322")


def test_a_hint_outside_the_picture_is_the_reason_in_its_row(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    row = run_with(src, out, ink, hints=(Hint(4000, 10, BLUE),))[0]
    assert row.status == "failed"
    assert "4000,10,#3a5f8b: lies outside the picture, which has 56 x 40 pixels" in row.reason


def test_a_hint_for_many_pictures_is_refused(src: Path, out: Path, ink: Path) -> None:
    for name in "ab":
        Image.fromarray(grey()).save(src / f"{name}.png")
    with pytest.raises(UsageError, match="there are 2; name the one"):
        run_with(src, out, ink, hints=(Hint(4, 10, BLUE),))


# --- regions without colour -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_is_as_the_scan_to_the_pixel_in_every_orientation(ink: Path, orientation: int, dtype: Any) -> None:
    upright = grey(90, 130, dtype=dtype, seed=2)
    stored = np.ascontiguousarray(to_stored(upright, orientation))
    options = ColorOptions(size=128, neutral=(Region(20, 30, 50, 25), Region(100, 70, 900, 900)))
    with Colorizer(ink, ColorizerOptions(color=options, device="cpu", precision="fp32")) as colorizer:
        result = to_upright(colorizer.colorize(stored, orientation=orientation), orientation, (0, 1)).astype(int)
    is_neutral = np.zeros(upright.shape, bool)
    is_neutral[30:55, 20:70] = is_neutral[70:, 100:] = True
    assert np.array_equal(result[is_neutral], np.repeat(upright[is_neutral][:, None], 3, 1))
    assert (np.ptp(result[~is_neutral], axis=-1) > 0).all(), "and every pixel beside it has colour"


def test_a_region_wins_over_a_hint_and_changes_nothing_beside_it(ink: Path) -> None:
    plain = colorized(ink, two_halves(), hints=(Hint(30, 40, BLUE),))
    result = colorized(ink, two_halves(), hints=(Hint(30, 40, BLUE),), neutral=(Region(20, 30, 20, 20),))
    inside = np.zeros(plain.rgb.shape[:2], bool)
    inside[30:50, 20:40] = True
    assert np.ptp(result.rgb[inside], axis=-1).max() == 0
    assert np.array_equal(result.rgb[~inside], plain.rgb[~inside])


def test_rows_that_are_computed_alone_have_the_same_region(ink: Path) -> None:
    """As for a scan that is written strip by strip, and for the tiles of a preview at every zoom."""
    options = ColorOptions(size=128, neutral=(Region(20, 30, 50, 25),))
    samples = two_halves()
    with Colorizer(ink, ColorizerOptions(color=options, device="cpu", precision="fp32")) as colorizer:
        merge = colorizer.predict_colors(samples)
        bands = [merge.rows(samples[top : top + 7], top)[0] for top in range(0, len(samples), 7)]
        half = replace(merge, chroma=replace(merge.chroma, height=48, width=64)).rows(samples[::2, ::2], 0)[0]
    assert np.array_equal(np.concatenate(bands), colorized(ink, samples, neutral=options.neutral).rgb)
    assert np.ptp(half[15:27, 10:35], axis=-1).max() == 0 < np.ptp(half[:15], axis=-1).min()


def test_a_region_is_recorded_and_one_outside_the_picture_is_the_reason(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    row = run_with(src, out, ink, neutral=(Region(4, 10, 20, 8), Region(60, 0, 5, 5)))[0]
    assert (row.status, "--keep-neutral 60,0,5,5: lies outside the picture" in row.reason) == ("failed", True)
    row = run_with(src, out, ink, neutral=(Region(4, 10, 20, 8),))[0]
    assert row.guidance == ("no colour in 20 x 8 pixels at 4,10",)
    assert "no colour in 20 x 8 pixels at 4,10" in (out / "a.png").read_bytes().decode("latin1")
    Image.fromarray(grey()).save(src / "b.png")
    with pytest.raises(UsageError, match="--keep-neutral: is for one picture, and there are 2"):
        run_with(src, out, ink, neutral=(Region(4, 10, 20, 8),))


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,0,4", "-1,2,3,4", "a,b,c,d", "1,2,3,#aabbcc"])
def test_a_region_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--keep-neutral"):
        parse_region(text)
    assert parse_region(" 1, 2,30,40 ") == Region(1, 2, 30, 40)


def run_with(src: Path, out: Path, model: Path, redo: Path | None = None, **color: Any) -> Any:
    from support.observers import drive

    options = RunOptions(
        inputs=(str(src),),
        out=out,
        model=str(model),
        color=ColorOptions(size=64, **color),
        device="cpu",
        precision="fp32",
        redo=redo,
    )
    return drive(options)


# --- palettes ---------------------------------------------------------------------------------------------------------


def reference(tmp_path: Path, name: str = "reference.png") -> Path:
    """A colour picture, bluish in the lights and brownish in the darks."""
    y, x = np.mgrid[0:60, 0:80]
    base = 40 + 170 * (y[..., None] / 60) + 20 * np.sin(x / 4)[..., None]
    tint = np.where(y[..., None] > 30, [-25, 0, 40], [30, 5, -25]) + 15 * np.cos(x / 7)[..., None] * [1, -1, 0]
    Image.fromarray((base + tint).clip(0, 255).astype(np.uint8)).save(tmp_path / name)
    return tmp_path / name


def test_a_palette_moves_the_mean_colour_towards_the_references(tmp_path: Path, ink: Path) -> None:
    samples = grey(96, 128)
    path = reference(tmp_path)
    target = lab_of(np.asarray(Image.open(path)))[..., 1:].mean(axis=(0, 1))
    gap = []
    for strength in (0.0, 0.5, 1.0):
        result = colorized(ink, samples, palette=read_palette(path, strength))
        assert result.max_delta_l < 0.35
        gap.append(float(np.hypot(*(lab_of(result.rgb)[..., 1:].mean(axis=(0, 1)) - target))))
    assert gap[0] > 25
    assert gap[1] < 0.65 * gap[0]
    assert gap[2] < 0.3 * gap[0]


def test_a_palette_tells_lights_from_darks(tmp_path: Path) -> None:
    taken = read_palette(reference(tmp_path), 1.0)
    ramp = np.tile(np.linspace(15, 85, 64, dtype=np.float32)[:, None], (1, 32))
    result = palette.transfer(ramp, np.zeros((2, 64, 32), np.float32), taken)
    assert result[1, 8].mean() > 5 > -5 > result[1, -8].mean(), "the darks turn brown, the lights blue"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_its_own_palette_leaves_a_map_as_it_is(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lightness = draw.uniform(0, 100, (20, 30)).astype(np.float32)
    ab = (draw.normal(0, 25, (2, 20, 30)) * draw.uniform(0, 1, (2, 1, 1))).astype(np.float32)
    own = Palette("own", "0", palette.statistics(lightness, ab), 1.0)
    assert np.abs(palette.transfer(lightness, ab, own) - ab).max() < 1e-2


def test_a_grey_map_takes_colour_but_no_noise_is_blown_up() -> None:
    draw = np.random.default_rng(0)
    lightness = draw.uniform(0, 100, (40, 40)).astype(np.float32)
    vivid = (draw.normal(0, 40, (2, 40, 40))).astype(np.float32)
    taken = Palette("vivid", "0", palette.statistics(lightness, vivid), 1.0)
    faint = draw.normal(0, 0.01, (2, 40, 40)).astype(np.float32)
    assert np.abs(palette.transfer(lightness, faint, taken)).max() < 15


def test_a_reference_without_colour_or_without_a_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "grey.png")
    with pytest.raises(UsageError, match="has no colours to take"):
        read_palette(tmp_path / "grey.png")
    with pytest.raises(UsageError, match="cannot be read"):
        read_palette(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match="--palette-strength"):
        read_palette(reference(tmp_path), 1.5)


# --- what is written down ---------------------------------------------------------------------------------------------


def test_guidance_is_in_the_manifest_and_in_the_file(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    taken = read_palette(reference(tmp_path), 0.5)
    row = run_with(src, out, ink, hints=(Hint(4, 10, BLUE),), palette=taken)[0]
    notes = (f"palette of reference.png (sha256 {taken.sha256}), strength 0.5", "colour #3a5f8b pinned at 4,10")
    assert row.guidance == notes == read_rows(out)["a.png"].guidance
    xmp = (photo.read(out / "a.png").pages[0].xmp or b"").decode()
    assert f"AIPromptInformation>{'; '.join(notes)}<" in xmp


def test_guidance_is_part_of_the_digest_and_its_absence_is_not() -> None:
    def digest(**color: Any) -> str:
        return RunOptions(inputs=("in",), out=Path("out"), color=ColorOptions(**color)).digest()

    one, other = Palette("a", "1", ((0.0,) * 5,) * 5), Palette("a", "2", ((0.0,) * 5,) * 5)
    made = [digest(), digest(palette=one), digest(palette=other), digest(hints=(Hint(1, 2, BLUE),)),
            digest(hints=(Hint(2, 1, BLUE),)), digest(palette=Palette("a", "1", one.classes, 0.5))]  # fmt: skip
    assert len(set(made)) == len(made)


def test_the_digest_of_a_plain_run_is_what_it_was_before_there_was_guidance() -> None:
    assert ColorOptions().digest_fields(Digest.PHOTO) == {"size": 256, "strength": 1.0, "tiles": "auto"}
    as_python, as_typed = (
        RunOptions(inputs=("in",), out=Path("out"), color=ColorOptions(strength=s)) for s in (1, 1.0)
    )
    assert (as_python.digest(), as_python.film_digest()) == (as_typed.digest(), as_typed.film_digest())
    assert ColorOptions(mirror=True).digest_fields(Digest.PHOTO).keys() == {"size", "strength", "tiles", "mirror"}


def test_guidance_from_python(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    colour_options = {
        "palette": reference(tmp_path),
        "palette_strength": 0.3,
        "hints": ["4,10,#3a5f8b"],
        "mirror": True,
    }
    row = colour(src, out=out, model=ink, confidence=True, **colour_options)[0]
    assert "strength 0.3" in row.guidance[0] and row.guidance[1].endswith("4,10")
    assert row.confidence is not None
