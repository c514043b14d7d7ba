"""Checks of `notebooks/02_pocket_model.py`."""

from __future__ import annotations

from typing import Any

import torch

from conceptrevive.intervals import wilson
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    as_tensor,
    exercise,
    right,
    wrong,
)


@exercise(
    "pocket_model.1",
    mistaken=(
        0.5,
        lambda x, eps, alpha: x - eps,
        lambda x, eps, alpha: (x - (1 - alpha) * eps) / alpha,
        lambda x, eps, alpha: x - (1 - alpha).sqrt() * eps,
    ),
)
def picture_in_mind(answer: Any) -> Verdict:
    """Exercise 1: x₀ from x_t, the noise and ᾱ_t."""
    function, source = as_function(answer), torch.Generator().manual_seed(0)
    for alpha in (torch.tensor(0.9), torch.tensor(0.02)):
        clean, eps = torch.randn(2, 3, 8, 4, 4, generator=source)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * eps
        given = as_tensor(function(noisy, eps, alpha), clean.shape)
        if not torch.allclose(given, clean.double(), atol=1e-3):
            return wrong("mix a latent with noise yourself: your function should give it back.")
    return right("from the true noise the latent comes back; a guess is off by much at small ᾱ.")


@exercise(
    "pocket_model.2",
    mistaken=(
        3,
        lambda weight, z, j: z[:, j] * weight[0, j],
        lambda weight, z, j: z @ weight.T,
        lambda weight, z, j: z[:, j, None] * weight[:, j].abs(),
        lambda weight, z, j: z[:, j, None] * weight[j, : len(weight)],
    ),
)
def unit_part(answer: Any) -> Verdict:
    """Exercise 2: one column's share of the output."""
    function, source = as_function(answer), torch.Generator().manual_seed(0)
    weight, z = torch.randn(4, 16, generator=source), torch.randn(5, 16, generator=source)
    parts = [as_tensor(function(weight, z, j), (5, 4)) for j in range(16)]
    whole = (z @ weight.T).double()
    if not torch.allclose(torch.stack(parts).sum(0), whole, atol=1e-4):
        return wrong("added over all columns, the parts should be z @ weight.T.")
    if not torch.allclose(parts[3], torch.outer(z[:, 3], weight[:, 3]).double(), atol=1e-5):
        return wrong("the parts add up, but one of them holds other columns' too.")
    return right("each weight of the column meets the same z_j, so its part is as large as both.")


@exercise("pocket_model.3", mistaken=(45, 46, 49, 51, 0.9, "all"))
def enough_of_fifty(answer: Any) -> Verdict:
    """Exercise 3: the fewest hits of 50 whose interval lies above 0.90."""
    given = as_number(answer, 0, 50)
    truth = next(hits for hits in range(51) if wilson(hits, 50)[0] > 0.90)
    if given == truth:
        return right("fifty pictures cannot tell an object drawn at 0.96 from one below 0.90.")
    return wrong("try some numbers in `cr.wilson(hits, 50)`, and look at the lower end.")
