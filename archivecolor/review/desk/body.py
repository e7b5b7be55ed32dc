"""The JSON that a page sends: values of the right type, or an error that names them."""

from __future__ import annotations

from collections.abc import Mapping

from archivecolor.errors import UsageError

Body = Mapping[str, object]
_REQUIRED = object()


def text(body: Body, name: str, default: object = _REQUIRED) -> str:
    """Raises UsageError where it is none."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise UsageError(f"{name} must be text")
    return value


def number(body: Body, name: str, default: object = _REQUIRED) -> float:
    """Raises UsageError where it is none."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} must be a number")
    return float(value)


def integer(body: Body, name: str, default: object = _REQUIRED) -> int:
    """Raises UsageError where it is none."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number")
    return value


def objects(body: Body, name: str) -> list[Body]:
    """A list of objects; [] where there is none.

    Raises:
        UsageError: it is something else.
    """
    values = body.get(name, [])
    if not isinstance(values, list | tuple) or not all(isinstance(value, dict) for value in values):
        raise UsageError(f"{name} cannot be read: it must be a list of objects")
    return list(values)
