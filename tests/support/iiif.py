"""An IIIF site: the pictures it is made of, what its files must be, and a server for it."""

from __future__ import annotations

import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
from PIL import Image

from archivecolor import photo
from archivecolor.photo import Page, Photo
from support.doubles import grey

BASE = "https://archive.example/iiif"
TILE = 512


def save_pictures(root: Path) -> None:
    """A turned TIFF of 16 bits in a folder, two pages, names for which URIs have escapes, a tiny BMP."""
    (root / "bücher 1").mkdir()
    wide = grey(700, 1100).astype(np.uint16) * 257
    turned = Photo("tiff", (Page(wide, orientation=6, description="Box 7"),))
    photo.write(root / "bücher 1" / "a#1 %?.tif", turned, "tiff")
    photo.write(root / "two.tif", Photo("tiff", (Page(grey(300, 400)), Page(grey(500, 400, seed=2)))), "tiff")
    Image.fromarray(grey(40, 60)).save(root / "<b>.bmp")
    Image.fromarray(grey(40, 60, seed=3)).save(Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")))


def file_of(site: Path, address: str, base: str = BASE) -> Path:
    """The file that a web server gives for an address, if `base` is the site."""
    assert address.startswith(f"{base}/") and address.isascii()
    parts = urlsplit(address)
    assert not parts.query and not parts.fragment
    return site / os.fsdecode(unquote_to_bytes(parts.path.removeprefix(urlsplit(base).path + "/")))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def manifests(site: Path) -> dict[str, Any]:
    """Label -> manifest, as the collection names them."""
    listed = read(site / "collection.json")["items"]
    return {one["label"]["none"][0]: read(file_of(site, one["id"])) for one in listed}


def bodies(canvas: Any) -> list[Any]:
    """The pictures that a canvas offers, in order."""
    body = canvas["items"][0]["items"][0]["body"]
    return body["items"] if body["type"] == "Choice" else [body]


def canvases(site: Path) -> dict[str, Any]:
    """Label -> canvas, of all manifests."""
    return {one["label"]["none"][0]: one for made in manifests(site).values() for one in made["items"]}


def services(site: Path) -> list[Any]:
    """The info.json of every picture, checked to be at its own address."""
    found = []
    for canvas in canvases(site).values():
        for body in bodies(canvas):
            (service,) = body["service"]
            info = read(file_of(site, service["id"]) / "info.json")
            assert info["id"] == service["id"]
            found.append(info)
    return found


def needed(info: Any) -> dict[str, tuple[int, int]]:
    """What a client may ask of a level 0 service: path below its folder -> width and height of the answer.

    Image API 3.0: section 4.7 for the canonical form, 5.4 and 5.5 for sizes and tiles; the implementation notes
    ("Tile Request Calculation") for the arithmetic at the edges.
    """
    width, height = info["width"], info["height"]
    largest = (min(width, info.get("maxWidth", width)), min(height, info.get("maxHeight", height)))
    wanted = {"full/max/0/default.jpg": largest}
    for size in info["sizes"]:
        wanted[f"full/{size['width']},{size['height']}/0/default.jpg"] = (size["width"], size["height"])
    for scale in info["tiles"][0]["scaleFactors"]:
        for x in range(0, width, TILE * scale):
            for y in range(0, height, TILE * scale):
                wide, high = min(TILE * scale, width - x), min(TILE * scale, height - y)
                region = "full" if (wide, high) == (width, height) else f"{x},{y},{wide},{high}"
                answer = (-(-wide // scale), -(-high // scale))
                size = "max" if (region, scale) == ("full", 1) else "{},{}".format(*answer)
                wanted[f"{region}/{size}/0/default.jpg"] = answer
    return wanted


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A plain web server for a folder, as anyone has: its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def end_headers(self) -> None:
            self.send_header("Access-Control-Allow-Origin", "*")
            super().end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
