"""Where things lie."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
"""Photographs and films that are not part of the project; not on every machine."""
SUPPORT = TESTS / "support"
