"""A training that is stopped or killed resumes where it was; the files it writes."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.needs import needs, package
from support.tiny_training import CARD, photo_folder, photo_set, tiny_stage, tiny_step
from typer.testing import CliRunner

from archivecolor import weights
from archivecolor.cli import app, training_session
from archivecolor.errors import (
    INTERRUPTED,
    DivergedError,
    OutputError,
    StoppedError,
    UsageError,
    WeightsError,
)
from archivecolor.options import StageOptions
from archivecolor.provenance import locks
from archivecolor.training import checkpoint, dataset, event_log, figures, loop, photographs
from archivecolor.training.early_stopping import BestAverageStep
from archivecolor.training.figures import plot_curves
from archivecolor.training.optim_step import OptimStep

# The loop


def losses_of(stage: StageOptions, step: checkpoint.Step, stop_after: int = 99, fall_at: int = 99) -> list[float]:
    """Runs a training; stops it politely after so many steps, or kills it in the middle of one."""
    losses: list[float] = []

    def on_progress(progress: loop.TrainingProgress) -> None:
        if progress.validated:
            return
        losses.append(progress.numbers["l1"])
        if len(losses) == fall_at:
            raise RuntimeError("killed")

    loop.run(stage, step, photo_set(6), photo_set(2), CARD, on_progress, lambda: len(losses) >= stop_after)
    return losses


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    package("matplotlib")
    out = tmp_path_factory.mktemp("unbroken")
    return out, losses_of(tiny_stage(out), tiny_step(0))


@needs("matplotlib")
def test_a_stopped_training_resumes_bit_for_bit(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    assert len(losses) == 6
    first = losses_of(tiny_stage(tmp_path), tiny_step(0), stop_after=3)
    # Another start: everything must come from the checkpoint.
    rest = losses_of(tiny_stage(tmp_path), tiny_step(1))
    assert first + rest == losses
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_killed_training_resumes_from_its_last_checkpoint(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    stage = tiny_stage(tmp_path, checkpoint_minutes=0)  # after every step
    with pytest.raises(RuntimeError, match="killed"):
        losses_of(stage, tiny_step(0), fall_at=5)
    assert losses_of(stage, tiny_step(1)) == losses[4:]
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


CHILD = """
import sys
from pathlib import Path
from typing import Any
from archivecolor.training import figures, loop
from support.tiny_training import CARD, photo_set, tiny_stage, tiny_step
figures.plot_curves = lambda folder: None
stage = tiny_stage(Path(sys.argv[1]), checkpoint_minutes=0)
loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, lambda p: p.validated or print(p.pictures, flush=True))
"""


@pytest.mark.long
def test_after_kill_9_a_training_resumes_to_the_same_weights(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    reference, losses = unbroken
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    reported = [child.stdout.readline() for _ in range(4)]
    child.kill()
    child.wait()
    assert reported[-1] == "16\n"
    rest = losses_of(tiny_stage(tmp_path), tiny_step(1))
    assert 0 < len(rest) <= 3  # the third step was saved before the fourth began
    assert rest == losses[-len(rest) :]
    assert (tmp_path / weights.TENSORS).read_bytes() == (reference / weights.TENSORS).read_bytes()


def test_a_finished_training_learns_nothing_more(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    before = (out / weights.TENSORS).read_bytes()
    assert losses_of(tiny_stage(out), tiny_step(1)) == []
    assert (out / weights.TENSORS).read_bytes() == before


def test_a_training_leaves_history_curves_samples_and_card(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    rows = figures.read_history(out)
    assert [row["pictures"] for row in rows] == [0, 12, 24]
    assert {"val_l1", "val_psnr_gain", "val_colour"} <= set(rows[-1])
    for name in ("curves.png", "samples.png"):
        Image.open(out / name).verify()
    assert {"loss_l1", "lr"} <= set(rows[1])
    assert 0 < rows[2]["lr"] < rows[1]["lr"]
    card = weights.check(out)
    assert card.numbers["training"]["pictures"] == 24
    assert card.numbers["training"]["validation"]["val_l1"] == rows[-1]["val_l1"]


@pytest.mark.filterwarnings("ignore:.*no-op")
def test_a_state_is_restored_to_where_the_network_computes(tmp_path: Path):
    """The meta device stands in for a GPU: the file gives tensors of the CPU."""
    stage, step = tiny_stage(tmp_path), tiny_step(0)
    checkpoint.save(tmp_path, stage, step, checkpoint.Average(step.network, 0.9), checkpoint.TrainingState(4))
    elsewhere = tiny_step(0)
    elsewhere.network.to("meta")
    average = checkpoint.Average(elsewhere.network, 0.9)
    assert checkpoint.restore(stage, elsewhere, average).pictures == 4
    assert {value.device.type for value in average.values.values()} == {"meta"}
    average.update(elsewhere.network)


@needs("matplotlib")
@pytest.mark.long
def test_ctrl_c_saves_and_the_same_command_resumes(tmp_path: Path):
    photos = photo_folder(tmp_path / "photos", 2)
    words = (
        f"-m archivecolor train pretrain --model lite --encoder none --data {photos} --val {photos} "
        f"--out {tmp_path}/out --batch 2 --sizes 32 --device cpu --precision fp32 --json "
        "--validate-every 20 --pictures"
    )
    command = [sys.executable, *words.split()]
    with subprocess.Popen([*command, "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            validations = (line for line in child.stdout if '"validation"' in line)
            started = [next(validations, ""), next(validations, "")]  # one before the first step, one amid the training
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=120)
        finally:
            child.kill()
    assert all(started), err
    assert child.returncode == INTERRUPTED, err
    assert "stopping: the state is saved" in err
    assert json.loads(out.splitlines()[-1])["event"] == "interrupted"
    seen = weights.check(tmp_path / "out").numbers["training"]["pictures"]
    assert 20 < seen < 100000
    again = subprocess.run([*command, str(seen + 2)], capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert f"Until picture {seen}: pictures = 100000" in " ".join(again.stderr.split())
    assert [row["pictures"] for row in figures.read_history(tmp_path / "out")] == [*range(0, seen, 20), seen, seen + 2]


def test_finished_weights_are_not_trained_over(trained: tuple[Path, Path], tmp_path: Path):
    photos, folder = trained
    finished = tmp_path / "finished"
    finished.mkdir()
    for name in (weights.TENSORS, weights.CARD):
        (finished / name).write_bytes((folder / name).read_bytes())
    before = (finished / weights.TENSORS).read_bytes()
    words = f"train pretrain --encoder none --data {photos} --val {photos} --pictures 2 --batch 2 --sizes 64 --out"
    result = CliRunner().invoke(app, [*words.split(), str(finished)])
    assert "contains finished weights and no checkpoint.safetensors" in str(result.exception)
    assert (finished / weights.TENSORS).read_bytes() == before
    assert {path.name for path in finished.iterdir()} == {weights.TENSORS, weights.CARD}


@needs("matplotlib")
@pytest.mark.parametrize("cut_at", [12, 24])
def test_a_validation_that_was_cut_short_is_made_up_for(tmp_path: Path, cut_at: int):
    """The state is saved before the last one, and may be before any."""

    def on_progress(progress: loop.TrainingProgress) -> None:
        if progress.validated and progress.pictures == cut_at:
            raise KeyboardInterrupt

    stage = tiny_stage(tmp_path, checkpoint_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, on_progress)
    numbers = loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, lambda progress: None)
    rows = figures.read_history(tmp_path)
    assert [row["pictures"] for row in rows] == [0, 12, 24]
    assert numbers["val_l1"] == rows[-1]["val_l1"]
    assert weights.read_card(tmp_path).numbers["training"]["validation"] == numbers


def test_a_history_forgets_what_a_killed_training_did_not_save(tmp_path: Path):
    for pictures in (0, 12, 24, 12, 24, 24):
        figures.append_history(tmp_path, {"pictures": pictures, "val_l1": pictures / 100})
    assert [row["pictures"] for row in figures.read_history(tmp_path)] == [0, 12, 24]


@needs("matplotlib")
def test_a_watcher_is_told_of_each_validation_when_it_is_made(tmp_path: Path):
    reported: list[loop.TrainingProgress] = []
    stage = tiny_stage(tmp_path)
    loop.run(stage, tiny_step(0), photo_set(6), photo_set(2), CARD, reported.append)
    validated = [p for p in reported if p.validated]
    assert [p.pictures for p in validated] == [row["pictures"] for row in figures.read_history(tmp_path)]
    names = {"val_l1", "val_psnr_gain", "val_colour", "val_fine", "val_wild"}
    assert all(p.numbers.keys() == names for p in validated)
    assert {p.size for p in validated} == {stage.validation_size}


@needs("tensorboard")
def test_tensorboard_gets_losses_and_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    accumulator = package("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(event_log, "STEPS", 2)
    events = event_log.EventLog(tmp_path / "events")
    loop.run(tiny_stage(tmp_path / "out"), tiny_step(0), photo_set(6), photo_set(2), CARD, events.report)
    events.close()
    read = accumulator.EventAccumulator(str(tmp_path / "events/pretrain")).Reload()
    tags = read.Tags()["scalars"]
    assert {"loss/l1", "validation/l1", "validation/psnr_gain", "validation/wild"} <= set(tags)
    assert [event.step for event in read.Scalars("loss/l1")] == [8, 16, 24]
    history = figures.read_history(tmp_path / "out")
    assert [event.step for event in read.Scalars("validation/l1")] == [row["pictures"] for row in history]
    assert read.Scalars("validation/l1")[0].value == pytest.approx(history[0]["val_l1"], rel=1e-3)


@pytest.mark.parametrize("name", [checkpoint.FILE, figures.HISTORY, dataset.SPLIT])
@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe"])
def test_a_damaged_file_of_a_training_is_named(
    unbroken: tuple[Path, list[float]], tmp_path: Path, name: str, content: bytes
):
    out = tmp_path / "out"
    shutil.copytree(unbroken[0], out)
    (out / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}: is damaged"):
        if name == dataset.SPLIT:
            photographs.save_split(out, photographs.Photographs("x", photo_set(2), photo_set(2)), resumed=True)
        elif name == figures.HISTORY:
            figures.read_history(out)
        else:
            checkpoint.read_about(tiny_stage(out))


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, about: tensors | {"module/guard/_extra_state": torch.zeros(9, dtype=torch.uint8)},
        lambda tensors, about: {key.replace("/0/", "/x/"): value for key, value in tensors.items()},
        lambda tensors, about: about.pop("judged_at") and tensors,
    ],
    ids=["state", "keys", "about"],
)
def test_a_checkpoint_with_wrong_content_is_named(unbroken: tuple[Path, list[float]], tmp_path: Path, damage: Any):
    """The file itself is sound."""
    stage = tiny_stage(tmp_path)
    step = BestAverageStep(tiny_step(0), None, "")
    checkpoint.save(tmp_path, stage, step, checkpoint.Average(step.network, 0.9), checkpoint.TrainingState(4))
    path = tmp_path / checkpoint.FILE
    shutil.copy(unbroken[0] / checkpoint.FILE, tmp_path / "trained")
    optimizer = {key: value for key, value in load_file(tmp_path / "trained").items() if key.startswith("optimizer/")}
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    tensors = damage(load_file(path) | optimizer, about)
    save_file(tensors, path, {"about": json.dumps(about)})
    with pytest.raises(WeightsError, match=f"{checkpoint.FILE}: is damaged"):
        checkpoint.restore(stage, step, checkpoint.Average(step.network, 0.9))


def test_a_loss_that_is_not_a_number_ends_the_training_and_spoils_nothing(tmp_path: Path):
    stage, step = tiny_stage(tmp_path), tiny_step(0)
    first = losses_of(stage, step, stop_after=2)
    saved = (tmp_path / weights.TENSORS).read_bytes()
    again = tiny_step(1)
    again.losses = lambda batch: {"l1": torch.tensor(float("nan"), requires_grad=True)}  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=r"after 8 pictures .*lower --lr"):
        losses_of(stage, again)
    assert (tmp_path / weights.TENSORS).read_bytes() == saved
    assert len(first) == 2
    assert len(losses_of(stage, tiny_step(2))) == 4, "it can be resumed"


def test_a_gradient_that_is_not_a_number_changes_no_parameter():
    layer = torch.nn.Linear(2, 1)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    step = OptimStep(torch.optim.AdamW(layer.parameters()), "fp32", torch.device("cpu"))
    with pytest.raises(DivergedError):
        step((layer(torch.zeros(1, 2)) * 0).sqrt().sum(), 1e-3)  # finite, but its slope is infinite
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


def test_two_trainings_do_not_share_a_folder(trained: tuple[Path, Path], tmp_path: Path):
    photos, _ = trained
    words = f"train pretrain --encoder none --data {photos} --val {photos} --pictures 2 --batch 2 --sizes 64 --out"
    out = tmp_path / "out"
    out.mkdir()
    lock = locks.Lock(out / locks.LOCK)
    try:
        result = CliRunner().invoke(app, [*words.split(), str(out)])
    finally:
        lock.release()
    assert isinstance(result.exception, OutputError)
    assert "another run" in str(result.exception)
    assert [path.name for path in out.iterdir()] == []
    same = CliRunner().invoke(app, [*words.split(), str(photos)])
    assert "is the folder of the photographs" in str(same.exception)
    (tmp_path / "file").write_text("")
    below = CliRunner().invoke(app, [*words.split(), str(tmp_path / "file" / "out")])
    assert isinstance(below.exception, OutputError)


def test_a_full_disk_is_an_error_of_the_output(trained: tuple[Path, Path], tmp_path: Path, monkeypatch):
    photos, _ = trained

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    words = f"train pretrain --encoder none --data {photos} --val {photos} --pictures 2 --batch 2 --sizes 64 --out"
    result = CliRunner().invoke(app, [*words.split(), str(tmp_path / "out")])
    assert isinstance(result.exception, OutputError)
    assert "No space left" in str(result.exception)


def test_ctrl_c_while_photographs_are_read_publishes_nothing(trained: tuple[Path, Path], tmp_path: Path, monkeypatch):
    photos, _ = trained
    monkeypatch.setattr(training_session, "catch_interrupts", lambda: lambda: True)
    words = f"train gan --from lite --data {photos} --val {photos} --pictures 2 --warmup 0 --batch 2 --sizes 64 --out"
    result = CliRunner().invoke(app, [*words.split(), str(tmp_path / "out")])
    assert isinstance(result.exception, StoppedError)
    assert not (tmp_path / "out" / weights.CARD).exists()


def test_a_folder_with_another_training_is_refused(unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    with pytest.raises(UsageError, match="another --out"):
        losses_of(tiny_stage(out, name="gan"), tiny_step(0))
    with pytest.raises(UsageError, match="another --out"):
        losses_of(tiny_stage(out, model="resnet18"), tiny_step(0))


@needs("matplotlib")
def test_a_training_ends_when_its_minutes_are_over(tmp_path: Path):
    """Those before a resume count as well."""
    stage = tiny_stage(tmp_path, minutes=1e-6)
    assert len(losses_of(stage, tiny_step(0))) == 1
    assert losses_of(stage, tiny_step(0)) == []
    assert len(losses_of(tiny_stage(tmp_path), tiny_step(0))) == 5


def test_curves_show_start_published_point_and_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package("matplotlib")
    from matplotlib.figure import Figure

    for pictures, l1 in ((0, 0.1), (8, 0.09), (16, 0.11)):
        figures.append_history(tmp_path, {"pictures": pictures, "val_l1": l1, "kept_at": 8, "loss_l1": l1, "lr": 1e-4})
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *place, **form: (drawn.append(figure), save(figure, *place, **form))
    )
    plot_curves(tmp_path)
    Image.open(tmp_path / figures.CURVES).verify()
    axes = {axis.get_title(): axis for axis in drawn[0].axes}
    assert {"val_l1", "loss_l1", "lr"} <= set(axes)
    assert "kept_at" not in axes
    assert "lower is better" in axes["val_l1"].get_ylabel()
    start, published = axes["val_l1"].get_lines()[1:]
    assert (start.get_linestyle(), start.get_ydata()[0]) == ("--", 0.1)
    assert (published.get_xdata()[0], published.get_ydata()[0]) == (8, 0.09)


@needs("matplotlib")
def test_other_modules_are_refused_before_anything_is_written(tmp_path: Path, unbroken: tuple[Path, list[float]]):
    out, _ = unbroken
    step = tiny_step(0)
    checkpoint.check_fits(tiny_stage(out), step)
    monkeypatched = {**step.modules(), "teacher": torch.nn.Linear(1, 1)}
    step.modules = lambda: monkeypatched  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="does not contain the teacher of this training"):
        checkpoint.check_fits(tiny_stage(out), step)
