"""Damages small pictures of every format and reads them: no crash, hang, foreign error or memory above the bound.

Every case is read in a process of its own, forked from this one, with a time limit; its peak memory is what the system
says of it. What is found is kept, with the number that makes it again.

    python tests/support/fuzz_readers.py --minutes 10
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from archivecolor import photo
from archivecolor.errors import PictureError
from archivecolor.options import Strips
from archivecolor.photo import SRGB_ICC, Page, Photo, exif

MAX_MEGAPIXELS = 4.0
BOUND_MIB = 600
"""What reading may take above what the process has anyway: 4 megapixels in float64, three channels, a few times over,
and PNG's 64 MiB of text."""
SECONDS = 20
ADDRESS_SPACE = 8 << 30
FOUND = {3: "foreign exception", 4: "not what a page is"}


def scene(dtype: Any, channels: int = 3) -> Any:
    """A small picture with forms and grain."""
    y, x = np.mgrid[0:40, 0:56]
    grain = np.random.default_rng(1).integers(0, 56, (channels, 40, 56))
    planes = [(x * 3 + y * (i + 1) * 2) % 200 + grain[i] for i in range(channels)]
    samples = np.stack(planes, axis=-1).astype(dtype) * (257 if dtype == np.uint16 else 1)
    return samples[..., 0] if channels == 1 else samples


def written_by_us(folder: Path) -> None:
    """The seven formats of our writer, in both depths, with everything in their envelopes."""
    block = exif.with_tags(exif.EMPTY, {exif.DESCRIPTION: b"a", exif.ORIENTATION: 6, 315: b"b" * 30})
    for dtype in (np.uint8, np.uint16):
        cover = scene(dtype, 1)
        for format in ("jpeg", "png", "tiff", "webp", "avif", "jp2", "bmp"):
            page = Page(scene(dtype), alpha=cover, icc=SRGB_ICC, dpi=(300.0, 300.0), exif=block, xmp=b"<x/>" * 9,
                        iptc=b"\x1c\x02\x78\x00\x05Wagen", description="c")  # fmt: skip
            pages = (page, page) if format == "tiff" else (page,)
            photo.write(folder / f"{format}_{np.dtype(dtype).itemsize}", Photo(format, pages), format)


def written_by_tifffile(folder: Path) -> None:
    """Layouts and compressions of TIFF."""
    grey, rgb, deep = scene(np.uint8, 1), scene(np.uint8), scene(np.uint16)
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "tiles": (deep, {"tile": (16, 16), "compression": "lzw"}),
        "planes": (np.moveaxis(deep, -1, 0), {"planarconfig": "separate", "compression": "packbits"}),
        "big": (deep, {"bigtiff": True, "compression": "zstd", "byteorder": ">"}),
        "jpeg": (rgb, {"compression": "jpeg"}),
        "jp2": (rgb, {"compression": "jpeg2000"}),
        "webp": (rgb, {"compression": "webp"}),
        "lzma": (grey, {"compression": "lzma"}),
        "float": (grey.astype(np.float32) / 255, {"compression": "zlib", "predictor": 3}),
        "bits": (grey > 99, {"photometric": "miniswhite"}),
        "twelve": (deep[..., 0] >> 4, {"bitspersample": 12}),
        "lab": (rgb, {"photometric": "cielab"}),
        "cmyk": (scene(np.uint8, 4), {"photometric": "separated"}),
        "palette": (grey, {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256)}),
        "rows": (grey, {"rowsperstrip": 3, "compression": "zlib", "predictor": 2}),
    }
    for name, (samples, options) in kinds.items():
        tifffile.imwrite(folder / f"tiff_{name}", samples, metadata=None, **options)
    tifffile.imwrite(folder / "tiff_ome", np.stack([grey] * 3), ome=True, metadata={"axes": "ZYX"})
    for compression in ("group4", "group3", "tiff_ccitt"):
        Image.fromarray(grey > 99).save(folder / f"tiff_{compression}", "TIFF", compression=compression)


def written_by_pillow(folder: Path) -> None:
    """The formats that are only read, and kinds of JPEG and PNG."""
    rgb, grey = Image.fromarray(scene(np.uint8)), Image.fromarray(scene(np.uint8, 1))
    for format in ("GIF", "PPM", "TGA", "PCX", "SGI", "ICO", "DIB"):
        rgb.save(folder / format.lower(), format)
    grey.save(folder / "pgm", "PPM")
    grey.convert("1").save(folder / "pbm", "PPM")
    rgb.save(folder / "gif_moving", "GIF", save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)])
    rgb.save(folder / "webp_moving", "WEBP", save_all=True, append_images=[rgb.rotate(90)])
    rgb.save(folder / "png_moving", "PNG", save_all=True, append_images=[rgb.rotate(90)])
    rgb.quantize(9).save(folder / "png_palette", "PNG", bits=4, transparency=1)
    rgb.convert("CMYK").save(folder / "jpeg_cmyk", "JPEG")
    grey.save(folder / "jpeg_grey", "JPEG", restart_marker_blocks=3)
    rgb.save(folder / "jpeg_progressive", "JPEG", progressive=True)
    rgb.save(folder / "mpo", "MPO", save_all=True, append_images=[rgb])
    (folder / "psd").write_bytes(psd())


def psd() -> bytes:
    """A flattened Photoshop document, uncompressed."""
    samples = np.moveaxis(scene(np.uint8), -1, 0)
    head = b"8BPS\0\1" + bytes(6) + (3).to_bytes(2, "big") + b"".join(n.to_bytes(4, "big") for n in (40, 56))
    return head + (8).to_bytes(2, "big") + (3).to_bytes(2, "big") + bytes(14) + samples.tobytes()


def written_by_heif(folder: Path) -> None:
    """HEIC, where the extra is installed."""
    try:
        import pillow_heif
    except ImportError:
        print("no HEIC: pip install 'archivecolor[heic]' to fuzz it, too", file=sys.stderr)
        return
    pillow_heif.from_pillow(Image.fromarray(scene(np.uint8))).save(folder / "heic")


# --- damage -----------------------------------------------------------------------------------------------------------

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def flipped(data: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def numbered(data: bytearray, draw: random.Random) -> bytearray:
    """A 16- or 32-bit number, of those that break things; mostly near the beginning, where headers are."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        size = draw.choice((2, 4))
        at = draw.randrange(min(len(data), draw.choice((64, 512, len(data)))))
        number = draw.choice(NUMBERS) & ((1 << 8 * size) - 1)
        data[at : at + size] = number.to_bytes(size, draw.choice(("big", "little")))
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    return data[: draw.randrange(len(data))]


def gap(data: bytearray, draw: random.Random) -> bytearray:
    at = draw.randrange(len(data))
    del data[at : at + draw.choice((1, 4, 64, 700))]
    return data


def doubled(data: bytearray, draw: random.Random) -> bytearray:
    at, size = draw.randrange(len(data)), draw.choice((1, 4, 64, 700))
    return data[: at + size] + data[at:]


def blanked(data: bytearray, draw: random.Random) -> bytearray:
    at, size = draw.randrange(len(data)), draw.choice((4, 64, 700))
    data[at : at + size] = bytes([draw.choice((0, 255, draw.randrange(256)))]) * len(data[at : at + size])
    return data


DAMAGE = (flipped, numbered, numbered, cut, gap, doubled, blanked)


def damaged(seeds: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """The case of this number: the seed's name, and its damaged bytes."""
    draw = random.Random(number)
    name = draw.choice(sorted(seeds))
    data = bytearray(seeds[name])
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if data:
            data = draw.choice(DAMAGE)(data, draw)
    return name, bytes(data)


# --- one case ---------------------------------------------------------------------------------------------------------


def inspect(path: Path) -> int:
    """What a run does with a file: 0 read, 1 refused, else one of FOUND."""
    try:
        photo.is_picture(path)
        photo.measure(path)
        for strips in (Strips(), Strips(above=0.0, short_side=16)):
            if any(not is_page(page) for page in photo.read(path, MAX_MEGAPIXELS, strips).pages):
                return 4
    except PictureError:
        return 1
    except Exception as error:
        print(repr(error)[:300], file=sys.stderr)
        return 3
    return 0


def is_page(page: Page) -> bool:
    parts = [(page.samples, page.alpha), *(page.scan.bands() if page.scan else ())]
    return all(
        samples.dtype in (np.uint8, np.uint16)
        and samples.size > 0
        and (samples.ndim == 2 or samples.shape[2:] == (3,))
        and (alpha is None or (alpha.dtype == samples.dtype and alpha.shape[:2] == samples.shape[:2]))
        for samples, alpha in parts
    )


def apart(work: Callable[[], int]) -> tuple[str, float]:
    """Runs it in a process of its own: what became of it ("read", "refused", or a fault), and its peak memory, MiB."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libpng talk
        code = 3
        try:
            code = work()
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        dead = os.WTERMSIG(status)
        what = "hang" if dead == signal.SIGALRM else f"crash by {signal.Signals(dead).name}"
    else:
        code = os.WEXITSTATUS(status)
        what = ("read", "refused")[code] if code < 2 else FOUND.get(code, f"exit {code}")
    return what, used.ru_maxrss / 1024


def seeds_in(folder: Path) -> dict[str, bytes]:
    """Small pictures of every kind, made in another process: encoders leave threads behind, which no fork likes."""

    def make() -> int:
        for writer in (written_by_us, written_by_tifffile, written_by_pillow, written_by_heif):
            writer(folder)
        return 0

    what, _ = apart(make)
    if what != "read":
        raise SystemExit(f"the seeds could not be made: {what}")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fuzz(seeds: dict[str, bytes], folder: Path, first: int, until: Callable[[int], bool]) -> tuple[Counter[str], float]:
    """Counts of what became of the cases, and the largest memory above the bare process, MiB. Faults are printed, and
    their files kept in `folder`."""
    bare = apart(lambda: 0)[1]
    counts: Counter[str] = Counter()
    number, largest, path = first, 0.0, folder / "case"
    while until(number - first):
        name, data = damaged(seeds, number)
        path.write_bytes(data)
        what, peak = apart(lambda: inspect(path))
        above = peak - bare
        largest = max(largest, above)
        if above > BOUND_MIB:
            what = f"memory: {above:.0f} MiB"
        counts[what.split(":")[0]] += 1
        if what not in ("read", "refused"):
            kept = folder / f"found_{number}_{name}"
            kept.write_bytes(data)
            print(f"{what}: {name}, case {number}, kept as {kept}", flush=True)
        number += 1
    return counts, largest


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, which decides what it is")
    parser.add_argument("--cases", type=int, default=1 << 60, help="no more than so many")
    parser.add_argument("--keep", type=Path, help="folder for what is found; a temporary one otherwise")
    parser.add_argument("--again", type=Path, nargs="+", help="read these files only, and say what becomes of them")
    arguments_ = parser.parse_args(arguments)
    if arguments_.again:
        for path in arguments_.again:
            what, peak = apart(lambda path=path: inspect(path))  # type: ignore[misc]
            print(f"{path}: {what}, {peak:.0f} MiB")
        return 0
    folder = arguments_.keep or Path(tempfile.mkdtemp(prefix="fuzz_readers_"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        seeds = seeds_in(Path(place))
    cv2.setNumThreads(1)
    for name, data in seeds.items():  # whatever is loaded on first use is loaded before the forks
        (folder / "case").write_bytes(data)
        if inspect(folder / "case") > 1:
            raise SystemExit(f"{name} cannot be read even unharmed")
    end = time.monotonic() + 60 * arguments_.minutes
    counts, largest = fuzz(
        seeds, folder, arguments_.first, lambda done: done < arguments_.cases and time.monotonic() < end
    )
    total = sum(counts.values())
    print(f"{total} cases from {len(seeds)} seeds: {dict(counts)}; at most {largest:.0f} MiB above the bare process")
    return int(counts["read"] + counts["refused"] < total)


if __name__ == "__main__":
    raise SystemExit(main())
