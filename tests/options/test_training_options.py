"""Options of trainings: what follows from them and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from archivecolor.errors import UsageError
from archivecolor.options import AppearanceOptions, Finetuning, Pretraining, leaves, parse_sizes, validation_side


def test_validations_look_at_the_largest_side_that_is_trained_at():
    sizes = parse_sizes("64:0.5,192:0.5")
    assert (validation_side("lite", sizes), validation_side("lite", sizes[:1])) == (192, 128)
    assert validation_side("pix2pix") == 256
    assert Pretraining(sizes="192:0.6,256:0.4").stage(Path("x"), "fp32").validation_size == 256


def test_what_is_said_of_the_painted_picture_is_checked():
    with pytest.raises(UsageError, match="--teacher-weight: cannot be combined with"):
        Pretraining(teacher="lite0", teacher_weight=0.1, psnr_weight=0.02).appearance_options()
    with pytest.raises(UsageError, match="--colour-weight -1: must be 0 or more"):
        AppearanceOptions(colour_weight=-1)
    with pytest.raises(UsageError, match="--colour-target 0: must be above 0"):
        AppearanceOptions(colour_target=0)
    assert AppearanceOptions(ciede2000_weight=0.01).settings() == {"ciede2000_weight": 0.01}
    assert AppearanceOptions(psnr_weight=0.02).settings() == {"psnr_weight": 0.02}
    assert AppearanceOptions(colour_weight=0.3).settings() == {"colour_weight": 0.3, "colour_target": 0.9}


def test_the_stages_share_their_options_and_differ_in_defaults():
    """As they were before they were declared once."""
    pretraining, finetuning = ({leaf.name: leaf for leaf in leaves(table)} for table in (Pretraining, Finetuning))
    shared = {each.name for each in fields(AppearanceOptions)} | {"pictures", "batch", "lr", "aging", "seed", "sizes"}
    assert all(pretraining[name].option.help == finetuning[name].option.help for name in shared)
    weights = ("feature_weight", "psnr_weight", "ciede2000_weight", "colour_weight", "colour_target")
    assert [getattr(Pretraining(), name) for name in weights] == [0, 0, 0, 0, 0.9]
    assert [getattr(Finetuning(), name) for name in weights] == [6, 2, 0, 20, 0.9]
    assert (Finetuning().pictures, Finetuning().batch, Finetuning().lr, Finetuning().aging) == (1_120, 16, 1e-4, 0.3)
    assert (Pretraining().pictures, Pretraining().batch, Pretraining().lr, Pretraining().aging) == (
        160_000,
        32,
        6e-4,
        0.4,
    )
