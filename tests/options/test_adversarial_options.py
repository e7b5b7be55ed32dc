"""Options of adversarial trainings that are refused, and how limits are read."""

from __future__ import annotations

import pytest

from archivecolor.errors import UsageError
from archivecolor.options import AdversarialOptions, StopWhen, parse_stop_when


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"gan": "wasserstein"}, "--gan"), ({"l1_weight": -1.0}, "--l1-weight"), ({"lr_d": 0.0}, "--lr-d"),
        ({"warmup": -1}, "--warmup"), ({"chroma_weight": -1.0}, "--chroma-weight"),
        ({"discriminator": "none"}, "--discriminator"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(wrong: dict, flag: str):
    with pytest.raises(UsageError, match=flag):
        AdversarialOptions(**wrong)


def test_stop_when_is_read_and_checked():
    assert parse_stop_when("l1:1.3,colour:0.5-1.1") == StopWhen(1.3, 0.5, 1.1)
    assert parse_stop_when("never") is None
    assert AdversarialOptions(stop_when=None).settings()["stop_when"] == "never"
    for text in ("", "l1:1.3", "l1:0.9,colour:0.5-1.1", "l1:1.3,colour:1.1-0.5", "l1:1..3,colour:0.5-1.1"):
        with pytest.raises(UsageError, match="--stop-when"):
            parse_stop_when(text)
