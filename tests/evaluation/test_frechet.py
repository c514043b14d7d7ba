"""Fréchet distance against Gaussians worked out by hand and two other ways to compute it."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import t

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.frechet import Distances, difference, distances, frechet_distance


def drawn(n, d, seed=0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_gaussians_by_hand():
    # Means 1 and 7, variances 2 and 8: 6² + (√8 − √2)² = 38.
    assert frechet_distance(torch.tensor([[0.0], [2]]), torch.tensor([[5.0], [9]])) == (
        pytest.approx(38)
    )
    corners = torch.tensor([[1.0, 2], [-1, 2], [1, -2], [-1, -2]])
    # Covariances diag(4/3, 16/3) and diag(12, 16/3), means 1 apart: 1 + (√12 − √(4/3))².
    moved = corners * torch.tensor([3.0, 1]) + torch.tensor([1.0, 0])
    assert frechet_distance(corners, moved) == pytest.approx(1 + 16 / 3)
    assert frechet_distance(moved, corners) == pytest.approx(1 + 16 / 3)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 40, 5), (20, 30, 50)])
def test_two_other_ways(n, m, d):
    one, other = drawn(n, d), drawn(m, d, 1, 1.5) + 0.2
    found = frechet_distance(one, other)
    a, b = (x.double().numpy() for x in (one, other))
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum()
    s, r = np.cov(a.T), np.cov(b.T)
    # The root's trace is the nuclear norm of the pictures' inner products, however few they are.
    norm = np.linalg.svd((a - a.mean(0)) @ (b - b.mean(0)).T, compute_uv=False).sum()
    whole = apart + np.trace(s + r) - 2 * norm / math.sqrt((n - 1) * (m - 1))
    assert found == pytest.approx(whole, rel=1e-5)
    if min(n, m) > d:
        assert found == pytest.approx(apart + np.trace(s + r - 2 * sqrtm(s @ r).real), rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-4)


def test_few_pictures_of_one_law_are_further_apart_than_many():
    few, many = (frechet_distance(drawn(n, 8), drawn(n, 8, 1)) for n in (20, 2000))
    assert few > 10 * many > 0


@pytest.mark.parametrize(("n", "groups"), [(26, 12), (24, 12), (23, 11), (4, 2), (3, 0), (2, 0)])
def test_every_group_is_left_out_once(n, groups):
    one, other = drawn(n, 3), drawn(n, 3, 1)
    found = distances(one, other)
    assert found.value == frechet_distance(one, other) and len(found.without) == groups
    for g, value in enumerate(found.without):
        kept = [i for i in range(n) if i % groups != g]
        assert value == frechet_distance(one[kept], other[kept])


def test_a_difference_with_its_jackknife():
    base, mine = Distances(5.0, (4.0, 5.0, 6.0)), Distances(7.0, (6.0, 7.0, 9.0))
    # Differences 2, 2 and 3 about 7/3: ⅔ (1/9 + 1/9 + 4/9) = 4/9.
    half = t.ppf(0.975, 2) * 2 / 3
    value, interval = difference(mine, base)
    assert value == 2 and interval == pytest.approx((2 - half, 2 + half))
    assert difference(mine, mine) == (0.0, (0.0, 0.0))
    assert difference(Distances(3.0), Distances(1.0)) == (2.0, None)
    with pytest.raises(ConceptReviveError, match="3 groups against 0: compare equal numbers"):
        difference(mine, Distances(1.0))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    # The second model's pictures lie 1 further off in one direction: the true difference is 1.
    hits = 0
    for seed in range(60):
        reference, base = drawn(48, 2, 3 * seed), drawn(48, 2, 3 * seed + 1)
        mine = base + torch.tensor([1.0, 0])
        _, interval = difference(distances(mine, reference), distances(base, reference))
        hits += interval[0] <= 1 <= interval[1]
    assert 51 <= hits <= 60


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (torch.ones(3, 2), torch.ones(3, 4), r"features are \(3, 2\) and \(3, 4\): give pictures"),
        (torch.ones(3), torch.ones(3), r"features are \(3,\) and \(3,\)"),
        (torch.ones(1, 2), torch.ones(3, 2), "1 and 3 pictures: a covariance needs two or more"),
        (torch.ones(3, 2), torch.full((3, 2), math.nan), "features are not all finite"),
    ],
)
def test_what_cannot_be_compared(one, other, said):
    with pytest.raises(ConceptReviveError, match=said):
        frechet_distance(one, other)


def test_a_process_computes_alone_where_several_measure(monkeypatch):
    # Otherwise it waits for processes that have other cells to measure.
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    features = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
