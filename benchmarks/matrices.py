"""Matrices of known structure, masks by ConceptPrune's rule: for weights not at hand."""

from __future__ import annotations

import torch

from conceptrevive.unlearning.conceptprune import wanda_mask

#: `ff.net.2` weights, (rows, columns, layers): Stable Diffusion 1.5, SDXL's UNet, and the pocket
#: model.
SHAPES = {
    "pocket": ((128, 512, 16),),
    "sd15": ((320, 1280, 5), (640, 2560, 5), (1280, 5120, 6)),
    "sdxl": ((640, 2560, 10), (1280, 5120, 60)),
}
SPECTRUM = (
    "rank rows/8, singular values of the factors falling as k^(-1/2), and noise of the same energy"
)


def structured(rows: int, columns: int, seed: int, *, noise: float = 1.0) -> torch.Tensor:
    """A matrix with `SPECTRUM`; unit root mean square, float32.

    Args:
        noise: energy of the i.i.d. part relative to the low-rank part's.
    """
    g = torch.Generator().manual_seed(seed)
    rank = max(1, rows // 8)
    weight = torch.arange(1, rank + 1) ** -0.25
    low = (torch.randn(rows, rank, generator=g) * weight) @ (
        torch.randn(columns, rank, generator=g) * weight
    ).T
    low = low / low.square().mean().sqrt() + noise**0.5 * torch.randn(rows, columns, generator=g)
    return low / low.square().mean().sqrt()


def concept_mask(
    weight: torch.Tensor, seed: int, *, skill_ratio: float = 0.02, tau: int = 10
) -> torch.Tensor:
    """A mask by ConceptPrune's rule from drawn column norms: log-normal, other at every step.

    The target's norms exceed the base's in half of the columns.
    """
    g = torch.Generator().manual_seed(seed + 1_000_000)
    columns = weight.shape[1]
    level = torch.randn(columns, generator=g).mul(0.5).exp()
    gain = torch.randn(columns, generator=g).mul(0.2).exp()
    mask = torch.zeros_like(weight, dtype=torch.bool)
    for _ in range(tau):
        base = level * torch.randn(columns, generator=g).mul(0.05).exp()
        mask |= wanda_mask(weight, base * gain, base, skill_ratio)
    return mask
