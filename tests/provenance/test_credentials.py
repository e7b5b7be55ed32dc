"""Content credentials: signed with a certificate of our own making, verified by the library, broken by one byte."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.doubles import colour, grey
from support.needs import package

from archivecolor import files, photo
from archivecolor.errors import MissingDependencyError, UsageError
from archivecolor.options import Disclosure
from archivecolor.photo import Page, Photo
from archivecolor.provenance import DONE, Record, check_credentials, credentials

c2pa = package("c2pa")

MIME = {"a.jpg": "image/jpeg", "a.png": "image/png", "a.tif": "image/tiff", "a.webp": "image/webp",
        "a.avif": "image/avif"}  # fmt: skip


def certificate(subject: str, issuer: str, public: Any, signing: Any, authority: bool) -> Any:
    """A certificate as C2PA wants it: a leaf may sign documents and nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> Any:
        pairs = ((NameOID.ORGANIZATION_NAME, "An archive"), (NameOID.COMMON_NAME, text))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])

    now, month = datetime.datetime.now(datetime.UTC), datetime.timedelta(30)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder(name(issuer), name(subject), public, x509.random_serial_number(), now - month,
                                now + month)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
                                     **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )  # fmt: skip
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(signing, hashes.SHA256())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`cert.pem,key.pem` of a leaf under an authority of our own."""
    package("cryptography")
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")
    above, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = (
        certificate("leaf", "authority", leaf.public_key(), above, False),
        certificate("authority", "authority", above.public_key(), above, True),
    )
    (folder / "cert.pem").write_bytes(b"".join(c.public_bytes(ser.Encoding.PEM) for c in chain))
    (folder / "key.pem").write_bytes(leaf.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))
    return f"{folder / 'cert.pem'},{folder / 'key.pem'}"


@pytest.fixture
def go(src: Path, out: Path, ink: Path, pair: str) -> Callable[..., list[Record]]:
    return lambda **more: colour(src, **{"out": out, "model": ink, "disclosure": Disclosure(c2pa=pair), **more})


def reported(path: Path, content: bytes | None = None) -> tuple[str, dict[str, Any], list[str]]:
    """State, active manifest and failures, as the library reads them; nobody knows our authority: a failure."""
    with c2pa.Reader(MIME[path.name], io.BytesIO(path.read_bytes() if content is None else content)) as reader:
        failures = reader.get_validation_results()["activeManifest"]["failure"]
        return reader.get_validation_state(), reader.get_active_manifest(), [failure["code"] for failure in failures]


@pytest.mark.parametrize("name", MIME)
def test_signed_verified_and_broken_by_one_byte(
    go: Callable[..., list[Record]], src: Path, out: Path, name: str
) -> None:
    kind = {"a.jpg": "jpeg", "a.tif": "tiff"}.get(name, name[2:])
    photo.write(src / name, Photo(kind, (Page(grey(90, 120)),)), kind)
    (row,) = go()
    assert (row.status, row.reason) == (DONE, "")
    assert row.output_sha256 == files.sha256(out / name), "the hash is that of the signed file"
    state, manifest, failures = reported(out / name)
    assert (state, failures) == ("Valid", ["signingCredential.untrusted"])
    (parent,) = manifest["ingredients"]
    assert (parent["title"], parent["relationship"]) == (name, "parentOf")
    assert row.source_sha256 in parent["description"]
    (actions,) = (a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert "thumbnail" not in json.dumps(manifest)
    assert photo.read(out / name).pages[0].samples.shape == (90, 120, 3)
    content = bytearray((out / name).read_bytes())
    content[content.index(b"invented by a neural network")] ^= 1  # in the XMP, which the signature covers
    state, _, failures = reported(out / name, bytes(content))
    assert state == "Invalid"
    assert "assertion.dataHash.mismatch" in failures or "assertion.bmffHash.mismatch" in failures


def test_what_c2pa_has_no_place_in_is_said(go: Callable[..., list[Record]], src: Path, out: Path) -> None:
    for name, kind in (("a.jp2", "jp2"), ("a.bmp", "bmp")):
        photo.write(src / name, Photo(kind, (Page(grey()),)), kind)
    Image.fromarray(grey()).save(src / "a.gif")
    rows = {row.input: row for row in go()}
    assert {row.status for row in rows.values()} == {DONE}
    assert "content credentials not carried by JP2" in rows["a.jp2"].notes
    assert "content credentials not carried by BMP" in rows["a.bmp"].notes
    (out / "a.gif.png").rename(out / "a.png")
    assert reported(out / "a.png")[0] == "Valid"


def test_a_signed_run_goes_on_where_it_stopped(go: Callable[..., list[Record]], src: Path, out: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    assert go() == go()
    assert go(disclosure=Disclosure(sidecar=False))[0].options != go()[0].options


def test_a_source_with_credentials_of_its_own_keeps_them_as_its_history(
    go: Callable[..., list[Record]], src: Path, out: Path, tmp_path: Path, ink: Path, pair: str
) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    go()
    (row,) = colour(out / "a.png", out=tmp_path / "twice", model=ink, recolor=True, disclosure=Disclosure(c2pa=pair))
    assert row.status == DONE
    with c2pa.Reader("image/png", (tmp_path / "twice/a.png").open("rb")) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 2


def test_the_wrong_pair_is_found_before_the_first_scan(
    go: Callable[..., list[Record]], src: Path, out: Path, pair: str, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(src / "a.png")
    cert, key = pair.split(",")
    (tmp_path / "junk.pem").write_text("no key")
    for wrong in (f"{key},{cert}", f"{cert},{cert}", f"{cert},{tmp_path / 'junk.pem'}", f"{cert},nowhere.pem"):
        with pytest.raises(UsageError, match="--c2pa"):
            go(disclosure=Disclosure(c2pa=wrong))
    assert not out.exists()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, pair: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(MissingDependencyError, match=r"archivecolor\[c2pa\]"):
        check_credentials(Disclosure(c2pa=pair), "archivecolor 1")
    assert credentials.MIME_TYPES.keys() == {"jpeg", "png", "tiff", "webp", "avif"}
