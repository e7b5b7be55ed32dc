"""Builds and runs a Containerfile without a container engine, in a Debian made by debootstrap.

As root: `python -m support.containerfile build FILE --target cpu --context . --to DIR`, then
`python -m support.containerfile run DIR --volume ./scans:/in:ro --volume ./color:/out -- run /in --out /out`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

MIRROR = "http://deb.debian.org/debian"
PASSED = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Environment variables by which this machine reaches its packages; the steps that build get them."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTRUCTIONS = ("FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "ENTRYPOINT", "CMD")
DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True)
class Stage:
    """One `FROM … AS name` with its instructions."""

    name: str
    base: str
    """The name of another stage, or an image."""
    steps: tuple[tuple[str, str], ...]


@dataclass
class Image:
    """What an engine keeps of a built stage."""

    layers: list[str] = field(default_factory=list)
    """Folders, the lowest first."""
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)


# --- reading ----------------------------------------------------------------------------------------------------------


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(instruction, value), with continued lines joined and remarks left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, value = line.partition(" ")
        yield word, value.strip()


def assigned(value: str) -> dict[str, str]:
    """`A=b C="d e"` as a dictionary; a name without a value is left out."""
    pairs = (word.partition("=") for word in shlex.split(value))
    return {name: text for name, equals, text in pairs if equals}


def expand(text: str, values: Mapping[str, str]) -> str:
    return string.Template(text).substitute(values)


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage, with their values, and the stages in their order.

    Raises:
        ValueError: an instruction that `build` does not know.
    """
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for word, value in instructions(text):
        if word not in INSTRUCTIONS:
            raise ValueError(f"{word}: unknown instruction")
        if word == "FROM":
            base, _, name = value.partition(" AS ")
            stages.append(Stage(name or str(len(stages)), base, ()))
        elif not stages:
            arguments |= assigned(value)
        else:
            last = stages[-1]
            stages[-1] = Stage(last.name, last.base, (*last.steps, (word, value)))
    return arguments, stages


# --- building ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Builder:
    """Builds stages; the mounts are those of this process' namespace, and end with it."""

    stages: Mapping[str, Stage]
    defaults: Mapping[str, str]
    """The arguments before the first stage."""
    build_arguments: Mapping[str, str]
    """Values of arguments instead of those in the file."""
    context: Path
    to: Path
    images: dict[str, Image] = field(default_factory=dict)

    def image(self, name: str) -> Image:
        """A stage, built by its first use, or the image that a stage begins with."""
        if name not in self.images:
            self.images[name] = self._built(self.stages[name]) if name in self.stages else self._debian(name)
        return self.images[name]

    def _root(self, stage: str) -> Path:
        return self.to / stage / "root"

    def _debian(self, name: str) -> Image:
        suite = re.fullmatch(r"(?:docker\.io/library/)?debian:([a-z]+)-slim", name)
        if suite is None:
            raise ValueError(f"{name}: debootstrap makes nothing but Debian")
        folder = self.to / f"debian-{suite[1]}"
        if not (folder / "etc/debian_version").exists():
            subprocess.run(["debootstrap", "--variant=minbase", suite[1], str(folder), MIRROR], check=True)
        return Image([str(folder)], {"PATH": PATH})

    def _built(self, stage: Stage) -> Image:
        below = self.image(expand(stage.base, {**self.defaults, **self.build_arguments}))
        image, root = replace(below, layers=[*below.layers], env={**below.env}), self._root(stage.name)
        shutil.rmtree(root.parent, ignore_errors=True)  # of a build that failed
        layer, work = root.with_name("layer"), root.with_name("work")
        for folder in (layer, work, root):
            folder.mkdir(parents=True)
        mount_layers(image.layers, root, f"upperdir={layer},workdir={work}")
        image.layers.append(str(layer))
        arguments: dict[str, str] = {}
        for word, value in stage.steps:
            print(f"[{stage.name}] {word} {value}", flush=True)
            if word == "ARG":
                arguments |= self._arguments(value)
            elif word == "RUN":  # its shell expands the values
                run_step(value, root, image, arguments)
            else:
                self._apply(word, expand(value, {**image.env, **arguments}), root, image)
        return image

    def _arguments(self, value: str) -> dict[str, str]:
        names = {word.partition("=")[0] for word in shlex.split(value)}
        values = {**self.defaults, **assigned(value), **self.build_arguments}
        return {name: values[name] for name in names if name in values}

    def _apply(self, word: str, value: str, root: Path, image: Image) -> None:
        match word:
            case "COPY":
                self._copy(shlex.split(value), root)
            case "ENV":
                image.env |= assigned(value)
            case "WORKDIR":
                (root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
                image.workdir = value
            case "USER":
                image.user = value
            case "ENTRYPOINT":
                image.entrypoint, image.cmd = json.loads(value), []
            case "CMD":
                image.cmd = json.loads(value)

    def _copy(self, words: list[str], root: Path) -> None:
        origin = self.context
        if words[0].startswith("--from="):
            name = words.pop(0).removeprefix("--from=")
            self.image(name)
            origin = self._root(name)
        *sources, target = words
        into = root / target.lstrip("/")
        (into if target.endswith("/") else into.parent).mkdir(parents=True, exist_ok=True)
        for source in (origin / one.lstrip("/") for one in sources):
            if source.is_dir():  # what is in it, as an engine does
                into.mkdir(exist_ok=True)
            copied = f"{source}/." if source.is_dir() else str(source)
            subprocess.run(["cp", "--archive", "--no-preserve=ownership", copied, str(into)], check=True)


def mount_layers(layers: list[str], root: Path, upper: str = "") -> None:
    """Without an upper layer it can only be read."""
    options = ",".join(filter(None, [f"lowerdir={':'.join(reversed(layers))}", upper]))
    options = options if upper or len(layers) > 1 else f"{options}:{layers[0]}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True)


def run_step(command: str, root: Path, image: Image, arguments: Mapping[str, str]) -> None:
    """Runs the command of a RUN as root in this root folder."""
    places = {Path("/proc"), Path("/dev"), Path("/etc/resolv.conf")}
    if re.search(r"\bpip\b", command):  # apt would stumble over the certificates
        places.update(places_of_pip())
    mounted = [mount_inside(place, root) for place in sorted(places)]
    here = {name: text for name, text in os.environ.items() if name.upper().startswith(PASSED)}
    environment = {"DEBIAN_FRONTEND": "noninteractive", **here, **image.env, **arguments}
    try:
        inside = ["chroot", str(root), "env", f"--chdir={image.workdir}", "/bin/sh", "-c", command]
        subprocess.run(inside, env=environment, check=True, stdin=subprocess.DEVNULL)
    finally:
        for target in reversed(mounted):
            subprocess.run(["umount", "--recursive", "--lazy", str(target)], check=True)


def mount_inside(place: Path, root: Path) -> Path:
    """Makes a file or folder of this machine visible in a root folder, at the same path."""
    target = root / str(place).lstrip("/")
    if place.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    subprocess.run(["mount", "--rbind", str(place), str(target)], check=True)
    subprocess.run(["mount", "--make-rslave", str(target)], check=True)
    return target


def places_of_pip() -> list[Path]:
    """The configuration of this machine's pip, and the local folders and certificates that it names."""
    report = subprocess.run(
        [sys.executable, "-m", "pip", "config", "debug"], capture_output=True, text=True, check=True
    ).stdout
    places = [Path(name) for name in re.findall(r"(/\S+), exists: True", report)]
    words = re.findall(r"(?:file://)?(/[^\s'\"]+)", report.partition("env_var:")[2])
    named = [Path(urlsplit(word).path) for word in words]
    # An index points to the files beside it.
    places += [path.parent if path.name == "simple" else path for path in named]
    return [path for path in dict.fromkeys(places) if path.exists()]


# --- running ----------------------------------------------------------------------------------------------------------


def enter(image: Image, root: Path, volumes: list[str], user: str, command: list[str]) -> None:
    """Becomes the image's command: root can only be read, /tmp and /dev/shm are empty, the user is not root."""
    mount_layers(image.layers, root)
    for name, options in (("tmp", "noexec,nosuid,nodev,mode=1777"), ("dev", "nosuid,mode=755")):  # as engines do
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root / name)], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
    for name in DEVICES:
        (root / "dev" / name).touch()
        subprocess.run(["mount", "--bind", f"/dev/{name}", str(root / "dev" / name)], check=True)
    (root / "dev/shm").mkdir(mode=0o1777)
    (root / "dev/shm").chmod(0o1777)
    for volume in volumes:
        source, target, *modes = volume.split(":")
        inside = str(root / target.lstrip("/"))
        subprocess.run(["mount", "--bind", source, inside], check=True)
        if modes == ["ro"]:
            subprocess.run(["mount", "-o", "remount,bind,ro", inside], check=True)
    uid, _, gid = (user or image.user).partition(":")
    os.chroot(root)
    os.chdir(image.workdir)
    os.setgroups([])
    os.setgid(int(gid or uid))
    os.setuid(int(uid))
    words = [*image.entrypoint, *(command or image.cmd)]
    os.execvpe(words[0], words, image.env)


def build(options: argparse.Namespace) -> None:
    """Builds a target, and keeps of it `image.json` and the layers that it names."""
    defaults, stages = parse(options.file.read_text(encoding="utf-8"))
    build_arguments = dict(text.split("=", 1) for text in options.build_arg)
    to = options.to.resolve()
    builder = Builder({stage.name: stage for stage in stages}, defaults, build_arguments, options.context.resolve(), to)
    image = builder.image(options.target)
    (to / "container").mkdir(exist_ok=True)
    (to / "image.json").write_text(json.dumps(asdict(image)))
    kept = {Path(layer).parent.name for layer in image.layers}
    for name in (builder.images.keys() & builder.stages.keys()) - kept:
        subprocess.run(["umount", str(to / name / "root")], check=True)
        shutil.rmtree(to / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help="the namespaces are made already")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("build")
    one.add_argument("file", type=Path)
    one.add_argument("--target", required=True)
    one.add_argument("--context", type=Path, default=Path())
    one.add_argument("--to", type=Path, required=True)
    one.add_argument("--build-arg", action="append", default=[])
    one = verbs.add_parser("run", usage="%(prog)s folder [options] -- COMMAND")
    one.add_argument("folder", type=Path)
    one.add_argument("--volume", action="append", default=[])
    one.add_argument("--user", default="")
    one.add_argument("--entrypoint", default="")
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:at])
    if not options.inside:
        namespaces = ["--mount"] if options.verb == "build" else ["--mount", "--net", "--ipc", "--pid", "--fork"]
        os.execvp("unshare", ["unshare", *namespaces, sys.executable, __file__, "--inside", *words])
    if options.verb == "build":
        build(options)
        return
    image = Image(**json.loads((options.folder / "image.json").read_text()))
    image.entrypoint = shlex.split(options.entrypoint) or image.entrypoint
    enter(image, options.folder / "container", options.volume, options.user, words[at + 1 :])


if __name__ == "__main__":
    main()
