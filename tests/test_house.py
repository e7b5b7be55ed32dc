"""The house itself: floors, cycles, what wakes what, and nothing of the machine it was built on."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from PIL import Image
from support.paths import ROOT

from archivecolor.files import sha256
from archivecolor.imaging import merge_numba, native_code
from archivecolor.photo import SRGB_ICC
from archivecolor.provenance import DONE, MANIFEST, Record
from archivecolor.provenance.records import line

PACKAGE = ROOT / "archivecolor"
FLOORS = (
    ("errors", "sequences"),
    ("options", "files"),
    ("imaging",),
    ("networks",),
    ("weights", "photo", "provenance"),
    ("film",),
    ("inference",),
    ("pipeline", "training"),
    ("evaluation", "execution", "preservation"),
    ("review",),
    ("bench",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"torch", "numba", "torchvision", "cv2", "fastai", "timm", "numpy", "skimage", "PIL", "imagecodecs", "tifffile"}
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "scenedetect": "scenedetect-headless",
}

Sources = dict[str, str]


@cache
def sources() -> Sources:
    """Module name -> text, for all of the package."""
    named = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return named


@cache
def imported(module: str, text: str, is_package: bool) -> frozenset[str]:
    """Every dotted name that a module imports, wherever in it; `from a import b` gives `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if is_package and node.level == 1 else -node.level + is_package]
            base = ".".join([*(above if node.level else []), *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(names)


def edges(modules: Sources) -> dict[str, set[str]]:
    """Module -> the modules of the house that it imports."""

    def owner(name: str) -> str | None:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name or None

    packages = {name.rpartition(".")[0] for name in modules}
    return {
        module: {found for name in imported(module, text, module in packages) if (found := owner(name))} - {module}
        for module, text in modules.items()
    }


def room(module: str) -> str:
    return module.split(".")[1]


def wrong_ways(modules: Sources) -> list[str]:
    """Imports that do not lead downwards. The front door (`archivecolor` itself) is no room: anyone may ask it for
    the version, and what it hands out it loads when asked."""
    return [
        f"{module} -> {target}"
        for module, targets in edges(modules).items()
        for target in sorted(targets)
        if "archivecolor" not in (module, target)
        and room(module) != room(target)
        and FLOOR_OF.get(room(target), 0) >= FLOOR_OF.get(room(module), len(FLOORS))
    ]


def cycle(modules: Sources) -> list[str]:
    """A ring of modules that import each other, or []. The front door's are lazy or for the type checker."""
    inside = {module: targets - {"archivecolor"} for module, targets in edges(modules).items() if "." in module}
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT)


# --- floors -----------------------------------------------------------------------------------------------------------


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in sources() if "." in name} <= set(FLOOR_OF)


def test_imports_lead_downwards() -> None:
    assert wrong_ways(sources()) == []


def test_no_cycle_not_even_inside_a_package() -> None:
    assert cycle(sources()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("archivecolor.imaging.lab", "from archivecolor.inference import colorizer"),
        ("archivecolor.imaging.lab", "def f():\n    import archivecolor.pipeline.runner"),
        ("archivecolor.photo.page", "from archivecolor.provenance import Record"),
        ("archivecolor.errors", "from . import files"),
        ("archivecolor.photo.page", "from ..pipeline.runner import drive"),
        ("archivecolor.networks", "from archivecolor.photo import read"),
    ],
)
def test_the_guard_sees_upward_and_sideways_imports(module: str, line: str) -> None:
    assert module in [edge.split(" ->")[0] for edge in wrong_ways({**sources(), module: line})]


@pytest.mark.parametrize("line", ["from archivecolor.photo import read", "from . import read", "from .read import x"])
def test_the_guard_sees_a_cycle_inside_a_package(line: str) -> None:
    assert "archivecolor.photo.page" in cycle({**sources(), "archivecolor.photo.page": line})


def test_every_foreign_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=\[]", text)[0] for text in requirements}

    core = names(project["dependencies"])
    extras = {key: core | names(needed) for key, needed in project["optional-dependencies"].items()}
    wider = {
        "archivecolor.training.onnx_export": "onnx",
        "archivecolor.training": "train", "archivecolor.evaluation": "train",
        "archivecolor.provenance.credentials": "c2pa", "archivecolor.preservation.bag": "bag",
        "archivecolor.film": "video", "archivecolor.pipeline.hot_folder": "watch",
        "archivecolor.review.desk": "app", "archivecolor.cli.review": "app",
        "archivecolor.bench": "evaluate", "archivecolor.imaging.metrics": "evaluate",
    }  # fmt: skip
    undeclared = {}
    for module, text in sources().items():
        tops = {name.split(".")[0] for name in imported(module, text, False)} - sys.stdlib_module_names
        wanted = {DISTRIBUTIONS.get(top, top).replace("_", "-") for top in tops - {"archivecolor", "__future__"}}
        extra = next((key for start, key in wider.items() if module.startswith(start)), None)
        if missing := wanted - (extras[extra] if extra else core):
            undeclared[module] = missing
    assert undeclared == {}


# --- sizes ------------------------------------------------------------------------------------------------------------


def function_lengths(text: str) -> dict[str, int]:
    """Name -> lines, of every function of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes}


def test_functions_and_files_are_short() -> None:
    lengths = {
        f"{module}:{name}": length
        for module, text in sources().items()
        for name, length in function_lengths(text).items()
    }
    assert statistics.median(lengths.values()) <= 12
    assert {name: length for name, length in lengths.items() if length > 80} == {}
    files = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path): length for path, length in files.items() if length > 450} == {}


def test_the_formatter_is_rarely_overruled() -> None:
    assert sum(text.count("# fmt: skip") for text in sources().values()) < 30


def test_the_package_is_the_tree() -> None:
    files = {path.name for path in PACKAGE.glob("*.py")}
    assert files == {"__init__.py", "__main__.py", "errors.py", "files.py", "sequences.py", "weights.py"}
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms | {Path(name).stem for name in files} - {"__init__"} == set(FLOOR_OF)


# --- what wakes what --------------------------------------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Top-level names in `sys.modules` after running the code in a fresh interpreter."""
    ending = (
        "\nimport sys\nprint('LOADED', *sorted({name.split('.')[0] for name, module in sys.modules.items() if module}))"
    )
    return set(python("-c", code + ending).stdout.rpartition("LOADED")[2].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import archivecolor; archivecolor.__version__") & HEAVY == set()


def test_help_loads_nothing_heavy() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "archivecolor", "--help"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded & HEAVY == set()
    assert "Usage" in result.stdout


def test_help_of_every_verb_loads_nothing_heavy() -> None:
    code = """
import click, contextlib, io, typer
from archivecolor.cli import app
def verbs(command, path):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from verbs(child, [*path, name])
for path in verbs(typer.main.get_command(app), []):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        app([*path, "--help"])
    assert "Usage" in out.getvalue(), path
"""
    assert loaded_by(code) & HEAVY == set()


CHEAP_VERBS = """
import sys
from pathlib import Path
from archivecolor import cli
out, folder = Path(sys.argv[1]), Path(sys.argv[2])
for words in (
    ["verify", str(out), "--sample", "0"],
    ["report", str(out), "--to", str(folder / "report")],
    ["export", str(out), "--catalogue", str(folder / "a.csv")],
    ["manifest", "merge", str(out)],
    ["weights"],
    ["run", str(folder / "scans"), "--out", str(out), "--dry-run"],
    ["run", "--help-all"],
):
    try:
        cli.app(words)
    except SystemExit as end:
        print("LOADED", words[0], end.code, *sorted({"torch", "numba", "scipy", "av", "llvmlite"} & sys.modules.keys()))
"""


def test_what_computes_no_colour_imports_no_torch(tmp_path: Path) -> None:
    """Verbs that hash, list and reduce pictures, all in one process."""
    out, scans = tmp_path / "out", tmp_path / "scans"
    out.mkdir()
    scans.mkdir()
    rows = []
    for name, picture in {"a.jpg": Image.new("L", (80, 60), 90), "b.png": Image.new("I;16", (80, 60), 9000)}.items():
        picture.save(scans / name)
        picture.convert("RGB").save(out / name, icc_profile=SRGB_ICC)
        hashes = {f"{what}_sha256": sha256(folder / name) for what, folder in (("source", scans), ("output", out))}
        rows.append(line(Record(name, str(scans / name), name, DONE, **hashes)))
    (out / MANIFEST).write_text("".join(rows))
    result = python("-c", CHEAP_VERBS, str(out), str(tmp_path))
    loaded = [text.split()[1:] for text in result.stdout.splitlines() if text.startswith("LOADED")]
    assert loaded == [[verb, "0"] for verb in ("verify", "report", "export", "manifest", "weights", "run", "run")]
    assert len(list((tmp_path / "report" / "pictures").glob("*/*.jpg"))) == 6


def test_colouring_needs_neither_fastai_nor_timm(tmp_path: Path) -> None:
    Image.new("L", (80, 60), 90).save(tmp_path / "a.png")
    native_code.load(merge_numba._KERNEL, "merge_rows8")  # compiled by Numba, once on a machine
    run = f"from archivecolor import run; assert run({str(tmp_path / 'a.png')!r}, out={str(tmp_path / 'out')!r})"
    loaded = loaded_by(run)
    assert "torch" in loaded
    unneeded = {"fastai", "timm", "matplotlib", "typer", "openvino", "av", "scenedetect", "numba", "scipy"}
    assert loaded & unneeded == set()
    slow_to_wake = {"torchvision", "sympy", "skimage"}  # sympy comes with torch's compiler
    assert loaded & slow_to_wake == set()


@pytest.mark.long
def test_the_process_that_watches_a_run_loads_nothing_heavy(tmp_path: Path) -> None:
    Image.new("L", (80, 60), 90).save(tmp_path / "a.png")
    run = ["-X", "importtime", "-m", "archivecolor", "run", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    result = python(*run)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines() if "|" in line}
    assert (tmp_path / "out" / "a.png").exists()
    assert "typer" in loaded
    assert loaded & HEAVY == set()


# --- nothing of this machine ------------------------------------------------------------------------------------------

_HOMES = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+|Users/\w+)/\w")


_OWN = [str(place) for place in (Path.home(), ROOT, Path(sys.prefix)) if len(place.parts) > 2]


def machine_paths(content: bytes) -> list[str]:
    """Lines that name a folder of the machine this was written on."""
    if not any(os.fsencode(word) in content for word in ("/work/", "/root/", "/home/", "/Users/", *_OWN)):
        return []  # weights are large, and have no lines
    lines = content.decode("utf-8", "ignore").splitlines()
    return [line for line in lines if _HOMES.search(line) or any(place in line for place in _OWN)]


def test_no_file_names_a_folder_of_this_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: which files are the project's cannot be told")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    found = {name: machine_paths((ROOT / name).read_bytes()) for name in names}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_search_for_machine_paths_finds_them() -> None:
    slash = "/"
    named = f"a\nsee {slash}root/train\n{ROOT}\n".encode()
    assert machine_paths(named) == [f"see {slash}root/train", str(ROOT)]
    assert machine_paths(b"\xff\0" + named) == machine_paths(named), "in a file of bytes, too"
    assert machine_paths(b"https://example.org/work/x framework/y ~/root/z") == []
