"""Losses and validations for TensorBoard, for those who use it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from archivecolor.errors import MissingDependencyError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from archivecolor.training.loop import TrainingProgress

FOLDER = "tensorboard"
STEPS = 20
"""Losses are written after every so many steps."""


class EventLog:
    """Writes the reports of a training, each stage into a folder of its own.

    Args:
        folder: for the event files. A resumed training adds to them; what it does again replaces what was there.

    Raises:
        MissingDependencyError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                f"--tensorboard needs a package ({error}): pip install 'archivecolor[tensorboard]'"
            ) from error
        self._make, self._folder = SummaryWriter, folder
        self._writers: dict[str, SummaryWriter] = {}
        self._steps = Counter[str]()

    def report(self, p: TrainingProgress) -> None:
        """After a step or a validation."""
        if p.stage not in self._writers:
            self._writers[p.stage] = self._make(str(self._folder / p.stage), purge_step=p.pictures)
        self._steps[p.stage] += not p.validated
        if not p.validated and self._steps[p.stage] % STEPS:
            return
        for name, value in p.numbers.items():
            of_validation = name.startswith("val_")
            if of_validation == p.validated and name != "kept_at":
                group = "validation" if of_validation else "loss"
                self._writers[p.stage].add_scalar(f"{group}/{name.removeprefix('val_')}", value, p.pictures)

    def close(self) -> None:
        """Writes what is still in memory."""
        for writer in self._writers.values():
            writer.close()
