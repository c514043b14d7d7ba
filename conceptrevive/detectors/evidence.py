"""One test's answer on one matrix, and which matrices can be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

LEAST = 64  # live entries, and 4 rows and columns: below that a matrix says nothing


@dataclass(frozen=True)
class Evidence:
    """One test's answer on one matrix.

    Attributes:
        test: "zeros", "repeats" or "noise".
        log_p: log10 of (an upper bound of) the probability of as much under the null hypothesis.
        effect: its size, in the unit named by the test's docstring; 0 where there is nothing.
        detail: numbers behind it.
    """

    test: str
    log_p: float = 0.0
    effect: float = 0.0
    detail: dict[str, float] = field(default_factory=dict)


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """(rows, the rest): convolutions become matrices by flattening all but the first axis."""
    return weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, -1)


def live(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns with a non-zero entry: bool (rows,), bool (columns,)."""
    there = weight != 0
    return there.any(1), there.any(0)


def testable(weight: torch.Tensor) -> bool:
    """Whether a matrix is large enough to say anything."""
    return weight.ndim == 2 and min(weight.shape) >= 4 and weight.numel() >= LEAST
