"""An actor of `archivecolor.cluster` that knows the ink, and is killed over a picture named `once`, the first time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from doubles import ConstantInk, register_ink

from archivecolor import photo
from archivecolor.cluster.worker import Worker


class DeadlyWorker(Worker):
    def __init__(self, *given: Any) -> None:
        register_ink()
        ConstantInk.delay_s = 0.02
        read = photo.read

        def deadly(path: Path, *rest: Any) -> Any:
            if "once" in path.name and not (tried := path.parent.parent / f"{path.name}.tried").exists():
                tried.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return read(path, *rest)

        photo.read = deadly
        (Path(os.environ["ARCHIVECOLOR_TEST_BIRTHS"]) / str(os.getpid())).touch()
        super().__init__(*given)
