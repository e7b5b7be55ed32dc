"""Checkpoints of the tutorial become weights folders, and nothing in them is executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from archivecolor import weights
from archivecolor.errors import WeightsError
from archivecolor.networks import NETWORKS


@pytest.mark.parametrize("name", ["resnet18", "pix2pix"])
@pytest.mark.parametrize("prefix", ["net_G.", ""])
def test_a_checkpoint_in_the_tutorials_form_colours_as_it_did(tmp_path: Path, name: str, prefix: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    state = {f"{prefix}{key}": value for key, value in network.state_dict().items()}
    rest = {"net_D.model.0.0.weight": torch.zeros(64, 3, 4, 4)} if prefix else {}
    torch.save(state | rest, tmp_path / "final_model_weights.pt")
    card = weights.import_checkpoint(tmp_path / "final_model_weights.pt", tmp_path / "tutorial")
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
            weights.import_checkpoint(tmp_path / trap, tmp_path / "out")
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "out").exists()


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save({"net_G.layers.0.0.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "half.pt")
    for name in ("other.pt", "half.pt", "missing.pt"):
        with pytest.raises(WeightsError, match=name):
            weights.import_checkpoint(tmp_path / name, tmp_path / "out")


def test_weights_are_not_replaced_by_an_import(tmp_path: Path, ink: Path) -> None:
    before = (ink / weights.CARD).read_bytes()
    with pytest.raises(WeightsError, match="already"):
        weights.import_checkpoint(tmp_path / "any.pt", ink)
    assert (ink / weights.CARD).read_bytes() == before
