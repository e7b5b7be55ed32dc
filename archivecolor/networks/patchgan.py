"""The 70x70 PatchGAN discriminator (Isola et al. 2017), and the same with spectral normalisation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from archivecolor.networks.pix2pix import init_normal


class PatchDiscriminator(nn.Module):
    """Classifies Lab pictures patch by patch as real or generated.

    Input: (N, 3, H, W), L/50 - 1 and ab/110. Output: logits (N, 1, H/8 - 2, W/8 - 2), each of 70 x 70 pixels.

    Args:
        spectral: divides every weight by its largest singular value (Miyato et al. 2018; SN-PatchGAN, Yu et al. 2019),
            so that the logits are bounded. It has no batch norms, which would undo the scaling.
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
