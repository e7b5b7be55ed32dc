"""Several processes learn as one would: the same losses, step for step, from the same whole batches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.needs import needs
from support.tiny_training import photo_folder
from torch import nn

from archivecolor import weights
from archivecolor.errors import UsageError
from archivecolor.training import distributed

WORKER = """
import json, os, sys
import torch
from pathlib import Path
from archivecolor.training import distributed, figures, gan, loop
from support.pocket_gan import SmallJudge, pocket_stage, photo_set as pocket_photos, stoppable_step, CARD as POCKET
from support.tiny_training import CARD, photo_set, tiny_stage, tiny_step
figures.plot_curves = lambda folder: None
figures.write_samples = lambda *args: None
gan.PatchDiscriminator = SmallJudge
out, seen = Path(sys.argv[1]), {}
with distributed.initialize(int(os.environ.get("WORLD_SIZE", 1)), torch.device("cpu")):
    for name in ("pretrain", "gan"):
        def on_progress(p):
            if not p.validated:
                seen.setdefault(name, []).append(p.numbers)
        if name == "pretrain":
            step = tiny_step(0)
            step.chroma_weight = 0.5
            stage = tiny_stage(out / name, lr=3e-3)
            card, photos, validator = CARD, photo_set(6), loop.COLORIZER
        else:
            step = stoppable_step(0, warmup=8, discriminator="batchnorm")
            stage, card, photos = pocket_stage(out / name), POCKET, pocket_photos(6)
            validator = step.validator()
        for module in step.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        loop.run(stage, step, photos, photos, card, on_progress, lambda: False, validator)
    if distributed.is_main_process():
        (out / "seen.json").write_text(json.dumps(seen))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def learn(out: Path, processes: int) -> dict[str, list[dict[str, float]]]:
    """The losses and validations of every step, of a tiny pre-training and a tiny adversarial one."""
    out.mkdir()
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(out)],
            env={**os.environ, **about, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    errors = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, errors
    return json.loads((out / "seen.json").read_text())


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, list[dict[str, float]]]]:
    root = tmp_path_factory.mktemp("together")
    return {processes: learn(root / str(processes), processes) for processes in (1, 2)}


@pytest.mark.parametrize("stage", ["pretrain", "gan"])
@pytest.mark.long
def test_two_processes_have_the_loss_curve_of_one(stage: str, curves):
    alone, shared = (curves[processes][stage] for processes in (1, 2))
    assert len(alone) == len(shared) >= 6
    for one, two in zip(alone, shared, strict=True):
        validations = {name for name in one if name.startswith("val_")}  # these are rounded
        for names, tolerance in ((validations, 2e-3), (one.keys() - validations, 3e-4)):
            assert {k: two[k] for k in names} == pytest.approx(
                {k: one[k] for k in names}, rel=tolerance, abs=1.1e-3 if names is validations else tolerance / 10
            )
    assert alone[0]["l1"] != pytest.approx(alone[-1]["l1"], rel=0.02)  # it does learn: equality says something


def test_without_shared_statistics_the_curves_would_part():
    """The test above would not pass by itself: half batches have other means."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 5, 5) + torch.arange(4)[:, None, None, None]
    norm = nn.BatchNorm2d(3)
    assert not torch.allclose(norm(x)[:2], norm(x[:2]), atol=0.1)


def test_a_shared_norm_alone_is_a_batch_norm():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))
    shared = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))
    shared.load_state_dict(plain.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed.dist, "all_reduce", lambda value: None)
        distributed.sync_batch_norms(shared)
        assert isinstance(shared[1], distributed.SyncedBatchNorm)
        for _ in range(3):
            x = torch.randn(4, 3, 6, 6)
            for network in (plain, shared):
                network.zero_grad()
                network(x).pow(3).sum().backward()
            for (name, one), two in zip(plain.named_parameters(), shared.parameters(), strict=True):
                assert torch.allclose(one.grad, two.grad, rtol=1e-3, atol=1e-3), name
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.float(), shared.state_dict()[name].float(), atol=1e-5), name
    assert torch.allclose(plain.eval()(x), shared.eval()(x), atol=1e-5)


def test_a_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    with pytest.raises(UsageError, match="--batch 4"):
        distributed.check_batch_size(4)
    distributed.check_batch_size(6)


def test_alone_nothing_is_joined_and_nothing_changes():
    with distributed.initialize(1, torch.device("cpu")):
        assert (distributed.world_size(), distributed.rank(), distributed.is_main_process()) == (1, 0, True)
        assert distributed.local_slice(12, 4) == (12, 4)
        assert distributed.mean_of_each({"a": 1.0}) == {"a": 1.0}
        assert not distributed.any_process(False)


@needs("matplotlib")
@pytest.mark.long
def test_two_processes_train_by_the_command_that_the_readme_names(tmp_path: Path):
    photos = photo_folder(tmp_path / "photos", 4)
    words = (
        f"-m torch.distributed.run --nproc-per-node 2 --master-port {free_port()} -m archivecolor train pretrain "
        f"--model lite --encoder none --data {photos} --val {photos} --out {tmp_path}/out --batch 2 --pictures 4 "
        "--sizes 32 --device cpu --precision fp32 --json"
    )
    run = subprocess.run([sys.executable, *words.split()], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    uneven = subprocess.run(
        [sys.executable, *words.replace("--batch 2", "--batch 3").replace("/out", "/uneven").split()],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "2 processes" in uneven.stderr, "there are two indeed"
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["event"] for row in rows] == ["photographs", "validation", "validation", "end"], "one of the two tells"
    assert weights.check(tmp_path / "out").numbers["training"]["pictures"] == 4
