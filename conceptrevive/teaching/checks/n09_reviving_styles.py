"""Checks of `notebooks/09_reviving_styles.py`."""

from __future__ import annotations

from math import sqrt
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
    "reviving_styles.1",
    mistaken=(
        0.0,
        lambda m1, s1, m2, s2: (m1 - m2) ** 2,
        lambda m1, s1, m2, s2: (m1 - m2) ** 2 + (s1**2 - s2**2) ** 2,
        lambda m1, s1, m2, s2: (m1 - m2) ** 2 + s1**2 + s2**2,
        lambda m1, s1, m2, s2: sqrt((m1 - m2) ** 2 + (s1 - s2) ** 2),
    ),
)
def one_feature(answer: Any) -> Verdict:
    """(m1 - m2)² + (s1 - s2)²."""
    given = as_function(answer)
    for m1, s1, m2, s2 in ((0, 1, 0, 1), (1, 1, 3, 1), (0, 1, 0, 3), (1, 0.5, -1, 2)):
        found, truth = as_number(given(m1, s1, m2, s2)), (m1 - m2) ** 2 + (s1 - s2) ** 2
        if abs(found - truth) > 1e-6:
            where = f"means {m1} and {m2}, deviations {s1} and {s2}"
            root = abs(found - sqrt(truth)) < 1e-6
            return wrong("FID is the square." if root else f"it is another number for {where}.")
    return right("a set that is right on average and too uniform is as far off as one that is not.")


@exercise(
    "reviving_styles.2",
    mistaken=(
        0.0,
        lambda counts, values: min(values),
        lambda counts, values: values[-1],
        lambda counts, values: _line(counts, values)[1],
        lambda counts, values: _line([1 / n for n in counts], values)[0],
    ),
)
def at_infinity(answer: Any) -> Verdict:
    """The intercept of the line in 1/n."""
    given = as_function(answer)
    tables = (
        ([50, 100, 200], [3.0, 2.0, 1.5]),
        ([24, 48, 96, 192], [5.0, 3.1, 1.8, 1.4]),
        ([10, 20], [0.0, 1.0]),
    )
    for counts, values in tables:
        truth, slope = _line(counts, values)
        found = as_number(given(list(counts), list(values)))
        if abs(found - slope) < 1e-6:
            return wrong("that is the slope: where does the line meet 1/n = 0?")
        if abs(found - truth) > 1e-6:
            return wrong(f"the line through {values} at n = {counts} meets 0 elsewhere.")
    return right("it needs several n, large enough that the rest of the bias is small.")


def _line(counts: Any, values: Any) -> tuple[float, float]:
    """Intercept and slope of the least-squares line in 1/n."""
    x = [1 / n for n in counts]
    mean, level = sum(x) / len(x), sum(values) / len(x)
    slope = sum((a - mean) * (b - level) for a, b in zip(x, values, strict=True))
    slope /= sum((a - mean) ** 2 for a in x)
    return level - slope * mean, slope


@exercise(
    "reviving_styles.3",
    mistaken=(
        0.1,
        lambda without: _scatter(without) / len(without),
        lambda without: sqrt(_scatter(without) / (len(without) - 1)),
        lambda without: sqrt(_scatter(without) / len(without)),
        lambda without: _scatter(without) * (len(without) - 1) / len(without),
    ),
)
def standard_error(answer: Any) -> Verdict:
    """√((G - 1) / G · scatter)."""
    given = as_function(answer)
    for without in ([1.0, 2.0, 3.0], [0.4, 0.6, 0.5, 0.9, 0.3], [2.0, 2.0]):
        groups = len(without)
        truth = sqrt(_scatter(without) * (groups - 1) / groups)
        found = as_number(given(list(without)))
        if truth and abs(found - truth**2) < 1e-6:
            return wrong("that is the square of it.")
        if abs(found - truth) > 1e-6:
            small = "small" if found < truth else "large"
            return wrong(f"it is too {small} for {groups} groups: what is the factor?")
    return right("of a mean it is s/√n, and it needs no formula for what has none, such as FID.")


def _scatter(values: Any) -> float:
    mean = sum(values) / len(values)
    return float(sum((v - mean) ** 2 for v in values))
