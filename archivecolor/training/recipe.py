"""Recipe files: all stages of a training in one TOML file, and the options of each stage.

A recipe has the tables `[pretrain]`, `[gan]` and `[baseline]`, at least one of them. `archivecolor train all` runs them
in this order. A table has the same names and defaults as the stage's command (`--chroma-weight` is `chroma_weight`),
which takes its options from the same table (`options/stages.py`). An unknown key is an error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from archivecolor.errors import UsageError
from archivecolor.options import Baseline, Finetuning, Pretraining
from archivecolor.options.stages import FINETUNING_SIZES, resolve_sizes

FILE = "recipe.toml"
CHANGE_PREFIX = "# Until picture "
"""The start of a line that says which options an earlier command of the same training had."""


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
    lines = [_author(command), f"[{table}]"]
    lines += [f"{KEY_OF_FIELD.get(name, name)} = {_toml_value(value)}" for name, value in asdict(stage).items()]
    return "\n".join(lines) + "\n"


def is_written_by(text: str, command: str) -> bool:
    """Whether a recipe is that of a training which this command began."""
    return _author(command) in text.splitlines()


def _author(command: str) -> str:
    return f"# Written by `{command}`."


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
