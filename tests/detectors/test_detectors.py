"""Each test finds what it is for and nothing on clean matrices; one that answered at random would
fail here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

import conceptrevive as cr
from conceptrevive.detectors.noise import find_noise, residuals
from conceptrevive.detectors.repeats import find_repeats
from conceptrevive.detectors.tails import binomial_tail, chi2_tail, poisson_tail
from conceptrevive.detectors.zeros import find_zeros, fingerprint
from conceptrevive.unlearning.conceptprune import wanda_mask

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = [torch.float32, torch.float16, torch.bfloat16]


def clean(seed=0, rows=96, columns=384, dtype=torch.float32, heavy=False):
    """Weights as training leaves them: rows and columns of different spread, a low-rank part,
    perhaps heavy tails.
    """
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, 6, generator=g) @ torch.randn(
        6, columns, generator=g
    ) * 0.3 + torch.randn(rows, columns, generator=g)
    if heavy:
        w = w * torch.randn(rows, columns, generator=g).abs()
    w = (
        w
        * (0.3 * torch.randn(rows, 1, generator=g)).exp()
        * (0.3 * torch.randn(1, columns, generator=g)).exp()
    )
    return (0.02 * w).to(dtype)


def wanda(w, ratio=0.03, seed=0):
    """The best of each row under log-normal column norms, as concept pruning takes them."""
    norms = (0.8 * torch.randn(w.shape[1], generator=torch.Generator().manual_seed(seed))).exp()
    return wanda_mask(w.float(), norms, norms * 0.5, ratio)


# --- tails --------------------


@pytest.mark.parametrize(
    ("hits", "n", "p"),
    [(5, 10, 1 / 3), (12, 15, 1 / 3), (3, 1000, 1e-3), (40, 1000, 1e-2), (10, 10, 0.5)],
)
def test_binomial_bound_is_above_the_exact_tail(hits, n, p):
    exact = math.log10(scipy.stats.binom.sf(hits - 1, n, p))
    assert exact <= binomial_tail(hits, n, p) <= exact * 0.3 + 1e-9


@pytest.mark.parametrize(("hits", "mean"), [(3, 1.0), (20, 4.0), (1, 0.001), (200, 100.0)])
def test_poisson_bound_is_above_the_exact_tail(hits, mean):
    exact = math.log10(scipy.stats.poisson.sf(hits - 1, mean))
    assert exact <= float(poisson_tail(torch.tensor(hits), torch.tensor(mean))) <= exact * 0.3


@pytest.mark.parametrize(
    ("ratio", "freedom"), [(1.5, 100), (0.5, 100), (3.0, 10), (0.1, 10), (1.1, 2000)]
)
def test_chi2_bound_is_above_the_exact_tail(ratio, freedom):
    tail = scipy.stats.chi2.sf if ratio > 1 else scipy.stats.chi2.cdf
    exact = math.log10(tail(ratio * freedom, freedom))
    assert exact <= chi2_tail(ratio, freedom) <= exact * 0.3


def test_no_excess_is_no_evidence():
    assert binomial_tail(3, 10, 1 / 3) == 0.0 and binomial_tail(0, 0, 0.5) == 0.0
    assert float(poisson_tail(torch.tensor(1), torch.tensor(2.0))) == 0.0


# --- zeros --------------------


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("heavy", [False, True])
def test_nothing_on_clean_matrices(dtype, heavy):
    for seed in range(10):
        w = clean(seed, dtype=dtype, heavy=heavy)
        assert find_zeros(w).log_p > -2
        assert find_repeats(w).log_p > -2
        if not heavy:
            assert find_noise(w).log_p > -2


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("transposed", [False, True])
def test_zeros_of_pruning_are_found_and_counted(dtype, transposed):
    w = clean(dtype=dtype)
    mask = wanda(w)
    w = w.masked_fill(mask, 0)
    found = find_zeros(w.T if transposed else w)
    assert found.log_p < -20 and found.effect == pytest.approx(float(mask.float().mean()), abs=1e-4)


@pytest.mark.parametrize("scale", [1e-4, 1e-5, 1e-6])
def test_underflow_in_float16_is_no_evidence(scale):
    w = (clean().double() / 0.02 * scale).to(torch.float16)
    assert (w == 0).sum() > 5
    for x in (w, w.float(), w.bfloat16()):
        assert find_zeros(x).log_p > -2


def test_benign_zeros():
    w = clean()
    dead = w.clone()
    dead[5:20], dead[:, 30:90] = 0, 0
    assert find_zeros(dead).log_p == 0 and find_zeros(dead).detail["dead_rows"] == 15
    assert find_zeros(torch.zeros(32, 32)).log_p == 0
    assert find_zeros(torch.eye(64)).log_p > -2
    assert find_zeros(torch.tril(torch.randn(64, 64))).log_p == 0
    assert find_zeros(torch.block_diag(*[torch.randn(24, 24) for _ in range(4)])).log_p == 0
    one_row = w.clone()
    one_row[3, ::2] = 0
    assert find_zeros(one_row).log_p > -1
    place, rate = torch.arange(128.0)[:, None], 10000 ** (-torch.arange(32) / 32)
    table = torch.stack([(place * rate).sin(), (place * rate).cos()], -1).flatten(1)
    for dtype in HALF:
        assert find_zeros(table.to(dtype)).log_p > -2
        assert find_repeats(table.to(dtype)).log_p > -2


def test_the_fingerprint_tells_wanda_from_chance_and_size():
    for seed in range(5):
        w = clean(seed)
        assert fingerprint(wanda(w, seed=seed))["wanda"] == 1
        share = float(wanda(w).float().mean())
        g = torch.Generator().manual_seed(seed)
        assert fingerprint(torch.rand(w.shape, generator=g) < share)["wanda"] == 0
        limit = torch.quantile(w.abs(), share)
        assert fingerprint(w.abs() < limit)["wanda"] == 0


def test_gap_tells_pruning_for_size():
    w = clean()
    small = w.masked_fill(w.abs() < torch.quantile(w.abs(), 0.05), 0)
    assert (
        find_zeros(small).detail["gap"]
        > 0.01
        > find_zeros(w.masked_fill(wanda(w), 0)).detail["gap"]
    )


# --- repeats --------------------


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("rule", "at_maximum"), [("max", 1.0), ("average", 0.0)])
def test_revived_rows_are_found(dtype, rule, at_maximum):
    w = clean(dtype=dtype)
    mask = wanda(w, 0.06)
    revived = cr.revive_matrix(w, mask, top_k=1.0, magnitude=rule)
    for x in (revived, revived.T):
        found = find_repeats(x)
        assert found.log_p < -10 and found.detail["at_maximum"] == pytest.approx(
            at_maximum, abs=0.2
        )


def test_weights_that_stalled_at_powers_of_two_are_no_evidence():
    """Training wholly in bfloat16 leaves entries there: smaller steps upwards are rounded away."""
    w, g = clean(dtype=torch.bfloat16), torch.Generator().manual_seed(0)
    power = torch.exp2(torch.log2(w.abs().float()).round()) * w.sign()
    stalled = torch.where(torch.rand(w.shape, generator=g) < 0.1, power, w.float())
    assert find_repeats(stalled).log_p > -2


@pytest.mark.parametrize("dtype", HALF)
def test_wide_rows_are_no_grid(dtype):
    """In bfloat16 a row of 5120 has fewer than 1000 magnitudes."""
    w = clean(rows=64, columns=5120, dtype=dtype)
    assert find_repeats(w).log_p > -2
    assert find_repeats(cr.revive_matrix(w, wanda(w, 0.02), top_k=1.0)).log_p < -10
    assert find_repeats(clean(rows=64, columns=60_000, dtype=dtype)).log_p > -2


def test_sampled_magnitudes_repeat_nothing():
    w = clean()
    assert (
        find_repeats(cr.revive_matrix(w, wanda(w, 0.06), top_k=1.0, magnitude="sample")).log_p > -2
    )


def test_repeats_of_clipping_are_no_evidence():
    clipped = find_repeats(clean().clamp(-0.03, 0.03))
    assert clipped.log_p == 0 and clipped.detail["clipped"] == 1


# --- noise --------------------


@pytest.mark.parametrize("dtype", HALF)
def test_small_noise_is_found_and_large_noise_is_not(dtype):
    for seed in range(3):
        w = clean(seed, dtype=dtype)
        masks = {"w": wanda(w, 0.06, seed)}
        for sigma in (0.01, 0.05):
            assert find_noise(cr.obfuscate({"w": w}, masks, sigma=sigma)["w"]).log_p < -5
        assert find_noise(cr.obfuscate({"w": w}, masks, sigma=1.0)["w"]).log_p > -5


def test_residuals_tell_filled_columns_from_clean_ones():
    w = clean()
    masks = {"w": wanda(w, 0.06, 0)}
    found = find_noise(filled := cr.obfuscate({"w": w}, masks, sigma=0.01)["w"])
    small, axis = found.detail["small"], int(found.detail["axis"])
    assert axis == 0 and residuals(w, small, axis).abs().max() < 6
    told = residuals(filled, small, axis)
    assert told.shape == (w.shape[1],) and told.max() > 6
    assert np.corrcoef(told, masks["w"].double().sum(0))[0, 1] > 0.7


def test_noise_at_random_places_is_no_evidence():
    w = clean()
    mask = torch.rand(w.shape, generator=torch.Generator().manual_seed(1)) < 0.05
    assert find_noise(cr.obfuscate({"w": w}, {"w": mask}, sigma=0.05)["w"]).log_p > -2


def test_too_small_to_say_anything():
    for find in (find_zeros, find_repeats, find_noise):
        assert find(torch.zeros(3, 1000)).log_p == 0
        assert find(torch.randn(4, 8)).log_p == 0


@pytest.mark.parametrize("find", [find_zeros, find_repeats, find_noise])
def test_tests_do_not_depend_on_order_or_scale(find):
    w = clean()
    w = cr.obfuscate({"w": w}, {"w": wanda(w, 0.06)}, sigma=0.01)["w"]
    w = cr.revive_matrix(w.masked_fill(wanda(w, 0.05, 1), 0), top_k=0.5)
    g = torch.Generator().manual_seed(2)
    moved = (
        w[torch.randperm(len(w), generator=g)][:, torch.randperm(w.shape[1], generator=g)] * -4.0
    )
    a, b = find(w), find(moved)
    assert a.log_p < -3
    assert b.log_p == pytest.approx(a.log_p, rel=0.05) and b.effect == pytest.approx(
        a.effect, rel=0.05
    )
