"""Checks of `notebooks/18_scorecard.py`."""

from __future__ import annotations

from math import ceil, comb
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
    "scorecard.1",
    mistaken=(14, lambda m, a: m * a, lambda m, a: (1 - a) ** m, lambda m, a: 1 - a**m),
)
def any_decided(answer: Any) -> Verdict:
    """1 − (1 − α)^m."""
    given = as_function(answer)
    for m, alpha in ((1, 0.05), (20, 0.05), (38, 0.01), (3, 0.5)):
        if abs(as_number(given(m, alpha)) - (1 - (1 - alpha) ** m)) > 1e-9:
            return wrong(f"it is another probability for {m} claims at {alpha:g}.")
    return right("from fourteen claims on, a decision about nothing is more likely than not.")


def _tail(up: int, down: int) -> float:
    n, least = up + down, min(up, down)
    return sum(comb(n, k) for k in range(least + 1)) / 2.0**n


@exercise(
    "scorecard.2",
    mistaken=(
        0.05,
        _tail,
        lambda up, down: 2 * _tail(up, down),
        lambda up, down: min(1.0, 2 * comb(up + down, min(up, down)) / 2 ** (up + down)),
        lambda up, down: min(1.0, 2 * sum(comb(up + down, k) for k in range(down + 1)) / 2**12),
    ),
)
def sign_test(answer: Any) -> Verdict:
    """Twice the smaller tail of a fair coin, at most 1."""
    given = as_function(answer)
    for up, down in ((12, 0), (0, 5), (9, 3), (3, 9), (4, 4), (1, 0)):
        truth = min(1.0, 2 * _tail(up, down))
        found = as_number(given(up, down))
        if found > 1:
            return wrong(f"{found:g} for {up} : {down} is no probability.")
        if abs(found - truth) > 1e-9:
            return wrong(f"it is another one for {up} : {down}: a split as uneven, either way.")
    return right("it asks about other concepts, and twelve can say something even to that.")


@exercise(
    "scorecard.3",
    mistaken=(
        3842,
        lambda s, d: s * (1.96 / d) ** 2,
        lambda s, d: int(s * (1.96 / d) ** 2),
        lambda s, d: ceil(s * 1.96 / d),
        lambda s, d: ceil((1.96 * s / d) ** 2),
        lambda s, d: ceil(s * (1 - s) * (1.96 / d) ** 2),
    ),
)
def pictures(answer: Any) -> Verdict:
    """The least whole n with 1.96 √(s / n) ≤ δ."""
    given = as_function(answer)
    for s, delta in ((0.1, 0.01), (0.3, 0.05), (0.2, 0.1), (0.75, 0.03)):
        found = as_number(given(s, delta), low=0)
        if found != int(found):
            return wrong("pictures come whole.")
        if found != ceil(s * (1.96 / delta) ** 2):
            return wrong(f"it takes another number where {s:g} differ and {delta:g} is asked for.")
    return right("half the difference takes four times the pictures.")
