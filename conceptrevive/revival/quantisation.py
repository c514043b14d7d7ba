"""Quant Recover, the paper's baseline: weights rounded to few bits and back (paper §4, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect_whole
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.fit import check_matrices

#: One bit has no level beside 0; more than sixteen leave float16 as it is.
BITS = range(2, 17)


def quantise(weights: Mapping[str, Float[Tensor, "rows columns"]], bits: int = 4) -> Weights:
    """New weights, each output row rounded to the nearest of 2^`bits` levels and back.

    The grid is symmetric: a step is the row's largest |w| / (2^(bits − 1) − 1), so 0 is a level,
    and an exact zero stays one. Dtype and device are kept.

    Raises:
        ConceptReviveError: `bits` out of range, or weights that are no matrices.
    """
    check_matrices(weights)
    expect_whole(bits, "bits")
    if bits not in BITS:
        raise ConceptReviveError(f"bits is {bits}: give {BITS[0]} to {BITS[-1]} bits an entry")
    return {name: _rounded(w, 2 ** (bits - 1) - 1) for name, w in weights.items()}


def _rounded(weight: Float[Tensor, "rows columns"], levels: int) -> Float[Tensor, "rows columns"]:
    """`weight` rounded to −levels − 1 … levels steps of each row and back."""
    if not weight.numel():
        return weight.clone()
    exact = weight.float()
    step = exact.abs().amax(1, keepdim=True) / levels
    steps = (exact / step.masked_fill(step == 0, 1)).round().clamp(-levels - 1, levels)
    return (steps * step).to(weight.dtype)
