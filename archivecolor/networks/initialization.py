"""Initial values of weights."""

from __future__ import annotations

from torch import Tensor, nn


def he_normal_(weight: Tensor, mode: str = "fan_in") -> None:
    """Fills a weight with normal values of the variance for ReLUs (He et al. 2015). Does nothing on the meta device,
    where a network is built before its weights are read from a file: torch would import its compiler to find the shape
    of the result."""
    if not weight.is_meta:
        nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
