"""`split.json` in a weights folder: which pictures were for training, which were held out, and which were left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from archivecolor import files
from archivecolor.errors import UsageError
from archivecolor.training import checkpoint
from archivecolor.training.dataset import SPLIT, PhotoSet


@dataclass(frozen=True)
class Side:
    """The training pictures or the validation pictures, by their names below the folder of the photographs."""

    pictures: list[str]
    left_out: dict[str, str]
    """Why pictures were left out, by name."""
    fingerprints: list[str] = field(default_factory=list)
    """Of each picture, see `copies.fingerprint`; empty in files of older versions."""

    @classmethod
    def of(cls, photos: PhotoSet) -> Side:
        return cls(photos.names, photos.reasons, photos.fingerprints)

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Side:
        """From JSON.

        Raises:
            KeyError, TypeError, ValueError: something is missing or of the wrong type.
        """
        pictures, left_out, prints = values["pictures"], values["left_out"], values.get("fingerprints", [])
        if not (isinstance(pictures, list) and isinstance(left_out, dict) and isinstance(prints, list)):
            raise TypeError("pictures or left_out is of the wrong type")
        if prints and len(prints) != len(pictures):
            raise ValueError("not one fingerprint for each picture")
        return cls([str(name) for name in pictures], left_out, [str(each) for each in prints])


@dataclass(frozen=True)
class Split:
    """Both sides of a training."""

    train: Side
    val: Side


def read(folder: Path) -> Split:
    """The split of the training in a weights folder.

    Raises:
        UsageError: the folder has no record of it.
        WeightsError: the record is damaged.
    """
    path = folder / SPLIT
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read as the split of a training ({error.strerror})") from error
    with checkpoint.damaged_file(path):
        values = json.loads(content)
        return Split(Side.parse(values["train"]), Side.parse(values["val"]))


def previous(out: Path | None) -> Split | None:
    """The split that a training in `out` began with, or the first of its stages (`train all`); None if there is none.

    Raises:
        WeightsError: it is damaged.
    """
    folders = [out, *sorted(path.parent for path in out.glob(f"*/{checkpoint.FILE}"))] if out else []
    return next((read(folder) for folder in folders if (folder / SPLIT).exists()), None)


def save(out: Path, split: Split) -> None:
    """Writes the split into the folder of a training, which is made if needed."""
    out.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(out / SPLIT) as part:
        part.write_text(json.dumps(asdict(split), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_same(out: Path, before: Split, now: Split) -> None:
    """Checks that a resumed training has the photographs that it began with: their order depends on all of them.

    Raises:
        UsageError: it has others.
    """
    for name in ("train", "val"):
        old, new = (set(getattr(each, name).pictures) for each in (before, now))
        gone, added = old - new, new - old
        if gone or added:
            example = sorted(gone | added)[0]
            raise UsageError(
                f"{out}: this training began with other photographs: of those for {name}, {len(gone)} are gone and "
                f"{len(added)} new ({example}, …); restore them, or choose another --out"
            )
