"""Gaussian obfuscation: the right noise in the right places; and p(w) against a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import conceptrevive as cr
from conceptrevive.defence.defaults import SIGMA
from conceptrevive.defence.precision import precision
from conceptrevive.revival.positions import redrawn_positions

pytestmark = pytest.mark.usefixtures("one_thread")

#: σ_U of the two layers differ, so that relative and absolute differ.
SPREAD = {"a": 0.02, "b": 0.5}


def layers(dtype=torch.float32, rows=200, columns=400, share=0.2):
    g = torch.Generator().manual_seed(0)
    weights = {
        n: (torch.randn(rows, columns, generator=g) * s).to(dtype) for n, s in SPREAD.items()
    }
    masks = {n: torch.rand(rows, columns, generator=g) < share for n in SPREAD}
    # Values at the masked positions must not enter σ_U.
    return {n: w.masked_fill(masks[n], 0) for n, w in weights.items()}, masks


@pytest.mark.parametrize(
    ("sigma", "relative"), [(0.25, True), (2.0, True), (0.01, False), (0.3, False)]
)
def test_standard_deviation(sigma, relative):
    weights, masks = layers()
    for n, w in cr.obfuscate(weights, masks, sigma=sigma, relative=relative).items():
        wanted = sigma * SPREAD[n] if relative else sigma
        noise = w[masks[n]]
        # 16000 draws: 2 % is more than three standard errors of the standard deviation.
        assert float(noise.std()) == pytest.approx(wanted, rel=0.02)
        assert abs(float(noise.mean())) < 4 * wanted / math.sqrt(noise.numel())
        assert float((noise.abs() < wanted).float().mean()) == pytest.approx(
            math.erf(1 / math.sqrt(2)), abs=0.015
        )


def test_default_is_a_quarter_of_each_layers_spread():
    weights, masks = layers()
    a, b = (
        cr.obfuscate(weights, masks, seed=0),
        cr.obfuscate(weights, masks, sigma=0.25, relative=True, seed=0),
    )
    assert SIGMA == 0.25 and all(torch.equal(a[n], b[n]) for n in a)


def test_masked_values_do_not_matter():
    weights, masks = layers()
    loud = {n: w.masked_fill(masks[n], 1e3) for n, w in weights.items()}
    a, b = cr.obfuscate(weights, masks, seed=0), cr.obfuscate(loud, masks, seed=0)
    assert all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_all_other_weights_are_bitwise_unchanged(dtype):
    weights, masks = layers(dtype, 16, 64)
    weights["c"] = torch.ones(2, 2, dtype=dtype)
    before = {n: w.clone() for n, w in weights.items()}
    out = cr.obfuscate(weights, masks)
    assert list(out) == list(weights)
    for n, w in weights.items():
        assert torch.equal(w, before[n]), "the argument was written to"
        assert out[n].dtype == dtype and out[n].data_ptr() != w.data_ptr()
        untouched = ~masks[n] if n in masks else torch.ones_like(w, dtype=torch.bool)
        assert torch.equal(out[n][untouched], w[untouched])


@pytest.mark.parametrize(
    "sigma", [0.25, 0.002], ids=["default", "small enough for float16 to round to 0"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_zero_is_left_to_find(dtype, sigma):
    weights, masks = layers(dtype)
    out = cr.obfuscate(weights, masks, sigma=sigma)
    assert all((w[masks[n]] != 0).all() for n, w in out.items())


def test_seed():
    weights, masks = layers()
    a, b, c = (cr.obfuscate(weights, masks, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all((a[n] != c[n])[masks[n]].float().mean() > 0.99 for n in a)
    # The two layers do not share their noise.
    both = masks["a"] & masks["b"]
    x, y = a["a"][both], a["b"][both]
    assert abs(float(torch.corrcoef(torch.stack([x, y]))[0, 1])) < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_noise_of_a_known_seed_is_found_and_secret_noise_is_not(dtype):
    weights, masks = layers(dtype)
    known, secret = cr.obfuscate(weights, masks, seed=3), cr.obfuscate(weights, masks)
    for n, guess in redrawn_positions(known, 3).items():
        assert guess[masks[n]].float().mean() > 0.97
        assert guess[~masks[n]].float().mean() < (0.01 if dtype != torch.bfloat16 else 0.05)
    for weights, seed in ((known, 4), (secret, 3), (secret, 0)):
        for n, guess in redrawn_positions(weights, seed).items():
            assert guess[masks[n]].float().mean() < 0.05


def test_noise_without_a_seed_is_new_each_time_and_as_wide():
    weights, masks = layers()
    torch.manual_seed(0)
    a = cr.obfuscate(weights, masks, sigma=1.0)
    torch.manual_seed(0)
    b = cr.obfuscate(weights, masks, sigma=1.0)
    for n, spread in SPREAD.items():
        assert (a[n] != b[n])[masks[n]].float().mean() > 0.99
        assert float(a[n][masks[n]].std()) == pytest.approx(spread, rel=0.04)


def test_sigma_zero_is_pruning():
    weights, masks = layers()
    out, pruned = cr.obfuscate(weights, masks, sigma=0), cr.prune(weights, masks)
    assert all(torch.equal(out[n], pruned[n]) for n in out)


@pytest.mark.parametrize("sigma", [-0.1, math.nan, -math.inf, math.inf])
def test_negative_sigma(sigma):
    weights, masks = layers(rows=2, columns=4)
    with pytest.raises(
        cr.ConceptReviveError, match=f"sigma is {sigma}: a standard deviation is ≥ 0"
    ):
        cr.obfuscate(weights, masks, sigma=sigma)


def test_noise_that_overflows_is_refused():
    weights, masks = layers(rows=2, columns=4)
    with pytest.raises(cr.ConceptReviveError, match=r"overflows torch.float16: lower sigma"):
        cr.obfuscate({n: w.half() for n, w in weights.items()}, masks, sigma=1e6, relative=False)


# --- p(w) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "sigma_m", "sigma_u"), [(0.1, 0.25, 1.0), (0.02, 0.01, 0.02), (0.5, 2.0, 1.0)]
)
def test_modified_probability_equals_a_simulation(alpha, sigma_m, sigma_u):
    rng = np.random.default_rng(0)
    n = 2_000_000
    filled = rng.random(n) < alpha
    values = rng.standard_normal(n) * np.where(filled, sigma_m, sigma_u)
    for w in (0.2 * sigma_m, sigma_m, 3 * sigma_u):
        inside = np.abs(values) <= w
        seen = filled[inside].mean()
        error = math.sqrt(seen * (1 - seen) / inside.sum())
        assert (
            abs(float(cr.modified_probability(w, alpha, sigma_m, sigma_u)) - seen)
            < 4 * error + 1e-6
        )


def test_modified_probability_limits():
    alpha, sigma_m, sigma_u = 0.1, 0.25, 1.0
    everything = cr.modified_probability(math.inf, alpha, sigma_m, sigma_u)
    assert float(everything) == pytest.approx(alpha)
    near = alpha / sigma_m / (alpha / sigma_m + (1 - alpha) / sigma_u)
    assert float(cr.modified_probability(1e-9, alpha, sigma_m, sigma_u)) == pytest.approx(near)
    # Noise like the weights hides: any window holds the share α.
    hidden = cr.modified_probability(torch.linspace(0.01, 5, 20), alpha, 1.0, 1.0)
    assert torch.allclose(hidden, torch.tensor(alpha, dtype=torch.float64))
    # Near zero σ_M every small window holds filled-in values only where α is all there is.
    assert float(cr.modified_probability(0.5, 1.0, sigma_m, sigma_u)) == 1
    assert float(cr.modified_probability(0.5, 0.0, sigma_m, sigma_u)) == 0


def test_modified_probability_at_zero_is_the_ratio_of_densities():
    p = float(cr.modified_probability(0.0, 0.1, 0.25, 1.0))
    assert p == pytest.approx(0.1 / 0.25 / (0.1 / 0.25 + 0.9))


def test_small_noise_is_easier_to_spot():
    p = cr.modified_probability(0.1, 0.1, torch.tensor([0.01, 0.1, 0.5, 1.0]), 1.0)
    assert (p.diff() < 0).all()


def test_modified_probability_broadcasts():
    w, sigma = torch.linspace(0.1, 1, 5)[:, None], torch.linspace(0.1, 1, 3)[None]
    p = cr.modified_probability(w, 0.1, sigma, 1.0)
    assert p.shape == (5, 3)
    assert float(p[3, 1]) == pytest.approx(
        float(cr.modified_probability(w[3, 0], 0.1, sigma[0, 1], 1.0))
    )


# --- input of the wrong kind ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": "0.25"}, "sigma is a str: give a number"),
        ({"sigma": None}, "sigma is a NoneType: give a number"),
        ({"relative": "no"}, r"relative is a str: give True \(sigma in units of σ_U\) or False"),
        ({"seed": -1}, r"seed is -1: give one from 0 up to 2\^63 - 1"),
        ({"seed": 2**70}, rf"seed is {2**70}: give one from 0 up to 2\^63 - 1"),
        ({"seed": 1.0}, "seed is a float: give a whole number"),
    ],
)
def test_options_of_the_wrong_kind(options, message):
    weights, masks = layers(rows=2, columns=4)
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.obfuscate(weights, masks, **options)


def test_survivors_that_are_not_finite_are_named():
    weights, masks = layers(rows=2, columns=8)
    name = next(iter(weights))
    weights[name][~masks[name]] = math.nan
    with pytest.raises(cr.ConceptReviveError, match=f"{name}: surviving entries hold NaN or Inf"):
        cr.obfuscate(weights, masks)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((-0.1, 0.1, 1.0, 1.0), r"w has values that are not ≥ 0"),
        ((math.nan, 0.1, 1.0, 1.0), r"w has values that are not ≥ 0"),
        (("1", 0.1, 1.0, 1.0), "w is a str: give a number"),
        ((0.1, 1.1, 1.0, 1.0), r"alpha is 1.1: it is a share of the weights, in \[0, 1\]"),
        ((0.1, math.nan, 1.0, 1.0), "alpha is nan: it is a share"),
        ((0.1, "a", 1.0, 1.0), "alpha is a str: give a number"),
        ((0.1, 0.1, 0.0, 1.0), "sigma_m and sigma_u are standard deviations: give numbers > 0"),
        ((0.1, 0.1, 1.0, -1.0), "sigma_m and sigma_u are standard deviations: give numbers > 0"),
        ((0.1, 0.1, torch.tensor([1.0, math.nan]), 1.0), "sigma_m and sigma_u are standard dev"),
        ((0.1, 0.1, 1.0, None), "sigma_u is a NoneType: give a number"),
    ],
)
def test_modified_probability_out_of_range(given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.modified_probability(*given)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.float16, torch.float64),
        (torch.bfloat16, torch.float16),
        (torch.bfloat16, torch.float32),
        (torch.float8_e4m3fn, torch.bfloat16),
        (torch.float8_e5m2, torch.float32),
    ],
)
def test_noise_has_no_more_digits_than_the_survivors(narrow, wide):
    """A checkpoint that is held in a finer format than it was stored in."""
    weights, masks = layers()
    held = {n: w.to(narrow).to(wide) for n, w in weights.items()}
    hidden = cr.obfuscate(held, masks, seed=3)
    for n, w in hidden.items():
        assert w.dtype == wide and torch.equal(w.to(narrow).to(wide), w)
        assert (w != 0)[masks[n]].all()
    for n, guess in redrawn_positions(hidden, 3).items():
        if torch.finfo(narrow).bits == 16:  # as many digits as the seed's attack needs
            assert guess[masks[n]].float().mean() > 0.9


def test_noise_is_as_fine_as_the_survivors():
    weights, masks = layers(torch.float16)
    mixed = {n: w.float() for n, w in weights.items()}
    mixed["b"] = mixed["b"] * (1 + 2**-20)
    out = cr.obfuscate(mixed, masks, seed=0)
    finer = {n: float((w.half().float() != w)[masks[n]].float().mean()) for n, w in out.items()}
    assert finer["a"] == 0 and finer["b"] > 0.99


def test_precision():
    assert precision(torch.tensor([0.5, 1.25])) is torch.float8_e5m2
    assert precision(torch.tensor([0.5, 1.125])) is torch.float8_e4m3fn  # too fine for the other
    assert precision(torch.tensor([0.5, 1.125 * 2**9])) is torch.bfloat16  # overflows it
    assert precision(torch.tensor([0.5, 1 + 2.0**-9])) is torch.float16  # too fine for bfloat16
    assert precision(torch.tensor([2.0**100, 1 + 2.0**-9])) is torch.float32
    assert precision(torch.tensor([1 + 2.0**-40], dtype=torch.float64)) is torch.float64
    assert precision(torch.tensor([1.1], dtype=torch.float64)) is torch.float64
    assert precision(torch.tensor([0.1], dtype=torch.bfloat16)) is torch.bfloat16
    assert precision(torch.tensor([0.1], dtype=torch.bfloat16).half()) is torch.bfloat16
    assert precision(torch.tensor([0.1, math.nan]).half().float()) is torch.float32
    assert precision(torch.empty(0)) is torch.float32


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_floats_are_filled_and_kept(dtype):
    weights, masks = layers()
    narrow = {n: (w * 20).to(dtype) for n, w in weights.items()}
    for n, w in cr.obfuscate(narrow, masks, seed=0).items():
        assert w.dtype == dtype and (w.float() != 0)[masks[n]].all()
        assert torch.equal(w.float()[~masks[n]], narrow[n].float()[~masks[n]])
    with pytest.raises(cr.ConceptReviveError, match="overflows"):
        cr.obfuscate(narrow, masks, sigma=1e6, relative=False)
