"""What a stage is made by, and recipe files: the whole road of a training in one TOML file.

The command of a stage takes its options from here, and a table of a recipe has the same names (`--chroma-weight` is
`chroma_weight`) and the same defaults. A recipe has the tables `[pretrain]`, `[gan]` and `[baseline]`, at least one of
them; a key that is not known is an error. `archivecolor train all` runs them in this order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

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

SIZES, FINE_SIZES = "128:0.85,192:0.12,256:0.03", "192:0.6,256:0.4"
"""Of the crops where nothing else is asked for: of a pre-training, and of an adversarial fine-tuning, which has no time
to come back from small pictures to those of `run`."""
NORMS = ("frozen", "learnt")
"""Of batch norms: they keep the statistics that they have, or take those of each batch and go on learning them."""
FILE = "recipe.toml"
UNTIL = "# Until picture "
"""How a line begins that tells what an earlier command of the same training had otherwise."""


def appearance_of(stage: Pretraining | Finetuning) -> AppearanceOptions:
    """The losses of the painted picture that a stage has beside L1."""
    return AppearanceOptions(**{part.name: getattr(stage, part.name) for part in fields(AppearanceOptions)})


def sizes_of(asked: str, usual: str, model: str) -> tuple[tuple[int, float], ...]:
    """The sides of the crops and their shares; pix2pix knows one side alone."""
    return parse_sizes(asked if asked != "auto" else "256" if model == "pix2pix" else usual)


@dataclass(frozen=True)
class Pretraining:
    """`archivecolor train pretrain`."""

    model: str = "lite"
    origin: str = ""
    """`from`: a name or a folder of weights to go on from, whose network then is the model."""
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

    def decided_norms(self) -> str:
        """`frozen` or `learnt`: as asked; else frozen for finished weights, but not for an encoder that is taught anew,
        which needs norms that match it.

        Raises:
            UsageError: it is neither.
        """
        require(self.norms in ("auto", *NORMS), f"--norms {self.norms}: write one of auto, {', '.join(NORMS)}")
        if self.norms == "frozen" and not self.origin:
            raise UsageError("--norms frozen: new norms have no statistics to keep; add --from, or leave it out")
        taught = self.teacher != "none" and self.teacher_pictures
        return self.norms if self.norms != "auto" else "frozen" if self.origin and not taught else "learnt"

    def start(self) -> str:
        """The encoder's start, `auto` decided.

        Raises:
            UsageError: there is one already.
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

    def teaching(self) -> DistillationOptions:
        sizes = parse_sizes(self.teacher_sizes, "--teacher-sizes")
        return DistillationOptions(
            self.teacher, self.teacher_pictures, sizes, self.teacher_lr, self.teacher_weight, self.soft_target,
            self.soft_weight,
        )  # fmt: skip

    def appearance(self) -> AppearanceOptions:
        """The losses of the painted picture.

        Raises:
            UsageError: they do not go with the rest.
        """
        asked = appearance_of(self)
        if asked.needed and self.teacher_weight:
            raise UsageError(
                "--teacher-weight: goes with none of --feature-weight, --psnr-weight, --ciede2000-weight and "
                "--colour-weight; leave it out"
            )
        return asked

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the loop; `precision` is decided."""
        require(self.chroma_weight >= 0, f"--chroma-weight {self.chroma_weight:g}: must be 0 or more")
        sizes = sizes_of(self.sizes, SIZES, self.model)
        return StageOptions(
            name="pretrain", model=self.model, out=out, pictures=self.pictures, sizes=sizes, batch=self.batch,
            lr=self.lr, aging=self.aging, seed=self.seed, precision=precision, validate_every=self.validate_every,
            validation_size=validation_side(self.model, sizes),
            settings={
                "encoder": self.start(), "chroma_weight": self.chroma_weight, "norms": self.decided_norms(),
                **self.teaching().settings(), **self.appearance().settings(),
            },
        )  # fmt: skip


@dataclass(frozen=True)
class Finetuning:
    """`archivecolor train gan`. The defaults are those that served a few hundred photographs of one archive best
    (weights/LOG.md, run 19)."""

    origin: str = ""
    """`from`: a name or a folder of weights; in a recipe, what `[pretrain]` has made when left out."""
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

    def adversarial(self) -> AdversarialOptions:
        limits = parse_stop_when(self.stop_when)
        return AdversarialOptions(
            self.gan, self.l1_weight, self.chroma_weight, self.lr_d, self.warmup, self.discriminator, limits,
            appearance_of(self),
        )  # fmt: skip

    def stage(self, model: str, out: Path, precision: str) -> StageOptions:
        """The options of the loop, for a network of this name; `precision` is decided."""
        require(
            self.warmup < self.pictures,
            f"--warmup {self.warmup}: leaves the U-Net none of the {self.pictures} --pictures; make it less",
        )
        require(self.norms in NORMS, f"--norms {self.norms}: write one of {', '.join(NORMS)}")
        sizes = sizes_of(self.sizes, FINE_SIZES, model)
        return StageOptions(
            name="gan", model=model, out=out, pictures=self.pictures, sizes=sizes, batch=self.batch,
            lr=self.lr, aging=self.aging, ema=self.ema, seed=self.seed, precision=precision,
            validate_every=self.validate_every, validation_size=validation_side(model, sizes),
            settings={"norms": self.norms, **self.adversarial().settings()},
        )  # fmt: skip


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

    def adversarial(self) -> AdversarialOptions:
        return AdversarialOptions(
            self.gan, self.l1_weight, lr_d=self.lr, warmup=0, discriminator="batchnorm", stop_when=None
        )

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the loop; `precision` is decided."""
        return StageOptions(
            name="baseline", model="pix2pix", out=out, pictures=self.pictures, sizes=((256, 1.0),), batch=self.batch,
            lr=self.lr, aging=self.aging, seed=self.seed, precision=precision, validate_every=self.validate_every,
            validation_size=validation_side("pix2pix"), settings=self.adversarial().settings(),
        )  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """The stages of a road; None where there is no such stage."""

    text: str
    """The file as it was written, with its comments."""
    pretrain: Pretraining | None = None
    gan: Finetuning | None = None
    baseline: Baseline | None = None

    def longest_side(self) -> int:
        """Of all crops, in pixels: so large have the decoded photographs to be."""
        listed = [self.pretrain.sizes] if self.pretrain else []
        listed += [self.pretrain.teacher_sizes] if self.pretrain and self.pretrain.teacher != "none" else []
        listed += [self.gan.sizes] if self.gan else []
        listed += ["256"] if self.baseline else []
        return max(side for sizes in listed for side, _ in sizes_of(sizes, FINE_SIZES, ""))


STAGES: dict[str, Any] = {"pretrain": Pretraining, "gan": Finetuning, "baseline": Baseline}
"""The tables of a recipe, in the order in which they are run."""
RENAMED = {"from": "origin"}
"""Keys of a recipe that Python does not allow as names."""
KEYS = {name: key for key, name in RENAMED.items()}
"""The same the other way round."""


def default() -> Path:
    """The recipe that is used when none is named."""
    return Path(__file__).with_name("default.toml")


def read(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        UsageError: the file cannot be read, or holds a table, key or value that is not known.
    """
    import tomllib  # here, so that --help is quick

    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--recipe {path}: cannot be read as TOML ({error})") from error
    for name, table in tables.items():
        if name not in STAGES or not isinstance(table, dict):
            raise UsageError(f"--recipe {path}: {name} is not known; write [pretrain], [gan] or [baseline]")
    if not tables:
        raise UsageError(f"--recipe {path}: holds no stage; write [pretrain], [gan] or [baseline]")
    recipe = Recipe(text, **{name: filled(STAGES[name], table, f"{path}: [{name}]") for name, table in tables.items()})
    if recipe.gan and not recipe.gan.origin and not recipe.pretrain:
        raise UsageError(f'--recipe {path}: [gan] has nothing to begin with; add [pretrain], or from = "…" in [gan]')
    check(recipe)
    return recipe


Kind = TypeVar("Kind", Pretraining, Finetuning, Baseline)


def filled(kind: type[Kind], table: dict[str, Any], where: str) -> Kind:
    """The options of one table.

    Raises:
        UsageError: a key that is not known, or a value of the wrong type.
    """
    types: dict[str, type] = {field.name: type(field.default) for field in fields(kind)}
    names: dict[str, str] = {alias: name for alias, name in RENAMED.items() if name in types}
    known = [*(types.keys() - names.values()), *names]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            raise UsageError(f"--recipe {where} {key}: no such key{hint}")
        name = names.get(key, key)
        wanted = types[name]
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            word = {int: "a whole number", float: "a number", str: "text"}[wanted]
            raise UsageError(f"--recipe {where} {key} = {value!r}: must be {word}")
        values[name] = value
    return kind(**values)


def check(recipe: Recipe) -> None:
    """Looks at all values of all stages now, and not when a stage begins after days.

    Raises:
        UsageError: one is out of its range.
    """
    if recipe.pretrain:
        recipe.pretrain.stage(Path(), "fp32")
    if recipe.gan:
        recipe.gan.stage(recipe.pretrain.model if recipe.pretrain else "lite", Path(), "fp32")
    if recipe.baseline:
        recipe.baseline.stage(Path(), "fp32")


def as_toml(stage: Pretraining | Finetuning | Baseline, command: str) -> str:
    """A stage that was given by options as a recipe, so that each weights folder says what made it."""
    table = next(name for name, kind in STAGES.items() if isinstance(stage, kind))
    lines = [f"# Written by `{command}`.", f"[{table}]"]
    for name, value in asdict(stage).items():
        lines.append(f"{KEYS.get(name, name)} = {_written(value)}")
    return "\n".join(lines) + "\n"


def changes(before: str, now: str, table: str, seen: str) -> list[str]:
    """What the commands of one training had otherwise than its present one, a line for each time they changed.

    Args:
        before: the recipe file of the last command, with such lines of its own.
        now: the present recipe.
        table: the stage.
        seen: how many pictures had been seen when it changed: `400`, or `400 of the teaching`.
    """
    import tomllib

    told = [line for line in before.splitlines() if line.startswith(UNTIL)]
    old, new = (options_of(tomllib.loads(text).get(table, {}), table) for text in (before, now))
    here = f"{UNTIL}{seen}: "
    if told and told[-1].startswith(here):  # nothing was learnt since: what holds is what was there before that
        old |= tomllib.loads(f"options = {{{told.pop().removeprefix(here)}}}")["options"]
    other = [f"{key} = {_written(value)}" for key, value in old.items() if value != new[key]]
    return told + ([here + ", ".join(other)] if other else [])


def options_of(values: dict[str, Any], table: str) -> dict[str, Any]:
    """All options of a table by their names in a recipe, with the defaults of those it leaves out."""
    known = {KEYS.get(field.name, field.name): field.default for field in fields(STAGES[table])}
    return known | {key: value for key, value in values.items() if key in known}


def _written(value: Any) -> str:
    """A value as TOML has it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)
