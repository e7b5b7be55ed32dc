"""What a file is by its first bytes, and how large its picture is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.doubles import grey

from archivecolor import film, photo
from archivecolor.photo import kinds, probe, read_pillow

HEADS = {
    b"II+\0": "tiff",
    b"P5 ": "pnm",
    b"RIFF\0\0\0\0WEBP": "webp",
    b"RIFF\0\0\0\0AVI ": "film",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif": "avif",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "heic",
    b"\0\0\0\x14ftypqt  \0\0\0\0qt  ": "film",
    b"\0\0\0\x14ftypM4A \0\0\0\0mp42": "audio",
    b"\0\0\0\x14ftypcrx \0\0\0\x01crx ": "raw",
    b"G" + bytes(187) + b"G" + bytes(187) + b"G" + bytes(187) + b"G" + bytes(187) + b"G": "film",
    b"GIF89a": "gif",
    b"%PDF-1.4": "pdf",
    b"just some text": "",
    b"": "",
}


@pytest.mark.parametrize("head", HEADS, ids=[f"{kind} {at}" for at, kind in enumerate(HEADS.values())])
def test_photographs_and_films_share_one_table(tmp_path: Path, head: bytes) -> None:
    kind = HEADS[head]
    (tmp_path / "x").write_bytes(head)
    assert kinds.kind_of(head) == kind
    assert film.is_film(tmp_path / "x") == (kind == "film")
    assert photo.is_picture(tmp_path / "x") == (kind in ("tiff", "pnm", "webp", "avif", "heic", "gif"))


class WatchedFile(io.BytesIO):
    """An open file that notes whether a worker reads it while it holds Pillow's limit."""

    read_under_limit = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.read_under_limit |= read_pillow._limit_lock.locked()
        return super().read(size)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize("header_bytes", [40, 1 << 20])
def test_no_worker_waits_for_the_disk_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, header_bytes: int
) -> None:
    Image.fromarray(np.dstack([grey(300, 400)] * 3)).save(tmp_path / "x", format)
    monkeypatch.setattr(probe, "_HEADER_BYTES", header_bytes, raising=False)
    file = WatchedFile((tmp_path / "x").read_bytes())
    assert photo.measure(tmp_path / "x", file=file) == pytest.approx(0.12)
    assert not file.read_under_limit
