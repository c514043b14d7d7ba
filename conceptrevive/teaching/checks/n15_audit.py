"""Checks of `notebooks/15_audit.py`."""

from __future__ import annotations

import math
from typing import Any

import torch

from conceptrevive.auditing.significance import holm
from conceptrevive.intervals import wilson
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise("audit.1", mistaken=(100, 299, 380, 382, 1000, 381.5))
def audits_without_alarm(answer: Any) -> Verdict:
    """The least n whose Wilson interval for no alarm ends below 1 %."""
    given = as_number(answer, low=1)
    if given != int(given):
        return wrong("give a whole number of audits.")
    if wilson(0, int(given))[1] >= 0.01:
        return wrong("after so few the interval still reaches 1 %.")
    if wilson(0, int(given) - 1)[1] < 0.01:
        return wrong("one fewer is enough.")
    return right("and that holds only if the files are independent.")


def _each_by_itself(p: list[float], alpha: float) -> list[bool]:
    return [x <= alpha for x in p]


def _bonferroni(p: list[float], alpha: float) -> list[bool]:
    return [x <= alpha / len(p) for x in p]


def _without_end(p: list[float], alpha: float) -> list[bool]:
    order = sorted(p)
    return [x <= alpha / (len(p) - order.index(x)) for x in p]


@exercise("audit.2", mistaken=(True, _each_by_itself, _bonferroni, _without_end))
def many_questions(answer: Any) -> Verdict:
    """Holm's method, in the order of the p-values given."""
    given = as_function(answer)
    cases = (
        ([0.001, 0.2, 0.004, 0.02], 0.05),
        ([0.045, 0.03, 0.02, 0.04], 0.05),  # the smallest fails, and the largest alone would not
        ([0.03, 0.001, 0.045], 0.05),
        ([0.002], 0.01),
    )
    for p, alpha in cases:
        expected = holm([math.log10(x) for x in p], alpha, len(p))
        if [bool(x) for x in given(list(p), alpha)] != expected:
            return wrong(f"it is otherwise for {p} at {alpha:g}: go from the smallest, and stop.")
    return right("all that alpha divided by the number of questions accepts, and at times more.")


@exercise(
    "audit.3",
    mistaken=(
        True,
        lambda w: w == 0,
        lambda w: w.abs() == w.abs().amax(1, keepdim=True),
        lambda w: w.abs() == w.abs().max(),
        lambda w: w == w.amax(1, keepdim=True),
    ),
)
def raised_entries(answer: Any) -> Verdict:
    """Entries at ± their row's largest magnitude, where there are several."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(15)
    for dtype in (torch.float32, torch.float64):
        w = torch.randn(20, 120, generator=generator, dtype=dtype)
        mask = torch.rand(20, 120, generator=generator) < 0.1
        mask[:5] = False
        sign = torch.where(torch.rand(20, 120, generator=generator) < 0.5, -1.0, 1.0).to(dtype)
        top = w.masked_fill(mask, 0).abs().amax(1, keepdim=True)
        w = torch.where(mask, sign * top, w)
        w[4] = 0
        expected = (w.abs() == top) & mask.any(1, keepdim=True)
        found = given(w.clone())
        if not isinstance(found, torch.Tensor) or found.dtype != torch.bool:
            return wrong("return a boolean matrix.")
        if found.shape != w.shape:
            return wrong(f"the shape is {tuple(found.shape)}, not {tuple(w.shape)}.")
        if bool(found[:5].any()):
            return wrong("rows that repeat nothing, and rows of zeros, were not raised.")
        if not torch.equal(found, expected):
            return wrong("some entries are missing or too many: each row has its own, of any sign.")
    return right("revival by neuron max draws its own map, as zeros did.")
