"""One optimizer step, the same for every network that is trained here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archivecolor.errors import DivergedError
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


def parameter_groups(network: nn.Module, decoder_lr_ratio: float) -> list[dict[str, Any]]:
    """The parameters for an optimizer: the encoder learns at the stage's rate, all else at a multiple of it.

    An encoder from ImageNet must be kept, while a decoder starts from nothing.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is None or decoder_lr_ratio == 1:
        return [{"params": list(network.parameters())}]
    own = {id(parameter) for parameter in encoder.parameters()}
    decoder = [parameter for parameter in network.parameters() if id(parameter) not in own]
    return [{"params": list(encoder.parameters())}, {"params": decoder, "lr_ratio": decoder_lr_ratio}]


def fused(device: torch.device) -> bool | None:
    """The argument of an optimizer: on a GPU all parameters are updated by one kernel. None: as PyTorch chooses."""
    return True if device.type == "cuda" else None


class OptimStep:
    """An optimizer and everything around its step.

    Gradients are averaged over all processes and clipped at norm 1. In fp16 the loss is scaled, and a step whose
    gradients overflow is skipped.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, precision: str, device: torch.device) -> None:
        self.optimizer = optimizer
        self.scale = LossScale(device, precision == "fp16")
        self.raises = device.type == "cpu"
        """Whether a step that diverges is refused at once. On a GPU that would mean to wait for it."""

    def modules(self, name: str = "scale") -> dict[str, nn.Module]:
        """What a checkpoint must contain besides the optimizer: the loss scale in fp16, else nothing."""
        return {name: self.scale} if self.scale.scaler.is_enabled() else {}

    def __call__(self, loss: Tensor, lr: float) -> Tensor:
        """Backward pass and one step at this learning rate.

        Returns:
            1, or NaN if a gradient is infinite or NaN; always 1 in fp16, where overflows are usual: (), on the device.

        Raises:
            DivergedError: on a CPU, the loss or a gradient is infinite or NaN. No parameter has changed.
        """
        scaler = self.scale.scaler
        refuses = self.raises and not scaler.is_enabled()
        if refuses and distributed.any_process(not bool(torch.isfinite(loss.detach()))):
            raise DivergedError(f"loss {float(loss.detach()):g}")
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_ratio", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        distributed.average_gradients(parameters)
        scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        if refuses and not bool(torch.isfinite(norm)):
            raise DivergedError(f"norm of the gradients {float(norm):g}")
        scaler.step(self.optimizer)
        scaler.update()
        return torch.ones_like(norm) if scaler.is_enabled() else 1 + 0 * norm
