"""Checks of `notebooks/01_quickstart.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.signs import sign_accuracy
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)

_ZEROS = torch.tensor([[0.0, 1.0], [2.0, 3.0]])


@exercise("quickstart.1", mistaken=((0.75, _ZEROS), (25, _ZEROS), ("a quarter", _ZEROS)))
def pruned_share(answer: Any, weight: Tensor) -> Verdict:
    """Exercise 1: the share of exact zeros."""
    given, truth = as_number(answer, 0, 1), float((weight == 0).float().mean())
    if abs(given - truth) < 1e-3:
        return right("whoever has the file can count this too.")
    if abs(given - (1 - truth)) < 1e-3:
        return wrong("that is the share that survived.")
    return wrong("compare the matrix with zero, and take the mean of what you get.")


_MATRIX = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
_GUESS = Completion(_MATRIX.abs() * -1, _MATRIX != 9, "conditional", 0, True)


@exercise("quickstart.2", mistaken=((0.75, _MATRIX, _GUESS), (-0.25, _MATRIX, _GUESS)))
def surest_signs(answer: Any, original: Tensor, completion: Completion) -> Verdict:
    """Exercise 2: sign accuracy of the surest tenth minus that of all."""
    given = as_number(answer, -1, 1)
    every, surest = sign_accuracy({"layer": original}, {"layer": completion}, top_k=0.1)
    if abs(given - (surest - every)) < 5e-3:
        return right("large completed values are the surer ones, which is why top-k helps.")
    if min(abs(given - surest), abs(given - every)) < 5e-3:
        return wrong("that is one of the two shares; take their difference.")
    return wrong("take the share among the surest tenth minus the share among all.")


_HALF = torch.tensor([[True, False], [False, True]])


@exercise(
    "quickstart.3",
    mistaken=(
        (0.3, _MATRIX, _HALF),
        (lambda weight, place, sigma: 0.5, _MATRIX, _HALF),
        (lambda weight, place, sigma: sigma, _MATRIX, _HALF),
        (lambda sigma: 0.5, _MATRIX, _HALF),
    ),
)
def louder_noise(answer: Any, weight: Tensor, place: Tensor) -> Verdict:
    """Exercise 3: with louder noise fewer of the smallest weights are noise."""
    function = as_function(answer)
    shares = [as_number(function(weight, place, s), 0, 1) for s in (1e-6, 0.0625, 0.25, 1.0)]
    if shares != sorted(shares, reverse=True) or shares[0] == shares[-1]:
        return wrong(
            "what do the smallest weights hold when the noise is quiet, and when it is loud?"
        )
    # Noise that is nearly zero is nearly always the smallest of its row.
    if shares[0] < 0.5:
        return wrong("with hardly any noise, most places should be found.")
    if shares[-1] > 3 * float(place.float().mean()):
        return wrong("noise like the other weights should be found little better than by chance.")
    return right("quiet noise is easy to spot: it lies among the smallest weights.")
