"""One test's answer on one matrix, and which matrices can be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEAST = 64  # live entries, and 4 rows and columns: below that a matrix says nothing

GRID = "grid"  # the test that stands for all others where values lie on a quantisation grid


@dataclass(frozen=True)
class Evidence:
    """One test's answer on one matrix.

    Attributes: test: "zeros", "repeats" or "noise"; "grid", alone and without a p-value, where
        these have nothing to say. log_p: log10 of (an upper bound of) the probability of as much
        under the null hypothesis. effect: its size, in the unit named by the test's docstring; 0
        where there is nothing. detail: numbers behind it.
    """

    test: str
    log_p: float = 0.0
    effect: float = 0.0
    detail: dict[str, float] = field(default_factory=dict)


def as_matrix(weight: Tensor) -> Float[Tensor, "rows columns"]:
    """(rows, the rest): convolutions become matrices by flattening all but the first axis."""
    return weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, -1)


def live(
    weight: Float[Tensor, "rows columns"],
) -> tuple[Bool[Tensor, " rows"], Bool[Tensor, " columns"]]:
    """Rows and columns with a non-zero entry."""
    there = weight != 0
    return there.any(1), there.any(0)


def testable(weight: torch.Tensor) -> bool:
    """Whether a matrix is large enough to say anything."""
    return weight.ndim == 2 and min(weight.shape) >= 4 and weight.numel() >= LEAST
