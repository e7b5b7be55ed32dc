"""TIFFs are read as libtiff reads them: wrong sizes, missing tags, subsampled colour, masks, plates."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.doubles import colour, colourful, grey, lightness
from support.tiffs import LONG, RATIONAL, SHORT, Tags, grey_tags, write_tiff, ycbcr_data

from archivecolor import photo
from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.options import Strips
from archivecolor.photo import Page
from archivecolor.preservation import verify

SMALL = Strips(above=0.0001, short_side=16)
WRONG_SIZE = "the file states a wrong size of its strips (StripByteCounts): read by the size of the picture"


def pages(path: Path) -> tuple[Page, ...]:
    """The pages, after a look that reading them strip by strip gives the same words or the same refusal."""
    try:
        whole = photo.read(path)
    except (UnreadableError, UnsupportedError) as error:
        with pytest.raises(type(error), match=str(error)[:12]):
            photo.read(path, strips=SMALL)
        raise
    for one, other in zip(whole.pages, photo.read(path, strips=SMALL).pages, strict=True):
        assert one.notes == other.notes
        if other.scan:
            np.testing.assert_array_equal(np.concatenate([rows for rows, _ in other.scan.bands()]), one.samples)
    return whole.pages


# --- sizes of strips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 3000, 10**6])
@pytest.mark.parametrize("samples", [grey(), grey(dtype=np.uint16), np.dstack([grey()] * 3)], ids=["8", "16", "RGB"])
def test_a_wrong_size_of_an_uncompressed_strip_is_mended(tmp_path: Path, samples: Any, size: int) -> None:
    path = write_tiff(tmp_path / "a.tif", grey_tags(samples) | {279: (LONG, (size,))}, samples.tobytes())
    [page] = pages(path)
    np.testing.assert_array_equal(page.samples, samples)
    assert page.notes == (WRONG_SIZE,)


def test_a_last_strip_whose_size_is_padded_beyond_the_end_is_mended(tmp_path: Path) -> None:
    samples = grey()
    tags = grey_tags(samples) | {278: (LONG, (16,)), 279: (LONG, (16 * 56, 16 * 56, 10**5))}
    path = write_tiff(tmp_path / "a.tif", tags, *(samples[top : top + 16].tobytes() for top in (0, 16, 32)))
    [page] = pages(path)
    np.testing.assert_array_equal(page.samples, samples)
    assert page.notes == (WRONG_SIZE,)


def test_a_compressed_strip_without_a_size_is_read(tmp_path: Path) -> None:
    tags = grey_tags(grey()) | {259: (SHORT, (8,)), 279: (LONG, (0,))}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, zlib.compress(grey().tobytes())))
    np.testing.assert_array_equal(page.samples, grey())
    assert page.notes == (WRONG_SIZE,)


@pytest.mark.parametrize("stated", [None, 0, 10**6])
@pytest.mark.parametrize("rows", [40, 8])
def test_rows_that_were_never_written_are_refused(tmp_path: Path, rows: int, stated: int | None) -> None:
    """The scan broke off, and other data of the file lies where its last rows should be."""
    strips = [grey()[top : top + rows].tobytes() for top in range(0, 40, rows)]
    strips[-1] = strips[-1][:200]
    sizes = [*map(len, strips[:-1]), len(strips[-1]) if stated is None else stated]
    tags = grey_tags(grey()) | {278: (LONG, (rows,)), 279: (LONG, tuple(sizes))}
    with pytest.raises(UnreadableError, match=r"damaged|truncated"):
        pages(write_tiff(tmp_path / "a.tif", tags, *strips))
    if stated is None and rows < 40:  # of a single strip, it cannot be told from a wrong size
        with pytest.raises(UnreadableError, match="never written"):
            pages(write_tiff(tmp_path / "a.tif", tags, *strips, behind=b"other data " * 900))


# --- colour systems ---------------------------------------------------------------------------------------------------


def test_without_a_colour_system_grey_has_black_as_zero_and_three_channels_are_rgb(tmp_path: Path) -> None:
    stated = "the file does not state its colour system (PhotometricInterpretation): read as "
    [page] = pages(write_tiff(tmp_path / "a.tif", grey_tags(grey()) | {262: None}, grey().tobytes()))
    np.testing.assert_array_equal(page.samples, grey())
    assert page.notes == (f"{stated}grey with black as zero",)
    rgb = np.dstack([grey(), grey(seed=1), grey(seed=2)])
    [page] = pages(write_tiff(tmp_path / "a.tif", grey_tags(rgb) | {262: None}, rgb.tobytes()))
    np.testing.assert_array_equal(page.samples, rgb)
    assert page.notes == (f"{stated}RGB",)
    four = np.dstack([rgb, grey()])
    with pytest.raises(UnsupportedError, match="unusual colour system"):
        pages(write_tiff(tmp_path / "a.tif", grey_tags(four) | {262: None}, four.tobytes()))


def test_fax_without_a_colour_system_has_white_as_zero(tmp_path: Path) -> None:
    out = io.BytesIO()
    bilevel = grey(40, 64) > 128
    Image.fromarray(bilevel).save(out, "TIFF", compression="group4")
    with tifffile.TiffFile(io.BytesIO(out.getvalue())) as tif:
        first = tif.pages[0].aspage()
        data = out.getvalue()[first.dataoffsets[0] :][: first.databytecounts[0]]
        white = int(first.photometric) == 0
    tags = grey_tags(grey(40, 64)) | {258: (SHORT, (1,)), 259: (SHORT, (4,)), 262: None}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, data))
    np.testing.assert_array_equal(page.samples, np.where(bilevel == white, 255, 0))


VIDEO = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)


@pytest.mark.parametrize("sides", [(2, 2), (2, 1), (4, 2), (1, 2)])
@pytest.mark.parametrize("reference", [None, VIDEO])
def test_subsampled_ycbcr_agrees_with_libtiff(tmp_path: Path, sides: tuple[int, int], reference: Any) -> None:
    ycc = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    tags = grey_tags(ycc) | {262: (SHORT, (6,)), 530: (SHORT, sides)}
    if reference:
        tags[532] = (RATIONAL, reference)
    data = ycbcr_data(ycc, *sides)
    plain = write_tiff(tmp_path / "a.tif", tags, data)
    packed = write_tiff(tmp_path / "b.tif", tags | {259: (SHORT, (8,))}, zlib.compress(data))
    with Image.open(packed) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    for path in (plain, packed):
        [page] = pages(path)
        assert np.abs(page.samples - expected).max() <= (3 if reference else 0)  # libtiff rounds on the way
        assert page.notes == ("YCbCr converted to RGB",)


def test_ycbcr_whose_strips_do_not_cover_the_picture_is_damaged(tmp_path: Path) -> None:
    ycc = np.full((32, 32, 3), 120, np.uint8)
    tags = grey_tags(ycc) | {262: (SHORT, (6,)), 278: (LONG, (8,)), 530: (SHORT, (2, 2))}
    with pytest.raises(UnreadableError):
        pages(write_tiff(tmp_path / "a.tif", tags, ycbcr_data(ycc[:8], 2, 2)))


def test_a_strip_of_ycbcr_does_not_unpack_without_bound(tmp_path: Path) -> None:
    ycc = np.full((16, 16, 3), 120, np.uint8)
    tags = grey_tags(ycc) | {262: (SHORT, (6,)), 259: (SHORT, (8,)), 530: (SHORT, (2, 2))}
    path = write_tiff(tmp_path / "a.tif", tags, zlib.compress(ycbcr_data(ycc, 2, 2) + bytes(200_000_000)))
    with pytest.raises(UnreadableError):
        pages(path)


def test_full_size_ycbcr_of_video_range_is_read_as_such(tmp_path: Path) -> None:
    ycc = np.full((8, 8, 3), 128, np.uint8)
    ycc[:4, :, 0], ycc[4:, :, 0] = 16, 235
    tags = grey_tags(ycc) | {262: (SHORT, (6,)), 530: (SHORT, (1, 1)), 532: (RATIONAL, VIDEO)}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, ycc.tobytes()))
    assert page.samples[[0, -1], 0].tolist() == [[0] * 3, [255] * 3]


def test_lightness_alone_is_read_as_grey_and_icc_lab_has_its_own_white(tmp_path: Path) -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(4, 64)
    for system in (8, 9):
        [page] = pages(write_tiff(tmp_path / "a.tif", grey_tags(codes) | {262: (SHORT, (system,))}, codes.tobytes()))
        assert np.abs(lightness(page.samples) - codes / 2.55).max() < 0.3
        assert page.notes == ("CIELAB lightness read as grey",)
    lab = np.full((2, 2, 3), 0x8000, np.uint16)
    lab[..., 0] = 0xFF00
    [page] = pages(write_tiff(tmp_path / "a.tif", grey_tags(lab) | {262: (SHORT, (9,))}, lab.tobytes()))
    assert (page.samples > 65500).all()


def test_a_canon_raw_file_is_refused_by_name(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.cr2", grey_tags(grey()) | {256: (LONG, (0,))}, b"CR\2\0" + grey().tobytes())
    with pytest.raises(UnsupportedError, match="a camera raw file"):
        pages(path)


# --- extra channels, plates and pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [1, 2, 3])
def test_grey_with_saved_selections_is_read(tmp_path: Path, masks: int) -> None:
    samples = np.dstack([grey(seed=i) for i in range(1 + masks)])
    tags = grey_tags(samples) | {262: (SHORT, (1,)), 338: (SHORT, (0,) * masks)}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, samples.tobytes()))
    np.testing.assert_array_equal(page.samples, grey())
    words = "1 extra channel" if masks == 1 else f"{masks} extra channels"
    assert page.notes == (f"{words} (infrared or mask), not coloured",) and page.alpha is None
    if masks > 1:
        with pytest.raises(UnsupportedError, match="remote sensing"):
            pages(write_tiff(tmp_path / "a.tif", tags | {33550: (SHORT, (1,))}, samples.tobytes()))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strips", [100.0, 0.001], ids=["whole", "strip by strip"])
@pytest.mark.parametrize("kinds", [(0,), (0, 2), (2, 0, 0)])
def test_infrared_and_masks_beside_the_colours_are_kept(
    src: Path, out: Path, ink: Path, kinds: tuple[int, ...], strips: float, dtype: Any
) -> None:
    samples = np.dstack([*[grey(dtype=dtype)] * 3, *(grey(dtype=dtype, seed=i + 1) for i in range(len(kinds)))])
    tags = grey_tags(samples) | {262: (SHORT, (2,)), 338: (SHORT, kinds)}
    write_tiff(src / "a.tif", tags, samples.tobytes())
    [row] = colour(src, out=out, model=ink, strips_above=strips)
    count = kinds.count(0)
    words = "1 extra channel" if count == 1 else f"{count} extra channels"
    assert (row.status, row.notes) == ("done", (f"{words} (infrared or mask), not coloured",))
    page = photo.read(out / "a.tif").pages[0]
    np.testing.assert_array_equal(page.extra, samples[..., [3 + i for i, kind in enumerate(kinds) if kind == 0]])
    assert (page.alpha is not None) == (2 in kinds)
    if page.alpha is not None:
        np.testing.assert_array_equal(page.alpha, samples[..., 3 + kinds.index(2)])
    assert np.abs(lightness(page.samples) - lightness(samples[..., 0])).max() < 0.3
    with tifffile.TiffFile(out / "a.tif") as tif:
        assert sorted(map(int, tif.pages[0].aspage().extrasamples)) == sorted(kinds)
    note = "infrared or mask channel not carried by PNG"
    assert photo.write(out / "b.png", photo.Photo("tiff", (page,)), "png") == (note,)


SLIDE = colourful(60, 80).astype(np.uint16) * 257
DUST = (60_000 + grey(60, 80, np.uint16) / 20).astype(np.uint16)
SILVER = (SLIDE.mean(axis=2) * 0.5 + 20_000).astype(np.uint16)
KEPT = "page 2 is infrared or a mask of page 1: not coloured"


def write_pages(path: Path, *samples: Any, kinds: tuple[int, ...] = (0, 0, 0, 0)) -> Path:
    with tifffile.TiffWriter(path) as tif:
        for page, kind in zip(samples, kinds, strict=False):
            system = "rgb" if page.ndim == 3 else "minisblack"
            tif.write(page, photometric=system, subfiletype=min(kind, 1), metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:  # tifffile writes no masks of more than one bit
        for page, kind in zip(tif.pages, kinds, strict=False):
            if kind > 1:
                page.aspage().tags[254].overwrite(kind)
    return path


@pytest.mark.parametrize("plate", [DUST, SILVER], ids=["dust", "silver"])
@pytest.mark.parametrize("kind", [0, 1, 4], ids=["unmarked", "reduced", "mask"])
def test_an_infrared_page_is_kept_and_never_coloured(src: Path, out: Path, ink: Path, plate: Any, kind: int) -> None:
    write_pages(src / "a.tif", SLIDE, plate, kinds=(0, kind))
    [row] = colour(src, out=out, model=ink, recolor=True)
    assert (row.status, row.pages, row.notes) == ("done", 2, (KEPT,))
    assert verify.measure(out, row).max_delta_l < 0.01
    with tifffile.TiffFile(out / "a.tif") as tif:
        np.testing.assert_array_equal(tif.pages[1].asarray(), plate)
        assert [page.aspage().subfiletype for page in tif.pages] == [0, min(kind, 1)]


def test_a_format_of_one_page_leaves_the_infrared_page_out_with_a_note(src: Path, out: Path, ink: Path) -> None:
    write_pages(src / "a.tif", SLIDE, SILVER)
    [row] = colour(src, out=out, model=ink, recolor=True, format="png")
    assert (row.status, row.notes) == ("done", (KEPT, "infrared page not carried by PNG"))
    assert verify.measure(out, row).max_delta_l < 0.01


def test_other_pages_of_one_size_are_photographs(src: Path, out: Path, ink: Path) -> None:
    photographs = [grey(60, 80, np.uint16, seed=i) for i in (1, 2)]
    write_pages(src / "a.tif", SLIDE, photographs[0])
    write_pages(src / "b.tif", SLIDE, *photographs)
    write_pages(src / "c.tif", photographs[0], photographs[0])
    rows = {Path(row.source).name: row for row in colour(src, out=out, model=ink)}
    assert rows["a.tif"].notes == (
        "page 1: colour on 99 % of the sheet (the picture)",
        "pages in colour, left as they were: 1",
    )
    for name, row in rows.items():
        coloured = [page for page in photo.read(out / name).pages if page.samples.ndim == 3]
        assert len(coloured) == row.pages, "every page is a photograph, grey ones were coloured"


def test_pages_that_all_call_themselves_reduced_are_pages(tmp_path: Path) -> None:
    full = [grey(seed=i) for i in range(3)]
    path = write_pages(tmp_path / "a.tif", *full, grey(10, 14), kinds=(1, 1, 1, 1))
    read = pages(path)
    assert [page.samples.tolist() for page in read] == [samples.tolist() for samples in full]
    assert [(page.subfiletype, page.is_plate) for page in read] == [(0, False)] * 3
    assert read[0].notes == ("1 smaller copies or masks in the file left out",)


def test_small_copies_in_sub_directories_are_said_in_both_ways(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(grey(), subifds=1, metadata=None)
        tif.write(grey(20, 28), subfiletype=1, metadata=None)
    assert pages(tmp_path / "a.tif")[0].notes == ("1 smaller copies (SubIFDs) left out",)


# --- tags -------------------------------------------------------------------------------------------------------------


def test_tags_about_tones_are_named_and_places_are_kept(tmp_path: Path) -> None:
    tags: Tags = grey_tags(grey()) | {
        286: (RATIONAL, (1, 2)),
        290: (SHORT, (3,)),
        291: (SHORT, tuple(range(256))),
        301: (SHORT, tuple(range(256))),
        318: (RATIONAL, (3127, 10000, 3290, 10000)),
        319: (RATIONAL, (64, 100, 33, 100, 30, 100, 60, 100, 15, 100, 6, 100)),
        532: (RATIONAL, (0, 1, 235, 1)),
    }
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))
    assert page.notes == (
        "neither applied nor carried: grey curve (GrayResponseCurve), tone curves (TransferFunction), "
        "white point (WhitePoint), primary colours (PrimaryChromaticities), black and white (ReferenceBlackWhite)",
    )
    photo.write(tmp_path / "b.tif", photo.Photo("tiff", (page,)), "tiff")
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages[0].aspage().tags[286].value == (1, 2)
    tags = grey_tags(grey()) | {532: (RATIONAL, (0, 1, 255, 1))}
    assert pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))[0].notes == ()


def test_metadata_too_large_to_be_true_are_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = grey_tags(grey()) | {700: (1, b"<x/>" * 500), 34675: (7, b"x" * 2000)}
    path = write_tiff(tmp_path / "a.tif", tags, grey().tobytes())
    monkeypatch.setattr("archivecolor.photo.tiff_tags._MAX_BYTES", 1999)
    [page] = pages(path)
    assert (page.xmp, page.icc) == (None, None)
    assert page.notes == ("XMP not carried: over 0 MiB", "colour profile not carried: over 0 MiB")


def test_layers_are_named_in_words_and_paths_are_kept(tmp_path: Path) -> None:
    path = b"8BIM\x07\xd0\x06Path 1\0" + (26).to_bytes(4, "big") + bytes(26)
    name = b"8BIM\x0b\xb7\0\0" + (7).to_bytes(4, "big") + b"\6Path 1\0"
    thumbnail = b"8BIM\x04\x0c\0\0" + (2).to_bytes(4, "big") + b"xx"
    tags = grey_tags(grey()) | {
        34377: (1, thumbnail + path + name),
        37724: (7, b"Document Data\0"),
    }
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))
    assert page.notes == ("Photoshop layers not carried: keep the source",)
    assert page.photoshop == path + name


def test_known_tags_are_named_by_name(tmp_path: Path) -> None:
    tags = grey_tags(grey()) | {33550: (SHORT, (1,)), 65001: (SHORT, (1,))}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))
    assert page.notes == ("TIFF tags 33550, 65001 not carried",)


@pytest.mark.parametrize("format", ["tiff", "jpeg"])
def test_words_that_windows_shows_are_kept(tmp_path: Path, format: str) -> None:
    title = "Mühle\0".encode("utf-16-le")
    tags = grey_tags(grey()) | {18246: (SHORT, (4,)), 40091: (1, title)}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))
    assert page.notes == ()
    assert photo.write(tmp_path / "b", photo.Photo("tiff", (page,)), format) == ()
    with Image.open(tmp_path / "b") as image:
        seen = image.getexif()
        assert (seen[18246], bytes(seen[40091])) == (4, title)


def test_pixels_that_are_not_square_stay_so_without_a_unit(tmp_path: Path) -> None:
    tags = grey_tags(grey()) | {282: (RATIONAL, (204, 1)), 283: (RATIONAL, (98, 1)), 296: (SHORT, (1,))}
    [page] = pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))
    assert (page.dpi, page.density) == (None, (204.0, 98.0))
    photo.write(tmp_path / "b.tif", photo.Photo("tiff", (page,)), "tiff")
    [back] = pages(tmp_path / "b.tif")
    assert (back.dpi, back.density) == (None, (204.0, 98.0))
    tags |= {282: (RATIONAL, (1, 1)), 283: (RATIONAL, (1, 1))}
    assert pages(write_tiff(tmp_path / "a.tif", tags, grey().tobytes()))[0].density is None
