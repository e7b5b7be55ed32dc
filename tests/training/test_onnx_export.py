"""weights export: an ONNX file that colours as PyTorch does and says what it is, or no file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.needs import needs, package
from support.pocket_gan import Pocket
from typer.testing import CliRunner

from archivecolor import networks, weights
from archivecolor.cli import app
from archivecolor.errors import ArchivecolorError, MissingDependencyError, OutputError, UsageError, WeightsError
from archivecolor.training import onnx_export

pytestmark = needs("onnx", "onnxscript", "onnxruntime")


def weights_of(network: torch.nn.Module, name: str, folder: Path) -> Path:
    """A weights folder of a network with random weights that colour strongly."""
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
    weights.save(folder, network, {"name": f"my {name}", "network": name, "stage": "gan", "licence": "CC0-1.0"})
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    """Weights of a small network, the ONNX file that the command made of them, and what it printed."""
    root = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "pocket", Pocket)
        patch.setitem(networks.STRIDES, "pocket", 32)
        torch.manual_seed(0)
        folder = weights_of(Pocket(), "pocket", root / "mine")
        result = CliRunner().invoke(app, ["weights", "export", "--onnx", str(folder), str(root / "mine.onnx")])
        assert result.exit_code == 0, result.output
        yield folder, root / "mine.onnx", " ".join(result.output.split())


def test_the_file_says_what_it_takes_and_returns_and_that_its_colours_are_invented(exported):
    folder, file, text = exported
    onnx = package("onnx")
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["l_net"] == ["batch", 1, "32*rows", "32*columns"]
    assert shapes["ab_net"] == ["batch", 2, "32*rows", "32*columns"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert (about["name"], about["network"], about["licence"]) == ("my pocket", "pocket", "CC0-1.0")
    assert about["sha256"] == weights.read_card(folder).sha256
    assert "invented" in about["colours"]
    assert "/ 50 - 1" in about["input"]
    assert "/ 110" in about["output"]
    assert "multiples of 32" in about["size"]
    assert "ONNX opset 18; input l_net (batch, 1, height, width)" in text
    assert {*file.parent.iterdir()} == {folder, file}


def answers(file: Path, folder: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What onnxruntime and PyTorch answer to the same input."""
    session = package("onnxruntime").InferenceSession(file, providers=["CPUExecutionProvider"])
    l_net = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    network, _ = weights.load(folder)
    with torch.inference_mode():
        return session.run(None, {"l_net": l_net})[0], network(torch.from_numpy(l_net)).numpy()


def test_any_batch_and_size_is_coloured_as_by_pytorch(exported):
    folder, file, _ = exported
    for shape in ((1, 1, 64, 32), (5, 1, 32, 96)):
        answer, expected = answers(file, folder, shape)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(answer, expected, atol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("name", [*networks.NETWORKS])
def test_every_network_is_exported(tmp_path: Path, name: str):
    torch.manual_seed(0)
    folder = weights_of(networks.NETWORKS[name](), name, tmp_path / name)
    written = onnx_export.export(folder, tmp_path / "out.onnx")
    assert written.stride == networks.STRIDES[name]
    answer, expected = answers(tmp_path / "out.onnx", folder, (2, 1, written.stride, 3 * written.stride))
    np.testing.assert_allclose(answer, expected, atol=1e-3)


@pytest.mark.parametrize("error", [0.002, float("nan")])
def test_colours_that_differ_from_pytorch_are_not_written(
    exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float
):
    """The exported network has a bias that the weights do not have."""
    folder, _, _ = exported
    convert = onnx_export.convert

    def convert_wrongly(network: torch.nn.Module, stride: int):
        other, _ = weights.load(folder)
        with torch.no_grad():
            other.layers[-1].bias.add_(error)
        return convert(other, stride)

    monkeypatch.setattr(onnx_export, "convert", convert_wrongly)
    with pytest.raises(WeightsError, match="differ from PyTorch's by"):
        onnx_export.export(folder, tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said_before_the_network_is_converted(
    exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, file, _ = exported
    before = file.read_bytes()
    monkeypatch.setattr(onnx_export, "convert", lambda network, stride: pytest.fail("converted"))
    (tmp_path / "text").write_text("")
    cases: list[tuple[list[str], type[ArchivecolorError], str]] = [
        (["--onnx", str(folder), str(file)], UsageError, "exists already"),
        (["--onnx", str(folder), str(tmp_path / "mine.pt")], UsageError, r"ends in \.onnx"),
        ([str(folder), str(tmp_path / "mine.onnx")], UsageError, "--onnx"),
        (["--onnx", str(folder), str(tmp_path / "text" / "mine.onnx")], OutputError, "cannot be written"),
        (["--onnx", "nothing", str(tmp_path / "mine.onnx")], WeightsError, "no weights called 'nothing'"),
    ]
    for words, kind, why in cases:
        with pytest.raises(kind, match=why):
            CliRunner().invoke(app, ["weights", "export", *words], catch_exceptions=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"onnxruntime.*pip install 'archivecolor\[onnx\]'"):
        onnx_export.export(folder, tmp_path / "mine.onnx")
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
