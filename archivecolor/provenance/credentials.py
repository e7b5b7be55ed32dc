"""Content credentials (C2PA): a signed statement in the file about its source and how it was made.

Signing is the last step of an output, because any later change breaks the signature. Signed bytes differ each time: the
signature contains a random number and the time.
"""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

from archivecolor import files
from archivecolor.errors import MissingDependencyError, OutputError, PictureError, UsageError
from archivecolor.options import Disclosure
from archivecolor.provenance.disclosure import TERMS

MIME_TYPES = {kind: f"image/{kind}" for kind in ("jpeg", "png", "tiff", "webp", "avif")}
"""The writable formats that can contain C2PA."""
_SOURCE_TYPES = {**MIME_TYPES, "heic": "image/heic", "gif": "image/gif"}
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}  # thumbnails would add up to a megabyte to each file
_EC_ALGORITHMS = {256: "es256", 384: "es384", 521: "es512"}


def check_credentials(options: Disclosure, tool: str) -> None:
    """Signs a picture of one pixel, so that an unusable key is found before the first scan is read.

    Raises:
        UsageError: the certificate and the key cannot sign.
        MissingDependencyError: the package is not installed.
    """
    library = _library()
    signer = _signer(library, options.c2pa)
    builder = _builder(library, "a.png", tool, options.source_type)
    try:
        _add_parent(builder, Path("a.png"), io.BytesIO(_pixel()), "png", "")
        builder.sign(signer, "image/png", io.BytesIO(_pixel()), io.BytesIO())
    except library.C2paError as error:
        raise UsageError(f"--c2pa {options.c2pa}: cannot sign with these ({error})") from error


def sign(
    target: Path, kind: str, source: Path, source_format: str, about_source: str, options: Disclosure, tool: str
) -> tuple[str, ...]:
    """Signs a finished output and names the source that it was made from.

    Args:
        kind: the output's format.
        about_source: other facts about the source, in words.

    Returns:
        Notes for the row on what could not be done.

    Raises:
        PictureError: it could not be signed; the output was removed.
        OutputError: the file cannot be written.
    """
    if kind not in MIME_TYPES:
        return (f"content credentials not carried by {kind.upper()}",)
    library = _library()
    builder = _builder(library, target.name, tool, options.source_type)
    try:
        with source.open("rb") as original:
            _add_parent(builder, source, original, source_format, about_source)
        with files.atomic_write(target) as part, target.open("rb") as unsigned, part.open("w+b") as signed:
            builder.sign(_signer(library, options.c2pa), MIME_TYPES[kind], unsigned, signed)
    except (OSError, library.C2paError.Io) as error:
        raise OutputError(f"{target}: cannot be signed ({error}); free some space or choose another --out") from error
    except library.C2paError as error:
        target.unlink()
        raise PictureError(f"its content credentials could not be signed ({error})") from error
    return ()


def _library() -> Any:
    try:
        return importlib.import_module("c2pa")
    except ImportError as error:
        raise MissingDependencyError("--c2pa needs a package: pip install 'archivecolor[c2pa]'") from error


def _signer(library: Any, pair: str) -> Any:
    """A new signer for each picture: that costs little, and threads share nothing."""
    certificate, key = (_pem(Path(name)) for name in pair.split(","))
    try:
        algorithm = _algorithm(key)
        return library.Signer.from_info(library.C2paSignerInfo(algorithm, certificate, key, None))
    except (library.C2paError, ValueError, TypeError) as error:
        raise UsageError(f"--c2pa {pair}: not a certificate and its unencrypted key, in PEM ({error})") from error


def _pem(path: Path) -> bytes:
    try:
        files.check_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"--c2pa: {path} cannot be read ({error.strerror})") from error


def _algorithm(key: bytes) -> str:
    """C2PA's name for the signature algorithm of this key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key, None)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.key_size in _EC_ALGORITHMS:
        return _EC_ALGORITHMS[private.key_size]
    raise ValueError("C2PA does not sign with a key of this kind; make one for ES256")


def _builder(library: Any, title: str, tool: str, source_type: str) -> Any:
    name, _, version = tool.partition(" ")
    maker = {"name": name, "version": version}
    edited = {
        "action": "c2pa.edited",  # not c2pa.color_adjustments, which keeps the meaning
        "softwareAgent": maker,
        "digitalSourceType": TERMS + source_type,
        "description": "colour was added by a neural network; the luminance is the original's",
    }
    actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}, edited]
    manifest = {
        "claim_generator_info": [maker],
        "title": title.encode("utf-8", "replace").decode(),
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    return library.Builder(manifest, library.Context.from_dict(_SETTINGS))


def _add_parent(builder: Any, source: Path, original: Any, source_format: str, about: str) -> None:
    """Adds the source, with its own credentials if it has any."""
    ingredient = {
        "title": source.name.encode("utf-8", "replace").decode(),
        "relationship": "parentOf",
        "label": "source",
        "description": about,
    }
    builder.add_ingredient(ingredient, _SOURCE_TYPES.get(source_format, "application/octet-stream"), original)


def _pixel() -> bytes:
    """A PNG of one black pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
