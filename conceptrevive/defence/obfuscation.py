"""The paper's defence: fill the pruned positions with Gaussian noise (§5).

No zero then tells where they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.defence.defaults import SIGMA
from conceptrevive.defence.precision import precision
from conceptrevive.errors import ConceptReviveError, expect, expect_number, expect_seed
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.fit import check_fit, check_not_empty


def obfuscate(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]],
    *,
    sigma: float = SIGMA,
    relative: bool = True,
    seed: int | None = None,
) -> Weights:
    """New weights with N(0, σ_M²) at the masked positions, all others bitwise unchanged.

    Dtype and device are kept; layers without a mask are copied. Where a layer's survivors are all
    values of a narrower float format (a float16 checkpoint held in float32), the noise is rounded
    to it: digits that no survivor has would mark its places. Survivors on a coarser grid, as
    quantisation leaves, cannot be joined so: noise beside them can be read off.

    Args:
        sigma: σ_M; with `relative`, in units of σ_U, the standard deviation of the layer's
            surviving weights.
        seed: None draws noise that nobody can draw again, from 128 bits of the operating system's
            entropy: for weights that are given away. A number repeats an experiment, and gives the
            mask to whoever tries that number: see `redrawn_positions`.

    Raises:
        ConceptReviveError: negative or infinite sigma, noise that overflows the dtype, or masks
            that do not fit or hold no entry.
    """
    expect_number(sigma, "sigma")
    if not 0 <= sigma < float("inf"):
        raise ConceptReviveError(f"sigma is {sigma}: a standard deviation is ≥ 0 and finite")
    expect(relative, bool, "relative", "give True (sigma in units of σ_U) or False")
    check_fit(weights, masks)
    check_not_empty(masks)
    draw = standard_normal(seed)
    out = {}
    for name, w in weights.items():
        if name in masks:
            mask = masks[name].to(w.device)
            # Eight-bit floats can be stored and hardly computed with; float32 holds them exactly.
            held = w.float() if w.element_size() == 1 else w
            noise = _noise(name, held, mask, sigma, relative, draw)
            out[name] = torch.where(mask, noise, held).to(w.dtype)
        else:
            out[name] = w.clone()
    return out


def _noise(
    name: str,
    w: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"],
    sigma: float,
    relative: bool,
    draw: Callable[[torch.Size], Tensor],
) -> Float[Tensor, "rows columns"]:
    """Noise for a whole layer, in its dtype and its survivors' precision; finite where the mask is,
    and nowhere 0.
    """
    survivors = w[~mask]
    written, alive = precision(survivors), survivors.float()
    scale = sigma * float(alive.std(correction=0)) if relative and alive.numel() else sigma
    if math.isnan(scale):
        raise ConceptReviveError(
            f"{name}: surviving entries hold NaN or Inf: the checkpoint is damaged, load it again"
        )
    drawn = draw(w.shape).to(w.device) * scale
    # Looked at before it is rounded: some formats have no infinity, and stop at their largest.
    if not (drawn[mask].abs() <= torch.finfo(written).max).all():
        raise ConceptReviveError(
            f"{name}: noise of standard deviation {scale:.3g} overflows {written}: lower sigma"
        )
    noise = drawn.to(written).to(w.dtype)
    if scale > 0:
        # Half precision rounds the smallest draws to 0, which would mark the place again.
        tiny = max(_least(written), _least(w.dtype))
        least = torch.where(noise.signbit(), -tiny, tiny).to(w.dtype)
        noise = torch.where(noise == 0, least, noise)
    return noise


def _least(dtype: torch.dtype) -> float:
    """The smallest number > 0 that survives arithmetic: subnormal only where normal ones are large,
    for some machines take float32's for 0.
    """
    told = torch.finfo(dtype)
    return told.tiny if told.tiny < 1e-30 else told.tiny * told.eps


def standard_normal(seed: int | None) -> Callable[[torch.Size], Tensor]:
    """Standard normal draws in float32 on the CPU.

    torch's generator would take 32 bits of a secret seed, few enough to try.
    """
    if seed is None:
        secret = np.random.default_rng()
        return lambda shape: torch.from_numpy(
            secret.standard_normal(tuple(shape), dtype=np.float32)
        )
    expect_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))
    return lambda shape: torch.randn(shape, generator=generator, dtype=torch.float32)


def modified_probability(
    w: Tensor | float, alpha: float, sigma_m: Tensor | float, sigma_u: float
) -> Float[Tensor, "*broadcast"]:
    """p(w): probability that a value inside [−w, w] is a filled-in one (paper §5).

    Args:
        w: half-width ≥ 0.
        alpha: share of filled-in weights, in [0, 1].
        sigma_m, sigma_u: standard deviations > 0 of the filled-in and of the untouched weights.
            w and sigma_m broadcast.

    Raises:
        ConceptReviveError: a value out of range.
    """
    w, sigma_m = _numbers(w, "w"), _numbers(sigma_m, "sigma_m")
    expect_number(alpha, "alpha")
    expect_number(sigma_u, "sigma_u")
    if not bool((w >= 0).all()):
        raise ConceptReviveError("w has values that are not ≥ 0: it is half of an interval's width")
    if not 0 <= alpha <= 1:
        raise ConceptReviveError(f"alpha is {alpha}: it is a share of the weights, in [0, 1]")
    if not (bool((sigma_m > 0).all()) and sigma_u > 0):
        raise ConceptReviveError("sigma_m and sigma_u are standard deviations: give numbers > 0")
    filled = alpha * torch.erf(w / (2**0.5 * sigma_m))
    untouched = (1 - alpha) * torch.erf(w / (2**0.5 * sigma_u))
    # The limit at w = 0, by the densities.
    at_zero = (alpha / sigma_m) / (alpha / sigma_m + (1 - alpha) / sigma_u)
    return torch.where(w == 0, at_zero, filled / (filled + untouched))


def _numbers(value: Tensor | float, name: str) -> Float[Tensor, "*shape"]:
    if not isinstance(value, Tensor):
        expect_number(value, name)
    return torch.as_tensor(value, dtype=torch.float64)
