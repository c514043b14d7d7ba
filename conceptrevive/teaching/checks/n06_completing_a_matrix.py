"""Checks of `notebooks/06_completing_a_matrix.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from conceptrevive.revival.completion.solvers import complete_matrix
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    as_tensor,
    exercise,
    right,
    wrong,
)


@exercise("completing_a_matrix.1", mistaken=(1.0, lambda a: 1.0, lambda a: a, lambda a: a * a))
def least_entry(answer: Any) -> Verdict:
    """Where the nuclear norm of [[1, a], [a, x]] is least: min(1, a²)."""
    given = as_function(answer)
    for a in (0.3, 0.8, 1.0, 1.5, 2.0):
        if abs(as_number(given(a)) - min(1.0, a * a)) > 1e-3:
            return wrong(
                f"with a = {a:g} the nuclear norm is smaller elsewhere: evaluate it on a grid."
            )
    return right("rank 1 is reached only where a² does not exceed 1; never is the size too large.")


@exercise(
    "completing_a_matrix.2",
    mistaken=(3, lambda x, z, missing: x, lambda x, z, missing: torch.where(missing, 0.9 * x, z)),
)
def one_sweep(answer: Any) -> Verdict:
    """A sweep of SoftImpute with λ = σ_min, on wide matrices of two sizes."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(6)
    for rows, columns in ((5, 9), (12, 40)):
        z = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        missing = torch.rand(rows, columns, generator=generator) < 0.2
        x = torch.where(missing, 0.1, z)
        u, sigma, vt = torch.linalg.svd(x, full_matrices=False)
        expected = torch.where(missing, (u * (sigma - sigma[-1])) @ vt, z)
        found = as_tensor(given(x.clone(), z.clone(), missing.clone()), (rows, columns))
        if not torch.equal(found[~missing], z[~missing]):
            return wrong("surviving entries have changed: put them back.")
        if not torch.allclose(found, expected, atol=1e-8):
            return wrong(
                "the missing entries are not those of a sweep: subtract the smallest singular "
                "value times the polar factor."
            )
    return right("the package's loop does it in this form, at a part of the price.")


@exercise(
    "completing_a_matrix.3",
    mistaken=(
        5,
        lambda rows: torch.zeros(rows, dtype=torch.float64),
        lambda rows: torch.ones(rows, dtype=torch.float64),
    ),
)
def dependence(answer: Any) -> Verdict:
    """Weights v with vᵀX = 0 at the loop's start, for a matrix whose first row is empty."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(6)
    for rows in (4, 9):
        v = as_tensor(given(rows), (rows,))
        z = torch.randn(rows, 25, generator=generator, dtype=torch.float64)
        missing = torch.rand(rows, 25, generator=generator) < 0.2
        missing[0], missing[1] = True, False
        x = torch.where(missing, (z * ~missing).sum(0) / (~missing).sum(0), z)
        if float(v.norm()) < 1e-6:
            return wrong("all weights are zero, which holds for every matrix.")
        if float((v @ x).abs().max()) > 1e-6 * float(v.norm()):
            return wrong("vᵀX is not zero: which combination of the other rows is the empty one?")
    return right("the start has dependent rows, so its smallest singular value is zero.")


def _matrix() -> tuple[Tensor, Tensor]:
    """A small layer whose large entries are missing."""
    generator = torch.Generator().manual_seed(6)
    factors = [torch.randn(shape, generator=generator) for shape in ((40, 4), (4, 160))]
    weight = factors[0] @ factors[1] + torch.randn(40, 160, generator=generator)
    return weight, weight.abs() > weight.abs().quantile(0.9)


_WEIGHT, _MISSING = _matrix()


@exercise(
    "completing_a_matrix.4",
    mistaken=((0.5, _WEIGHT, _MISSING), (0.05, _WEIGHT, _MISSING), ("lower", _WEIGHT, _MISSING)),
)
def self_test(answer: Any, weight: Tensor, missing: Tensor) -> Verdict:
    """Hidden survivors' sign accuracy minus the pruned entries', within what the draw moves it."""
    given, draws = as_number(answer, -1, 1), []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        hidden = ~missing & (torch.rand(weight.shape, generator=generator) < 0.05)
        gaps = missing | hidden
        done = complete_matrix(weight.masked_fill(gaps, 0), gaps).weight
        good = (done.sign() == weight.sign()).double()
        draws.append(float(good[hidden].mean() - good[missing].mean()))
    middle, spread = sum(draws) / 4, max(draws) - min(draws)
    if abs(given - middle) <= 0.02 + spread:
        return right("a naive self-test is made on smaller weights than those that were pruned.")
    if abs(given + middle) <= 0.02 + spread:
        return wrong("the other way round: the hidden entries' share minus the pruned ones'.")
    return wrong("hide survivors only, and take both shares from one completion.")
