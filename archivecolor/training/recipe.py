"""Recipe files: all stages of a training in one TOML file, and the options of each stage.

A recipe has the tables `[pretrain]`, `[gan]` and `[baseline]`, at least one of them. `archivecolor train all` runs them
in this order. A table has the same names and defaults as the stage's command (`--chroma-weight` is `chroma_weight`),
which takes its options from here. An unknown key is an error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from archivecolor.errors import UsageError
from archivecolor.options import (
    AdversarialOptions,
    AppearanceOptions,
    DistillationOptions,
    StageOptions,
    parse_sizes,
    parse_stop_when,
    require,
    validation_side,
)

SIZES, FINETUNING_SIZES = "128:0.85,192:0.12,256:0.03", "192:0.6,256:0.4"
"""What `auto` means for the crops of a pre-training and of a fine-tuning. A fine-tuning is too short to start small."""
NORMS = ("frozen", "learnt")
"""Batch norms keep the statistics they have, or use those of each batch and continue to learn them."""
FILE = "recipe.toml"
CHANGE_PREFIX = "# Until picture "
"""The start of a line that says which options an earlier command of the same training had."""


def appearance_options(stage: Pretraining | Finetuning) -> AppearanceOptions:
    """The losses of the colorized picture that a stage has beside L1."""
    return AppearanceOptions(**{part.name: getattr(stage, part.name) for part in fields(AppearanceOptions)})


def resolve_sizes(sizes: str, default: str, model: str) -> tuple[tuple[int, float], ...]:
    """The sides of the crops and their shares. `auto` is the default; pix2pix knows one side only."""
    return parse_sizes(sizes if sizes != "auto" else "256" if model == "pix2pix" else default)


@dataclass(frozen=True)
class Pretraining:
    """`archivecolor train pretrain`."""

    model: str = "lite"
    origin: str = ""
    """`from`: the name or folder of weights to start from. Their network is the model."""
    encoder: str = "auto"
    teacher: str = "none"
    teacher_pictures: int = 120_000
    teacher_sizes: str = "96:0.5,128:0.5"
    teacher_lr: float = 1e-3
    teacher_weight: float = 0.0
    soft_target: str = ""
    soft_weight: float = 0.5
    feature_weight: float = AppearanceOptions.feature_weight
    psnr_weight: float = AppearanceOptions.psnr_weight
    ciede2000_weight: float = AppearanceOptions.ciede2000_weight
    colour_weight: float = AppearanceOptions.colour_weight
    colour_target: float = AppearanceOptions.colour_target
    pictures: int = 160_000
    sizes: str = "auto"
    batch: int = 32
    lr: float = 6e-4
    aging: float = 0.4
    chroma_weight: float = 0.5
    norms: str = "auto"
    validate_every: int = 8_000
    seed: int = 0
    precision: str = "auto"

    def resolve_norms(self) -> str:
        """`frozen` or `learnt`.

        `auto` is frozen for finished weights, except if the encoder is taught anew: then the norms must follow it.

        Raises:
            UsageError: the value is unknown, or new norms are to be frozen.
        """
        require(self.norms in ("auto", *NORMS), f"--norms {self.norms}: write one of auto, {', '.join(NORMS)}")
        if self.norms == "frozen" and not self.origin:
            raise UsageError("--norms frozen: new norms have no statistics to keep; add --from, or leave it out")
        taught = self.teacher != "none" and self.teacher_pictures
        return self.norms if self.norms != "auto" else "frozen" if self.origin and not taught else "learnt"

    def resolve_encoder(self) -> str:
        """What the encoder starts from: `imagenet`, `none`, or a path.

        Raises:
            UsageError: the weights to start from have an encoder already.
        """
        if self.origin:
            if self.encoder != "auto":
                raise UsageError(
                    f"--encoder {self.encoder}: the weights of --from have an encoder; leave one of them out"
                )
            return "none"
        if self.encoder != "auto":
            return self.encoder
        taught = self.model == "resnet18" and self.teacher != "none"
        return "none" if self.model == "pix2pix" or taught else "imagenet"

    def distillation_options(self) -> DistillationOptions:
        return DistillationOptions(
            teacher=self.teacher,
            pictures=self.teacher_pictures,
            sizes=parse_sizes(self.teacher_sizes, "--teacher-sizes"),
            lr=self.teacher_lr,
            weight=self.teacher_weight,
            soft_target=self.soft_target,
            soft_weight=self.soft_weight,
        )

    def appearance_options(self) -> AppearanceOptions:
        """The losses of the colorized picture.

        Raises:
            UsageError: they cannot be combined with the teacher's.
        """
        options = appearance_options(self)
        if options.needed and self.teacher_weight:
            raise UsageError(
                "--teacher-weight: cannot be combined with --feature-weight, --psnr-weight, --ciede2000-weight or "
                "--colour-weight; leave it out"
            )
        return options

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `precision` is not `auto`."""
        require(self.chroma_weight >= 0, f"--chroma-weight {self.chroma_weight:g}: must be 0 or more")
        sizes = resolve_sizes(self.sizes, SIZES, self.model)
        return StageOptions(
            name="pretrain",
            model=self.model,
            out=out,
            pictures=self.pictures,
            sizes=sizes,
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side(self.model, sizes),
            settings={
                "encoder": self.resolve_encoder(),
                "chroma_weight": self.chroma_weight,
                "norms": self.resolve_norms(),
                **self.distillation_options().settings(),
                **self.appearance_options().settings(),
            },
        )


@dataclass(frozen=True)
class Finetuning:
    """`archivecolor train gan`.

    The defaults were the best ones for a few hundred photographs of one archive (weights/LOG.md, run 19).
    """

    origin: str = ""
    """`from`: the name or folder of weights to start from. In a recipe, the default is the result of `[pretrain]`."""
    gan: str = "vanilla"
    l1_weight: float = 100.0
    chroma_weight: float = 0.5
    feature_weight: float = 6.0
    psnr_weight: float = 2.0
    ciede2000_weight: float = AppearanceOptions.ciede2000_weight
    colour_weight: float = 20.0
    colour_target: float = AppearanceOptions.colour_target
    discriminator: str = "spectral"
    warmup: int = 160
    pictures: int = 1_120
    sizes: str = "auto"
    batch: int = 16
    lr: float = 1e-4
    lr_d: float = 4e-4
    aging: float = 0.3
    norms: str = "frozen"
    ema: float = 0.999
    stop_when: str = "l1:1.2,colour:0.4-1.15"
    validate_every: int = 320
    seed: int = 0
    precision: str = "auto"

    def adversarial_options(self) -> AdversarialOptions:
        return AdversarialOptions(
            gan=self.gan,
            l1_weight=self.l1_weight,
            chroma_weight=self.chroma_weight,
            lr_d=self.lr_d,
            warmup=self.warmup,
            discriminator=self.discriminator,
            stop_when=parse_stop_when(self.stop_when),
            appearance=appearance_options(self),
        )

    def stage(self, model: str, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `model` is the network's name; `precision` is not `auto`."""
        require(
            self.warmup < self.pictures,
            f"--warmup {self.warmup}: leaves the U-Net none of the {self.pictures} --pictures; make it less",
        )
        require(self.norms in NORMS, f"--norms {self.norms}: write one of {', '.join(NORMS)}")
        sizes = resolve_sizes(self.sizes, FINETUNING_SIZES, model)
        return StageOptions(
            name="gan",
            model=model,
            out=out,
            pictures=self.pictures,
            sizes=sizes,
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            ema=self.ema,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side(model, sizes),
            settings={"norms": self.norms, **self.adversarial_options().settings()},
        )


@dataclass(frozen=True)
class Baseline:
    """`archivecolor train baseline`."""

    gan: str = "vanilla"
    l1_weight: float = 100.0
    pictures: int = 160_000
    batch: int = 16
    lr: float = 2e-4
    aging: float = 0.0
    validate_every: int = 8_000
    seed: int = 0
    precision: str = "auto"

    def adversarial_options(self) -> AdversarialOptions:
        return AdversarialOptions(
            self.gan, self.l1_weight, lr_d=self.lr, warmup=0, discriminator="batchnorm", stop_when=None
        )

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `precision` is not `auto`."""
        return StageOptions(
            name="baseline",
            model="pix2pix",
            out=out,
            pictures=self.pictures,
            sizes=((256, 1.0),),
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side("pix2pix"),
            settings=self.adversarial_options().settings(),
        )


@dataclass(frozen=True)
class Recipe:
    """The stages of a training; None for a stage that it does not have."""

    text: str
    """The text of the file, with its comments."""
    pretrain: Pretraining | None = None
    gan: Finetuning | None = None
    baseline: Baseline | None = None

    def longest_side(self) -> int:
        """The side of the largest crop of all stages, in pixels."""
        sizes = [self.pretrain.sizes] if self.pretrain else []
        sizes += [self.pretrain.teacher_sizes] if self.pretrain and self.pretrain.teacher != "none" else []
        sizes += [self.gan.sizes] if self.gan else []
        sizes += ["256"] if self.baseline else []
        return max(side for text in sizes for side, _ in resolve_sizes(text, FINETUNING_SIZES, ""))


STAGES: dict[str, type[Pretraining | Finetuning | Baseline]] = {
    "pretrain": Pretraining,
    "gan": Finetuning,
    "baseline": Baseline,
}
"""The tables of a recipe, in the order in which they run."""
FIELD_OF_KEY = {"from": "origin"}
"""Keys of a recipe that cannot be Python names."""
KEY_OF_FIELD = {field: key for key, field in FIELD_OF_KEY.items()}
TYPE_NAMES = {int: "a whole number", float: "a number", str: "text"}


def default() -> Path:
    """The recipe that is used when none is given."""
    return Path(__file__).with_name("default.toml")


def read(path: Path) -> Recipe:
    """Reads a recipe file.

    Raises:
        UsageError: the file cannot be read, or a table, key or value is not allowed.
    """
    import tomllib  # not at the top, so that --help is quick

    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--recipe {path}: cannot be read as TOML ({error})") from error
    for name, table in tables.items():
        if name not in STAGES or not isinstance(table, dict):
            raise UsageError(f"--recipe {path}: {name} is not known; write [pretrain], [gan] or [baseline]")
    if not tables:
        raise UsageError(f"--recipe {path}: contains no stage; write [pretrain], [gan] or [baseline]")
    recipe = Recipe(text, **{name: parse_table(name, table, path) for name, table in tables.items()})
    if recipe.gan and not recipe.gan.origin and not recipe.pretrain:
        raise UsageError(f'--recipe {path}: [gan] has nothing to start from; add [pretrain], or from = "…" in [gan]')
    check(recipe)
    return recipe


def parse_table(name: str, table: dict[str, object], path: Path) -> Any:
    """The options of one table: an instance of `STAGES[name]`.

    Raises:
        UsageError: a key is unknown, or a value has the wrong type.
    """
    kind, where = STAGES[name], f"--recipe {path}: [{name}]"
    types = {field.name: type(field.default) for field in fields(kind)}
    fields_of_keys = {KEY_OF_FIELD.get(field, field): field for field in types}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields_of_keys:
            raise UsageError(f"{where} {key}: no such key{_similar_key(key, list(fields_of_keys))}")
        expected = types[fields_of_keys[key]]
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise UsageError(f"{where} {key} = {value!r}: must be {TYPE_NAMES[expected]}")
        values[fields_of_keys[key]] = value
    return kind(**values)


def _similar_key(key: str, known: list[str]) -> str:
    """The end of an error message: the most similar key, or all keys."""
    import difflib

    similar = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {similar[0]}?" if similar else f"; known are {', '.join(sorted(known))}"


def check(recipe: Recipe) -> None:
    """Checks the values of all stages before the first one starts.

    Raises:
        UsageError: a value is out of its range.
    """
    if recipe.pretrain:
        recipe.pretrain.stage(Path(), "fp32")
    if recipe.gan:
        recipe.gan.stage(recipe.pretrain.model if recipe.pretrain else "lite", Path(), "fp32")
    if recipe.baseline:
        recipe.baseline.stage(Path(), "fp32")


def as_toml(stage: Pretraining | Finetuning | Baseline, command: str) -> str:
    """The options of one command as a recipe, so that each weights folder says how it was made."""
    table = next(name for name, kind in STAGES.items() if isinstance(stage, kind))
    lines = [f"# Written by `{command}`.", f"[{table}]"]
    lines += [f"{KEY_OF_FIELD.get(name, name)} = {_toml_value(value)}" for name, value in asdict(stage).items()]
    return "\n".join(lines) + "\n"


def changed_options(before: str, now: str, table: str, pictures: str) -> list[str]:
    """Which options the earlier commands of a training had, a line for each time they changed.

    Args:
        before: the recipe file of the last command, which may begin with such lines.
        now: the present recipe.
        table: the stage.
        pictures: how many pictures had been seen when the options changed: `400`, or `400 of the teaching`.
    """
    import tomllib

    lines = [line for line in before.splitlines() if line.startswith(CHANGE_PREFIX)]
    old, new = (table_options(tomllib.loads(text).get(table, {}), table) for text in (before, now))
    prefix = f"{CHANGE_PREFIX}{pictures}: "
    if lines and lines[-1].startswith(prefix):  # no picture was seen under the last options, so they do not count
        old |= tomllib.loads(f"options = {{{lines.pop().removeprefix(prefix)}}}")["options"]
    changed = [f"{key} = {_toml_value(value)}" for key, value in old.items() if value != new[key]]
    return lines + ([prefix + ", ".join(changed)] if changed else [])


def table_options(values: dict[str, object], table: str) -> dict[str, object]:
    """All options of a table by their keys, with the defaults of those that it leaves out. Unknown keys are dropped."""
    known = {KEY_OF_FIELD.get(field.name, field.name): field.default for field in fields(STAGES[table])}
    return known | {key: value for key, value in values.items() if key in known}


def _toml_value(value: object) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
