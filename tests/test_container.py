"""The image that examples/container describes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import containerfile
from support.paths import ROOT, SUPPORT
from support.readme_commands import TEXTS, in_containers, unknown_flags

from archivecolor import provenance

yaml = pytest.importorskip("yaml", reason="pyyaml is not installed: pip install 'archivecolor[test]'")
FOLDER = ROOT / "examples/container"
PHOTOS = ROOT / "examples/first_run/old_photos"
FILE = (FOLDER / "Containerfile").read_text(encoding="utf-8")
DEFAULTS, STAGES = containerfile.parse(FILE)
BY_NAME = {stage.name: stage for stage in STAGES}
STRANGER = "4711:4711"
"""A user that the image does not know, as that of a NAS."""


def ancestry(name: str) -> list[containerfile.Stage]:
    """The stages that an image consists of, the lowest first."""
    stage = BY_NAME.get(name)
    return [*ancestry(stage.base), stage] if stage else []


def steps_of(name: str, word: str) -> list[str]:
    return [value for stage in ancestry(name) for step, value in stage.steps if step == word]


# --- what the files say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_the_program_as_nobody(target: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", steps_of(target, "USER")[-1]), "a number, which Kubernetes can check"
    assert json.loads(steps_of(target, "ENTRYPOINT")[-1]) == ["archivecolor"]
    env = containerfile.assigned(" ".join(steps_of(target, "ENV")))
    assert {env[name].split("/")[1] for name in ("HOME", "ARCHIVECOLOR_CACHE", "NUMBA_CACHE_DIR")} == {"tmp"}
    [made] = [value.partition("&&")[0].split()[1:] for value in steps_of(target, "RUN") if value.startswith("mkdir")]
    mounted = set(re.findall(r"(?:-v|--volume) \S+?:(/\w+)", TEXTS["container"]))
    assert mounted == set(made) == {"/in", "/out", "/cache"}, "an engine cannot make them in a root that it only reads"


def test_without_a_target_it_is_that_for_cpus() -> None:
    assert STAGES[-1].name == "cpu"


def test_what_is_copied_is_there_and_is_all_that_the_wheel_needs() -> None:
    copied = {word for step, value in BY_NAME["wheel"].steps if step == "COPY" for word in value.split()[:-1]}
    assert all((ROOT / path).exists() for path in copied)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = build["project"]
    needed = {*wheel["packages"], *wheel["force-include"], wheel["hooks"]["custom"]["path"], "pyproject.toml"}
    assert copied == needed | {project["readme"], *project["license-files"]}


def test_the_extras_are_those_of_the_package() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(DEFAULTS["EXTRAS"].split(",")) <= set(known)


def test_the_service_of_a_nas_can_do_nothing_but_colour() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    [service] = yaml.safe_load(text)["services"].values()
    assert service["build"]["target"] in BY_NAME
    context = (FOLDER / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).samefile(FOLDER / "Containerfile")
    assert (service["network_mode"], service["read_only"], service["tmpfs"]) == ("none", True, ["/tmp"])
    assert not service["user"].startswith("0")
    assert [volume.split(":", 1)[1] for volume in service["volumes"]] == ["/in:ro", "/out"]
    assert service["command"][:4] == ["watch", "/in", "--out", "/out"]
    assert unknown_flags(["archivecolor", *service["command"]]) == []


def test_every_command_reads_in_and_writes_out() -> None:
    assert len(in_containers()) == 3, "the two targets, and Apptainer"
    for words in in_containers():
        assert words[2:5] == ["/in", "--out", "/out"], words


def test_the_page_names_the_targets_and_arguments_of_the_file() -> None:
    page = TEXTS["container"]
    assert set(re.findall(r"--target (\w+)", page)) == {"cpu", "cuda"}
    known = {word.partition("=")[0] for stage in STAGES for step, word in stage.steps if step == "ARG"}
    assert set(re.findall(r"`([A-Z]+)`", page)) == known


@pytest.mark.parametrize("line", ["ADD https://example.org/weights /", "VOLUME /out", "HEALTHCHECK NONE"])
def test_a_line_that_the_test_cannot_run_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="unknown instruction"):
        containerfile.parse(f"FROM debian AS a\n{line}\n")


def test_lines_are_read_as_an_engine_reads_them() -> None:
    defaults, [first, second] = containerfile.parse(
        'ARG A=1\n# remark\nFROM x:${A} AS one\nRUN a \\\n # between\n    && b\nENV B="2 3" C=$A\nFROM one\nCMD ["d"]\n'
    )
    assert (defaults, first.name, first.base, second.base) == ({"A": "1"}, "one", "x:${A}", "one")
    assert first.steps == (("RUN", "a && b"), ("ENV", 'B="2 3" C=$A'))
    assert containerfile.assigned('B="2 3" C=$A D') == {"B": "2 3", "C": "$A"}
    assert containerfile.expand("x:${A}", defaults) == "x:1"


# --- what becomes of them ---------------------------------------------------------------------------------------------


BUILD = "ARCHIVECOLOR_TEST_IMAGE"
"""The variable that asks for it: PyTorch is installed once more, into a Debian that is made for it."""


def why_not() -> str:
    """Why this machine cannot build the image; "" if it can."""
    if BUILD not in os.environ:
        return f"building an image takes ten minutes and more; set {BUILD}=1"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "building an image needs root on Linux"
    for program in ("debootstrap", "unshare", "chroot"):
        if shutil.which(program) is None:
            return f"{program} is not installed: apt-get install debootstrap util-linux coreutils"
    if subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False).returncode:
        return "this machine makes no namespaces"
    fetch = f"import urllib.request as r; r.urlopen('{containerfile.MIRROR}/dists/bookworm/Release', timeout=20)"
    if subprocess.run([sys.executable, "-c", fetch], capture_output=True, check=False).returncode:
        return f"{containerfile.MIRROR} cannot be reached"
    return ""


def container(*words: str) -> list[str]:
    return [sys.executable, str(SUPPORT / "containerfile.py"), *words]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The target `cpu`, built; with PyTorch for CPUs where this machine's pip has it, else with that of PyPI."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    wheels = (
        wheel for place in containerfile.places_of_pip() if place.is_dir() for wheel in place.glob("torch-*+cpu-*")
    )
    version = next((wheel.name.split("-")[1] for wheel in wheels), "")
    if shutil.disk_usage(folder).free < (8e9 if version else 25e9):
        pytest.skip("an image needs more disk than is free")
    torch = f"TORCH=torch{f'=={version}' if version else ''}"
    file = str(FOLDER / "Containerfile")
    words = ("--target", "cpu", "--context", str(ROOT), "--to", str(folder), "--build-arg", torch)
    try:
        subprocess.run(container("build", file, *words), check=True)
        yield folder
    finally:
        shutil.rmtree(folder)


def run(image: Path, src: Path, out: Path, *words: str, user: str = "", entrypoint: str = "") -> list[str]:
    """The command that runs the image with these two folders."""
    out.mkdir(exist_ok=True)
    os.chown(out, *map(int, (user or steps_of("cpu", "USER")[-1]).split(":")))
    options = ["--volume", f"{src}:/in:ro", "--volume", f"{out}:/out"]
    options += ["--user", user] if user else []
    options += ["--entrypoint", entrypoint] if entrypoint else []
    return container("run", str(image), *options, "--", *words)


@pytest.mark.long
@pytest.mark.parametrize("user", ["", STRANGER])
def test_the_image_colours_the_examples(user: str, image: Path, out: Path) -> None:
    done = subprocess.run(
        run(image, PHOTOS, out, "run", "/in", "--out", "/out", user=user), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "5 coloured now" in done.stdout + done.stderr
    rows = provenance.read_rows(out)
    assert sum(row.status == provenance.DONE for row in rows.values()) == 5
    owner = user or steps_of("cpu", "USER")[-1]
    assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in out.rglob("*")} == {owner}


@pytest.mark.long
def test_nothing_but_out_can_be_written_and_nobody_be_reached(image: Path, out: Path) -> None:
    probe = (
        "import os, socket, sys\n"
        "assert os.getuid() and os.getpid() == 1\n"
        "for path in ('/x', '/in/x', '/opt/archivecolor/x', '/var/tmp/x', '/etc/x'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError: continue\n"
        "    sys.exit(path + ' can be written')\n"
        "try: socket.create_connection(('1.1.1.1', 53), 3)\n"
        "except OSError: pass\n"
        "else: sys.exit('there is a network')\n"
        "import av, bagit, c2pa, openvino, pillow_heif, pyvips, watchdog\n"
        "open('/tmp/x', 'w').close(), open('/out/x', 'w').close()\n"
    )
    done = subprocess.run(
        run(image, PHOTOS, out, "-c", probe, entrypoint="python"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in out.iterdir()] == ["x"]


@pytest.mark.long
def test_the_watcher_of_the_nas_ends_when_the_engine_stops_it(image: Path, src: Path, out: Path) -> None:
    """As the first process of its namespace it gets only those signals that it handles."""
    shutil.copy(PHOTOS / "animals/cat.png", src)
    [service] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    outer = subprocess.Popen(
        run(image, src, out, *service["command"], "--settle", "0.2", user=service["user"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert outer.stdout is not None
    assert "cat.png: coloured in " in outer.stdout.readline()
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
    [first] = [int(pid) for pid in children]
    os.kill(first, signal.SIGTERM)
    started = time.monotonic()
    _, stderr = outer.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert (outer.returncode, "1 coloured, 0 skipped, 0 failed" in stderr) == (0, True), stderr
    assert {path.name for path in (out / "access/jpg-2000").iterdir()} == {"cat.png.jpg"}
