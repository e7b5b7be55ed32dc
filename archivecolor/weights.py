"""Weights folders: `model.safetensors`, `card.json` that describes it, and `CARD.md` for people.

Loading checks the hash, every key, every shape, and that the weights are finite. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from archivecolor import files
from archivecolor.errors import UsageError, WeightsError
from archivecolor.options import DEFAULT_MODEL as DEFAULT_MODEL
from archivecolor.options import require
from archivecolor.options.table import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_CARD = 2**26
"""Bytes; of a card and of the header of a safetensors file."""
TENSORS, CARD, CARD_TEXT, FAILURES = "model.safetensors", "card.json", "CARD.md", "failures.png"


@dataclass(frozen=True)
class Card:
    """What a weights folder contains and where it comes from."""

    name: str
    network: str
    """A key of `archivecolor.networks.NETWORKS`."""
    sha256: str
    """Of `model.safetensors`."""
    stage: str
    """`pretrain`, `gan`, `baseline` or `imported`."""
    size: int = 256
    """Side of the square whose area the network's input has by default, in pixels."""
    licence: str = "Apache-2.0"
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    """The SHA-256 of the weights it was fine-tuned from, oldest first."""
    known_failures: list[str] = field(default_factory=list)
    """What it still does wrong, one sentence each; `failures.png` beside the card may show it."""


_CARD_TYPES = {name: get_origin(hint) or hint for name, hint in get_type_hints(Card).items()}
_TYPE_NAMES = {str: "text", int: "a whole number", dict: "an object", list: "a list"}


def shipped_folder() -> Path:
    """The folder of the weights that come with the program: in the package, or in a checkout beside it."""
    package = Path(__file__).parent
    installed = package / "shipped_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def available() -> list[Path]:
    """The folders of the shipped weights, by name."""
    return sorted(path.parent for path in shipped_folder().glob(f"*/{CARD}"))


def own(folder: Path = Path("weights")) -> list[Path]:
    """The weights folders below a folder, at most two levels deep, without those that come with the program."""
    found = sorted(path.parent for pattern in (f"*/{CARD}", f"*/*/{CARD}") for path in folder.glob(pattern))
    return [each for each in found if not is_shipped(each)]


def is_shipped(folder: Path) -> bool:
    """Whether a weights folder is one of those that come with the program."""
    return folder.resolve().parent == shipped_folder().resolve()


def find(model: str) -> Path:
    """The weights folder for a name (`lite`) or a path.

    Raises:
        WeightsError: there is no such folder; the message lists the known ones.
    """
    for folder in (shipped_folder() / model, Path(model)):
        with suppress(OSError):  # a name that no file system takes
            if (folder / CARD).is_file():
                return folder
    model = model if len(model) <= files.LONGEST_NAME else model[:40] + "…"
    names = ", ".join(path.name for path in available()) or "none"
    raise WeightsError(
        f"no weights called {model!r}: neither shipped ({names}) nor a folder with {CARD} in it"
        f"{did_you_mean(model, [path.name for path in available()]) or '; `archivecolor weights` lists what there is'}"
    )


def read_card(folder: Path) -> Card:
    """The card of a weights folder.

    Raises:
        WeightsError: it is missing, is not JSON, or lacks a field.
    """
    path = folder / CARD
    try:
        values = json.loads(_read(path, LARGEST_CARD))
        card = Card(**{key: value for key, value in values.items() if key in _CARD_TYPES})
        _check_values(card)
        return card
    except FileNotFoundError:
        raise WeightsError(f"{folder}: no {CARD}; this is not a weights folder") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: not a valid card ({error}); restore the folder from where it came") from error


def _check_values(card: Card) -> None:
    """Raises ValueError if a field has the wrong type, or text that would change a terminal on which it is printed."""
    for key, expected in _CARD_TYPES.items():
        if type(getattr(card, key)) is not expected:
            raise ValueError(f"{key} must be {_TYPE_NAMES[expected]}")
    for key in ("history", "known_failures"):
        if not all(isinstance(each, str) for each in getattr(card, key)):
            raise ValueError(f"{key} must be a list of texts")
    if not 0 < card.size <= 2**16:
        raise ValueError(f"size {card.size} is not the side of a picture")
    for key in ("name", "network", "sha256", "stage"):
        if not getattr(card, key).isprintable():
            raise ValueError(f"{key} contains control characters")
    for text in _texts(asdict(card)):
        if not text.replace("\n", " ").replace("\t", " ").isprintable():
            raise ValueError(f"{text[:40]!r} contains control characters")


def _texts(value: object) -> Iterator[str]:
    """All texts in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _read(path: Path, limit: int) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read, or is a device or a pipe.
        ValueError: it has more than `limit` bytes.
    """
    files.check_regular(path)
    if path.stat().st_size > limit:
        raise ValueError(f"{path.stat().st_size / 1e6:.0f} MB, where at most {limit / 1e6:.0f} MB are expected")
    return path.read_bytes()


def check(folder: Path) -> Card:
    """The card, after comparing the hash it names with the file's.

    Raises:
        WeightsError: the file is missing or differs.
    """
    card = read_card(folder)
    path = folder / TENSORS
    try:
        actual = files.sha256(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    _compare_hash(path, actual, card)
    return card


def load(folder: Path) -> tuple[nn.Module, Card]:
    """The network in evaluation mode, float32, on the CPU, and its card.

    The file is read once, so what is loaded is what was hashed.

    Raises:
        WeightsError: something in the folder is not as its card says, or a weight is not a finite number.
    """
    import hashlib

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    card, path = read_card(folder), folder / TENSORS
    with torch.device("meta"):  # random initial values would take longer than reading the file
        network = build(card.network, folder)
    largest = 8 * sum(value.numel() for value in network.state_dict().values()) + LARGEST_CARD
    try:
        content = _read(path, largest)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise WeightsError(f"{path}: does not fit the network of its card: {error}") from error
    _compare_hash(path, hashlib.sha256(content).hexdigest(), card)
    try:
        tensors = parse(content)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    fill(network, tensors, path)
    return network.eval(), card


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: cannot be read ({error.strerror}); restore it from where it came")


def _compare_hash(path: Path, actual: str, card: Card) -> None:
    """Raises WeightsError if a file does not have the hash of its card."""
    if actual != card.sha256:
        raise WeightsError(
            f"{path}: damaged or changed: its SHA-256 is {actual[:16]}…, the card says {card.sha256[:16]}…; "
            "restore the folder from where it came"
        )


def note(model: str, key: str, values: dict[str, Any]) -> None:
    """Writes numbers to the card of these weights, under this key of its `numbers`.

    Raises:
        WeightsError: there is no such folder, or its card is damaged.
    """
    folder = find(model)
    card = read_card(folder)
    write_card(folder, replace(card, numbers={**card.numbers, key: values}))


def build(name: str, origin: Path | str = "") -> nn.Module:
    """A fresh network by name.

    Raises:
        WeightsError: no network has this name.
    """
    from archivecolor.networks import NETWORKS

    if name not in NETWORKS:
        raise WeightsError(f"{origin}: the card names the network {name!r}; known are {', '.join(NETWORKS)}")
    return NETWORKS[name]()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: it is not one (a pickle in disguise, for example).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error


def check_finite(tensors: Mapping[str, Tensor], origin: Path) -> None:
    """Checks that all weights are finite real numbers, and all variances at least 0.

    A network with a NaN in an early layer still gives finite colours, because a ReLU turns NaN into 0 on many machines.

    Raises:
        WeightsError: they are not; the message names the tensor.
    """
    for key, values in tensors.items():
        if values.is_complex():
            raise WeightsError(f"{origin}: the tensor {key} is complex; weights must be real numbers")
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise WeightsError(
                f"{origin}: the tensor {key} contains NaN or infinity, so these weights are spoiled; restore them, or "
                "train them again with a lower --lr"
            )
        if key.endswith("running_var") and bool((values < 0).any()):
            raise WeightsError(f"{origin}: the tensor {key} contains a negative variance; restore the weights")


def fill(network: nn.Module, tensors: dict[str, Tensor], origin: Path) -> None:
    """Loads the tensors into a network, in float32. A network on the meta device takes them over.

    Raises:
        WeightsError: a key is missing or unknown, a shape differs, or a weight is not a finite number.
    """
    check_finite(tensors, origin)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and key in tensors and not tensors[key].is_floating_point():
            raise WeightsError(f"{origin}: the tensor {key} is {tensors[key].dtype}; weights must be floating point")
    try:
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()},
            assign=any(parameter.is_meta for parameter in network.parameters()),
        )
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{origin}: does not fit the network of its card: {detail}") from error


def save(folder: Path, network: nn.Module, card: dict[str, Any]) -> Card:
    """Writes `model.safetensors` (filters in float16, vectors in float32) and the card with its hash.

    Norm statistics stay in float32: a variance under 6e-5 would lose precision in float16. If the folder has these very
    weights already, their card keeps the numbers that were measured since, and what people write (`weights edit`).

    Raises:
        WeightsError: a weight is not a finite number. Nothing is written.
        OutputError: the folder cannot be written.
    """
    from safetensors.torch import save as serialize

    tensors = {
        key: (value.half() if value.dim() > 1 else value).contiguous().cpu()
        for key, value in network.state_dict().items()
    }
    check_finite(tensors, folder / TENSORS)
    with files.output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(folder / TENSORS) as part:
            part.write_bytes(serialize(tensors))
    full = Card(**{**card, "sha256": files.sha256(folder / TENSORS)})
    with suppress(WeightsError):
        before = read_card(folder)
        if before.sha256 == full.sha256:
            full = replace(
                full,
                name=before.name,
                licence=before.licence,
                known_failures=before.known_failures,
                numbers={**before.numbers, **full.numbers},
            )
    write_card(folder, full)
    return full


def write_card(folder: Path, card: Card) -> None:
    """Writes `card.json`, and `CARD.md` from the same values, so that both say the same.

    Raises:
        OutputError: the folder cannot be written.
    """
    values = json.dumps(asdict(card), indent=1, ensure_ascii=False) + "\n"
    with files.output_errors(folder), files.atomic_write(folder / CARD) as part:
        part.write_text(values, encoding="utf-8")
    with files.output_errors(folder), files.atomic_write(folder / CARD_TEXT) as part:
        part.write_text(card_text(card, (folder / FAILURES).exists()), encoding="utf-8")


def card_text(card: Card, pictured: bool = False) -> str:
    """The card as Markdown: recipe, data and numbers as lists, then what the weights do wrong.

    Args:
        pictured: whether there is a `failures.png`.
    """
    lines = [
        f"# {card.name}",
        "",
        "Made from `card.json` by this program; do not edit.",
        "",
        f"- network: `{card.network}`, stage: {card.stage}, made for about {card.size} x {card.size} pixels",
        f"- SHA-256 of `{TENSORS}`: `{card.sha256}`",
        f"- licence: {card.licence}",
    ]
    for heading in ("recipe", "data", "numbers"):
        lines += ["", f"## {heading.capitalize()}", "", *_listed(getattr(card, heading))]
    if card.known_failures:
        lines += ["", "## Known failures", "", *(f"- {sentence}" for sentence in card.known_failures)]
        lines += ["", f"![grey, coloured, true]({FAILURES})"] if pictured else []
    return "\n".join(lines) + "\n"


def _listed(values: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in values.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}- {name}:{'' if value else ' none'}", *_listed(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], str):
            lines += [f"{indent}- {name}:", *(f"{indent}  - {item}" for item in value)]
        else:
            lines.append(f"{indent}- {name}: {value}")
    return lines


def edit(folder: Path, **changes: object) -> Card:
    """Changes fields of a card that people write: `name`, `licence`, `known_failures`.

    Raises:
        WeightsError: the card is damaged, or comes with the program.
        UsageError: a value is not allowed on a card.
    """
    if is_shipped(folder):
        raise WeightsError(f"{folder}: comes with the program; edit the card of your own weights")
    card = replace(read_card(folder), **changes)  # type: ignore[arg-type]
    require(bool(card.name.strip()), "--name: must not be empty")
    try:
        _check_values(card)
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from error
    write_card(folder, card)
    return card


def mix(first: Path, second: Path, share: float, out: Path) -> Card:
    """Interpolates between two networks, weight by weight: (1 - share)·first + share·second.

    The networks between one trained by L1 and its adversarial fine-tuning are more accurate than the second and more
    colourful than the first (network interpolation, Wang et al. 2018, ESRGAN). It works only if one was trained from
    the other, or both from the same weights.

    Args:
        share: of the second, from 0 to 1.

    Raises:
        WeightsError: one is damaged, they are of different networks or not related, or `out` contains weights.
        UsageError: the share is not from 0 to 1.
    """
    require(0 <= share <= 1, f"--share {share:g}: must be from 0 to 1")
    if (out / CARD).exists():
        raise WeightsError(f"{out}: contains weights already; choose another --out")
    (network, one), (other_network, other) = load(first), load(second)
    if one.network != other.network:
        raise WeightsError(
            f"{second}: is a {other.network} and {first} a {one.network}; only weights of one network can be mixed"
        )
    if not ({one.sha256, *one.history} & {other.sha256, *other.history}):
        raise WeightsError(
            f"{second}: was not trained from {first}, nor both from the same weights, so they cannot be mixed"
        )
    theirs = other_network.state_dict()
    network.load_state_dict(
        {
            key: value.lerp(theirs[key], share) if value.is_floating_point() else theirs[key]
            for key, value in network.state_dict().items()
        }
    )
    recipe = {**other.recipe, "mixed": {"first": one.name, "second": other.name, "share": share}}
    history = list(dict.fromkeys([*one.history, *other.history, one.sha256, other.sha256]))
    about = {
        **asdict(other),
        "name": out.name,
        "recipe": recipe,
        "numbers": {},
        "history": history,
        "known_failures": [],
    }
    return save(out, network, about)
