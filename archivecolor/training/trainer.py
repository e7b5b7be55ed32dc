"""Runs the stages of a training: reads photographs, builds the network, trains it, writes a weights folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from archivecolor import files, weights
from archivecolor.errors import UsageError
from archivecolor.inference import devices
from archivecolor.networks import NETWORKS
from archivecolor.options import (
    Baseline,
    DataOn,
    Finetuning,
    LrSearchOptions,
    Pretraining,
    StageOptions,
    parse_stop_when,
    require,
)
from archivecolor.training import checkpoint, dataset, distillation, distributed, figures, loop, lr_finder, recipe
from archivecolor.training.checkpoint import JsonObject
from archivecolor.training.compute import compile_network
from archivecolor.training.dataset import PhotoSet
from archivecolor.training.early_stopping import PRETRAINING_COST, BestAverageStep
from archivecolor.training.encoder_weights import initialize_encoder
from archivecolor.training.gan import GanStep
from archivecolor.training.lite0_features import Lite0
from archivecolor.training.photographs import OnRead, Photographs, decoded_side, read_rgb
from archivecolor.training.pretrain import PretrainStep, SoftTarget
from archivecolor.training.recipe import Recipe
from archivecolor.training.stage_start import Say, choose_source, start_stage
from archivecolor.training.validation import compare, measure


@dataclass(frozen=True)
class TrainingContext:
    """What a stage needs besides its recipe."""

    load_photographs: Callable[[], Photographs]
    """Called after everything else was checked, because reading takes minutes."""
    device: torch.device
    on_progress: loop.OnProgress = lambda progress: None
    should_stop: loop.ShouldStop = lambda: False
    say: Say = lambda text: None
    """Shows one line of text to the user."""
    data_on: DataOn = DataOn.AUTO
    """Where batches are made."""
    compiles: bool = False
    """Whether the network is compiled by `torch.compile`."""

    def source_chosen(self, stage: StageOptions, photographs: Photographs) -> StageOptions:
        """See `stage_start.choose_source`."""
        return choose_source(stage, photographs.train, self.device, self.data_on, self.say)


def pretrain(options: Pretraining, out: Path, recipe_text: str, context: TrainingContext) -> dict[str, float]:
    """L1 pre-training; see `archivecolor train pretrain --help`. Returns the best average's numbers."""
    check_names(Recipe(recipe_text, pretrain=options))
    network, parent = weights.load(parent_folder(options.origin, out)) if options.origin else (None, None)
    options = replace(options, model=parent.network) if parent else options
    stage = options.stage(out, devices.choose_precision(options.precision, context.device))
    check_output(stage)
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out) if network is None else network
    if not (out / checkpoint.FILE).exists():  # else the checkpoint has everything, and the encoder's file may be gone
        initialize_encoder(network, options.resolve_encoder())
    needs_lite0 = options.teacher == "lite0" or options.appearance_options().needs_lite0
    lite0 = Lite0(stage.precision, context.device) if needs_lite0 else None
    soft_network, soft_card = weights.load(weights.find(options.soft_target)) if options.soft_target else (None, None)
    photographs = context.load_photographs()
    stage = context.source_chosen(stage, photographs)

    def build_step() -> BestAverageStep:
        step = build_pretrain_step(options, stage.precision, network, context.device, lite0, soft_network)
        limits, origin = parse_stop_when(options.stop_when), parent.sha256 if parent else ""
        return BestAverageStep(
            step, limits, origin, options.patience, _round_ends(stage), PRETRAINING_COST, keeps_psnr=True
        )

    distils = lite0 is not None and options.teacher != "none" and options.teacher_pictures > 0
    # Where the encoder is still to be taught, the step comes after that, so that it draws the same random numbers.
    step = build_step() if not distils or (out / checkpoint.FILE).exists() else None
    card = start_stage(stage, photographs, recipe_text, context.say, parent, step)
    if soft_card:
        card["recipe"]["soft_target_sha256"] = soft_card.sha256
    if lite0 and distils:
        _distil(options, stage, network, lite0, photographs, card, context)
        if distributed.any_process(context.should_stop()):
            return {}
    return _run_best(step or build_step(), stage, photographs, card, context)


def _distil(
    options: Pretraining,
    stage: StageOptions,
    network: nn.Module,
    lite0: Lite0,
    photographs: Photographs,
    card: JsonObject,
    context: TrainingContext,
) -> None:
    """Trains the encoder with the teacher, and notes it on the card."""
    taught = distillation.distil_encoder(
        stage,
        options.distillation_options(),
        distillation.unet_encoder(network),
        lite0,
        photographs.train,
        photographs.validation,
        card,
        context.on_progress,
        context.should_stop,
    )
    if taught:
        card["recipe"]["taught"] = taught


def build_pretrain_step(
    options: Pretraining,
    precision: str,
    network: nn.Module,
    device: torch.device,
    lite0: Lite0 | None,
    soft_network: nn.Module | None = None,
) -> PretrainStep:
    """How a network learns in a pre-training.

    Args:
        lite0: needed for the features loss and for a teacher beside L1.
        soft_network: see `SoftTarget`.
    """
    norms_frozen = options.resolve_norms() == "frozen"
    if lite0 and options.teacher_weight:
        return distillation.DistilledPretrainStep(
            network, lite0, options.teacher_weight, options.chroma_weight, norms_frozen
        )
    soft = SoftTarget(soft_network, options.soft_weight, precision, device) if soft_network else None
    appearance = options.appearance_options()
    return PretrainStep(
        network,
        precision,
        device,
        options.chroma_weight,
        soft,
        appearance,
        lite0,
        norms_frozen,
        options.decoder_lr_ratio,
    )


def gan(options: Finetuning, out: Path, recipe_text: str, context: TrainingContext) -> dict[str, float]:
    """Adversarial fine-tuning; see `archivecolor train gan --help`. Returns the best average's numbers."""
    network, parent = weights.load(parent_folder(options.origin, out))
    stage = options.stage(parent.network, out, devices.choose_precision(options.precision, context.device))
    check_output(stage)
    torch.manual_seed(stage.seed)
    adversarial, norms_frozen = options.adversarial_options(), options.norms == "frozen"
    gan_step = GanStep(network, adversarial, stage.lr, stage.precision, context.device, norms_frozen)
    step = BestAverageStep(gan_step, adversarial.stop_when, parent.sha256, options.patience, _round_ends(stage))
    photographs = context.load_photographs()
    stage = context.source_chosen(stage, photographs)
    card = start_stage(stage, photographs, recipe_text, context.say, parent, step)
    return _run_best(step, stage, photographs, card, context)


def _round_ends(stage: StageOptions) -> list[int]:
    """Pictures seen at the ends of the rounds; empty where there is one round."""
    return [round(share * stage.pictures) for share in stage.round_ends()] if stage.rounds > 1 else []


def _run_best(
    step: BestAverageStep, stage: StageOptions, photographs: Photographs, card: JsonObject, context: TrainingContext
) -> dict[str, float]:
    """Trains until the end, or until early stopping or the time limit ends it. Returns the best average's numbers."""

    def should_stop() -> bool:
        return context.should_stop() or step.early_stopping.should_stop

    if context.compiles:
        compile_network(step.network)
    sets = (photographs.train, photographs.validation)
    loop.run(stage, step, *sets, card, context.on_progress, should_stop, step.validator())
    about = checkpoint.read_about(stage)
    if step.early_stopping.should_stop:
        flag = "--stop-when" if step.early_stopping.has_collapsed else "--patience"
        context.say(f"{flag}: ended, since {step.early_stopping.reason()}")
    elif about and about["pictures"] < stage.pictures and 0 < 60 * stage.minutes <= about["seconds"]:
        context.say(
            f"--minutes {stage.minutes:g}: the time is over, at picture {about['pictures']} of {stage.pictures}; with "
            "more minutes, the same command continues"
        )
    return report_best(step, photographs.validation, stage, context)


def baseline(options: Baseline, out: Path, recipe_text: str, context: TrainingContext) -> dict[str, float]:
    """pix2pix from scratch; see `archivecolor train baseline --help`. Returns the last validation's numbers."""
    stage = options.stage(out, devices.choose_precision(options.precision, context.device))
    check_output(stage)
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out)
    step = GanStep(network, options.adversarial_options(), stage.lr, stage.precision, context.device)
    photographs = context.load_photographs()
    stage = context.source_chosen(stage, photographs)
    card = start_stage(stage, photographs, recipe_text, context.say, step=step)
    if context.compiles:
        compile_network(step.network)
    numbers = loop.run(
        stage, step, photographs.train, photographs.validation, card, context.on_progress, context.should_stop
    )
    context.say(f"{out}: the weights; archivecolor run --model {out}")
    return numbers


def train_all(all_stages: Recipe, out: Path, context: TrainingContext) -> dict[str, dict[str, float]]:
    """Runs all stages of a recipe, each in a subfolder with its name. Returns the numbers of each stage that was run.

    Raises:
        UsageError: the folder belongs to another recipe, or the recipe names an unknown network.
        WeightsError: the recipe names weights that do not exist.
    """
    check_names(all_stages, out / "pretrain")
    path = out / recipe.FILE
    with checkpoint.damaged_file(path):
        differs = path.exists() and path.read_text(encoding="utf-8") != all_stages.text
    if differs:
        raise UsageError(
            f"--recipe: differs from {path}, which the training in --out began with; resume with --recipe {path}, or "
            "choose another --out"
        )
    distributed.barrier()
    if distributed.is_main_process():
        out.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as part:
            part.write_text(all_stages.text, encoding="utf-8")
    finetuning = all_stages.gan
    if finetuning and not finetuning.origin:
        finetuning = replace(finetuning, origin=str(out / "pretrain"))
    stages = {
        "pretrain": all_stages.pretrain and functools.partial(pretrain, all_stages.pretrain),
        "gan": finetuning and functools.partial(gan, finetuning),
        "baseline": all_stages.baseline and functools.partial(baseline, all_stages.baseline),
    }
    numbers = {}
    for name, stage in stages.items():
        if stage and not distributed.any_process(context.should_stop()):
            numbers[name] = stage(out / name, all_stages.text, context)
    return numbers


def find_lr(options: LrSearchOptions, device: torch.device, on_read: OnRead) -> lr_finder.LrCurve:
    """Searches for the learning rate of a pre-training; see `archivecolor train find-lr --help`."""
    pretraining = options.pretraining()
    network, parent = weights.load(weights.find(options.origin)) if options.origin else (None, None)
    pretraining = replace(pretraining, model=parent.network) if parent else pretraining
    stage = pretraining.stage(Path(), devices.choose_precision(options.precision, device))
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model) if network is None else network
    initialize_encoder(network, pretraining.resolve_encoder())
    norms_frozen = pretraining.resolve_norms() == "frozen"
    paths = dataset.find_sample(options.data, options.steps * stage.batch)
    side = decoded_side(options.size)
    photos = dataset.load(
        paths, read_rgb, side, options.data, lambda done: on_read("reading photographs", done, len(paths))
    )
    on_read("trying rates", 0, options.steps)
    return lr_finder.find(network, photos, stage, options.chroma_weight, options.steps, device, norms_frozen)


# Checks before a stage starts


def check_names(stages: Recipe, pretrained: Path | None = None) -> None:
    """Checks that the networks and weights that a recipe names exist, before the first stage starts.

    Args:
        pretrained: where the recipe's own pre-training writes its weights. They need not exist yet.

    Raises:
        UsageError: there is no such network, or it does not take crops of these sizes.
        WeightsError: there are no such weights.
    """
    pretrain, gan = stages.pretrain, stages.gan
    if pretrain:
        model = weights.read_card(weights.find(pretrain.origin)).network if pretrain.origin else pretrain.model
        require(model in NETWORKS, f"--model {model}: write one of {', '.join(NETWORKS)}")
        replace(pretrain, model=model).stage(Path(), "fp32")
        if pretrain.soft_target:
            weights.find(pretrain.soft_target)
    own = bool(pretrain and gan and pretrained and Path(gan.origin).resolve() == pretrained.resolve())
    if gan and gan.origin and not own:
        gan.stage(weights.read_card(weights.find(gan.origin)).network, Path(), "fp32")


def check_output(stage: StageOptions) -> None:
    """Checks, before photographs are read for minutes, that the stage may write to its folder.

    Raises:
        UsageError: the folder contains another training, or finished weights.
    """
    if checkpoint.read_about(stage) is None and (stage.out / weights.CARD).exists():
        raise UsageError(
            f"{stage.out}: contains finished weights and no {checkpoint.FILE} to resume from; choose another --out. To "
            "train these weights further, name them as the start (--from, or from in a recipe)"
        )


def parent_folder(origin: str, out: Path) -> Path:
    """The folder of the weights to start from.

    Raises:
        WeightsError: there are no such weights.
        UsageError: it is the folder to write.
    """
    folder = weights.find(origin)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out {out}: these are the weights to start from; choose another folder")
    return folder


# At the end of a stage


def report_best(
    step: BestAverageStep, validation: PhotoSet, stage: StageOptions, context: TrainingContext
) -> dict[str, float]:
    """Says which weights a stage has published, and whether they are better than those that it started from.

    Returns:
        The numbers of the published average, and how its PSNR compares with the start's.
    """
    best, say = step.best_numbers(), context.say
    gained: dict[str, float] = {}
    if step.is_unchanged():
        say(f"In short: no gain: no average was better than the weights it began from, so {stage.out} contains those")
    elif step.start is not None and best["kept_at"] == 0:
        say(f"ended before the first validation: {stage.out} contains the weights that it began from")
    elif step.start is not None and distributed.is_main_process():
        before, after = (
            measure(step.network, values, validation, stage) for values in (step.start, step.best_values())
        )
        comparison = compare(before, after)
        for line in comparison.lines():
            say(line)
        sheet = figures.write_before_after(
            stage.out, step.network, (step.start, step.best_values()), validation, comparison.gains
        )
        say(f"{sheet}: held-out photographs, from the largest loss to the largest gain")
        gain = comparison.gain
        gained = {"gain_db": gain.mean, "gain_error_db": gain.error, "better_on": gain.increased, "of": gain.pictures}
    say(f"{stage.out}: the weights, as they were at picture {best['kept_at']}; archivecolor run --model {stage.out}")
    return best | {name: round(value, 3) for name, value in gained.items()}
