"""Trains one network in several processes, step for step as one process with the whole batch would.

Each process takes its part of every batch. Gradients, the statistics of batch norms and the means inside losses are
averaged over all processes. Only the main process writes files. Without a process group, all functions here do nothing.

Set-up, reduction and barrier are those of `torch.distributed`. What was tried instead of the rest (torch 2.14):

- `torch.nn.SyncBatchNorm` refuses CPU tensors. Plain batch norms would see one part of the batch each and give another
  loss curve. `SyncedBatchNorm` below runs on every device, so the test on two CPU processes covers what GPUs run.
- `DistributedDataParallel` synchronizes only what passes through the `forward` of its wrapper. The steps here also call
  the encoder and the decoder one by one, and run the discriminator twice per loss and once frozen. It would save one
  function of eight lines (`average_gradients`); it would send gradients while others are still being computed.
- `accelerate` wraps the two above, and brings nothing for the batch norms or the means inside losses.

Dropout draws differently in every process. Of the networks here only pix2pix has any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

from archivecolor.errors import UsageError


@contextmanager
def initialize(processes: int, device: torch.device) -> Iterator[None]:
    """Runs the block in a process group if there is more than one process. `torchrun` sets the environment for it."""
    if processes < 2:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this process writes files and prints messages."""
    return rank() == 0


def local_slice(start: int, batch: int) -> tuple[int, int]:
    """The first picture of this process's part of a batch that begins at `start`, and how many pictures it has."""
    count = batch // world_size()
    return start + rank() * count, count


def check_batch_size(batch: int) -> None:
    """Raises UsageError if the batch cannot be split equally."""
    if batch % world_size():
        raise UsageError(
            f"--batch {batch}: cannot be split equally between {world_size()} processes; it is the batch of all "
            "processes together"
        )


def barrier() -> None:
    """Waits until all processes are here."""
    if world_size() > 1:
        dist.barrier()


def any_process(condition: bool) -> bool:
    """Whether the condition holds in at least one process. All must stop at the same step, or some wait forever."""
    if world_size() == 1:
        return condition
    flag = torch.tensor(float(condition))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def check_equal_on_all(number: int, what: str) -> None:
    """Raises UsageError in all processes if they do not have the same number."""
    if any_process(float(mean(torch.tensor(float(number), dtype=torch.float64))) != number):
        raise UsageError(f"the processes do not agree on {what}; --out and --data must be on a disk that all share")


@torch.no_grad()
def mean(value: Tensor) -> Tensor:
    """The mean over the processes, without gradient."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def mean_of_each(numbers: dict[str, float]) -> dict[str, float]:
    """The mean of each named number over the processes."""
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
    """Gives all processes the main process's parameters and buffers, and synchronizes the batch norms from now on."""
    if world_size() == 1:
        return
    for module in modules:
        sync_batch_norms(module)
        for value in [*module.parameters(), *module.buffers()]:
            dist.broadcast(value.detach(), 0)


class _AllReduceSum(torch.autograd.Function):
    """The sum over the processes. Its gradient is a sum as well, since each value reaches the loss of every process."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm(nn.BatchNorm2d):
    """A batch norm over the parts of all processes, which must be of equal size."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        x32 = x.float()
        mean = _AllReduceSum.apply(x32.mean(dim=(0, 2, 3))) / world_size()  # type: ignore[no-untyped-call]
        centred = x32 - mean[:, None, None]
        variance = _AllReduceSum.apply(centred.square().mean(dim=(0, 2, 3))) / world_size()  # type: ignore[no-untyped-call]
        self._update_running_statistics(mean.detach(), variance.detach(), world_size() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Uses the unbiased variance, as PyTorch does. `count` is the number of values of each channel."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def sync_batch_norms(module: nn.Module) -> None:
    """Replaces each batch norm inside by a `SyncedBatchNorm` with the same parameters, buffers and names."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            synced = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
            synced.weight, synced.bias, synced.training = child.weight, child.bias, child.training
            for key, value in child.named_buffers():
                setattr(synced, key, value)
            setattr(module, name, synced)
        else:
            sync_batch_norms(child)
