"""Several processes that train one network, step for step as one process with the whole batch would.

Each takes its part of every batch; gradients, the statistics of batch norms and the means in the losses are taken over
all parts. What one process does alone (`leads`) is writing. Without a process group everything here does nothing.

Why not `DistributedDataParallel` with `SyncBatchNorm`: the latter needs CUDA, and plain batch norms would see one part
of the batch each, which gives another loss curve than one process has. These few lines do the same on every device,
so that what is tested on two CPU processes is what runs on eight GPUs. The price: gradients are sent once all are
there, and not while the rest is still being computed. Dropout draws differently in every process; of the networks here
only pix2pix has any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from archivecolor.errors import UsageError


@contextmanager
def initialize(processes: int, device: torch.device) -> Iterator[None]:
    """In a process group while the block runs, if there is more than one process (`torchrun` has set up the rest)."""
    if processes < 2:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def local_slice(start: int, batch: int) -> tuple[int, int]:
    """Where this process's part of a batch that begins at `start` begins, and how many pictures it has."""
    count = batch // world_size()
    return start + rank() * count, count


def check_batch(batch: int) -> None:
    """Raises UsageError if a batch cannot be shared out equally."""
    if batch % world_size():
        raise UsageError(
            f"--batch {batch}: cannot be shared out equally to {world_size()} processes; it is the whole batch"
        )


def barrier() -> None:
    """Until all are here."""
    if world_size() > 1:
        dist.barrier()


def any_process(condition: bool) -> bool:
    """Whether it holds for one of the processes: all must stop at the same step, or the others wait for ever."""
    if world_size() == 1:
        return condition
    flag = torch.tensor(float(condition))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def check_equal_on_all(number: int, what: str) -> None:
    """Raises UsageError in all processes if they do not agree on a number."""
    if any_process(float(mean(torch.tensor(float(number), dtype=torch.float64))) != number):
        raise UsageError(f"the processes do not agree on {what}; --out and --data must be on a disk that all share")


@torch.no_grad()
def mean(value: Tensor) -> Tensor:
    """The mean over the processes; no gradient passes."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def mean_of(numbers: dict[str, float]) -> dict[str, float]:
    """The means of named numbers over the processes."""
    if world_size() == 1:
        return numbers
    return dict(zip(numbers, mean(torch.tensor(list(numbers.values()), dtype=torch.float64)).tolist(), strict=True))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over the processes, all in one message."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, values in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(values.view_as(gradient))


def broadcast_parameters(modules: Iterable[nn.Module]) -> None:
    """Begins as one: all take the first process's values, and batch norms their statistics from all parts."""
    if world_size() == 1:
        return
    for module in modules:
        sync_batch_norms(module)
        for value in [*module.parameters(), *module.buffers()]:
            dist.broadcast(value.detach(), 0)


class _Sum(torch.autograd.Function):
    """The sum over the processes; so is its gradient, since each process's value reaches every loss."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose mean and variance are those of all processes' parts, which are of equal size."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        centre = _Sum.apply(wide.mean(dim=(0, 2, 3))) / world_size()  # type: ignore[no-untyped-call]
        around = wide - centre[:, None, None]
        variance = _Sum.apply(around.square().mean(dim=(0, 2, 3))) / world_size()  # type: ignore[no-untyped-call]
        self._remember(centre.detach(), variance.detach(), world_size() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return (around * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, centre: Tensor, variance: Tensor, count: int) -> None:
        """The running statistics, with the unbiased variance, as in PyTorch's own."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def sync_batch_norms(module: nn.Module) -> None:
    """Puts a `SharedNorm` in the place of each batch norm inside; parameters, buffers and their names stay."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            shared = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.weight, shared.bias, shared.training = child.weight, child.bias, child.training
            for key, value in child.named_buffers():
                setattr(shared, key, value)
            setattr(module, name, shared)
        else:
            sync_batch_norms(child)
