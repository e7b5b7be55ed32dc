"""One step down a loss: the same for every network that learns here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archivecolor.training import distributed


def trainable_parameters(network: nn.Module, norms_frozen: bool) -> None:
    """Sets a network to learning; with `norms_frozen` its batch norms go by the statistics that they have, and keep
    them.

    So it is for finished weights. The statistics of a dozen pictures are a poor stand-in for those of thousands, and
    those of one archive's pictures a wrong one: they take away what these have in common, their colours too. Measured
    in weights/LOG.md, runs 19 and 22.
    """
    network.train()
    if norms_frozen:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


class LossScale(nn.Module):
    """Float16 loses gradients under 6e-8, so the loss is multiplied by as much as it bears (Micikevicius et al. 2018).

    A module, so that the checkpoint carries how much that is.
    """

    def __init__(self, device: torch.device, enabled: bool) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler(device.type, enabled=enabled)

    def get_extra_state(self) -> Tensor:
        """The scale and the steps since it last changed."""
        return torch.tensor([self.scaler.get_scale(), self.scaler._get_growth_tracker()], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        scale, steps = state.tolist()
        self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale, "_growth_tracker": int(steps)})


class OptimStep:
    """An optimiser with what belongs to a step of it: the gradient of all processes, clipped at norm 1; in fp16 a
    scaled loss, and a step left out when it overflowed."""

    def __init__(self, optimizer: torch.optim.Optimizer, precision: str, device: torch.device) -> None:
        self.optimizer = optimizer
        self.scale = LossScale(device, precision == "fp16")

    def modules(self, name: str = "scale") -> dict[str, nn.Module]:
        """What a checkpoint has to carry besides the optimiser: nothing but in fp16."""
        return {name: self.scale} if self.scale.scaler.is_enabled() else {}

    def __call__(self, loss: Tensor, lr: float) -> None:
        """One step at this learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        scaler = self.scale.scaler
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        distributed.average_gradients(parameters)
        scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        scaler.step(self.optimizer)
        scaler.update()
