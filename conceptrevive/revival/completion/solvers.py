"""Fill in the pruned entries of many matrices, or of one, from the surviving ones (paper §3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect_number, expect_whole
from conceptrevive.revival.completion.conditional import conditional_mean
from conceptrevive.revival.completion.layers import (
    STACK_ENTRIES,
    Fill,
    Filled,
    complete_with,
    one_by_one,
)
from conceptrevive.revival.completion.prior import mean_field
from conceptrevive.revival.completion.problems import Completion, Problem
from conceptrevive.revival.completion.softimpute import soft_impute
from conceptrevive.revival.defaults import SOLVER, SOLVERS, Solver

#: By `conditional`, to which company does not matter, and gains large layers nothing.
CONDITIONAL_ENTRIES = 1 << 22


def complete(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]] | None = None,
    *,
    solver: Solver = SOLVER,
    max_iterations: int | None = None,
    tolerance: float | None = None,
    ridge: float | None = None,
    side: Mapping[str, Float[Tensor, "any_rows columns"]] | None = None,
) -> dict[str, Completion]:
    """Estimate the pruned entries of every masked layer from its surviving ones (paper §3.2).

    Layers of one shape are solved together. `prior` chooses how far thresholds are to be trusted
    once for those, so that one of them solved alone may differ where the choice does.

    Args:
        weights: {module name: matrix of any float dtype}. Values at pruned positions are never
            read.
        masks: True = pruned; the layers named here are completed. None takes the exact zeros of
            every layer.
        solver: "conditional", the closed-form Gaussian conditional mean; "prior", the same given
            that pruned entries are large; "paper", SoftImpute as released.
        max_iterations: default 500 (`paper`), 100 (`prior`), 200 (`conditional`).
        tolerance: relative change (`paper`, default 1e-5; `prior`, 1e-2), or relative residual
            (`conditional`, default 1e-8, 1e-4 in float32).
        ridge: added to the row covariance's diagonal, relative to its mean; None takes the one that
            best predicts the surviving entries, each left out in turn. `paper` has none.
        side: intact values that belong to the same columns, keyed like `weights` (`conditional` and
            `prior`; see `read_side`).

    Rows without a surviving entry stay 0, with a warning; columns without one are filled with 0.
    Weights on Apple's GPU, which has no float64, are completed on the CPU, and a warning says so
    once.

    Returns:
        {module name: Completion}, in the order of the masks.

    Raises:
        ConceptReviveError: not a float matrix, mask of another shape or dtype, NaN or Inf, an
            unknown solver or an option out of range, side information that does not fit.
    """
    _check_options(solver, max_iterations, tolerance, ridge)
    options: dict[str, Any] = dict(tolerance=tolerance)
    if max_iterations is not None:
        options["limit"] = int(max_iterations)
    if side is not None and solver == "paper":
        raise ConceptReviveError(
            "solver 'paper' takes no side information: choose 'conditional' or 'prior'"
        )
    if solver == "paper":
        fill: Fill = partial(one_by_one, soft_impute, **options)
    else:
        fill = partial(_stacked, solver, ridge=ridge, **options)
    entries = CONDITIONAL_ENTRIES if solver == "conditional" else STACK_ENTRIES
    return complete_with(
        fill, weights, masks, side, solver=solver, exact=solver == "paper", entries=entries
    )


def _check_options(
    solver: str, max_iterations: int | None, tolerance: float | None, ridge: float | None
) -> None:
    if solver not in SOLVERS:
        raise ConceptReviveError(
            f"solver {solver!r} is unknown: choose one of {', '.join(SOLVERS)}"
        )
    if max_iterations is not None:
        expect_whole(max_iterations, "max_iterations")
        if max_iterations < 1:
            raise ConceptReviveError(f"max_iterations is {max_iterations}: it must be at least 1")
    if tolerance is not None:
        expect_number(tolerance, "tolerance")
        if not 0 < tolerance < math.inf:
            raise ConceptReviveError(
                f"tolerance is {tolerance}: it is a relative change or residual, above 0"
            )
    if ridge is not None:
        expect_number(ridge, "ridge")
        if not 0 <= ridge < math.inf:
            raise ConceptReviveError(
                f"ridge is {ridge}: it is a share of the covariance's mean diagonal, 0 or above"
            )


def complete_matrix(
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    *,
    solver: Solver = SOLVER,
    max_iterations: int | None = None,
    tolerance: float | None = None,
    ridge: float | None = None,
    side: Float[Tensor, "any_rows columns"] | None = None,
    name: str = "weight",
) -> Completion:
    """`complete` for one matrix; `name` is what messages call it."""
    done = complete(
        {name: weight},
        None if mask is None else {name: mask},
        solver=solver,
        max_iterations=max_iterations,
        tolerance=tolerance,
        ridge=ridge,
        side=None if side is None else {name: side},
    )
    return done[name]


def _stacked(
    solver: str, problems: Sequence[Problem], *, ridge: float | None, **options: Any
) -> list[Filled]:
    run = conditional_mean if solver == "conditional" else mean_field
    z, gaps = _stack([p.z for p in problems]), _stack([p.gaps for p in problems])
    sides = [p.side for p in problems if p.side is not None]
    side = _stack(sides) if sides else None
    filled, n, ok, *_ = run(z, gaps, side=side, ridge=ridge, name=problems[0].name, **options)
    return [(x, n, bool(done)) for x, done in zip(filled, ok, strict=True)]


def _stack(matrices: list[Tensor]) -> Tensor:
    """`torch.stack`, without a copy where there is one."""
    return torch.stack(matrices) if len(matrices) > 1 else matrices[0][None]
