"""Wilson against its formula, paired differences against a simulation, and the edges of both."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.intervals import Rate, paired_difference, wilson


def by_hand(hits: int, n: int, z: float) -> tuple[float, float]:
    """Wilson's formula, written out."""
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 24, 50, 311, 500, 4096])
@pytest.mark.parametrize(
    ("confidence", "z"),
    [(0.95, 1.959963984540054), (0.99, 2.5758293035489004), (0.5, 0.6744897501960817)],
)
def test_wilson_equals_its_formula(n, confidence, z):
    for hits in sorted({*range(0, n + 1, max(1, n // 40)), 1, n - 1, n}):
        expected = pytest.approx(by_hand(hits, n, z), abs=1e-12)
        assert wilson(hits, n, confidence) == expected


@pytest.mark.parametrize(("hits", "n"), [(5, 3), (-1, 3), (1, 0)])
def test_more_hits_than_trials_are_refused(hits, n):
    with pytest.raises(ConceptReviveError, match=rf"^{hits} hits of {n} trials: give 0 to {n} hi"):
        wilson(hits, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_a_confidence_is_a_share(confidence):
    text = f"^confidence is {confidence}: give a share between 0 and 1$"
    with pytest.raises(ConceptReviveError, match=text):
        wilson(1, 2, confidence)
    with pytest.raises(ConceptReviveError, match=text):
        paired_difference([True], [False], confidence)


def test_one_label_per_trial():
    with pytest.raises(ConceptReviveError, match=r"^3 cluster labels for 2 trials: give one label"):
        paired_difference([True, False], [True, True], clusters=[1, 1, 2])


@pytest.mark.parametrize("n", [1, 3, 10, 49, 50, 1000])
def test_wilson_contains_the_estimate_and_stays_inside(n):
    for hits in (0, n):
        low, high = wilson(hits, n)
        assert 0 <= low <= hits / n <= high <= 1
        assert low < high
    assert wilson(0, n)[0] == 0 and wilson(n, n)[1] == 1


def test_no_trials_say_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    rate = Rate.of([])
    assert math.isnan(rate.value) and rate.interval == (0.0, 1.0) and rate.n == 0


def test_rate_counts_hits():
    rate = Rate.of([True, False, True, True])
    assert rate == Rate(0.75, wilson(3, 4), 4)
    assert rate.as_dict() == {"value": 0.75, "interval": wilson(3, 4), "n": 4}


def test_paired_difference_by_hand():
    # 3 gains, 1 loss, 6 ties: (3.5 − 1.5)/12 ± z √(5 − 4/12)/12.
    after = [1, 1, 1, 0, 1, 1, 0, 0, 0, 1]
    before = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    value, (low, high) = paired_difference(after, before)
    half = 1.959963984540054 * math.sqrt(5 - 4 / 12) / 12
    assert value == pytest.approx(0.2)
    assert (low, high) == pytest.approx((2 / 12 - half, 2 / 12 + half))


def test_paired_difference_changes_sign_with_the_order():
    rng = np.random.default_rng(0)
    a, b = rng.random(40) < 0.7, rng.random(40) < 0.4
    value, (low, high) = paired_difference(a, b)
    back, (low2, high2) = paired_difference(b, a)
    assert (back, low2, high2) == pytest.approx((-value, -high, -low))


@pytest.mark.parametrize(
    ("gain", "loss", "n"), [(0.3, 0.05, 50), (0.1, 0.1, 50), (0.5, 0.2, 24), (0.02, 0.0, 50)]
)
def test_paired_difference_covers_the_truth(gain, loss, n):
    """Pairs with known gains and losses: the interval holds the truth about 95 times in 100."""
    rng = np.random.default_rng(1)
    covered = 0
    runs = 1500
    for cell in rng.choice(
        4, size=(runs, n), p=[gain, loss, (1 - gain - loss) / 2, (1 - gain - loss) / 2]
    ):
        after, before = np.isin(cell, (0, 2)), np.isin(cell, (1, 2))
        low, high = paired_difference(after.tolist(), before.tolist())[1]
        covered += low <= gain - loss <= high
    assert 0.93 <= covered / runs


def test_pairing_shortens_the_interval():
    """Strongly paired outcomes: far shorter than the interval of two independent samples."""
    before = [i % 2 == 0 for i in range(100)]
    after = [b or i < 10 for i, b in enumerate(before)]
    low, high = paired_difference(after, before)[1]
    p, q = sum(after) / 100, 0.5
    independent = 2 * 1.96 * math.sqrt(p * (1 - p) / 100 + q * (1 - q) / 100)
    assert high - low < 0.6 * independent


def test_paired_difference_at_its_edges():
    assert math.isnan(paired_difference([], [])[0]) and paired_difference([], [])[1] == (-1.0, 1.0)
    for n in (1, 5, 50):
        value, (low, high) = paired_difference([True] * n, [False] * n)
        assert value == 1 and -1 <= low < 1 and high == 1
        value, (low, high) = paired_difference([True] * n, [True] * n)
        assert value == 0 and low < 0 < high


def test_unequal_numbers_are_no_pairs():
    with pytest.raises(
        ConceptReviveError, match="2 outcomes against 3: paired trials come in equal numbers"
    ):
        paired_difference([True, False], [True, False, True])


def test_shared_pictures_count_as_one_draw():
    """Copies of pairs widen and narrow nothing; labels of their own give the plain interval."""
    rng = np.random.default_rng(0)
    before, after = rng.random(60) < 0.4, rng.random(60) < 0.6
    alone, (low, high) = paired_difference(after, before, clusters=range(60))
    copied = paired_difference(np.tile(after, 9), np.tile(before, 9), clusters=[*range(60)] * 9)
    assert copied == (pytest.approx(alone), (pytest.approx(low), pytest.approx(high)))
    plain = paired_difference(after, before)
    assert plain == (pytest.approx(alone), (pytest.approx(low), pytest.approx(high)))
    equal, (low, high) = paired_difference([True] * 30, [True] * 30, clusters=[*range(15)] * 2)
    assert equal == 0 and low == -high < -0.1, "nothing seen to change is not nothing that changes"
    assert paired_difference([True], [False], clusters=["a"]) == (1.0, (-1.0, 1.0))
