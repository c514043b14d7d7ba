"""What a stage does to the weights besides the loss: decay by part, rescaling once, averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError
from training.stages import Rescale, Stage

EMA = 0.999
TEXT_DECAY = 0.01


def named_parameters(pipe: StableDiffusionPipeline) -> dict[str, nn.Parameter]:
    """What is trained, the UNet and the text encoder, by name."""
    return {
        f"{part}.{name}": p
        for part in ("unet", "text_encoder")
        for name, p in getattr(pipe, part).named_parameters()
    }


def decay_of(name: str, p: Tensor, decay: float, decays: Mapping[str, float]) -> float:
    """The weight decay of a parameter by its name, see `named_parameters`.

    UNet: the first of `decays` whose key is part of the name, else `decay`. The text encoder's
    matrices decay by 0.01; biases, norms and embeddings do not.
    """
    if p.ndim < 2 or (name.startswith("text_encoder.") and "embedding" in name):
        return 0.0
    if name.startswith("text_encoder."):
        return TEXT_DECAY
    return next((value for part, value in decays.items() if part in name), decay)


def build_optimiser(parameters: Mapping[str, nn.Parameter], stage: Stage) -> torch.optim.AdamW:
    """AdamW with one group per decay.

    Raises ConceptReviveError for a part named in `decays` that no parameter has.
    """
    for part in stage.decays:
        if not any(part in name for name in parameters):
            raise ConceptReviveError(f"stage {stage.name}: decays: no parameter is named {part!r}")
    groups: dict[float, list[nn.Parameter]] = {}
    for name, p in parameters.items():
        groups.setdefault(decay_of(name, p, stage.decay, stage.decays), []).append(p)
    return torch.optim.AdamW(
        [{"params": params, "weight_decay": decay} for decay, params in groups.items()],
        lr=stage.lr,
        betas=(0.9, 0.98),
        fused=True,
    )


@torch.no_grad()
def rescale(unet: nn.Module, changes: Sequence[Rescale]) -> None:
    """Apply a stage's changes to the weights and biases they name.

    Raises ConceptReviveError for a part that the UNet does not have.
    """
    for change in changes:
        layers = [
            m for n, m in unet.named_modules() if change.part in n and isinstance(m, nn.Linear)
        ]
        if not layers:
            raise ConceptReviveError(f"rescale: no linear layer is named {change.part!r}")
        for layer in layers:
            half = len(layer.weight) // 2
            rows = {"both": slice(None), "value": slice(half), "gate": slice(half, None)}
            chosen = rows[change.half]
            layer.weight[chosen] *= change.scale
            if layer.bias is not None:
                layer.bias[chosen] *= change.bias_scale
                layer.bias[chosen] += change.bias_shift


class Averages:
    """An exponential moving average of parameters; it is what is shipped."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.values = {name: p.detach().clone() for name, p in parameters.items()}

    def update(self, step: int) -> None:
        """After step `step` of all; the memory grows with it, so that early exports are not full
        of the initialisation.
        """
        torch._foreach_lerp_(
            list(self.values.values()),
            [p.detach() for p in self.parameters.values()],
            1 - min(EMA, 1 - 1 / (1 + 0.1 * step)),
        )

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """The parameters hold their averages within the block."""
        before = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._write(self.values)
        try:
            yield
        finally:
            self._write(before)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Any]) -> None:
        for name, p in self.parameters.items():
            p.copy_(values[name])
