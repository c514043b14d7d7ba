"""Checks of `notebooks/07_topk_neuron_max.py`."""

from __future__ import annotations

from math import erfc, sqrt
from typing import Any

from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise(
    "topk_neuron_max.1",
    mistaken=(0.001, lambda c: 0.001, lambda c: erfc(c), lambda c: erfc(c / sqrt(2)) / 2),
)
def share_above(answer: Any) -> Verdict:
    """P(|N(0, 1)| > c)."""
    given = as_function(answer)
    for c in (0.5, 1.0, 2.0, 3.0):
        found, truth = as_number(given(c), 0, 1), erfc(c / sqrt(2))
        if abs(found - truth / 2) < 1e-5:
            return wrong("that is one side; a size is above the largest on either.")
        if abs(found - truth) > 1e-5:
            return wrong(f"it is another share at c = {c:g}.")
    return right("the longer the row, the larger its largest, and the fewer lie above.")


@exercise(
    "topk_neuron_max.2",
    mistaken=(0.66, lambda q: 0.5, lambda q: q, lambda q: q / 2, lambda q: (2 * q - 1) / 2),
)
def least_share(answer: Any) -> Verdict:
    """An edge of half the mean edge so far: q' = (2q + 1) / 4."""
    given = as_function(answer)
    for q in (0.6, 0.82, 0.94, 1.0):
        if abs(as_number(given(q), 0, 1) - (2 * q + 1) / 4) > 1e-4:
            return wrong(f"it is another where {q:g} are right so far: is it an edge or a share?")
    return right("signs hardly better than a coin are worth it only where the others are, too.")


@exercise(
    "topk_neuron_max.3",
    mistaken=(
        (0.6, 1.67),
        lambda q: 2 * q - 1,
        lambda q: (1.0, 1.0),
        lambda q: (1 / (2 * q - 1), 2 * q - 1),
        lambda q: (q, 1 / q),
    ),
)
def two_sizes(answer: Any) -> Verdict:
    """Least squares: 2q − 1. Dose 1: 1 / (2q − 1)."""
    given = as_function(answer)
    for q in (0.6, 0.75, 0.9):
        found = given(q)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return wrong("return two sizes: of least error, and of dose 1.")
        least, whole = map(as_number, found)
        edge = 2 * q - 1
        if max(abs(least - 1 / edge), abs(whole - edge)) < 1e-4:
            return wrong("the other way round: least error first.")
        if abs(least - edge) > 1e-4:
            return wrong(f"with {q:g} of the signs right another size has less squared error.")
        if abs(whole - 1 / edge) > 1e-4:
            return wrong(f"with {q:g} of the signs right this size does not give a dose of 1.")
    return right("the less sure the signs, the further apart the two aims.")
