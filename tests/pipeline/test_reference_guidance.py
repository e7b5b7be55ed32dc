"""What looks alike takes on a reference's colours, what does not keeps the network's; the encoder is a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pans import lab_of_frame, pan, wide_picture

from archivecolor.imaging.propagation import ReferenceColors
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorizerOptions, ColorOptions
from archivecolor.pipeline.film.reference_bank import FrameDescriber, Reference, ReferenceBank
from archivecolor.pipeline.film.reference_guidance import ReferenceGuidance

SHOT = (0, 100)


@pytest.fixture(scope="module")
def colorizer() -> Iterator[Colorizer]:
    options = ColorizerOptions(device="cpu", precision="fp32", color=ColorOptions(size=112))
    with Colorizer("slim", options) as colorizer:
        yield colorizer


@pytest.fixture(scope="module")
def bank(colorizer: Colorizer, tmp_path_factory: pytest.TempPathFactory) -> ReferenceBank:
    """Frames 0 and 50 are references: of one scene in its true colours, and of another."""
    bank = ReferenceBank(tmp_path_factory.mktemp("bank") / "references")
    for frame, seed in ((0, 0), (50, 9)):
        values = lab_of_frame(np.ascontiguousarray(wide_picture(160, seed=seed)[:, :128]))
        mask = np.ones(values.shape[1:], np.float32)
        reference = Reference(frame, f"{frame:06}.png", "name", 1.0, 1.0)
        bank.add(reference, ReferenceColors(values[1:], mask), values[0], describer(colorizer))
    bank.finish()
    return bank


def describer(colorizer: Colorizer) -> FrameDescriber:
    return FrameDescriber(colorizer, colorizer.network_size_for(96, 128))


def guided(bank: ReferenceBank, colorizer: Colorizer, frame: int, values: Any) -> Any:
    """ab of a frame whose network says grey."""
    guidance = ReferenceGuidance(bank, describer(colorizer), 1, lambda ab: ab)
    return guidance.keyframe_colors(frame, SHOT, values[0], np.zeros_like(values[1:]))


def test_the_same_things_elsewhere_take_on_the_colours(bank: ReferenceBank, colorizer: Colorizer) -> None:
    wide = wide_picture(160)
    values = lab_of_frame(np.ascontiguousarray(wide[:, 32:]))
    ab = guided(bank, colorizer, 8, values)
    seen = (slice(None), slice(None), slice(0, 96))
    error = np.hypot(*(ab - values[1:])[seen])
    assert error.mean() < 0.6 * np.hypot(*values[1:][seen]).mean()


def test_what_no_reference_shows_keeps_the_networks_colours(bank: ReferenceBank, colorizer: Colorizer) -> None:
    y, x = np.mgrid[0:96, 0:128]
    rings = (120 + 100 * np.sin(np.hypot(x - 70, y - 40) / 3)).astype(np.uint8)
    values = lab_of_frame(np.dstack([rings] * 3))
    ab = guided(bank, colorizer, 8, values)
    assert np.hypot(*ab).mean() < 3


def test_a_bank_is_the_same_after_a_restart(bank: ReferenceBank, colorizer: Colorizer) -> None:
    again = ReferenceBank(bank.folder)
    assert again.restore()
    assert again.references == bank.references
    values = lab_of_frame(np.ascontiguousarray(wide_picture(160)[:, :128]))
    assert np.array_equal(guided(again, colorizer, 3, values), guided(bank, colorizer, 3, values))
    assert not ReferenceBank(Path(bank.folder.parent / "new")).restore()


def test_more_references_than_are_kept_in_memory(colorizer: Colorizer, tmp_path: Path) -> None:
    many = ReferenceBank(tmp_path / "references")
    for frame in range(12):
        values = lab_of_frame(pan(1, seed=frame)[0])
        colors = ReferenceColors(values[1:], np.ones(values.shape[1:], np.float32))
        many.add(Reference(frame, str(frame), "name", 1.0, 1.0), colors, values[0], describer(colorizer))
    for frame in range(12):
        values = lab_of_frame(pan(1, seed=frame)[0])
        assert np.abs(many.load(frame).stored.ab - values[1:]).max() < 0.1
        _, whole = describer(colorizer).describe(values[0])
        assert many.most_alike(whole, frame, (frame, frame + 1))[0] == frame
    assert many.load.cache_info().currsize < 12
