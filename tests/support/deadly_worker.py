"""An actor of `archivecolor.execution.ray` that knows the ink, is killed over a picture named `once`, the first time,
and colours a film only when so many pictures are there as the environment says."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from archivecolor import photo
from archivecolor.execution.ray.worker import Worker
from archivecolor.pipeline.film import film_job
from support.doubles import ConstantInk, register_ink


class DeadlyWorker(Worker):
    def __init__(self, *arguments: Any) -> None:
        register_ink()
        ConstantInk.delay_s = 0.02
        read = photo.read

        def deadly(path: Path, *rest: Any) -> Any:
            if "once" in path.name and not (tried := path.parent.parent / f"{path.name}.tried").exists():
                tried.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return read(path, *rest)

        photo.read = deadly
        color = film_job.color_film

        def patient(*arguments: Any) -> Any:
            out, end = arguments[5].out, time.monotonic() + 90
            while len([*out.rglob("*.png"), *out.rglob("*.tif")]) < int(os.environ["ARCHIVECOLOR_TEST_PICTURES"]):
                assert time.monotonic() < end, "the film held the photographs back"
                time.sleep(0.05)
            return color(*arguments)

        film_job.color_film = patient
        (Path(os.environ["ARCHIVECOLOR_TEST_BIRTHS"]) / str(os.getpid())).touch()
        super().__init__(*arguments)
