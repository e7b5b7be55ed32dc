"""Prints how large the packages are that the program needs, PyTorch and what it brings apart."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def needed(name: str, without: frozenset[str] = frozenset()) -> set[str]:
    """The distribution and all that it needs, without extras."""
    found, pending = set(), [name]
    while pending:
        one = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if one in found | without:
            continue
        try:
            requirements = distribution(one).requires or []
        except PackageNotFoundError:  # for another system
            continue
        found.add(one)
        pending += [re.split(r"[ <>=!~;\[(]", text)[0] for text in requirements if "extra ==" not in text]
    return found


def megabytes(name: str) -> float:
    """The files of a distribution, without compiled Python."""
    paths = (Path(str(path.locate())) for path in distribution(name).files or [] if path.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


torch = needed("torch")
own = needed("archivecolor", frozenset(torch))
for name in sorted(own, key=megabytes, reverse=True)[:8]:
    print(f"{megabytes(name):8.0f} MB  {name}")
print(f"{sum(map(megabytes, own)):8.0f} MB  the program and its {len(own) - 1} packages without PyTorch")
print(f"{sum(map(megabytes, torch)):8.0f} MB  PyTorch and what it brings")
