"""Which tests count over a whole checkpoint."""

import math

import numpy as np

from conceptrevive.auditing.significance import decide, holm
from conceptrevive.detectors.evidence import GRID, Evidence


def test_holm_by_hand():
    p = [math.log10(x) for x in (0.04, 0.001, 0.012, 0.3)]
    assert holm(p, 0.05, 4) == [False, True, True, False]
    assert holm(p, 0.05, 400) == [False] * 4
    assert holm([], 0.05, 0) == []


def test_holm_keeps_the_family_wise_error():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(2000):
        wrong += any(holm(np.log10(rng.random(20)).tolist(), 0.05, 20))
    assert wrong / 2000 < 0.065  # 0.05 and three standard errors


LIMITS = {"alpha": 0.01, "effects": {"zeros": 0.5, "noise": 0.2}}


def zeros(log_p, effect=0.9):
    return Evidence("zeros", log_p, effect)


def test_a_test_counts_where_it_is_significant_and_large():
    noise = Evidence("noise", -30.0, 0.2)  # as large as on clean weights is not larger
    evidence = [(zeros(-30.0), noise), (zeros(-30.0, 0.5),), (Evidence(GRID),), (), (zeros(-1.0),)]
    assert decide(evidence, 5, LIMITS) == [("zeros",), (), (), (), ()]


def test_every_matrix_is_a_hypothesis_also_where_it_was_not_tested():
    # Three tests in one matrix, and 997 matrices besides: 0.01 / 1000.
    evidence = [(zeros(-4.9), Evidence("noise", 0.0, 0.0), Evidence("zeros", 0.0, 0.0))]
    assert decide(evidence, 998, LIMITS) == [()]
    assert decide(evidence, 700, LIMITS) == [("zeros",)]
    assert decide([(zeros(-5.1), *evidence[0][1:])], 998, LIMITS) == [("zeros",)]
    assert decide([(zeros(-2.1),)], 1, LIMITS) == [("zeros",)]
    assert decide([(zeros(-1.9),)], 0, LIMITS) == [()]
