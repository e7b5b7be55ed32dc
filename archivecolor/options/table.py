"""One declaration per option: the command line, the Python API and the digests are read from the dataclasses.

A field of a subclass of `Options` that is annotated with an `Option` is an option of the user. A field whose type is
itself a subclass of `Options` is a group of options. All other fields are set by the program.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum, Flag, StrEnum, auto
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from archivecolor.errors import UsageError
from archivecolor.options.require import require


class Digest(Flag):
    """Which digests an option is part of: those of the outputs whose bytes it decides."""

    NONE = 0
    PHOTO = auto()
    FILM = auto()
    BOTH = PHOTO | FILM


@dataclass(frozen=True)
class Check:
    """Which values an option takes."""

    allows: Callable[[Any], bool]
    words: str
    """Follows the flag and the value in the error message: `must be above 0`."""

    def or_zero(self, meaning: str) -> Check:
        """This check, or 0; `meaning` explains 0."""
        return Check(lambda value: value == 0 or self.allows(value), f"{self.words}, or 0 {meaning}")


def between(low: float, high: float) -> Check:
    return Check(lambda value: low <= value <= high, f"must be from {low:g} to {high:g}")


def at_least(low: float) -> Check:
    return Check(lambda value: value >= low, f"must be at least {low:g}" if low else "must be 0 or more")


def above(low: float, high: float = inf) -> Check:
    return Check(lambda value: low < value <= high, f"must be above {low:g}{f', at most {high:g}' * (high < inf)}")


def ends_in(suffix: str) -> Check:
    return Check(lambda path: path.suffix.lower() == suffix, f"must end in {suffix}")


class Choice(StrEnum):
    """Few values to choose from, written in any case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return next((choice for choice in cls if isinstance(value, str) and choice == value.lower()), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?` for the nearest of the known words, or nothing."""
    nearest = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


@dataclass(frozen=True)
class Option:
    """How one field is shown to the user, what values it takes, and which digests it is part of."""

    help: str
    flag: str = ""
    """Empty: the field's name with dashes."""
    short: str = ""
    """A second, short flag such as `-v`."""
    metavar: str = ""
    """Stands for the value in the help."""
    positional: bool = False
    """An argument instead of a flag."""
    rare: bool = False
    """Shown by --help-all only."""
    heading: str = ""
    """The group of the help that it is shown in. Empty: that of the table that declares it."""
    counted: bool = False
    """A flag without a value; the number of times it is given counts."""
    check: Check | None = None
    parse: Callable[[str], object] | None = None
    """Turns the text of the command line into a value; raises UsageError."""
    digest: Digest = Digest.NONE
    digest_only_if_changed: bool = False
    """Left out of the digest at its default, because finished runs were made before the option existed."""


@dataclass(frozen=True)
class Leaf:
    """One option with all that is known of it."""

    name: str
    hint: object
    """The field's type."""
    default: object
    """`dataclasses.MISSING` where the option is required."""
    option: Option
    heading: str = ""
    """The group of the help that it is shown in."""

    @property
    def flag(self) -> str:
        """`--strips-above`; for an argument its metavar."""
        if self.option.positional:
            return self.option.metavar or self.name.upper()
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    @property
    def types(self) -> tuple[object, ...]:
        """The alternatives of the type without None."""
        union = get_origin(self.hint) in (Union, types.UnionType)
        return tuple(hint for hint in (get_args(self.hint) if union else (self.hint,)) if hint is not type(None))

    @property
    def repeatable(self) -> bool:
        return get_origin(self.types[0]) is tuple and get_args(self.types[0])[-1] is Ellipsis

    @property
    def choices(self) -> type[Enum] | None:
        """The values to choose from, where there are few."""
        first = self.types[0]
        return first if isinstance(first, type) and issubclass(first, Enum) else None

    def converted(self, value: object) -> object:
        """The value as the field's type has it; text, lists and names of choices are accepted.

        Raises:
            UsageError: it is none of the choices, or outside the range.
        """
        if self.repeatable and not isinstance(value, str):
            return tuple(self._one(part, get_args(self.types[0])[0]) for part in value)  # type: ignore[attr-defined]
        return self._one(value, self.types[0])

    def _one(self, value: object, wanted: object) -> object:
        if isinstance(value, str):
            if self.option.parse:
                value = self.option.parse(value)
            elif isinstance(wanted, type) and issubclass(wanted, Enum):
                value = self._choice(str(value), wanted)
            elif wanted is Path:
                value = Path(value)
        if self.option.check is not None:
            shown = f"{value:g}" if isinstance(value, float) else value
            require(self.option.check.allows(value), f"{self.flag} {shown}: {self.option.check.words}")
        return value

    def _choice(self, text: str, choices: type[Enum]) -> Enum:
        names = [str(choice.value) for choice in choices]
        try:
            return choices(text)
        except ValueError:
            listed = ", ".join(names)
            raise UsageError(f"{self.flag} {text}: write one of {listed}{did_you_mean(text, names)}") from None


@dataclass(frozen=True, kw_only=True)
class Options:
    """A group of options. Values are converted and checked when it is made.

    Raises:
        UsageError: a value is not allowed; the message begins with the option's flag.
    """

    HEADING: ClassVar[str] = ""
    """The group of the help that this table's options are shown in."""

    def __post_init__(self) -> None:
        for leaf in own_leaves(type(self)):
            value = getattr(self, leaf.name)
            if value is not None:
                object.__setattr__(self, leaf.name, leaf.converted(value))

    def digest_fields(self, kind: Digest) -> dict[str, object]:
        """The options of this group, without those of inner groups, that are part of this digest; plain JSON types."""
        found: dict[str, object] = {}
        for leaf in own_leaves(type(self)):
            value = getattr(self, leaf.name)
            if kind & leaf.option.digest and not (leaf.option.digest_only_if_changed and value == leaf.default):
                found[leaf.name] = float(value) if leaf.hint is float else value
        return found


def flags(options: Options, always: Iterable[str] = ()) -> list[str]:
    """The words of the command line that give the options of a table, without those of inner groups.

    Args:
        always: names of options that are written even at their default.
    """
    words: list[str] = []
    for leaf in own_leaves(type(options)):
        value = getattr(options, leaf.name)
        if value is None or (value == leaf.default and leaf.name not in always):
            continue
        for one in value if leaf.repeatable else (value,):
            shown = f"{one:g}" if isinstance(one, float) else str(one)
            words += [leaf.flag] if isinstance(one, bool) else [leaf.flag, shown]
    return words


Table = TypeVar("Table", bound=Options)


def with_defaults(**values: object) -> Callable[[type[Table]], type[Table]]:
    """Decorates a table, below `@dataclass`: options that it inherits get other defaults, and keep all else."""

    def decorate(table: type[Table]) -> type[Table]:
        hints = get_type_hints(table, include_extras=True)
        for name, value in values.items():
            table.__annotations__[name] = hints[name]
            setattr(table, name, value)
        return table

    return decorate


@dataclass(frozen=True)
class _Contents:
    leaves: tuple[Leaf, ...]
    groups: tuple[tuple[str, type[Options]], ...]


_READ: dict[type, _Contents] = {}
"""The tables that were read already; reading annotations takes a while."""


def _contents(table: type[Options]) -> _Contents:
    if table not in _READ:
        hints = get_type_hints(table, include_extras=True)
        found, inner = [], []
        for field in fields(table):
            hint = hints[field.name]
            if get_origin(hint) is Annotated:
                kind, option = get_args(hint)[:2]
                heading = option.heading or vars(_declared_in(table, field.name)).get("HEADING", "")
                found.append(Leaf(field.name, kind, field.default, option, heading))
            elif isinstance(hint, type) and issubclass(hint, Options):
                inner.append((field.name, hint))
        _READ[table] = _Contents(tuple(found), tuple(inner))
    return _READ[table]


def _declared_in(table: type[Options], name: str) -> type[Options]:
    return next(one for one in table.__mro__ if issubclass(one, Options) and name in one.__annotations__)


def own_leaves(table: type[Options]) -> tuple[Leaf, ...]:
    """The options that are fields of the table itself, in order."""
    return _contents(table).leaves


def groups(table: type[Options]) -> tuple[tuple[str, type[Options]], ...]:
    """The groups of options in a table: name of the field, table."""
    return _contents(table).groups


def leaves(table: type[Options]) -> Iterator[Leaf]:
    """All options of a table, its groups included, in the order of the fields."""
    own = {leaf.name: leaf for leaf in own_leaves(table)}
    inner = dict(groups(table))
    for field in fields(table):
        if field.name in own:
            yield own[field.name]
        elif field.name in inner:
            yield from leaves(inner[field.name])


def build(table: type[Table], values: Mapping[str, object]) -> Table:
    """A table filled from options by name; a group may also be given whole. Other names are ignored."""
    own: dict[str, Any] = {leaf.name: values[leaf.name] for leaf in own_leaves(table) if leaf.name in values}
    for name, group in groups(table):
        whole = values.get(name)
        if isinstance(whole, group):
            changes: dict[str, Any] = {leaf.name: values[leaf.name] for leaf in leaves(group) if leaf.name in values}
            own[name] = replace(whole, **changes)
        else:
            own[name] = build(group, values)
    return table(**own)


def refuse_unknown(caller: str, names: Iterable[str], *tables: type[Options]) -> None:
    """Raises TypeError for a name that is an option or a group of none of the tables."""
    known = {leaf.name for table in tables for leaf in leaves(table)}
    known |= {name for table in tables for name, _ in groups(table)}
    for name in names:
        if name not in known:
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
