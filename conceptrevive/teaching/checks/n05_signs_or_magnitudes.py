"""Checks of `notebooks/05_signs_or_magnitudes.py`."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import torch

from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise(
    "signs_or_magnitudes.1",
    mistaken=(0.87, lambda a, b: 1.0, lambda a, b: (a + b) / 2, lambda a, b: 0.75**0.5),
)
def uniform_evenness(answer: Any) -> Verdict:
    """E a / √E a² of a uniform distribution."""
    given = as_function(answer)
    for a, b in ((0.0, 1.0), (1.0, 2.0), (0.5, 4.5), (3.0, 3.1)):
        square = (a * a + a * b + b * b) / 3
        if abs(as_number(given(a, b)) - (a + b) / 2 / sqrt(square)) > 1e-4:
            return wrong(f"it is another between {a:g} and {b:g}: mean over root of mean square.")
    return right("the further from zero, the more alike: pruning takes the far ones.")


@exercise(
    "signs_or_magnitudes.2",
    mistaken=(
        0.8,
        lambda wanted, kappa: (1 + wanted) / 2,
        lambda wanted, kappa: (1 - wanted / kappa) / 2,
        lambda wanted, kappa: (1 + wanted / kappa) / 2,
    ),
)
def needed_share(answer: Any) -> Verdict:
    """The share of right signs for a correlation: (1 + wanted / kappa) / 2, if that is one."""
    given = as_function(answer)
    for wanted, kappa in ((0.5, 0.8), (0.4, 0.93), (0.2, 1.0), (0.8, 0.8)):
        found = given(wanted, kappa)
        if found is None:
            return wrong(f"a correlation of {wanted:g} can be had where kappa is {kappa:g}.")
        if abs(as_number(found) - (1 + wanted / kappa) / 2) > 1e-6:
            return wrong(
                f"for {wanted:g} and kappa {kappa:g} it is another: give the share of right signs."
            )
    if given(0.9, 0.8) is not None:
        return wrong("with every sign right the correlation is kappa, and no more.")
    return right("a coin has half of them for nothing, so the way is shorter than it looks.")


@exercise("signs_or_magnitudes.3", mistaken=(0.5, 1.386, 0.833, -1.177, "large"))
def lognormal_spread(answer: Any) -> Verdict:
    """exp(−σ²/2) = 1 − 2/4."""
    given = as_number(answer)
    if given < 0:
        return wrong("a spread is not negative.")
    if abs(given - sqrt(2 * log(2))) < 2e-3:
        return right("more than one in six is then over three times the median.")
    if abs(given - 2 * log(2)) < 2e-3:
        return wrong("that is its square.")
    return wrong("which correlation is left when a quarter of the signs is wrong?")


@exercise(
    "signs_or_magnitudes.4",
    mistaken=(
        0.7,
        lambda w, guess: (w.sign() == guess.sign()).float().mean().item(),
        lambda w, guess: ((w * guess.sign()).sum() / w.abs().sum()).item(),
    ),
)
def trusted_share(answer: Any) -> Verdict:
    """Σ |w| over right signs / Σ |w|."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(5)
    for scale in (1.0, 0.01):
        w = scale * torch.randn(500, generator=generator)
        guess = w + scale * torch.randn(500, generator=generator)
        size = w.abs()
        expected = float(size[w.sign() == guess.sign()].sum() / size.sum())
        if abs(as_number(given(w.clone(), guess.clone())) - expected) > 1e-4:
            return wrong("put it into the formula: (2q − 1) times the evenness is not the cosine.")
    return right("errors on small weights cost little, and those are where a completion errs.")
