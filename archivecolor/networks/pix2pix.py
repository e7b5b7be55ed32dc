"""The baseline of the tutorial: the pix2pix U-Net generator (Isola et al. 2017) for 256 x 256."""

from __future__ import annotations

from torch import Tensor, cat, nn


class _Level(nn.Module):
    """One level: downsampling, all deeper levels, upsampling, and the skip connection around them."""

    def __init__(self, n: int, n_deep: int, inner: nn.Module | None, n_in: int | None = None, dropout: bool = False):
        super().__init__()
        outermost = n_in is not None
        down_conv = nn.Conv2d(n_in or n, n_deep, 4, stride=2, padding=1, bias=False)
        down_norm, up_norm = nn.BatchNorm2d(n_deep), nn.BatchNorm2d(n)
        n_up = n_deep if inner is None else n_deep * 2
        up_conv = nn.ConvTranspose2d(n_up, n, 4, stride=2, padding=1, bias=outermost)
        if outermost:
            down: list[nn.Module] = [down_conv]
            up: list[nn.Module] = [nn.ReLU(True), up_conv, nn.Tanh()]
        elif inner is None:
            down, up = [nn.LeakyReLU(0.2, True), down_conv], [nn.ReLU(True), up_conv, up_norm]
        else:
            down = [nn.LeakyReLU(0.2, True), down_conv, down_norm]
            up = [nn.ReLU(True), up_conv, up_norm, *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*down, *([] if inner is None else [inner]), *up)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        # The first activation works in place, so the skip carries leaky_relu(x), as in the original.
        return y if self.outermost else cat([x, y], dim=1)


class Pix2PixUnet(nn.Module):
    """Eight levels down to 1 x 1, dropout in three inner ones, tanh at the end; keys as in the tutorial (``model.*``).

    Input: (N, 1, H, W), L/50 - 1, H and W multiples of 256. Output: (N, 2, H, W), ab/110 in [-1, 1].
    """

    def __init__(self, n_filters: int = 64) -> None:
        super().__init__()
        n = n_filters
        level: nn.Module = _Level(n * 8, n * 8, None)
        for _ in range(3):
            level = _Level(n * 8, n * 8, level, dropout=True)
        for n_outer in (n * 4, n * 2, n):
            level = _Level(n_outer, n_outer * 2, level)
        self.model = _Level(2, n, level, n_in=1)
        init_normal(self)

    def forward(self, l_net: Tensor) -> Tensor:
        return self.model(l_net)


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """N(0, 0.02) for convolutions, N(1, 0.02) for norms, zero biases: the initialisation of the pix2pix paper."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
