"""Weights that come from elsewhere, and weights for others. Nothing is ever unpickled but tensors."""

from __future__ import annotations

import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from archivecolor import files, weights
from archivecolor.errors import WeightsError
from archivecolor.options import require
from archivecolor.weights import Card


def pack(folder: Path, out: Path) -> Card:
    """Writes a ZIP of what `run` needs of a weights folder: the tensors, the card, and its text for people.

    Raises:
        WeightsError: something in the folder is not as its card says.
        UsageError: `out` exists already.
        OutputError: `out` cannot be written.
    """
    require(not out.exists(), f"--out {out}: exists already; choose another name")
    files.check_writable(out)
    _, card = weights.load(folder)
    name = folder.resolve().name
    with files.output_errors(out), files.atomic_write(out) as part, zipfile.ZipFile(part, "w") as archive:
        for each in (weights.TENSORS, weights.CARD, weights.CARD_TEXT, weights.FAILURES):
            if (folder / each).exists():
                archive.write(folder / each, f"{name}/{each}")
    return card


def import_checkpoint(path: Path, out: Path) -> Card:
    """Turns a checkpoint of another program into a weights folder. The network is recognized by its keys.

    It may be the state dict of the tutorial's generator or of its whole GAN, what fastai's `Learner.save` or Lightning
    write around it, or a safetensors file. torch's weights-only reader reads it, which runs no code from the file.

    Raises:
        WeightsError: it is not such a checkpoint, or a weight is not a finite number.
    """
    if (out / weights.CARD).exists():
        raise WeightsError(f"{out}: contains weights already; choose another --out")
    name, state = _network_in(_state_dict(path), path)
    network = weights.build(name, path)
    weights.fill(network, state, path)
    about = {
        "name": out.name,
        "network": name,
        "sha256": "",
        "stage": "imported",
        "recipe": {"from": path.name},
        "licence": "unknown: that of the checkpoint",
    }
    return weights.save(out, network, about)


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their keys."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return weights.read_tensors(path)
    _check_unpacked_size(path)
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path}: not a PyTorch checkpoint, or it contains more than tensors; save it with "
            "torch.save(model.state_dict(), ...)"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise WeightsError(f"{path}: not a state dict; save it with torch.save(model.state_dict(), ...)")
    return state


def _check_unpacked_size(path: Path) -> None:
    """Raises WeightsError if a zip file would unpack to far more than it holds; `torch.save` does not compress."""
    if not zipfile.is_zipfile(path):
        return
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        unpacked, packed = sum(entry.file_size for entry in archive.infolist()), path.stat().st_size
        if unpacked > 10 * packed + 2**20:
            raise WeightsError(
                f"{path}: {packed / 1e6:.0f} MB that unpack to {unpacked / 1e6:.0f} MB; not a checkpoint"
            )


def _network_in(state: dict[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor]]:
    """The name of the network in a state dict, and its tensors under their own keys.

    Other programs put a prefix before the keys, some several: `module.` (DataParallel), `_orig_mod.` (torch.compile),
    `net_G.` (the generator in the tutorial's whole GAN), the name of an attribute (Lightning).

    Raises:
        WeightsError: it has no network of this program, or several.
    """
    found = sorted(
        (key.removesuffix(last), name)
        for name, last in _TELLING_KEYS.items()
        for key in state
        if f".{key}".endswith(f".{last}")
    )
    if not found:
        raise WeightsError(f"{path}: its keys are neither those of the ResNet18 U-Net nor of the pix2pix U-Net")
    prefix, name = found[0]  # a key without a prefix comes first
    if prefix and len(found) > 1:
        raise WeightsError(
            f"{path}: contains several networks ({', '.join(each for each, _ in found)}); save the one to import with "
            "torch.save(model.state_dict(), ...)"
        )
    return name, {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


_WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which fastai's `Learner.save`, Lightning and other programs keep the state dict."""
_TELLING_KEYS = {
    "resnet18": "layers.0.0.weight",
    "pix2pix": "model.model.0.weight",
    "lite": "layers.0.conv_stem.weight",
    "slim": "encoder.conv_stem.weight",
}
