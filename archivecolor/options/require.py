"""Raises UsageError if a condition on an option fails."""

from __future__ import annotations

from archivecolor.errors import UsageError


def require(condition: bool, message: str) -> None:
    """Raises UsageError with the message unless the condition holds."""
    if not condition:
        raise UsageError(message)
