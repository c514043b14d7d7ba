"""Rows and columns of a matrix: brought to one spread, and how many of them stand on their own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.detectors.evidence import live

INDEPENDENT = 0.5  # share of independent lines below which entries are no separate draws


def evened(weight: Float[Tensor, "rows columns"]) -> Float[Tensor, "some others"]:
    """The live rows and columns, scaled to unit spread a few times in turn; float32."""
    rows, columns = live(weight)
    u = weight[rows][:, columns].float()
    for _ in range(4):
        u = u / u.square().mean(1, keepdim=True).sqrt()
        u = u / u.square().mean(0, keepdim=True).sqrt()
    return u


def independence(u: Float[Tensor, "rows columns"]) -> float:
    """Effective rank over the smaller of rows and columns, 0 to 1.

    The effective rank is exp of the entropy of the singular values' shares (Roy and Vetterli 2007).
    Training that shrinks what it does not use leaves matrices of few independent lines: their rows
    resemble one another, so that counts over them vary far more than those of separate draws.
    """
    gram = (u @ u.T if u.shape[0] <= u.shape[1] else u.T @ u).double()
    values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    share = values / values.sum()
    entropy = -(share * share.clamp_min(1e-300).log()).sum()
    return float(entropy.exp()) / len(values)
