"""The 70x70 PatchGAN discriminator (Isola et al. 2017), and the same with bounded slopes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from archivecolor.networks.pix2pix import init_normal


class PatchDiscriminator(nn.Module):
    """Judges Lab pictures patch by patch: (N, 3, H, W) -> (N, 1, H/8 - 2, W/8 - 2) logits, each seeing 70 x 70 px.

    Args:
        spectral: divides every filter bank by its largest singular value (Miyato et al. 2018, as the SN-PatchGAN of
            Yu et al. 2019), so that the logits cannot rise without bound. There are no batch norms then: they would
            scale right up again what was scaled down.
    """

    def __init__(self, n_in: int = 3, n_filters: int = 64, spectral: bool = False) -> None:
        super().__init__()
        n = n_filters
        layers: list[nn.Module] = [nn.Conv2d(n_in, n, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for n_from, n_to, stride in ((n, n * 2, 2), (n * 2, n * 4, 2), (n * 4, n * 8, 1)):
            layers.append(nn.Conv2d(n_from, n_to, 4, stride, 1, bias=spectral))
            layers += [] if spectral else [nn.BatchNorm2d(n_to)]
            layers.append(nn.LeakyReLU(0.2, True))
        layers.append(nn.Conv2d(n * 8, 1, 4, 1, 1))
        self.model = nn.Sequential(*layers)
        init_normal(self)
        if spectral:
            for layer in self.model:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)

    def forward(self, lab_net: Tensor) -> Tensor:
        return self.model(lab_net)
