"""DPX (SMPTE 268M): film scans of 8 to 16 bits, read and written sample by sample, and the curves of their codes.

A scanner writes printing density: equal steps of the code are equal steps of density, and so of exposure's logarithm.
Code 95 of 1023 is the clear base and code 685 a white card; what is brighter (sun, lamps) has the room above. Turned
into light as Kodak's Cineon papers say it: density (0.002 a code unless the header says otherwise) over the negative's
gamma of 0.6, with the base as black. "linear" is light itself; "video" is what a screen shows, through the curve of
sRGB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.imaging import lab
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.options import DPX_CURVES

LOG, LINEAR, VIDEO = DPX_CURVES[1:]
MAGICS = {b"SDPX": ">", b"XPDS": "<"}
_LOG_CODES, _LINEAR_CODE, _UNDEFINED = (1, 3), 2, (0, 255)
_CHANNELS = {6: 1, 0: 1, 50: 3, 51: 4, 52: 4}
"""Descriptor -> samples a pixel: luma, user-defined, RGB, RGBA, ABGR."""
_WHITE_DENSITY, _BLACK_DENSITY, _GAMMA, _STEP = 1.37, 0.19, 0.6, 0.002
"""Cineon: 685 and 95 codes of 0.002."""
_BLACK_LIGHT = 10 ** ((_BLACK_DENSITY - _WHITE_DENSITY) / _GAMMA)
_ELEMENT, _HEADER_END = 780, 2048
_FILE_SIZE, _CREATOR, _ASPECT, _FILM_RATE, _TV_RATE = 16, (160, 100), 1628, 1724, 1940
_LARGEST_HEADER = 1 << 24
_LARGEST_PADDING = 1 << 16
"""Bytes: lines are filled up to blocks of disks and pages of memory, at most."""


@dataclass(frozen=True)
class Dpx:
    """What a DPX file's header says."""

    head: bytes
    """All bytes before the samples: kept for the output."""
    order: str
    """`>` or `<`, of all numbers and samples."""
    width: int
    height: int
    bits: int
    descriptor: int
    transfer: int
    packing: int
    offset: int
    """Of the first sample."""
    padding: int
    """Bytes behind each line, as the header says; 0 where what it says cannot be."""
    low: tuple[int, float]
    high: tuple[int, float]
    """Reference codes and what they mean; for printing density, densities."""

    @property
    def channels(self) -> int:
        """Samples a pixel, as stored."""
        return _CHANNELS[self.descriptor]

    @property
    def grey(self) -> bool:
        return self.channels == 1

    def curve(self, asked: str) -> str:
        """`log`, `linear` or `video`: what the header says, unless another one is asked for."""
        if asked != "auto":
            return asked
        return LOG if self.transfer in _LOG_CODES else LINEAR if self.transfer == _LINEAR_CODE else VIDEO

    @property
    def says_curve(self) -> bool:
        """Whether the header says anything of the curve."""
        return self.transfer not in _UNDEFINED

    def rate(self) -> float:
        """Frames a second by the film or the television header; 0 where neither says it."""
        values = (_number(self.head, self.order, "f", at) for at in (_FILM_RATE, _TV_RATE))
        return next((v for v in values if 1 <= v <= 1000), 0.0)

    def aspect(self) -> tuple[int, int] | None:
        """Width and height of a pixel, where they are said and differ."""
        across, down = (_number(self.head, self.order, "I", _ASPECT + 4 * i) for i in (0, 1))
        known = 0 < across < 1 << 24 and 0 < down < 1 << 24 and 0.2 < across / down < 5
        return (int(across), int(down)) if known and across != down else None


def _number(head: bytes, order: str, kind: str, at: int) -> float:
    value: float = struct.unpack_from(order + kind, head, at)[0] if len(head) >= at + 4 else 0
    return value


def is_dpx(head: bytes) -> bool:
    return head[:4] in MAGICS


def read_header(path: Path) -> Dpx:
    """The header of a DPX file.

    Raises:
        UnreadableError: damaged, or no DPX.
        UnsupportedError: of a kind that is not read.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_END)
        if not is_dpx(head):
            raise UnreadableError("not a DPX file")
        if len(head) < 1408:
            raise UnreadableError("truncated: its DPX header is not whole; copy it again from its source")
        order = MAGICS[head[:4]]
        offset = struct.unpack_from(order + "I", head, _ELEMENT + 28)[0]
        if offset in (0, 0xFFFFFFFF):
            offset = struct.unpack_from(order + "I", head, 4)[0]
        if not 1408 <= offset <= _LARGEST_HEADER:
            raise UnreadableError(f"its DPX header is damaged (samples at byte {offset})")
        file.seek(0)
        head = file.read(offset)
    return _checked(head, order, offset)


def _checked(head: bytes, order: str, offset: int) -> Dpx:
    orientation, elements, width, height = struct.unpack_from(order + "HHII", head, 768)
    sign, low, low_is, high, high_is = struct.unpack_from(order + "IIfIf", head, _ELEMENT)
    descriptor, transfer, _, bits = struct.unpack_from("4B", head, _ELEMENT + 20)
    packing, encoding, _, padding = struct.unpack_from(order + "HHII", head, _ELEMENT + 24)
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise UnreadableError(f"its DPX header is damaged ({width} x {height} pixels)")
    odd = {
        f"orientation {orientation}": orientation not in (0, 0xFFFF), f"{elements} image elements": elements != 1,
        "signed samples": sign == 1, f"descriptor {descriptor}": descriptor not in _CHANNELS,
        f"{bits} bits": bits not in (8, 10, 12, 16), "run-length coding": encoding == 1,
        f"{bits} bits without filling": bits in (10, 12) and packing not in (1, 2),
    }  # fmt: skip
    if strange := [what for what, true in odd.items() if true]:
        raise UnsupportedError(f"a DPX with {', '.join(strange)}: write it as RGB or luma, for example with FFmpeg")
    padding = padding if padding <= _LARGEST_PADDING else 0  # 0xFFFFFFFF: nothing is said
    low_is, high_is = (value if np.isfinite(value) else 0.0 for value in (low_is, high_is))
    return Dpx(
        head, order, width, height, bits, descriptor, transfer, packing, offset, padding, (low, low_is), (high, high_is)
    )


def read(path: Path) -> tuple[Dpx, Samples]:
    """The header, and the codes: (H, W) or (H, W, 3), uint8 for 8 bits, uint16 for more; alpha is left out.

    Raises:
        UnreadableError, UnsupportedError, OSError: it cannot be read.
    """
    header = read_header(path)
    with path.open("rb") as file:
        file.seek(header.offset)
        content = file.read()
    row = header.width * header.channels  # samples
    words = -(-row // 3) if header.bits == 10 else row
    dtype = np.dtype({8: "u1", 10: f"{header.order}u4"}.get(header.bits, f"{header.order}u2"))
    line = words * dtype.itemsize
    stride = _stride(header, line, len(content))
    there = (len(content) + stride - line) // stride  # the last may end without its padding
    if there < header.height:
        raise UnreadableError(f"truncated: {there} of {header.height} lines are there; copy it again from its source")
    whole = content.ljust(stride * header.height, b"\0")
    lines = np.frombuffer(whole, np.uint8, stride * header.height).reshape(header.height, stride)
    stored = np.ascontiguousarray(lines[:, :line]).view(dtype)
    codes = _unpacked(stored, header, row).reshape(header.height, header.width, header.channels)
    if header.grey:
        return header, codes[..., 0]
    chosen = {50: slice(None), 51: slice(0, 3), 52: slice(3, 0, -1)}[header.descriptor]
    return header, np.ascontiguousarray(codes[..., chosen])


def _stride(header: Dpx, line: int, there: int) -> int:
    """Bytes from one line to the next, of `there` in all. Lines begin at whole words, but not by every program; padding
    that a header names is believed unless the file has just the size that it would have without."""
    lined, padding = -(-line // 4) * 4, header.padding
    if padding and there not in (lined * header.height, line * header.height):
        return line + padding if (line + padding) % 4 == 0 else lined + padding
    return lined if lined * header.height <= there else line


def _unpacked(stored: Samples, header: Dpx, row: int) -> Samples:
    """Stored words (H, words) -> codes (H, samples of a row)."""
    if header.bits == 8:
        return stored
    if header.bits == 16:
        return stored.astype(np.uint16)
    if header.bits == 12:
        return (stored >> 4 if header.packing == 1 else stored & 0xFFF).astype(np.uint16)
    pad = 2 if header.packing == 1 else 0
    shifts = (pad, 10 + pad, 20 + pad) if header.grey else (20 + pad, 10 + pad, pad)  # luma fills words from below
    codes = np.empty((*stored.shape, 3), np.uint16)
    for i, shift in enumerate(shifts):
        codes[..., i] = (stored >> shift) & 0x3FF
    return codes.reshape(stored.shape[0], -1)[:, :row]


@lru_cache(maxsize=8)
def light_table(bits: int, curve: str, low: tuple[int, float], high: tuple[int, float]) -> FloatArray:
    """Code -> light, 1 for white; what lies above white and below black is kept."""
    codes = np.arange(1 << bits, dtype=np.float64)
    if curve == LOG:
        at, step = _densities(bits, low, high)
        light = 10 ** ((at + codes * step - _WHITE_DENSITY) / _GAMMA)
        return ((light - _BLACK_LIGHT) / (1 - _BLACK_LIGHT)).astype(np.float32)
    if curve == LINEAR:
        return (codes / codes[-1]).astype(np.float32)
    black, white = _video_range(bits, low, high)
    return _video_light(torch.from_numpy((codes - black) / (white - black))).float().numpy()


def _video_light(shown: torch.Tensor) -> torch.Tensor:
    """The curve of sRGB, and beyond it: its power goes on above white, and below black it is the same the other way."""
    return lab.linear_from_srgb(shown.abs()) * shown.sign()


def _video_shown(light: torch.Tensor) -> torch.Tensor:
    """The inverse of `_video_light`."""
    return lab.srgb_from_linear(light.abs()) * light.sign()


def _densities(bits: int, low: tuple[int, float], high: tuple[int, float]) -> tuple[float, float]:
    """Density of code 0, and of each further code: by the header's two references, where these make sense."""
    codes, densities = high[0] - low[0], high[1] - low[1]
    if 0 <= low[0] < high[0] < 1 << bits and 0.5 < densities < 5 and abs(low[1]) < 2:
        step = densities / codes
        return low[1] - low[0] * step, step
    return 0.0, _STEP * 1023 / ((1 << bits) - 1)


def _video_range(bits: int, low: tuple[int, float], high: tuple[int, float]) -> tuple[float, float]:
    """Codes of black and white: those of television where the header names just these, else all."""
    studio = (16 << (bits - 8), 235 << (bits - 8))
    return studio if (low[0], high[0]) == studio else (0, (1 << bits) - 1)


def table_of(header: Dpx, curve: str) -> FloatArray:
    """`light_table` of a file."""
    return light_table(header.bits, curve, header.low, header.high)


def coder(header: Dpx, curve: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The inverse of `light_table`: a function light -> codes, rounded, float."""
    top = (1 << header.bits) - 1
    if curve == LOG:
        at, step = _densities(header.bits, header.low, header.high)

        def log_codes(light: torch.Tensor) -> torch.Tensor:
            exposed = (light * (1 - _BLACK_LIGHT) + _BLACK_LIGHT).clamp_min(1e-9)
            return ((exposed.log10() * _GAMMA + (_WHITE_DENSITY - at)) / step).round_().clamp_(0, top)

        return log_codes
    if curve == LINEAR:
        return lambda light: (light * top).round_().clamp_(0, top)
    black, white = _video_range(header.bits, header.low, header.high)
    return lambda light: (_video_shown(light) * (white - black) + black).round_().clamp_(0, top)


def write(path: Path, header: Dpx, codes: Samples, curve: str, creator: str) -> None:
    """Writes RGB codes (H, W, 3) behind the header of their source, all of whose fields stay that still are true.

    Args:
        creator: added to the header's field of that name.
    """
    head = bytearray(header.head)
    order, element = header.order, _ELEMENT
    packing = 1 if header.bits in (10, 12) else 0
    content = _packed(codes, header)
    struct.pack_into(order + "I", head, _FILE_SIZE, min(len(head) + len(content), 0xFFFFFFFF))
    at, room = _CREATOR
    before = bytes(head[at : at + room]).split(b"\0")[0].strip(b"\xff ")
    words = (before + b"; " if before else b"") + creator.encode()
    if len(words) > room:  # what was there is cut, and not the statement that the colour was added
        words = before[: max(0, room - len(creator) - 2)] + b"; " + creator.encode()
    head[at : at + room] = words[:room].ljust(room, b"\0")
    struct.pack_into(order + "H", head, 770, 1)
    head[element + 20 : element + 22] = bytes((50, _transfer(header, curve)))
    struct.pack_into(order + "HHIII", head, element + 24, packing, 0, header.offset, 0, 0)
    with path.open("wb") as file:
        file.write(head)
        file.write(content)


def _transfer(header: Dpx, curve: str) -> int:
    if header.curve("auto") == curve:
        return header.transfer
    return {LOG: 1, LINEAR: 2, VIDEO: 6}[curve]


def _packed(codes: Samples, header: Dpx) -> bytes:
    if header.bits == 10:
        wide = codes.astype(np.uint32)
        words = (wide[..., 0] << 22) | (wide[..., 1] << 12) | (wide[..., 2] << 2)
        return words.astype(f"{header.order}u4").tobytes()
    shifted = codes << 4 if header.bits == 12 else codes
    rows = shifted.astype(np.uint8 if header.bits == 8 else f"{header.order}u2").reshape(len(codes), -1)
    rest = -rows.shape[1] * rows.itemsize % 4
    plain = np.ascontiguousarray(rows).view(np.uint8)
    return np.pad(plain, ((0, 0), (0, rest))).tobytes()


def blank(width: int, height: int, bits: int, transfer: int = 6) -> Dpx:
    """The header of a DPX that was made from no other."""
    head = bytearray(b"\xff" * _HEADER_END)
    struct.pack_into(">4sI8sIIIII", head, 0, b"SDPX", _HEADER_END, b"V2.0\0\0\0\0", 0, 1, 1664, 384, 0)
    head[36:660] = bytes(624)
    struct.pack_into(">HHII", head, 768, 0, 1, width, height)
    top = (1 << bits) - 1
    struct.pack_into(">IIfIf", head, _ELEMENT, 0, 0, 0.0, top, _STEP * 1023)
    struct.pack_into(">4B", head, _ELEMENT + 20, 50, transfer, transfer, bits)
    struct.pack_into(">HHIII", head, _ELEMENT + 24, 1 if bits in (10, 12) else 0, 0, _HEADER_END, 0, 0)
    head[_ELEMENT + 40 : _ELEMENT + 72] = bytes(32)
    return _checked(bytes(head), ">", _HEADER_END)
