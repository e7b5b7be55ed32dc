"""DPX (SMPTE 268M): film scans of 8 to 16 bits, read and written sample by sample, and the curves of their codes.

A scanner writes printing density: equal steps of the code are equal steps of density, and so of exposure's logarithm.
Code 95 of 1023 is the clear base and code 685 a white card; brighter things (sun, lamps) lie above. Codes become light
as in Kodak's Cineon papers: density (0.002 per code unless the header says otherwise) divided by the negative's gamma
of 0.6, with the base as black. `linear` is light itself; `video` is what a screen shows, through the curve of sRGB.

Why this is no library: an output must have the header of its scan. OpenImageIO 3.2.2 was tried on a DPX with film
fields, edge code, timecode and user data. With `oiio:Endian` set it writes equal samples and keeps those fields, but
the header is composed anew: undefined fields (all bits set) become zeros or NaN, the file name field is replaced, the
time zone of the date changes, and the samples move to byte 8192. So the bytes of the header are
copied here, and only fields that are no longer true change.
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
from archivecolor.options import DpxCurve

LOG, LINEAR, VIDEO = DpxCurve.LOG.value, DpxCurve.LINEAR.value, DpxCurve.VIDEO.value
MAGICS = {b"SDPX": ">", b"XPDS": "<"}
_LOG_CODES, _LINEAR_CODE, _UNDEFINED = (1, 3), 2, (0, 255)
_CHANNELS = {6: 1, 0: 1, 50: 3, 51: 4, 52: 4}
"""Descriptor -> samples per pixel: luma, user-defined, RGB, RGBA, ABGR."""
_WHITE_DENSITY, _BLACK_DENSITY, _GAMMA, _STEP = 1.37, 0.19, 0.6, 0.002
"""Cineon: 685 and 95 codes of 0.002."""
_BLACK_LIGHT = 10 ** ((_BLACK_DENSITY - _WHITE_DENSITY) / _GAMMA)
_ELEMENT, _HEADER_END = 780, 2048
_FILE_SIZE, _CREATOR, _ASPECT, _FILM_RATE, _TV_RATE = 16, (160, 100), 1628, 1724, 1940
_LARGEST_HEADER = 1 << 24
_LARGEST_PADDING = 1 << 16
"""Bytes after a line, at most: a block of a disk or a page of memory."""


@dataclass(frozen=True)
class DpxHeader:
    """What a DPX file's header says."""

    head: bytes
    """All bytes before the samples; the output keeps them."""
    order: str
    """Byte order of all numbers and samples: `>` or `<`."""
    width: int
    height: int
    bits: int
    descriptor: int
    transfer: int
    packing: int
    offset: int
    """Byte of the first sample."""
    padding: int
    """Bytes after each line by the header; 0 where its value is impossible."""
    low: tuple[int, float]
    high: tuple[int, float]
    """Reference codes, each with what it means: a density for printing density."""

    @property
    def channels(self) -> int:
        """Samples per pixel, as stored."""
        return _CHANNELS[self.descriptor]

    @property
    def grey(self) -> bool:
        """Whether a pixel has one sample."""
        return self.channels == 1

    def curve(self, requested: str) -> str:
        """`log`, `linear` or `video`.

        Args:
            requested: one of these, or `auto` for what the header says.
        """
        if requested != "auto":
            return requested
        return LOG if self.transfer in _LOG_CODES else LINEAR if self.transfer == _LINEAR_CODE else VIDEO

    @property
    def states_curve(self) -> bool:
        """Whether the header names a curve."""
        return self.transfer not in _UNDEFINED

    def rate(self) -> float:
        """Frames per second by the film or the television header; 0 where neither says it."""
        values = (_number(self.head, self.order, "f", at) for at in (_FILM_RATE, _TV_RATE))
        return next((v for v in values if 1 <= v <= 1000), 0.0)

    def aspect(self) -> tuple[int, int] | None:
        """Width and height of a pixel; None where they are equal or not stated."""
        width, height = (_number(self.head, self.order, "I", _ASPECT + 4 * i) for i in (0, 1))
        known = 0 < width < 1 << 24 and 0 < height < 1 << 24 and 0.2 < width / height < 5
        return (int(width), int(height)) if known and width != height else None


def _number(head: bytes, order: str, kind: str, at: int) -> float:
    value: float = struct.unpack_from(order + kind, head, at)[0] if len(head) >= at + 4 else 0
    return value


def is_dpx(head: bytes) -> bool:
    """Whether these are the first bytes of a DPX file."""
    return head[:4] in MAGICS


def read_header(path: Path) -> DpxHeader:
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
    return _parsed_header(head, order, offset)


def _parsed_header(head: bytes, order: str, offset: int) -> DpxHeader:
    orientation, elements, width, height = struct.unpack_from(order + "HHII", head, 768)
    sign, low, low_value, high, high_value = struct.unpack_from(order + "IIfIf", head, _ELEMENT)
    descriptor, transfer, _, bits = struct.unpack_from("4B", head, _ELEMENT + 20)
    packing, encoding, _, padding = struct.unpack_from(order + "HHII", head, _ELEMENT + 24)
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise UnreadableError(f"its DPX header is damaged ({width} x {height} pixels)")
    unsupported = {
        f"orientation {orientation}": orientation not in (0, 0xFFFF),
        f"{elements} image elements": elements != 1,
        "signed samples": sign == 1,
        f"descriptor {descriptor}": descriptor not in _CHANNELS,
        f"{bits} bits": bits not in (8, 10, 12, 16),
        "run-length coding": encoding == 1,
        f"{bits} bits without filling": bits in (10, 12) and packing not in (1, 2),
    }
    if reasons := [reason for reason, applies in unsupported.items() if applies]:
        raise UnsupportedError(f"a DPX with {', '.join(reasons)}: write it as RGB or luma, for example with FFmpeg")
    padding = padding if padding <= _LARGEST_PADDING else 0  # 0xFFFFFFFF: undefined
    low_value, high_value = (value if np.isfinite(value) else 0.0 for value in (low_value, high_value))
    return DpxHeader(
        head,
        order,
        width,
        height,
        bits,
        descriptor,
        transfer,
        packing,
        offset,
        padding,
        (low, low_value),
        (high, high_value),
    )


def read(path: Path) -> tuple[DpxHeader, Samples]:
    """The header and the codes: (H, W) or (H, W, 3), uint8 for 8 bits, uint16 for more. Alpha is left out.

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
    available = (len(content) + stride - line) // stride  # the last line may lack its padding
    if available < header.height:
        raise UnreadableError(
            f"truncated: {available} of {header.height} lines are there; copy it again from its source"
        )
    padded = content.ljust(stride * header.height, b"\0")
    lines = np.frombuffer(padded, np.uint8, stride * header.height).reshape(header.height, stride)
    stored = np.ascontiguousarray(lines[:, :line]).view(dtype)
    codes = _unpacked(stored, header, row).reshape(header.height, header.width, header.channels)
    if header.grey:
        return header, codes[..., 0]
    rgb = {50: slice(None), 51: slice(0, 3), 52: slice(3, 0, -1)}[header.descriptor]
    return header, np.ascontiguousarray(codes[..., rgb])


def _stride(header: DpxHeader, line: int, size: int) -> int:
    """Bytes from one line to the next. Lines should begin at whole words of 4 bytes, but some programs do not do that.
    The header's padding is used unless the file has exactly the size that it would have without padding.

    Args:
        line: bytes of the samples of a line.
        size: bytes of all lines.
    """
    aligned, padding = -(-line // 4) * 4, header.padding
    if padding and size not in (aligned * header.height, line * header.height):
        return line + padding if (line + padding) % 4 == 0 else aligned + padding
    return aligned if aligned * header.height <= size else line


def _unpacked(stored: Samples, header: DpxHeader, row: int) -> Samples:
    """Stored words (H, words) -> codes (H, `row`)."""
    if header.bits == 8:
        return stored
    if header.bits == 16:
        return stored.astype(np.uint16)
    if header.bits == 12:
        return (stored >> 4 if header.packing == 1 else stored & 0xFFF).astype(np.uint16)
    pad = 2 if header.packing == 1 else 0
    shifts = (pad, 10 + pad, 20 + pad) if header.grey else (20 + pad, 10 + pad, pad)  # luma starts at the low bits
    codes = np.empty((*stored.shape, 3), np.uint16)
    for i, shift in enumerate(shifts):
        codes[..., i] = (stored >> shift) & 0x3FF
    return codes.reshape(stored.shape[0], -1)[:, :row]


@lru_cache(maxsize=8)
def _light_table(bits: int, curve: str, low: tuple[int, float], high: tuple[int, float]) -> FloatArray:
    """See `light_table`; this one is cached."""
    codes = np.arange(1 << bits, dtype=np.float64)
    if curve == LOG:
        density0, step = _densities(bits, low, high)
        light = 10 ** ((density0 + codes * step - _WHITE_DENSITY) / _GAMMA)
        return ((light - _BLACK_LIGHT) / (1 - _BLACK_LIGHT)).astype(np.float32)
    if curve == LINEAR:
        return (codes / codes[-1]).astype(np.float32)
    black, white = _video_range(bits, low, high)
    return _video_light(torch.from_numpy((codes - black) / (white - black))).float().numpy()


def _video_light(encoded: torch.Tensor) -> torch.Tensor:
    """The inverse curve of sRGB, extended: its power continues above white, and it is mirrored below black."""
    return lab.linear_from_srgb(encoded.abs()) * encoded.sign()


def _video_encoded(light: torch.Tensor) -> torch.Tensor:
    """The inverse of `_video_light`."""
    return lab.srgb_from_linear(light.abs()) * light.sign()


def _densities(bits: int, low: tuple[int, float], high: tuple[int, float]) -> tuple[float, float]:
    """Density of code 0 and density per code: from the header's two references where these are plausible."""
    codes, densities = high[0] - low[0], high[1] - low[1]
    if 0 <= low[0] < high[0] < 1 << bits and 0.5 < densities < 5 and abs(low[1]) < 2:
        step = densities / codes
        return low[1] - low[0] * step, step
    return 0.0, _STEP * 1023 / ((1 << bits) - 1)


def _video_range(bits: int, low: tuple[int, float], high: tuple[int, float]) -> tuple[float, float]:
    """Codes of black and white: limited range where the header's references are exactly that, else full range."""
    limited = (16 << (bits - 8), 235 << (bits - 8))
    return limited if (low[0], high[0]) == limited else (0, (1 << bits) - 1)


def light_table(header: DpxHeader, curve: str) -> FloatArray:
    """Code -> light, 1 for white, for a file: (2**bits,). What lies above white and below black is kept."""
    return _light_table(header.bits, curve, header.low, header.high)


def light_encoder(header: DpxHeader, curve: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The inverse of `light_table`: a function light -> codes, rounded, float, within 0 to 2**bits - 1."""
    top = (1 << header.bits) - 1
    if curve == LOG:
        density0, step = _densities(header.bits, header.low, header.high)

        def log_codes(light: torch.Tensor) -> torch.Tensor:
            exposed = (light * (1 - _BLACK_LIGHT) + _BLACK_LIGHT).clamp_min(1e-9)
            return ((exposed.log10() * _GAMMA + (_WHITE_DENSITY - density0)) / step).round_().clamp_(0, top)

        return log_codes
    if curve == LINEAR:
        return lambda light: (light * top).round_().clamp_(0, top)
    black, white = _video_range(header.bits, header.low, header.high)
    return lambda light: (_video_encoded(light) * (white - black) + black).round_().clamp_(0, top)


def write(path: Path, header: DpxHeader, codes: Samples, curve: str, creator: str) -> None:
    """Writes RGB codes (H, W, 3) after the header of their source. Header fields that are still true stay.

    Args:
        curve: log, linear or video: that of the codes.
        creator: text added to the header's field of that name.
    """
    head = bytearray(header.head)
    order, element = header.order, _ELEMENT
    packing = 1 if header.bits in (10, 12) else 0
    content = _packed(codes, header)
    struct.pack_into(order + "I", head, _FILE_SIZE, min(len(head) + len(content), 0xFFFFFFFF))
    start, length = _CREATOR
    before = bytes(head[start : start + length]).split(b"\0")[0].strip(b"\xff ")
    text = (before + b"; " if before else b"") + creator.encode()
    if len(text) > length:  # the old text is cut, not the statement that the colour was added
        text = before[: max(0, length - len(creator) - 2)] + b"; " + creator.encode()
    head[start : start + length] = text[:length].ljust(length, b"\0")
    struct.pack_into(order + "H", head, 770, 1)
    head[element + 20 : element + 22] = bytes((50, _transfer(header, curve)))
    struct.pack_into(order + "HHIII", head, element + 24, packing, 0, header.offset, 0, 0)
    with path.open("wb") as file:
        file.write(head)
        file.write(content)


def _transfer(header: DpxHeader, curve: str) -> int:
    if header.curve("auto") == curve:
        return header.transfer
    return {LOG: 1, LINEAR: 2, VIDEO: 6}[curve]


def _packed(codes: Samples, header: DpxHeader) -> bytes:
    if header.bits == 10:
        wide = codes.astype(np.uint32)
        words = (wide[..., 0] << 22) | (wide[..., 1] << 12) | (wide[..., 2] << 2)
        return words.astype(f"{header.order}u4").tobytes()
    shifted = codes << 4 if header.bits == 12 else codes
    rows = shifted.astype(np.uint8 if header.bits == 8 else f"{header.order}u2").reshape(len(codes), -1)
    padding = -rows.shape[1] * rows.itemsize % 4
    data = np.ascontiguousarray(rows).view(np.uint8)
    return np.pad(data, ((0, 0), (0, padding))).tobytes()


def new_header(width: int, height: int, bits: int, transfer: int = 6) -> DpxHeader:
    """A header for a DPX file that has no source in DPX."""
    head = bytearray(b"\xff" * _HEADER_END)
    struct.pack_into(">4sI8sIIIII", head, 0, b"SDPX", _HEADER_END, b"V2.0\0\0\0\0", 0, 1, 1664, 384, 0)
    head[36:660] = bytes(624)
    struct.pack_into(">HHII", head, 768, 0, 1, width, height)
    top = (1 << bits) - 1
    struct.pack_into(">IIfIf", head, _ELEMENT, 0, 0, 0.0, top, _STEP * 1023)
    struct.pack_into(">4B", head, _ELEMENT + 20, 50, transfer, transfer, bits)
    struct.pack_into(">HHIII", head, _ELEMENT + 24, 1 if bits in (10, 12) else 0, 0, _HEADER_END, 0, 0)
    head[_ELEMENT + 40 : _ELEMENT + 72] = bytes(32)
    return _parsed_header(bytes(head), ">", _HEADER_END)
