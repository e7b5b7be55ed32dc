"""A real Ray with two actors, one of which is killed in mid-run; and what a cluster can have wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.doubles import colour, contents, save_grey_tree
from support.needs import needs
from support.observers import Recorder, drive_of
from support.paths import ROOT, TESTS
from support.readme_commands import on_ray, printed, prints
from support.runs import options_of

from archivecolor.errors import MissingDependencyError, OutputError, StoppedError, UsageError
from archivecolor.execution.ray import driver
from archivecolor.execution.ray import worker as worker_module
from archivecolor.execution.ray.manifest_actor import ManifestActor, ManifestClient
from archivecolor.options import RunOptions
from archivecolor.pipeline import runner
from archivecolor.pipeline.inputs import Job, SourceKind
from archivecolor.provenance import (
    DONE,
    FAILED,
    LOCK,
    MANIFEST,
    STARTED,
    Identity,
    Manifest,
    Record,
    Settled,
    read_rows,
)


def options(src: Path, out: Path, ink: Path, **more: Any) -> RunOptions:
    return options_of(src, out, ink, **{"workers": 1, "on": "ray", **more})


def drive(run_options: RunOptions, observer: Recorder | None = None) -> list[Record]:
    return drive_of(partial(driver.drive, jobs_per_task=4), run_options, observer or Recorder())


def pictures(out: Path) -> dict[str, bytes]:
    return contents(out, lambda path: path.name == MANIFEST)


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray of two processors, whose actors are deadly."""
    import ray as library
    from support.deadly_worker import DeadlyWorker

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("ARCHIVECOLOR_TEST_BIRTHS", str(tmp_path / "births"))
    monkeypatch.setenv("ARCHIVECOLOR_TEST_PICTURES", "21")
    (tmp_path / "births").mkdir()
    monkeypatch.setattr(driver, "Worker", DeadlyWorker)
    library.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 1024**2, log_to_driver=False)
    yield library
    library.shutdown()


@needs("ray", "av", "scenedetect")
@pytest.mark.long
def test_an_actor_killed_in_mid_run_costs_nothing_and_nothing_is_there_twice(
    ray: Any, src: Path, out: Path, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one start of Ray that the tests pay for: everything that needs it is asked of it here."""
    from support.films import save_film

    for i in range(2):  # each of them waits for all of the photographs
        save_film(src / f"a{i}.mkv", [20 * k + i for k in range(6)])
    save_grey_tree(src, 20)
    Image.open(src / "box1/01.png").rotate(180).save(src / "box1/once.png")
    (src / "broken.png").write_bytes(b"\x89PNG no more")
    alone = {row.input: row for row in colour(src, out=tmp_path / "alone", model=ink)}
    monkeypatch.chdir(tmp_path)
    seen = Recorder()
    rows = drive(options(src, Path("out"), ink), seen)
    assert len(list((tmp_path / "births").iterdir())) >= 3, "two actors, and one more for the one that died"
    assert sorted(seen.names) == sorted(alone), "each picture is heard of once"
    assert [row.input for row in rows] == list(alone), "in input order"
    assert {row.input: replace(row, seconds={}) for row in rows} == {
        name: replace(row, seconds={}) for name, row in alone.items()
    }
    assert len((out / MANIFEST).read_text().splitlines()) == 24
    assert {row.status for row in rows if row.film} == {DONE} and seen.names[-1].endswith(".mkv")
    assert pictures(out) == pictures(tmp_path / "alone")

    again = Recorder()
    runner.drive(options(src, out, ink), again)
    assert {name for name, row in again.rows.items() if row} == {"broken.png"}, "one machine goes on where many stopped"

    with Manifest(out), pytest.raises(OutputError, match="another run"):
        drive(options(src, out, ink))
    elsewhere = options(src, tmp_path / "stopped", ink)
    with pytest.raises(StoppedError):  # asked to stop at once, no picture is taken in hand
        drive(elsewhere, Recorder(stop=lambda: True))
    assert not (tmp_path / "stopped" / LOCK).exists()

    on_a_cluster = [block for _, _, block in printed() if on_ray(block)]
    assert on_a_cluster
    for block in on_a_cluster:
        prints(block)


def _given_out(
    todo: list[Job], actors: int, run_options: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], dict[int, list[str]]]:
    """The order of outcomes, and by the number of actors what each lane was given."""
    lanes: dict[int, list[str]] = {}

    def lane(ray: Any, job_batches: Any, setup: Any, manifest: Any, resources: Any, size: int) -> Any:
        lanes.setdefault(size, []).extend(job.name for part in job_batches for job in part)
        for part in job_batches:
            yield from ((job.name, None) for job in part)

    monkeypatch.setattr(driver, "_run_on_actors", lane)
    monkeypatch.setattr(driver, "_actor_resources", lambda ray, options: ({}, actors))
    setup = worker_module.WorkerSetup(run_options, "", "", Path(), "")
    return [name for name, _ in driver._outcomes(None, todo, setup, None, 2)], lanes  # type: ignore[arg-type]


def test_films_have_actors_of_their_own_or_come_last(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["1.mkv", "2.png", "3.png", "4.mp4", "5.png"]
    kinds = [SourceKind.PHOTO if name.endswith(".png") else SourceKind.FILM for name in names]
    todo = [Job(src / name, name, out / name, kind) for name, kind in zip(names, kinds, strict=True)]
    run_options = options(src, out, ink)
    order, _ = _given_out(todo, 1, run_options, monkeypatch)
    assert order == ["2.png", "3.png", "5.png", "1.mkv", "4.mp4"]
    order, lanes = _given_out(todo, 8, run_options, monkeypatch)
    assert sorted(order) == names
    assert lanes == {2: ["1.mkv", "4.mp4"], 6: ["2.png", "3.png", "5.png"]}
    _, lanes = _given_out(todo[1:3], 8, run_options, monkeypatch)
    assert lanes == {8: ["2.png", "3.png"]}, "without films, all of it is for photographs"


def test_few_pictures_are_shared_out_among_all_actors(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def lane(ray: Any, job_batches: Any, setup: Any, manifest: Any, resources: Any, size: int) -> Any:
        sizes.extend(len(part) for part in job_batches)
        yield from ()

    monkeypatch.setattr(driver, "_run_on_actors", lane)
    monkeypatch.setattr(driver, "_actor_resources", lambda ray, options: ({}, 4))
    todo = [Job(src / f"{i}.png", f"{i}.png", out / f"{i}.png") for i in range(40)]
    setup = worker_module.WorkerSetup(options(src, out, ink), "", "", Path(), "")
    for count in (40, 3, 1):
        list(driver._outcomes(None, todo[:count], setup, None, 64))  # type: ignore[arg-type]
    assert sizes == [5] * 8 + [1] * 3 + [1]


def test_what_goes_wrong_in_one_lane_ends_the_run() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OutputError("no room")

    with pytest.raises(OutputError, match="no room"):
        list(driver._interleaved(iter([2, 3]), broken()))
    assert sorted(driver._interleaved(iter([2, 3]), iter([1]))) == [1, 2, 3]


def test_without_ray_the_command_is_named(src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'archivecolor\[ray\]'"):
        drive(options(src, out, ink))
    assert not out.exists()


@needs("ray")
def test_an_address_where_nobody_answers(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(UsageError, match=r"--address 127\.0\.0\.1:9"):
        drive(options(src, out, ink, address="127.0.0.1:9"))
    assert not out.exists()


def test_an_output_folder_that_is_another_one_on_the_workers_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="is not seen from here"):
        worker_module.check_shared_output(str(tmp_path / "nowhere"), Path("out/lock"), "12")
    with pytest.raises(OutputError, match="is not seen from here"):
        worker_module.check_shared_output(str(tmp_path), Path("out/lock"), "12")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lock").write_text("13")
    with pytest.raises(OutputError, match="share it between them"):
        worker_module.check_shared_output(str(tmp_path), Path("out/lock"), "12")
    worker_module.check_shared_output(str(tmp_path), Path("out/lock"), "13")


def test_a_source_that_a_worker_does_not_see(tmp_path: Path) -> None:
    job = Job(tmp_path / "a.png", "a.png", tmp_path / "out/a.png")
    failed = Record("a.png", str(job.source), None, FAILED, "the file is not there (any more)")
    reported = worker_module.with_host_reason(job, failed)
    assert "does not see" in reported.reason and str(job.source) in reported.reason
    job.source.touch()
    assert worker_module.with_host_reason(job, failed) == failed
    assert worker_module.with_host_reason(job, None) is None


class Direct:
    """Stands for Ray, and for the handle of an actor, where all are in one process."""

    def __init__(self, manifest_actor: ManifestActor) -> None:
        self.answer = self
        self.manifest_actor = manifest_actor

    def remote(self, *arguments: Any) -> Any:
        return self.manifest_actor.answer(*arguments)

    def get(self, answer: Any) -> Any:
        return answer


@pytest.fixture
def manifest_actor(src: Path, out: Path, ink: Path) -> Iterator[ManifestActor]:
    made = ManifestActor(options(src, out, ink), str(Path.cwd()))
    made.open()
    yield made
    made.close()


def worker(manifest_actor: ManifestActor, monkeypatch: pytest.MonkeyPatch, **setup: Any) -> worker_module.Worker:
    monkeypatch.setattr(worker_module, "library", lambda: Direct(manifest_actor))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    values = {
        "options": manifest_actor.options, "folder": str(Path.cwd()), "lock": manifest_actor.manifest.own_lock,
        "lock_text": str(os.getpid()), "weights_sha256": "", **setup,
    }  # fmt: skip
    return worker_module.Worker(worker_module.WorkerSetup(**values), Direct(manifest_actor))


def test_a_picture_that_kills_again_and_again_is_given_up_by_name(
    src: Path, out: Path, ink: Path, manifest_actor: ManifestActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archivecolor import weights
    from archivecolor.pipeline.jobs import find_jobs

    save_grey_tree(src, 4)
    jobs = find_jobs(manifest_actor.options)
    able = worker(manifest_actor, monkeypatch, weights_sha256=weights.check(ink).sha256)
    for _ in range(3):
        manifest_actor.take(jobs[0].name)  # and never let go: its actor died
    manifest_actor.take(jobs[2].name)
    outcomes = able._color_jobs(jobs)
    assert [name for name, _ in outcomes] == [jobs[i].name for i in (0, 1, 3, 2)], "suspects are last, and alone"
    assert [row.status for _, row in outcomes] == [FAILED, DONE, DONE, DONE]
    assert "3 workers died over it" in outcomes[0][1].reason
    assert set(manifest_actor.in_hand) == {jobs[0].name}
    started = manifest_actor.manifest.rows[jobs[1].name]
    assert started.status == STARTED, "the manifest knew of it before it was written"
    manifest_actor.stop()
    assert able._color_jobs(jobs[1:]) == []


def test_what_hinders_a_worker_is_its_answer(
    src: Path, manifest_actor: ManifestActor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jobs = [Job(tmp_path / "a.png", "a.png", tmp_path / "a.png")]
    [(name, fault)] = worker(manifest_actor, monkeypatch)._color_jobs(jobs)
    assert (name, "are not those of the driver" in str(fault)) == ("a.png", True)
    [(_, fault)] = worker(manifest_actor, monkeypatch, lock_text="another")._color_jobs(jobs)
    assert isinstance(fault, OutputError) and "share it between them" in str(fault)


def test_what_the_manifest_actor_refuses_is_raised_where_it_was_asked(
    out: Path, manifest_actor: ManifestActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archivecolor.errors import PictureError

    (out / "a.png").write_bytes(b"somebody's")
    manifest = ManifestClient(Direct(manifest_actor), Direct(manifest_actor))
    with pytest.raises(PictureError, match="was not made by this program"):
        manifest.begin("a.png", "/scans/a.png", out / "a.png")
    assert manifest.settled("a.png", "", Identity("", "")) == Settled(False, "colour (new)")
    assert read_rows(out) == {}


def test_the_room_on_a_cluster(src: Path, out: Path, ink: Path) -> None:
    class Has:
        def __init__(self, **has: float) -> None:
            self.cluster_resources = lambda: has

    run_options = options(src, out, ink, workers=0)
    assert driver._actor_resources(Has(CPU=10), run_options) == ({"num_cpus": 4}, 2)
    assert driver._actor_resources(Has(CPU=2), run_options) == ({"num_cpus": 2}, 1)
    assert driver._actor_resources(Has(CPU=16), replace(run_options, workers=8)) == ({"num_cpus": 8}, 2)
    assert driver._actor_resources(Has(CPU=64, GPU=8), run_options) == ({"num_cpus": 4}, 16), "--device cpu"
    assert driver._actor_resources(Has(CPU=64, GPU=8), replace(run_options, device="auto")) == (
        {"num_gpus": 1, "num_cpus": 1},
        8,
    )
    assert driver._actor_resources(Has(CPU=4), replace(run_options, device="auto"))[0] == {"num_cpus": 4}
    assert driver._actor_resources(Has(CPU=4), replace(run_options, device="cuda"))[0]["num_gpus"] == 1, (
        "it may come up later"
    )
