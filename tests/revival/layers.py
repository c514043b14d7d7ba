"""Matrices whose truth is known, as the tests of completion want them."""

from __future__ import annotations

import math

import torch


def layer(seed, rows=32, columns=128, rank=6, noise=0.5, share=0.1, largest=True):
    """Low rank plus noise, (truth, mask).

    Pruned are the largest of each row, in half of the columns, or entries at random.
    """
    g = torch.Generator().manual_seed(seed)
    truth = (
        torch.randn(rows, rank, generator=g)
        @ torch.randn(rank, columns, generator=g)
        / math.sqrt(rank)
    )
    truth = (truth + noise * torch.randn(rows, columns, generator=g)).double()
    if not largest:
        return truth, torch.rand(rows, columns, generator=g) < share
    activations = torch.randn(columns, generator=g).mul(0.3).exp() * (
        torch.rand(columns, generator=g) < 0.5
    )
    top = (truth.abs() * activations).topk(round(share * columns), dim=1).indices
    return truth, torch.zeros(rows, columns, dtype=torch.bool).scatter_(1, top, True)


def share_right(estimate, truth, mask):
    return float((estimate.sign() == truth.sign())[mask].double().mean())
