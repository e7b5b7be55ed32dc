"""Which pictures are left alone, which fail alone, and when nothing can be done at all."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.doubles import (
    ConstantInk,
    colour,
    colourful,
    contents,
    grey,
    save_grey_tree,
)
from support.runs import Colour, by_name, delta_l, page, save, times

import archivecolor
from archivecolor import photo
from archivecolor.errors import NoInputError, OutputError, UsageError, WeightsError
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorizerOptions
from archivecolor.pipeline.attempt import ALREADY_COLOUR
from archivecolor.provenance import DONE, FAILED, LOCK, SKIPPED, read_rows

# --- what is not coloured ---------------------------------------------------------------------------------------------


def test_colour_pictures_are_skipped(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", colourful())
    (row,) = go()
    assert (row.status, row.reason, row.output) == (SKIPPED, ALREADY_COLOUR, None)
    assert times(out) == {}


def test_recolor_colours_them_anyway(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.tif", colourful().astype(np.uint16) * 257)
    (row,) = go(recolor=True)
    assert row.status == DONE
    assert delta_l(colourful(), page(out / "a.tif").samples) <= 0.002


def test_what_cannot_be_read_fails_alone(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    sound = (src / "box1/01.png").read_bytes()
    for name, content in {"empty.png": b"", "text.jpg": b"no picture", "half.png": sound[: len(sound) // 2]}.items():
        (src / name).write_bytes(content)
    (src / "gone.png").symlink_to(src / "nowhere.png")
    save(src / "huge.png", np.zeros((1100, 1000), np.uint8))
    (src / "folder.png").mkdir()
    before = contents(src)
    rows = by_name(colour(src, out=out, model=out.parent / "weights" / "inky", max_megapixels=1))
    assert contents(src) == before
    failed = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert failed.keys() == {"empty.png", "text.jpg", "half.png", "gone.png", "huge.png"}
    assert all(failed.values())
    assert "--max-megapixels" in failed["huge.png"]
    assert all(rows[name].output is None for name in failed)
    assert len(times(out)) == 3
    assert {row.status for name, row in rows.items() if name not in failed} == {DONE}


def test_a_fault_of_our_own_fails_alone_and_asks_for_a_report(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 3)
    colorize_image = Colorizer.colorize_image

    def faulty(self: Any, samples: np.ndarray, *rest: Any) -> Any:
        if samples.dtype == np.uint16:
            raise KeyError("a fault")
        return colorize_image(self, samples, *rest)

    monkeypatch.setattr(Colorizer, "colorize_image", faulty)
    rows = by_name(go())
    assert rows["box0/00.tif"].status == FAILED
    assert "report" in rows["box0/00.tif"].reason
    assert {row.status for name, row in rows.items() if name != "box0/00.tif"} == {DONE}


def test_a_target_folder_that_is_a_file_is_said_to_be_the_fault(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    out.mkdir()
    (out / "box1").write_bytes(b"a file where a folder must be")
    rows = by_name(go())
    assert rows["box1/01.png"].status == FAILED
    assert "cannot be read" not in rows["box1/01.png"].reason
    assert rows["box0/00.tif"].status == DONE


def test_a_link_in_the_output_that_leads_to_the_sources_is_not_followed(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    out.mkdir()
    (out / "box1").symlink_to(src / "box1")
    rows = by_name(go(overwrite=True))
    assert (rows["box1/01.png"].status, rows["box0/00.tif"].status) == (FAILED, DONE)
    assert "link" in rows["box1/01.png"].reason


# --- nothing can be done at all ---------------------------------------------------------------------------------------


def test_an_output_that_cannot_be_a_folder(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 1)
    out.write_bytes(b"a file")
    with pytest.raises(OutputError, match="out"):
        go()
    assert out.read_bytes() == b"a file"


def test_a_disk_that_fills_up_ends_the_run_and_the_next_one_goes_on(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 12)
    write, left = photo.write, [4]
    turn = threading.Lock()

    def limited(path: Path, *rest: Any) -> Any:
        with turn:
            left[0] -= 1
        if left[0] < 0:
            raise OutputError(f"{path}: No space left on device")
        return write(path, *rest)

    monkeypatch.setattr(photo, "write", limited)
    with pytest.raises(OutputError, match="No space"):
        go()
    assert not (out / LOCK).exists()
    made = times(out)
    assert len(made) == 4
    assert sum(row.status == DONE for row in read_rows(out).values()) == 4
    left[0] = 100
    assert {row.status for row in go()} == {DONE}
    assert made.items() <= times(out).items()


def test_another_collection_of_the_same_names_is_refused(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save(src / "1.png", grey())
    go()
    before = contents(out)
    other = save(tmp_path / "other/1.png", grey(seed=1)).parent
    with pytest.raises(OutputError, match="choose another --out"):
        colour(other, out=out, model=ink)
    assert contents(out) == before
    (row,) = colour(other, out=out, model=ink, overwrite=True)
    assert (row.status, row.source) == (DONE, str(other / "1.png"))


def test_a_collection_that_has_moved_goes_on_where_it_was(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save_grey_tree(src, 3)
    rows, before = go(), times(out)
    for copy in (src.rename(tmp_path / "moved"), shutil.copytree(tmp_path / "moved", tmp_path / "copied")):
        assert colour(copy, out=out, model=ink) == rows
    assert times(out) == before


def test_nothing_found(go: Colour, src: Path, out: Path) -> None:
    with pytest.raises(NoInputError):
        go()
    assert not out.exists()


def test_no_weights(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(WeightsError, match="nowhere"):
        go(model=tmp_path / "nowhere")
    assert go()[0].status == DONE


@pytest.mark.parametrize(
    "options",
    [{"quality": 0}, {"format": "bmp"}, {"suffix": "a/b"}, {"limit": 0}, {"batch": -1}, {"strength": 3}, {"size": 8},
     {"tiles": "some"}, {"workers": -1}, {"max_megapixels": 0}, {"device": "abacus"}, {"precision": "fp16"}],
)  # fmt: skip
def test_wrong_options_are_refused_by_name(go: Colour, src: Path, options: dict[str, Any]) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(UsageError, match="--" + next(iter(options)).replace("_", "-")):
        go(**options)


def test_the_documented_calls(src: Path, out: Path, ink: Path) -> None:
    save(src / "a.png", grey())
    (row,) = archivecolor.run(src, out=out, model=str(ink), device="cpu")
    assert row.status == DONE
    with archivecolor.Colorizer(ink, ColorizerOptions(device="cpu")) as colorizer:
        assert colorizer.colorize(grey()).shape == (40, 56, 3)


def test_the_ink_is_what_the_tests_think(ink: Path) -> None:
    from archivecolor import weights

    network, card = weights.load(ink)
    assert isinstance(network, ConstantInk)
    assert card.network == "ink"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_leaves_the_callers_threads_of_torch_alone(go: Colour, src: Path, workers: int) -> None:
    save_grey_tree(src, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert {row.status for row in go(workers=workers)} == {DONE}
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
