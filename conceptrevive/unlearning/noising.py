"""Noise as a diffusion model is trained on it: x_t = signal·x₀ + spread·ε, and its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conceptrevive.errors import ConceptReviveError

#: What denoisers predict: the noise, a mixture (v), the picture, or the flow between both.
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow")


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The noise levels that a model was trained on, one entry each.

    Attributes:
        times: what the denoiser is told.
        signal, spread: of x_t = signal·x₀ + spread·ε.
        prediction: one of `PREDICTIONS`.
    """

    times: Tensor
    signal: Float[Tensor, " levels"]
    spread: Float[Tensor, " levels"]
    prediction: str = "epsilon"

    def draw(
        self, latents: Float[Tensor, "pictures channels height width"], source: torch.Generator
    ) -> tuple[Int[Tensor, " pictures"], Float[Tensor, "pictures channels height width"]]:
        """A level, uniform over all, and noise for each picture, drawn on the CPU in float32."""
        level = torch.randint(len(self.times), (len(latents),), generator=source)
        return level, torch.randn(latents.shape, generator=source)

    def noisy(
        self,
        latents: Float[Tensor, "pictures channels height width"],
        level: Int[Tensor, " pictures"],
        noise: Float[Tensor, "pictures channels height width"],
    ) -> Float[Tensor, "pictures channels height width"]:
        """x_t."""
        return _of(self.signal, level, latents) * latents + _of(self.spread, level, noise) * noise

    def target(
        self,
        latents: Float[Tensor, "pictures channels height width"],
        level: Int[Tensor, " pictures"],
        noise: Float[Tensor, "pictures channels height width"],
    ) -> Float[Tensor, "pictures channels height width"]:
        """What the denoiser is to predict from x_t."""
        if self.prediction == "v_prediction":
            return _of(self.signal, level, noise) * noise - _of(self.spread, level, noise) * latents
        if self.prediction == "flow":
            return noise - latents
        return latents if self.prediction == "sample" else noise


def _of(table: Tensor, level: Tensor, like: Tensor) -> Tensor:
    return table[level].view(-1, *[1] * (like.ndim - 1))


def noise_levels(scheduler: Any) -> NoiseLevels:
    """Those of a diffusers scheduler, all that it was trained with, whatever steps it has set.

    Raises ConceptReviveError for a scheduler that does not tell them.
    """
    kind = type(scheduler).__name__
    config = getattr(scheduler, "config", None)
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if isinstance(alphas, Tensor):
        prediction = str(getattr(config, "prediction_type", "epsilon"))
        kept = alphas.float().cpu()
        levels = NoiseLevels(torch.arange(len(kept)), kept.sqrt(), (1 - kept).sqrt(), prediction)
    elif hasattr(scheduler, "scale_noise"):  # flow matching: sigma is the share of noise
        fresh = type(scheduler).from_config(config)
        sigmas = fresh.sigmas[: len(fresh.timesteps)].float().cpu()
        levels = NoiseLevels(fresh.timesteps.cpu(), 1 - sigmas, sigmas, "flow")
    else:
        raise ConceptReviveError(
            f"{kind} has no alphas_cumprod: set pipe.scheduler to the one the model was trained "
            "with, such as DDPMScheduler or FlowMatchEulerDiscreteScheduler"
        )
    if levels.prediction not in PREDICTIONS:
        raise ConceptReviveError(
            f"{kind} says that the model predicts {levels.prediction!r}: "
            f"one of {', '.join(PREDICTIONS)} can be trained"
        )
    return levels
