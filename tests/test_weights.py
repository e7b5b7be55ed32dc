"""weights: a folder is a whole thing; whatever is wrong with it is an error that names it, and no pickle is opened."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from archivecolor import files, networks, weights
from archivecolor.errors import UsageError, WeightsError


class Small(nn.Module):
    """A network with a little of everything: filters, biases, running statistics, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, l_net: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(l_net))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound weights folder of `Small`."""
    monkeypatch.setitem(networks.NETWORKS, "small", Small)
    torch.manual_seed(1)
    network = Small()
    with torch.no_grad():
        network.norm.running_var.copy_(torch.tensor([1.23456789e-7, 3.0]))
    weights.save(tmp_path / "mine", network, {"name": "mine", "network": "small", "stage": "pretrain"})
    return tmp_path / "mine"


def edit_card(folder: Path, **values: Any) -> None:
    path = folder / weights.CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_tensors(folder: Path, changed: dict[str, Any]) -> None:
    """Replaces the tensors and puts the new hash on the card: a consistent folder with wrong content."""
    path = folder / weights.TENSORS
    tensors = {key: value for key, value in {**load_file(path), **changed}.items() if value is not None}
    save_file(tensors, path)
    edit_card(folder, sha256=files.sha256(path))


def refusal(folder: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        weights.load(folder)
    return str(caught.value)


# --- round trip -------------------------------------------------------------------------------------------------------


def test_round_trip(folder: Path) -> None:
    torch.manual_seed(1)
    saved, (network, card) = Small(), weights.load(folder)
    assert (card.name, card.network, card.stage) == ("mine", "small", "pretrain")
    assert card.sha256 == files.sha256(folder / weights.TENSORS)
    assert not network.training
    for key, value in network.state_dict().items():
        assert value.dtype == saved.state_dict()[key].dtype
    torch.testing.assert_close(network.conv.weight, saved.conv.weight.half().float(), rtol=0, atol=0)
    torch.testing.assert_close(network.conv.bias, saved.conv.bias, rtol=0, atol=0)


def test_small_variances_keep_their_digits(folder: Path) -> None:
    network, _ = weights.load(folder)
    assert float(network.norm.running_var[0]) == pytest.approx(1.23456789e-7, rel=1e-6)


def test_saving_again_what_was_loaded_gives_the_same_file(folder: Path) -> None:
    network, card = weights.load(folder)
    again = weights.save(folder.parent / "again", network, {"name": "again", "network": "small", "stage": "pretrain"})
    assert again.sha256 == card.sha256


def test_the_card_keeps_what_it_was_given(folder: Path) -> None:
    given = {"name": "ä", "network": "small", "stage": "gan", "recipe": {"lr": 1e-3}, "history": ["ab"], "size": 192}
    made = weights.save(folder, Small(), given)
    read = weights.read_card(folder)
    assert read == made
    assert (read.name, read.recipe, read.history, read.size) == ("ä", {"lr": 1e-3}, ["ab"], 192)


def test_a_card_of_a_later_version_can_be_read(folder: Path) -> None:
    edit_card(folder, colour_of_the_cover="blue")
    assert weights.load(folder)[1].name == "mine"


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 9, 200, -1])
def test_a_changed_byte(folder: Path, where: int) -> None:
    content = bytearray((folder / weights.TENSORS).read_bytes())
    content[where] ^= 1
    (folder / weights.TENSORS).write_bytes(content)
    assert str(folder / weights.TENSORS) in refusal(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file(folder: Path, kept: int) -> None:
    path = folder / weights.TENSORS
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in refusal(folder)
    edit_card(folder, sha256=files.sha256(path))  # even where the card was made for the damaged file
    assert str(path) in refusal(folder)


def test_a_missing_file(folder: Path) -> None:
    (folder / weights.TENSORS).unlink()
    assert str(folder / weights.TENSORS) in refusal(folder)


def test_a_missing_key(folder: Path) -> None:
    edit_tensors(folder, {"conv.bias": None})
    message = refusal(folder)
    assert str(folder / weights.TENSORS) in message
    assert "conv.bias" in message


def test_a_key_too_many(folder: Path) -> None:
    edit_tensors(folder, {"conv.extra": torch.zeros(3)})
    message = refusal(folder)
    assert str(folder / weights.TENSORS) in message
    assert "conv.extra" in message


def test_a_wrong_shape(folder: Path) -> None:
    edit_tensors(folder, {"conv.bias": torch.zeros(3)})
    assert "conv.bias" in refusal(folder)


@pytest.mark.parametrize("network", ["large", "", ["small"], None, 3])
def test_a_wrong_network_in_the_card(folder: Path, network: Any) -> None:
    edit_card(folder, network=network)
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", '"card"', "{}", '{"name": "x"}', '{"name": [], "network": {}}', "\udcff\udcfe"],
)
def test_a_card_that_is_none(folder: Path, content: str) -> None:
    (folder / weights.CARD).write_text(content, errors="surrogateescape")
    assert str(folder / weights.CARD) in refusal(folder)


@pytest.mark.parametrize("field", ["sha256", "name", "stage", "network"])
@pytest.mark.parametrize("value", [7, None, ["x"]])
def test_a_card_with_a_field_of_the_wrong_kind(folder: Path, field: str, value: Any) -> None:
    edit_card(folder, **{field: value})
    assert str(folder / weights.CARD) in refusal(folder)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path)


# --- pickles ----------------------------------------------------------------------------------------------------------


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.sign,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_in_disguise_is_never_opened(folder: Path, tmp_path: Path, how: str) -> None:
    path, sign = folder / weights.TENSORS, tmp_path / "sprung"
    with path.open("wb") as file:
        pickle.dump(Trap(sign), file) if how == "pickle" else torch.save({"x": Trap(sign)}, file)
    edit_card(folder, sha256=files.sha256(path))
    assert str(path) in refusal(folder)
    assert not sign.exists()
    if how == "pickle":
        pickle.loads(path.read_bytes())
        assert sign.exists(), "the trap would not have been sprung by anyone"


# --- finding ----------------------------------------------------------------------------------------------------------


def test_find_by_name_and_by_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "shipped_folder", lambda: folder.parent)
    assert weights.find("mine") == folder
    assert weights.find(str(folder)) == folder
    assert weights.available() == [folder]


def test_what_is_not_found_says_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "shipped_folder", lambda: folder.parent)
    (folder.parent / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"'yours'.*\(mine\)"):
        weights.find("yours")
    with pytest.raises(WeightsError, match=r"\(mine\)"):
        weights.find("empty")


def child_of(folder: Path, name: str) -> Path:
    """Weights trained on from `folder`, as their history says, with other numbers."""
    parent = weights.read_card(folder)
    network = weights.load(folder)[0]
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    about = {"name": name, "network": "small", "stage": "gan", "history": [parent.sha256], "recipe": {"lr": 1}}
    weights.save(folder.parent / name, network, about)
    return folder.parent / name


def test_between_two_weights_lie_others(folder: Path) -> None:
    child = child_of(folder, "child")
    mixed = weights.mix(folder, child, 0.25, folder.parent / "mixed")
    first, second, between = (weights.load(path)[0].state_dict() for path in (folder, child, folder.parent / "mixed"))
    for key, value in between.items():
        assert torch.allclose(value.float(), 0.75 * first[key].float() + 0.25 * second[key].float(), atol=2e-3), key
    one, other = weights.read_card(folder), weights.read_card(child)
    assert mixed.history == [one.sha256, other.sha256]
    assert mixed.recipe == {"lr": 1, "mixed": {"first": "mine", "second": "child", "share": 0.25}}
    assert mixed.stage == "gan"


def test_what_has_nothing_in_common_is_not_mixed(folder: Path, tmp_path: Path) -> None:
    child = child_of(folder, "child")
    with pytest.raises(UsageError, match="--share 2"):
        weights.mix(folder, child, 2, tmp_path / "a")
    with pytest.raises(WeightsError, match="holds weights already"):
        weights.mix(folder, child, 0.5, folder)
    edit_card(child, history=[])
    with pytest.raises(WeightsError, match="was not trained from"):
        weights.mix(folder, child, 0.5, tmp_path / "a")
    with pytest.raises(WeightsError, match="only like"):
        weights.mix(folder, weights.find("lite"), 0.5, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_card_tells_what_fails_and_shows_it_where_there_is_a_picture(folder: Path) -> None:
    card = replace(weights.read_card(folder), known_failures=["White fur comes out orange."])
    weights.write_card(folder, card)
    text = (folder / weights.CARD_TEXT).read_text()
    assert "## Known failures\n\n- White fur comes out orange.\n" in text
    assert weights.FAILURES not in text
    (folder / weights.FAILURES).write_bytes(b"")
    weights.write_card(folder, card)
    assert f"]({weights.FAILURES})" in (folder / weights.CARD_TEXT).read_text()
    assert weights.read_card(folder) == card
