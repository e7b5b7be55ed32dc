"""The digests of options never change: a folder that an earlier version coloured must be unchanged for this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archivecolor.options import ColorOptions, Disclosure, FilmOptions, Hint, Palette, Region, RunOptions, Shard

PALETTE = Palette("reference.jpg", "ab" * 32, ((1.0, 2.0, 3.0, 0.5, 4.0),), 0.7)
HINTS = (Hint(1, 2, "#aabbcc"), Hint(30, 40, "#102030"))
CUTS = "0\n25\n"


def options(**values: Any) -> RunOptions:
    return RunOptions(**{"inputs": ("in",), "out": Path("out"), **values})


PHOTOGRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "defaults": ({}, "1ff16ac75c79a1ca"),
    "colour": ({"color": ColorOptions(size=384, strength=0.5, tiles="never")}, "efa3f320338ee7a1"),
    "whole strength": ({"color": ColorOptions(strength=1)}, "1ff16ac75c79a1ca"),
    "mirror": ({"color": ColorOptions(mirror=True)}, "c14355d1845effc0"),
    "whole sheet": ({"color": ColorOptions(whole_sheet=True)}, "f30e7b50607a8ec1"),
    "guidance": ({"color": ColorOptions(palette=PALETTE, hints=HINTS)}, "8d5dbacdfaeedc7e"),
    "a region without colour": ({"color": ColorOptions(neutral=(Region(1, 2, 30, 40),))}, "1c01f89c6025ec85"),
    "format": ({"format": "jpeg", "quality": 80, "suffix": "_color", "precision": "bf16"}, "4b6e0f24ac179a50"),
    "recolor": ({"recolor": True, "strips_above": 12}, "4a4ad89b641c4f2f"),
    "mark": (
        {"disclosure": Disclosure(mark="auto", mark_font=Path("a.ttf"), source_type="algorithmicallyEnhanced")},
        "e3d76243d1e6db70",
    ),
    "font without a mark": ({"disclosure": Disclosure(mark_font=Path("a.ttf"))}, "1ff16ac75c79a1ca"),
    "signed": ({"disclosure": Disclosure(c2pa="cert.pem,key.pem", sidecar=False)}, "f8c444241a5e9f11"),
    "nothing that counts": (
        {
            "model": "resnet18",
            "device": "cuda:1",
            "engine": "openvino",
            "batch": 3,
            "workers": 2,
            "limit": 7,
            "overwrite": True,
            "confidence": True,
            "redo": Path("d.json"),
            "shard": Shard(3, 8),
            "on": "ray",
            "address": "auto",
            "max_megapixels": 12.5,
            "film": FilmOptions(codec="av1"),
        },
        "1ff16ac75c79a1ca",
    ),
}

FILMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "defaults": ({}, {}, "d4fa87ba6165aec1"),
    "numbered": ({}, {"numbered": True}, "4bc1f82d082122a8"),
    "h264 is the usual codec": ({"film": FilmOptions(codec="h264")}, {}, "d4fa87ba6165aec1"),
    "numbered as h264": ({"film": FilmOptions(codec="h264", fps="24")}, {"numbered": True}, "9169d0f20fc6b219"),
    "prores": (
        {"film": FilmOptions(codec="prores", steady=0.5, every="4", on_bad_frame="grey")},
        {},
        "b4f6c2bfdede189b",
    ),
    "whole steadiness": ({"film": FilmOptions(steady=1)}, {}, "d4fa87ba6165aec1"),
    "master": (
        {"film": FilmOptions(master=True, deinterlace=True), "suffix": "_c", "recolor": True},
        {},
        "95906e7cf5c9fbdf",
    ),
    "dpx": ({"film": FilmOptions(fps="18", dpx_curve="log", sequences=True)}, {"numbered": True}, "2d773bdde86d5178"),
    "deinterlaced dpx": ({"film": FilmOptions(deinterlace=True)}, {"numbered": True}, "4bc1f82d082122a8"),
    "rate of a film file": ({"film": FilmOptions(fps="18", dpx_curve="log", sequences=True)}, {}, "d4fa87ba6165aec1"),
    "title card": (
        {"film": FilmOptions(title_card="auto"), "disclosure": Disclosure(mark_font=Path("a.ttf"))},
        {},
        "17dba542a941c48b",
    ),
    "title card of numbered files": ({"film": FilmOptions(title_card="auto")}, {"numbered": True}, "4bc1f82d082122a8"),
    "mark": (
        {
            "disclosure": Disclosure(mark="auto", mark_font=Path("a.ttf")),
            "precision": "fp32",
            "color": ColorOptions(size=64, strength=2, mirror=True),
        },
        {},
        "6ee4651414f59fe2",
    ),
    "quality of numbered jpeg": ({"quality": 80}, {"numbered": True, "lossy": True}, "da7154e72347fc89"),
    "quality of a film file": ({"quality": 80}, {"lossy": True}, "d4fa87ba6165aec1"),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_digest_of_photographs(name: str) -> None:
    values, digest = PHOTOGRAPHS[name]
    assert options(**values).digest() == digest


@pytest.mark.parametrize("name", FILMS)
def test_the_digest_of_films(name: str) -> None:
    values, source, digest = FILMS[name]
    assert options(**values).film_digest(**source) == digest


def test_the_digest_of_listed_cuts(tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").write_text(CUTS)
    assert options(film=FilmOptions(cuts=tmp_path / "cuts.txt")).film_digest() == "6c2d9afc969b6dfe"
