"""Checks of `notebooks/08_reviving_objects.py`."""

from __future__ import annotations

from math import comb, sqrt
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
    "reviving_objects.1",
    mistaken=(
        0.5,
        lambda bits: 1 / (2 ** (bits - 1) - 1),
        lambda bits: 0.5 / 2 ** (bits - 1),
        lambda bits: 0.5 / (2**bits - 1),
    ),
)
def dead_below(answer: Any) -> Verdict:
    """Half a step: 1 / 2 (2^(bits − 1) − 1)."""
    given = as_function(answer)
    for bits in (2, 3, 4, 8):
        step = 1 / (2 ** (bits - 1) - 1)
        found = as_number(given(bits), 0, 1)
        if bits != 2 and abs(found - step) < 1e-6:
            return wrong("a whole step is rounded to itself: what is the nearest level of less?")
        if abs(found - step / 2) > 1e-6:
            return wrong(f"it is another share at {bits} bits: how long is the step there?")
    return right("at 2 bits half of the largest is the limit: nine in ten weights lie below it.")


def expected_luck(m: int, n: int, p: float) -> float:
    """E[max of m binomials] / n − p, exactly."""
    total, below = 0.0, 0.0
    for hits in range(n):
        below += comb(n, hits) * p**hits * (1 - p) ** (n - hits)
        total += 1 - below**m
    return total / n - p


@exercise(
    "reviving_objects.2",
    mistaken=(
        0.19,
        lambda m, n, p: 0.0,
        lambda m, n, p: expected_luck(m, n, p) + p,
        lambda m, n, p: sqrt(p * (1 - p) / n),
        lambda m, n, p: expected_luck(m, n, p) * n,
    ),
)
def overstated(answer: Any) -> Verdict:
    """The expected maximum minus the truth."""
    given = as_function(answer)
    for m, n, p in ((10, 16, 0.4), (30, 192, 0.4), (2, 50, 0.1), (1, 16, 0.4)):
        found, truth = as_number(given(m, n, p)), expected_luck(m, n, p)
        if abs(found - truth - p) < 0.01:
            return wrong("that is the rate of the best: by how much is it more than the truth?")
        if abs(found - truth) > 0.01:
            return wrong(f"it is another number for m = {m}, n = {n}, p = {p:g}.")
    return right("luck grows with the number of variants, and shrinks with that of pictures.")


@exercise(
    "reviving_objects.3",
    mistaken=(
        (0.1, 0.4),
        lambda gains: (min(gains), max(gains)),
        lambda gains: _student(gains, 1.96, 1),
        lambda gains: _student(gains, None, 0),
        lambda gains: tuple(reversed(_student(gains, None, 1))),
    ),
)
def interval(answer: Any) -> Verdict:
    """Student's interval of a mean."""
    given = as_function(answer)
    for gains in ([0.0, 0.1, 0.5, 0.3], [0.2, 0.3, 0.25], [float(i % 5) for i in range(12)]):
        found = given(list(gains))
        if not hasattr(found, "__len__") or len(found) != 2:
            return wrong("return two numbers: the lower end and the upper one.")
        low, high = (as_number(end) for end in found)
        lower, upper = _student(gains, None, 1)
        if low > high:
            return wrong("the lower end comes first.")
        if abs(low + high - lower - upper) > 1e-4:
            return wrong("its middle should be the mean.")
        if abs(high - low - upper + lower) > 1e-3:
            narrow = "narrow" if high - low < upper - lower else "wide"
            return wrong(f"it is too {narrow} for {len(gains)} objects.")
    return right("few draws with a wide spread: that is what twelve objects can say of others.")


def _student(gains: Any, factor: float | None, less: int) -> tuple[float, float]:
    """The mean ± factor × standard error; None takes Student's, `less` is what n is less by."""
    from scipy.special import stdtrit

    n = len(gains)
    mean = sum(gains) / n
    spread = sqrt(sum((g - mean) ** 2 for g in gains) / (n - less))
    half = (float(stdtrit(n - 1, 0.975)) if factor is None else factor) * spread / sqrt(n)
    return mean - half, mean + half
