"""Which device and which precision to compute in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archivecolor.errors import UsageError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_device(requested: str) -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:n`.

    Raises:
        UsageError: no such device here.
    """
    import torch

    if "," in requested:
        raise UsageError(
            f"--device {requested}: several at a time are for `archivecolor run` on the command line, which has a "
            "process for each; name one"
        )
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(requested)
    except RuntimeError:
        raise UsageError(f"--device {requested}: write auto, cpu, cuda or cuda:n") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {requested}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {requested}: only cpu and cuda are supported")
    return device


def choose_precision(requested: str, device: torch.device) -> str:
    """`auto`: bf16 where the processor or the GPU computes in it, else fp16 on a GPU and fp32 on a CPU.

    Raises:
        UsageError: an unknown word, fp16 on a CPU, or bf16 on a CPU whose kernels for it do not exist (no AVX-512).
    """
    import torch

    if requested not in PRECISIONS:
        raise UsageError(f"--precision {requested}: write one of {', '.join(PRECISIONS)}")
    if requested == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16: CPUs do not compute in fp16; use bf16, fp32 or auto")
    if requested == "bf16" and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise UsageError(
            "--precision bf16: this processor cannot compute in bf16 (it has no AVX-512); use fp32 or auto"
        )
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16" if _cuda_has_bf16(device) else "fp16"
    return "bf16" if _cpu_has_bf16() else "fp32"


def activate(device: torch.device) -> None:
    """Makes a CUDA device the current one of this thread, and float32 exact in this process. A CPU needs neither.

    Without the first, calls of CUDA that name no device would open a context on GPU 0, which takes some hundred MB of
    memory there. PyTorch lets cuDNN round float32 to TF32, ten bits, unless it is told otherwise.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def _cuda_has_bf16(device: torch.device) -> bool:
    """Whether this GPU multiplies bfloat16 itself, as all since Ampere do. Older ones emulate it, slower than float16.

    `torch.cuda.is_bf16_supported` counts emulation, and asks about the current device.
    """
    import torch

    return bool(torch.version.hip) or torch.cuda.get_device_properties(device).major >= 8


@contextmanager
def single_thread() -> Iterator[None]:
    """For work that is too small to share: threads that wait for each other in a crowd take three times as long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16 or AMX); emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
