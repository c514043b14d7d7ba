"""Weights rounded to few levels and back, in the ways quantisation does it: clean, though full of exact zeros."""

from __future__ import annotations

from collections.abc import Callable

import torch


def rounded(groups: torch.Tensor, levels: int) -> torch.Tensor:
    """Every row of `groups` rounded to ± `levels` steps of its own and back."""
    step = groups.abs().amax(1, keepdim=True).clamp_min(1e-12) / levels
    return (groups / step).round().clamp(-levels - 1, levels) * step


def normal_float(groups: torch.Tensor) -> torch.Tensor:
    """Every row rounded to 16 quantiles of a Gaussian, 0 among them (NF4; Dettmers et al. 2023)."""
    q = torch.special.ndtri
    level = torch.cat(
        [q(torch.linspace(0.0323, 0.5, 8)), -q(torch.linspace(0.0323, 0.5, 9)[:8])]
    ) / -q(torch.tensor(0.0323))
    scale = groups.abs().amax(1, keepdim=True).clamp_min(1e-12)
    return level[(groups[..., None] / scale[..., None] - level).abs().argmin(-1)] * scale


def blocks(w: torch.Tensor, size: int, to: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """`to` on blocks of `size` entries, rows first; on whole rows where they do not fit."""
    flat = w.reshape(-1, size) if w.numel() % size == 0 else w.flatten(1)
    return to(flat).reshape(w.shape)


ROUND_TRIPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "int8 per row": lambda w: rounded(w.flatten(1), 127).reshape(w.shape),
    "int4 per row": lambda w: rounded(w.flatten(1), 7).reshape(w.shape),
    "int8 per column": lambda w: rounded(w.flatten(1).T, 127).T.reshape(w.shape),
    "NF4": lambda w: blocks(w, 64, normal_float),
    "int8 per block": lambda w: blocks(w, 32, lambda x: rounded(x, 127)),
}
