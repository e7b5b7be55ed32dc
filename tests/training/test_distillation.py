"""An encoder that is taught by another one before the training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.doubles import ConstantInk
from support.tiny_training import CARD, CPU, photo_set, tiny_stage

from archivecolor import weights
from archivecolor.errors import UsageError
from archivecolor.networks import NETWORKS
from archivecolor.networks.encoders import Lite0Body, ResNet18Body
from archivecolor.networks.unet import DynamicUnet
from archivecolor.options import DistillationOptions, Pretraining
from archivecolor.training import checkpoint, dataset, distillation, lite0_features, recipe, trainer
from archivecolor.training.encoder_weights import initialize_encoder
from archivecolor.training.photographs import Photographs
from archivecolor.training.pretrain import PretrainStep


def test_the_encoder_comes_to_see_what_its_teacher_sees(lite0: lite0_features.Lite0):
    torch.manual_seed(0)
    step = distillation.DistillationStep(ResNet18Body(), lite0)
    batch = dataset.training_batch(photo_set(4), 0, 4, 64, 0.5, 0)
    before = [value.clone() for value in lite0.body.state_dict().values()]
    losses = [step(batch, 1e-3) for _ in range(6)]
    for name in lite0_features.TAPS.values():
        assert losses[-1][name] < losses[0][name] - 0.1
    assert all(torch.equal(a, b) for a, b in zip(before, lite0.body.state_dict().values(), strict=True))


def test_distances_are_cosines():
    one = [torch.randn(2, 5, 3, 3) for _ in range(3)]
    for scale, expected in ((3.0, 0.0), (-0.5, 2.0)):
        for value in lite0_features.feature_distances([x * scale for x in one], one).values():
            assert float(value) == pytest.approx(expected, abs=1e-5)


def test_a_taught_encoder_is_a_file_that_a_unet_starts_from(tmp_path: Path, lite0: lite0_features.Lite0):
    stage = tiny_stage(tmp_path / "a", settings={"encoder": "none"})
    teaching = DistillationOptions("lite0", pictures=8, sizes=((64, 1.0),))
    card = {**CARD, "recipe": {"seed": 0}}

    def teach(seed: int, stop_after: int = 99) -> tuple[Lite0Body, int]:
        torch.manual_seed(seed)
        body, steps = Lite0Body(), []
        distillation.distil_encoder(
            stage,
            teaching,
            body,
            lite0,
            photo_set(4),
            photo_set(2),
            card,
            lambda progress: None if progress.validated else steps.append(progress),
            lambda: len(steps) >= stop_after,
        )
        return body, len(steps)

    first, steps = teach(0, stop_after=1)
    assert steps == 1
    body, steps = teach(1)
    assert steps == 1
    assert not torch.equal(first.conv_stem.weight, body.conv_stem.weight)
    network = NETWORKS["lite"]()
    initialize_encoder(network, str(tmp_path / "a" / distillation.FOLDER))
    for name, value in network.layers[0].state_dict().items():
        assert torch.equal(value, body.state_dict()[name])
    about = distillation.read_about(tmp_path / "a" / distillation.FOLDER)
    assert about["pictures"] == 8
    assert about["recipe"] == {"seed": 0}
    with pytest.raises(UsageError, match="no such file"):
        initialize_encoder(network, str(tmp_path / "b"))


def test_a_distillation_that_resumes_with_other_options_or_photographs_is_noticed(tmp_path: Path):
    stage = tiny_stage(tmp_path, settings={"teacher_pictures": 128})
    photographs, reports = Photographs("photos", photo_set(4), photo_set(2)), []
    old = recipe.as_toml(Pretraining(teacher="lite0", teacher_lr=1e-3), "a command")
    new = recipe.as_toml(Pretraining(teacher="lite0", teacher_lr=1e-4), "a command")
    trainer.start_stage(stage, photographs, old, reports.append)
    step = PretrainStep(ConstantInk(), "fp32", CPU)
    own = replace(stage, name="teach", out=tmp_path / distillation.FOLDER)
    checkpoint.save(own.out, own, step, checkpoint.Average(step.network, 0.9), checkpoint.TrainingState(64))
    card = trainer.start_stage(stage, photographs, new, reports.append)
    line = "Until picture 64 of the teaching: teacher_lr = 0.001"
    assert card["recipe"]["changed"] == [line]
    assert [text.split(" (")[0] for text in reports] == [f"resumes with other options. {line}"]
    with pytest.raises(UsageError, match="began with other photographs"):
        trainer.start_stage(stage, replace(photographs, train=photo_set(3)), new, reports.append)
    untaught = tiny_stage(tmp_path, settings={})
    assert "changed" not in trainer.start_stage(untaught, photographs, old, reports.append)["recipe"], (
        "nothing of it was taught"
    )


def test_beside_l1_the_teacher_reaches_the_encoder_too(lite0: lite0_features.Lite0):
    torch.manual_seed(0)
    step = distillation.DistilledPretrainStep(NETWORKS["lite"](), lite0, weight=0.1, chroma_weight=0.5)
    assert step.norms_frozen is False
    assert distillation.DistilledPretrainStep(NETWORKS["lite"](), lite0, 0.1, 0.5, norms_frozen=True).norms_frozen
    batch = dataset.validation_batch(photo_set(2), 0, 2, 64)
    losses = [step(batch, 3e-4) for _ in range(4)]
    for name in lite0_features.TAPS.values():
        assert losses[-1][name] < losses[0][name]
    assert set(losses[0]) == {"l1", *lite0_features.TAPS.values()}
    assert all(p.grad.abs().max() > 0 for p in step.projections.parameters())


def test_only_a_unet_can_be_taught():
    with pytest.raises(UsageError, match="--teacher none"):
        distillation.unet_encoder(NETWORKS["pix2pix"]())


def test_the_card_tells_of_the_teacher(trained: tuple[Path, Path]):
    _, folder = trained
    network, card = weights.load(folder)
    assert isinstance(network, DynamicUnet)
    assert card.recipe["encoder"] == "imagenet"
    assert (card.recipe["teacher"], card.recipe["teacher_weight"]) == ("lite0", 0.1)
    assert card.recipe["taught"]["pictures"] == 2
    assert set(card.recipe["taught"]["validation"]) == {"val_cos8", "val_cos16", "val_cos32"}
    assert card.data == {"folder": "photos", "pictures": 3, "left_out": {}}
