"""Checkpoints of the tutorial become weights folders, and nothing in them is executed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from archivecolor import weights
from archivecolor.errors import WeightsError
from archivecolor.networks import NETWORKS, Pix2PixUnet
from archivecolor.training import weights_exchange


@pytest.mark.parametrize("name", ["resnet18", "pix2pix"])
@pytest.mark.parametrize("prefix", ["net_G.", ""])
def test_a_checkpoint_in_the_tutorials_form_colours_as_it_did(tmp_path: Path, name: str, prefix: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    state = {f"{prefix}{key}": value for key, value in network.state_dict().items()}
    rest = {"net_D.model.0.0.weight": torch.zeros(64, 3, 4, 4)} if prefix else {}
    torch.save(state | rest, tmp_path / "final_model_weights.pt")
    card = weights_exchange.import_checkpoint(tmp_path / "final_model_weights.pt", tmp_path / "tutorial")
    imported, read = weights.load(tmp_path / "tutorial")
    assert read == card
    assert (card.network, card.stage) == (name, "imported")
    l_net = torch.rand(1, 1, 256, 256) * 2 - 1
    with torch.inference_mode():
        expected, answer = network(l_net), imported(l_net)
    assert expected.abs().max() > 0
    assert (answer - expected).abs().max() < 0.01 * expected.abs().max()  # the folder keeps float16


class Trap:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path("sprung"),)


def test_a_pickle_in_disguise_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"net_G.layers.0.0.weight": Trap()}, protocol=2))
    torch.save({"net_G.layers.0.0.weight": Trap()}, tmp_path / "trap2.pt")
    for trap in ("trap.pt", "trap2.pt"):
        with pytest.raises(WeightsError, match=trap):
            weights_exchange.import_checkpoint(tmp_path / trap, tmp_path / "out")
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "out").exists()


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save({"net_G.layers.0.0.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "half.pt")
    for name in ("other.pt", "half.pt", "missing.pt"):
        with pytest.raises(WeightsError, match=name):
            weights_exchange.import_checkpoint(tmp_path / name, tmp_path / "out")


def test_weights_are_not_replaced_by_an_import(tmp_path: Path, ink: Path) -> None:
    before = (ink / weights.CARD).read_bytes()
    with pytest.raises(WeightsError, match="already"):
        weights_exchange.import_checkpoint(tmp_path / "any.pt", ink)
    assert (ink / weights.CARD).read_bytes() == before


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "opt": {"lr": 1e-3}},
        lambda state: {"state_dict": {f"net_G.{key}": value for key, value in state.items()}, "epoch": 3},
        lambda state: {"model_state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {f"module.net_G.{key}": value for key, value in state.items()},
        lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"model.net_G.{key}": value for key, value in state.items()}},
        lambda state: {f"generator.{key}": v for key, v in state.items()} | {"discriminator.w": torch.zeros(2)},
    ],
)
def test_checkpoints_of_other_programs_are_imported(tmp_path: Path, wrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "pix2pix", lambda: Pix2PixUnet(n_filters=4))
    network = Pix2PixUnet(n_filters=4)
    torch.save(wrap(network.state_dict()), tmp_path / "other.pt")
    card = weights_exchange.import_checkpoint(tmp_path / "other.pt", tmp_path / "imported")
    assert card.network == "pix2pix"
    loaded, _ = weights.load(tmp_path / "imported")
    for key, value in network.state_dict().items():
        assert torch.allclose(loaded.state_dict()[key].float(), value.float(), atol=1e-3), key


def test_a_checkpoint_of_several_networks_is_refused_by_their_prefixes(tmp_path: Path) -> None:
    state = {"layers.0.0.weight": torch.zeros(64, 1, 7, 7)}
    both = {f"{prefix}.{key}": value for prefix in ("ema", "net_G") for key, value in state.items()}
    torch.save(both, tmp_path / "both.pt")
    with pytest.raises(WeightsError, match=r"both\.pt: contains several networks \(ema\., net_G\.\)"):
        weights_exchange.import_checkpoint(tmp_path / "both.pt", tmp_path / "out")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    state = {key: value.int() for key, value in Pix2PixUnet(n_filters=4).state_dict().items()}
    torch.save(state, tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match=r"whole\.pt: the tensor model\.model\.0\.weight is torch\.int32"):
        weights_exchange.import_checkpoint(tmp_path / "whole.pt", tmp_path / "out")


def test_safetensors_are_imported(tmp_path: Path) -> None:
    save_file(Pix2PixUnet().state_dict(), tmp_path / "other.safetensors")
    assert (
        weights_exchange.import_checkpoint(tmp_path / "other.safetensors", tmp_path / "imported").network == "pix2pix"
    )


@pytest.mark.parametrize("content", [b"", b"hello " * 100])
def test_what_is_no_checkpoint_is_not_imported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="not a PyTorch checkpoint"):
        weights_exchange.import_checkpoint(tmp_path / "text.pt", tmp_path / "imported")
    with pytest.raises(WeightsError, match="no such file"):
        weights_exchange.import_checkpoint(tmp_path / "nowhere.pt", tmp_path / "imported")
    torch.save({1: torch.zeros(2)}, tmp_path / "numbers.pt")
    with pytest.raises(WeightsError, match="not a state dict"):
        weights_exchange.import_checkpoint(tmp_path / "numbers.pt", tmp_path / "imported")


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(2**25))
    with pytest.raises(WeightsError, match=r"0 MB that unpack to 34 MB"):
        weights_exchange.import_checkpoint(tmp_path / "bomb.pt", tmp_path / "imported")
