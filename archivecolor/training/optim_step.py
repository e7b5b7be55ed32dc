"""One optimizer step, the same for every network that is trained here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archivecolor.training import distributed


def set_train_mode(network: nn.Module, norms_frozen: bool) -> None:
    """Sets a network to training mode. With `norms_frozen`, its batch norms use and keep the statistics they have.

    Finished weights are trained that way. The statistics of a dozen pictures replace those of thousands badly. Those of
    one archive's pictures are wrong: they remove what these pictures have in common, including their colours. Measured
    in weights/LOG.md, runs 19 and 22.
    """
    network.train()
    if norms_frozen:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


class LossScale(nn.Module):
    """The loss scale of float16, which would round gradients under 6e-8 to 0 (Micikevicius et al. 2018).

    It is a module so that the checkpoint contains the scale.
    """

    def __init__(self, device: torch.device, enabled: bool) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler(device.type, enabled=enabled)

    def get_extra_state(self) -> Tensor:
        """The scale, and the number of steps since it last changed."""
        return torch.tensor([self.scaler.get_scale(), self.scaler._get_growth_tracker()], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        scale, steps = state.tolist()
        self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale, "_growth_tracker": int(steps)})


class OptimStep:
    """An optimizer and everything around its step.

    Gradients are averaged over all processes and clipped at norm 1. In fp16 the loss is scaled, and a step whose
    gradients overflow is skipped.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, precision: str, device: torch.device) -> None:
        self.optimizer = optimizer
        self.scale = LossScale(device, precision == "fp16")

    def modules(self, name: str = "scale") -> dict[str, nn.Module]:
        """What a checkpoint must contain besides the optimizer: the loss scale in fp16, else nothing."""
        return {name: self.scale} if self.scale.scaler.is_enabled() else {}

    def __call__(self, loss: Tensor, lr: float) -> None:
        """Backward pass and one step at this learning rate."""
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
