"""Checks of `notebooks/04_the_scar.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from conceptrevive.teaching.exercises import (
    Verdict,
    as_choice,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise("the_scar.1", mistaken=(0.05, lambda p: p, lambda p: p * p, lambda p: p / 2))
def unrelated_masks(answer: Any) -> Verdict:
    """The Jaccard index of independent masks of a share p each: p / (2 − p)."""
    given = as_function(answer)
    for p in (0.01, 0.1, 0.5, 1.0):
        if abs(as_number(given(p)) - p / (2 - p)) > 1e-6:
            return wrong(f"it is another for p = {p:g}: what is in both, over what is in either?")
    return right("whatever is far above it is no accident.")


@exercise(
    "the_scar.2",
    mistaken=(
        True,
        lambda w: w == 0,
        lambda w: w == w.mode(dim=1, keepdim=True).values,
        lambda w: w.abs() == w.abs().flatten().mode().values,
    ),
)
def row_constants(answer: Any) -> Verdict:
    """Entries of a row's own repeated value; rows without one hold nothing."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(4)
    for dtype in (torch.float32, torch.float64):
        w = torch.randn(20, 120, generator=generator, dtype=dtype)
        mask = torch.rand(20, 120, generator=generator) < 0.1
        mask[:5] = False
        constant = torch.randn(20, 1, generator=generator, dtype=dtype)
        found = given(torch.where(mask, constant, w))
        if not isinstance(found, torch.Tensor) or found.dtype != torch.bool:
            return wrong("return a boolean matrix.")
        if found.shape != mask.shape:
            return wrong(f"the shape is {tuple(found.shape)}, not {tuple(mask.shape)}.")
        if bool(found[:5].any()):
            return wrong("rows that were not pruned hold nothing: an entry alone is no repetition.")
        if not torch.equal(found, mask):
            return wrong("some rows are read wrongly: each has a constant of its own, of any sign.")
    return right("a constant hides a zero no better than the zero did.")


_BICYCLE = {"bicycle": 0.5, "cat": 0.3, "bus": 0.4}


@exercise("the_scar.3", mistaken=(("bicycle", _BICYCLE), ("cat", _BICYCLE), (3, _BICYCLE)))
def mistaken_concept(answer: Any, scores: Mapping[str, float]) -> Verdict:
    """The nearest candidate for the bicycle's model without the bicycle itself."""
    given = as_choice(answer, tuple(scores))
    if given == "bicycle":
        return wrong("the bicycle is not on their list.")
    if any(scores[name] > scores[given] for name in scores if name != "bicycle"):
        return wrong("another candidate has a larger index in that row.")
    return right("compare its index with those of right answers, few as these are.")
