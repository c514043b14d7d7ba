"""The paper's defence: fill the pruned positions with Gaussian noise, so that no zero tells where they were (§5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from conceptrevive.defence.defaults import SIGMA
from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.fit import check_fit


def obfuscate(
    weights: Mapping[str, torch.Tensor],
    masks: Mapping[str, torch.Tensor],
    *,
    sigma: float = SIGMA,
    relative: bool = True,
    seed: int | None = None,
) -> dict[str, torch.Tensor]:
    """New weights with N(0, σ_M²) at the masked positions, all others bitwise unchanged; dtype and device kept.

    Args:
        sigma: σ_M; with `relative`, in units of σ_U, the standard deviation of the layer's surviving weights.
        seed: None draws noise that nobody can draw again, from 128 bits of the operating system's entropy: for weights that
            are given away. A number repeats an experiment, and gives the mask to whoever tries that number: see
            `redrawn_positions`.

    Raises:
        ConceptReviveError: negative or infinite sigma, noise that overflows the dtype, or masks that do not fit.
    """
    if not 0 <= sigma < float("inf"):
        raise ConceptReviveError(f"sigma is {sigma}: a standard deviation is ≥ 0 and finite")
    check_fit(weights, masks)
    draw = standard_normal(seed)
    out = {}
    for name, w in weights.items():
        if name not in masks:
            out[name] = w.clone()
            continue
        mask = masks[name].to(w.device)
        alive = w[~mask].float()
        scale = sigma * float(alive.std(correction=0)) if relative and alive.numel() else sigma
        noise = draw(w.shape).to(w.device) * scale
        noise = noise.to(w.dtype)
        if not torch.isfinite(noise[mask]).all():
            raise ConceptReviveError(
                f"{name}: noise of standard deviation {scale:.3g} overflows {w.dtype}: lower sigma"
            )
        if (
            scale > 0
        ):  # half precision rounds the smallest draws to 0, which would mark the place again
            tiny = torch.finfo(w.dtype).tiny
            noise = torch.where(
                noise == 0, torch.where(noise.signbit(), -tiny, tiny).to(w.dtype), noise
            )
        out[name] = torch.where(mask, noise, w)
    return out


def standard_normal(seed: int | None) -> Callable[[torch.Size], torch.Tensor]:
    """Standard normal draws in float32 on the CPU. torch's generator would take 32 bits of a seed, few enough to try."""
    if seed is None:
        secret = np.random.default_rng()
        return lambda shape: torch.from_numpy(
            secret.standard_normal(tuple(shape), dtype=np.float32)
        )
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator, dtype=torch.float32)


def modified_probability(
    w: torch.Tensor | float, alpha: float, sigma_m: torch.Tensor | float, sigma_u: float
) -> torch.Tensor:
    """p(w): probability that a value inside [−w, w] is a filled-in one (paper §5).

    Args:
        w: half-width ≥ 0. alpha: share of filled-in weights. sigma_m, sigma_u: standard deviations of the filled-in
            and of the untouched weights. w and sigma_m broadcast.
    """
    w, sigma_m = (
        torch.as_tensor(w, dtype=torch.float64),
        torch.as_tensor(sigma_m, dtype=torch.float64),
    )
    filled = alpha * torch.erf(w / (2**0.5 * sigma_m))
    untouched = (1 - alpha) * torch.erf(w / (2**0.5 * sigma_u))
    at_zero = (alpha / sigma_m) / (
        alpha / sigma_m + (1 - alpha) / sigma_u
    )  # the limit, by the densities
    return torch.where(w == 0, at_zero, filled / (filled + untouched))
