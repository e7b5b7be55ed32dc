"""The first values of filters."""

from __future__ import annotations

from torch import Tensor, nn


def he_normal_(weight: Tensor, mode: str = "fan_in") -> None:
    """Normal with the variance for ReLUs (He et al. 2015). On the meta device, where a network is built whose values
    are read from a file, nothing is drawn: torch would import its compiler to find the shape of the result."""
    if not weight.is_meta:
        nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
