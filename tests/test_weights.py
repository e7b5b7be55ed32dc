"""weights: a folder is a whole thing; whatever is wrong with it is an error that names it, and no pickle is opened."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

from archivecolor import files, networks, weights
from archivecolor.cli import app
from archivecolor.errors import OutputError, UsageError, WeightsError
from archivecolor.training import weights_exchange


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
    fields = {"name": "ä", "network": "small", "stage": "gan", "recipe": {"lr": 1e-3}, "history": ["ab"], "size": 192}
    made = weights.save(folder, Small(), fields)
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


@pytest.mark.parametrize("disguise", ["pickle", "torch"])
def test_a_pickle_in_disguise_is_never_opened(folder: Path, tmp_path: Path, disguise: str) -> None:
    path, sign = folder / weights.TENSORS, tmp_path / "sprung"
    with path.open("wb") as file:
        pickle.dump(Trap(sign), file) if disguise == "pickle" else torch.save({"x": Trap(sign)}, file)
    edit_card(folder, sha256=files.sha256(path))
    assert str(path) in refusal(folder)
    assert not sign.exists()
    if disguise == "pickle":
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
    with pytest.raises(WeightsError, match="contains weights already"):
        weights.mix(folder, child, 0.5, folder)
    edit_card(child, history=[])
    with pytest.raises(WeightsError, match="was not trained from"):
        weights.mix(folder, child, 0.5, tmp_path / "a")
    with pytest.raises(WeightsError, match="can be mixed"):
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


# --- weights are finite numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["slim", "lite", "resnet18"])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_nan_in_the_first_or_last_filter_is_refused(tmp_path: Path, network: str, place: int, value: float) -> None:
    model = networks.NETWORKS[network]()
    tensors = {key: values.clone() for key, values in model.state_dict().items()}
    name = [key for key, values in tensors.items() if values.dim() == 4][place]
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / weights.TENSORS)
    card = weights.Card("spoiled", network, files.sha256(tmp_path / weights.TENSORS), "gan")
    weights.write_card(tmp_path, card)
    assert f"{name} contains NaN or infinity" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("key", "values", "why"),
    [
        ("norm.running_var", torch.tensor([1.0, -1e-3]), "negative variance"),
        ("conv.weight", torch.zeros(2, 1, 3, 3, dtype=torch.complex64), "complex"),
        ("norm.weight", torch.tensor([1.0, float("-inf")]), "norm.weight contains NaN or infinity"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(folder: Path, key: str, values: torch.Tensor, why: str) -> None:
    edit_tensors(folder, {key: values})
    assert why in refusal(folder)


def test_spoiled_weights_are_not_saved(folder: Path) -> None:
    network, _ = weights.load(folder)
    before = (folder / weights.TENSORS).read_bytes()
    for value in (float("nan"), 1e6):  # the second is too large for float16
        with torch.no_grad():
            network.conv.weight[0, 0, 0, 0] = value
        with pytest.raises(WeightsError, match=r"conv\.weight"):
            weights.save(folder, network, {"name": "mine", "network": "small", "stage": "pretrain"})
    assert (folder / weights.TENSORS).read_bytes() == before


def test_spoiled_weights_are_neither_mixed_nor_imported(folder: Path, tmp_path: Path) -> None:
    edit_tensors(folder, {"conv.bias": torch.tensor([0.0, float("nan")])})
    with pytest.raises(WeightsError, match=r"conv\.bias"):
        weights.mix(folder, folder, 0.5, tmp_path / "mixed")
    state = {**networks.Pix2PixUnet().state_dict()}
    state["model.model.0.weight"] = state["model.model.0.weight"] * float("nan")
    torch.save(state, tmp_path / "spoiled.pt")
    with pytest.raises(WeightsError, match=r"model\.model\.0\.weight"):
        weights_exchange.import_checkpoint(tmp_path / "spoiled.pt", tmp_path / "imported")
    assert not (tmp_path / "imported").exists()


def test_the_same_weights_saved_again_keep_what_was_measured(folder: Path) -> None:
    network, _ = weights.load(folder)
    weights.note(str(folder), "test", {"psnr": 20})
    about = {"name": "mine", "network": "small", "stage": "pretrain", "numbers": {"training": {"pictures": 4}}}
    weights.save(folder, network, about)
    assert weights.read_card(folder).numbers == {"test": {"psnr": 20}, "training": {"pictures": 4}}
    with torch.no_grad():
        network.conv.weight.mul_(2)
    weights.save(folder, network, about)
    assert weights.read_card(folder).numbers == {"training": {"pictures": 4}}


# --- the card ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", "256"), ("size", None), ("recipe", []), ("numbers", "x"), ("history", {}), ("licence", 1), ("data", 0)],
)
def test_every_field_of_a_card_has_its_type(folder: Path, field: str, value: Any) -> None:
    edit_card(folder, **{field: value})
    assert f"{field} must be" in refusal(folder)


def test_a_name_with_control_characters_is_refused(folder: Path) -> None:
    edit_card(folder, name="mine\x1b]0;title\x07")
    assert "control characters" in refusal(folder)


def test_a_card_of_endless_brackets_is_refused(folder: Path) -> None:
    (folder / weights.CARD).write_text("[" * 100_000)
    assert "not a valid card" in refusal(folder)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"history": [1]}, "history must be a list of texts"),
        ({"known_failures": [{}]}, "known_failures must be a list of texts"),
        ({"size": 0}, "size 0 is not"),
        ({"size": True}, "size must be a whole number"),
        ({"stage": "gan\u001b]0;"}, "stage contains control characters"),
        ({"licence": "free\u009b2J"}, "contains control characters"),
        ({"recipe": {"from": ["\u001b[31m"]}}, "contains control characters"),
        ({"numbers": {"a\u0007": 1}}, "contains control characters"),
    ],
)
def test_what_a_card_may_not_say_is_refused(folder: Path, values: dict[str, object], why: str) -> None:
    edit_card(folder, **values)
    assert why in refusal(folder)


def test_a_card_may_have_lines(folder: Path) -> None:
    edit_card(folder, licence="CC-BY-4.0\nby the town’s archive\tof Nîmes")
    weights.load(folder)


# --- files that are none ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", [weights.TENSORS, weights.CARD])
def test_a_pipe_in_a_weights_folder_is_not_opened(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "device or pipe" in refusal(folder)


def test_a_file_far_too_large_is_not_read(folder: Path) -> None:
    with (folder / weights.TENSORS).open("r+b") as file:
        file.truncate(2**33)
    assert "8590 MB, where at most 67 MB are expected" in refusal(folder)


def test_what_was_hashed_is_what_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced as soon as it was read once."""
    before, _ = weights.load(folder)
    read = Path.read_bytes

    def read_and_replace(path: Path) -> bytes:
        content = read(path)
        if path.name == weights.TENSORS:
            path.write_bytes(b"other weights")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_replace)
    after, card = weights.load(folder)
    assert files.sha256(folder / weights.TENSORS) != card.sha256
    for key, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[key])


def test_a_name_that_no_file_system_takes_is_unknown(folder: Path) -> None:
    with pytest.raises(WeightsError, match="no weights called 'xxxx") as caught:
        weights.find("x" * 5000)
    assert len(str(caught.value)) < 400


# --- in and out -------------------------------------------------------------------------------------------------------


def test_own_weights_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for place in ("weights/one", "weights/all/gan", "weights/a/b/deep"):
        shutil.copytree(folder, place)
    shutil.copytree(folder, "weights/torn")
    Path("weights/torn", weights.CARD).write_text("{")
    listed = CliRunner().invoke(app, ["weights"], env={"COLUMNS": "200"}, catch_exceptions=False).stdout
    assert all(text in listed for text in ("weights/one", "weights/all/gan", "damaged card", "lite (default)"))
    assert "deep" not in listed


def test_a_pack_has_what_run_needs(folder: Path, tmp_path: Path) -> None:
    for name in ("checkpoint.safetensors", "split.json", "samples.png"):
        (folder / name).write_bytes(b"x")
    words = ["weights", "pack", str(folder), "--out", str(tmp_path / "mine.zip")]
    CliRunner().invoke(app, words, catch_exceptions=False)
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    assert {path.name for path in (tmp_path / "elsewhere/mine").iterdir()} == {
        weights.TENSORS,
        weights.CARD,
        weights.CARD_TEXT,
    }
    assert weights.load(tmp_path / "elsewhere/mine")[1] == weights.read_card(folder)
    assert isinstance(CliRunner().invoke(app, words).exception, UsageError), "it exists already"
    edit_tensors(folder, {"conv.bias": torch.tensor([0.0, float("nan")])})
    with pytest.raises(WeightsError, match="NaN"):
        weights_exchange.pack(folder, tmp_path / "spoiled.zip")
    assert not (tmp_path / "spoiled.zip").exists()


def test_an_edit_changes_card_and_text_and_outlives_a_repeated_training(folder: Path) -> None:
    words = ["weights", "edit", str(folder), "--name", "town", "--licence", "CC-BY-4.0", "--failure", "Red roofs fade."]
    CliRunner().invoke(app, words, catch_exceptions=False)
    card, text = weights.read_card(folder), (folder / weights.CARD_TEXT).read_text()
    assert (card.name, card.licence, card.known_failures) == ("town", "CC-BY-4.0", ["Red roofs fade."])
    assert all(part in text for part in ("# town", "CC-BY-4.0", "- Red roofs fade."))
    network, _ = weights.load(folder)
    weights.save(folder, network, {"name": "mine", "network": "small", "stage": "pretrain"})
    assert weights.read_card(folder) == card
    for wrong, why in (
        (["edit", str(folder)], "--name, --licence or --failure"),
        (["edit", str(folder), "--licence", "a\x1b"], "control characters"),
        (["edit", str(folder), "--name", " "], "must not be empty"),
        (["edit", "lite", "--licence", "x"], "comes with the program"),
    ):
        assert why in str(CliRunner().invoke(app, ["weights", *wrong]).exception)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_an_error_of_the_output(folder: Path, tmp_path: Path, name: str) -> None:
    """`weights import`, `mix` and `pack` write through the same functions."""
    (tmp_path / "file").write_text("mine")
    network, card = weights.load(folder)
    with pytest.raises(OutputError, match="cannot be written"):
        weights.save(tmp_path / name, network, {"name": "x", "network": "small", "stage": "pretrain"})
    with pytest.raises(OutputError, match="cannot be written"):
        weights.mix(folder, folder, 0.5, tmp_path / name)
    with pytest.raises(OutputError, match="cannot be written"):
        weights.write_card(tmp_path / name, card)
    with pytest.raises((OutputError, UsageError), match=r"cannot be written|exists already"):
        weights_exchange.pack(folder, tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_weights_that_were_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = weights.load(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(zipfile.ZipFile, "write", lambda archive, path, name: full(path, b""))
    with pytest.raises(OutputError, match=r"mine: cannot be written \(No space left on device\); make room"):
        weights.save(folder, network, {"name": "mine", "network": "small", "stage": "pretrain"})
    with pytest.raises(OutputError, match=r"mine\.zip: cannot be written \(No space left"):
        weights_exchange.pack(folder, folder.parent / "mine.zip")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (folder.parent / "mine.zip").exists()
    assert weights.read_card(folder) == card
