"""Whether values lie on a quantisation grid: every format is told, and no clean or edited matrix is
taken for one.
"""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from calibration.round_trips import ROUND_TRIPS
from conceptrevive.auditing.measurement import examine
from conceptrevive.detectors.evidence import GRID
from conceptrevive.detectors.grid import on_grid
from conceptrevive.detectors.zeros import natural_zeros, pruned_zeros
from tests.detectors.test_detectors import HALF, clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")

#: Sums of two copies of 255 levels each: hundreds of thousands of levels, next to none of them 0.
FINE = ("average of Q8_0", "average of int8 per row")


@pytest.mark.parametrize("way", ROUND_TRIPS)
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shape", [(96, 384), (320, 1280), (48, 48)])
def test_quantisation_is_told_and_no_evidence(way, dtype, shape):
    for seed in range(2):
        w = ROUND_TRIPS[way](clean(seed, *shape)).to(dtype)
        found = examine(w)
        if way in FINE:
            assert all(e.log_p > -2 for e in found)
        else:
            assert [e.test for e in found] == [GRID]


@pytest.mark.parametrize("levels", [3, 7, 127, 1000])
def test_one_grid_for_all_is_told(levels):
    w = clean()
    step = w.abs().amax() / levels
    assert on_grid((w / step).round() * step)


@pytest.mark.parametrize("size", [16, 20, 48, 96, 100, 200, 256, 384])
@pytest.mark.parametrize("transposed", [False, True])
def test_blocks_of_any_size_are_told(size, transposed):
    w = clean(3, 100, 384)
    flat = w.flatten()[: w.numel() // size * size].reshape(-1, size)
    step = flat.abs().amax(1, keepdim=True) / 31
    w.view(-1)[: flat.numel()] = ((flat / step).round() * step).flatten()
    assert on_grid(w.T if transposed else w)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("heavy", [False, True])
def test_clean_weights_are_no_grid(dtype, heavy):
    for seed in range(6):
        assert not on_grid(clean(seed, dtype=dtype, heavy=heavy))
    assert not on_grid(clean(rows=64, columns=5120, dtype=dtype))
    assert not on_grid(clean(1, 320, 64, dtype).reshape(64, 20, 4, 4))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("ratio", [0.02, 0.2])
def test_pruned_revived_and_filled_weights_are_no_grid(dtype, ratio):
    w = clean(dtype=dtype)
    mask = wanda(w, ratio)
    pruned = w.masked_fill(mask, 0)
    filled = cr.obfuscate({"w": w}, {"w": mask}, sigma=0.01)["w"]
    revived = [
        cr.revive_matrix(pruned, mask, top_k=k, magnitude=m)
        for k in (0.6, 1.0)
        for m in ("max", "average", "sample")
    ]
    for x in (pruned, filled, *revived):
        assert not on_grid(x) and not on_grid(x.T)
    small = w.masked_fill(w.abs() < torch.quantile(w.abs().float(), ratio), 0)
    assert not on_grid(small)


def test_casts_copies_and_stalls_are_no_grid():
    w = clean()
    for half in (torch.float16, torch.bfloat16):
        assert not on_grid(w.to(half).float()) and not on_grid(w.to(half).double())
    assert not on_grid((1e-6 * clean() / 0.02).half().float())  # float16's own steps
    assert not on_grid(torch.cat([w, w[:20], w[:20]]))  # tokens copied into a longer vocabulary
    assert not on_grid(w.clamp(-0.03, 0.03))
    power = torch.exp2(torch.log2(w.abs()).round()) * w.sign()
    drawn = torch.rand(w.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    assert not on_grid(torch.where(drawn, power, w).bfloat16())
    assert not on_grid(torch.eye(64)) and not on_grid(torch.zeros(32, 32))
    assert not on_grid(torch.empty(64, 64).uniform_(generator=torch.Generator().manual_seed(0)))


def test_few_values_are_a_grid():
    sign = clean().sign()
    assert on_grid(sign) and on_grid(sign * 0.37)
    assert on_grid(sign * (torch.rand(sign.shape) < 0.4) * 0.25)


@pytest.mark.parametrize("way", ["NVFP4", "NF4", "int4 per 128, zero point", "Q6_K"])
def test_pruning_before_a_grid_cannot_be_told(way):
    w = clean()
    assert [e.test for e in examine(ROUND_TRIPS[way](w.masked_fill(wanda(w), 0)))] == [GRID]


def test_natural_zeros_are_told_from_pruned_ones():
    w = clean()
    mask = wanda(w)
    pruned = w.masked_fill(mask, 0)
    assert natural_zeros(pruned) == "" and torch.equal(pruned_zeros(pruned), mask)
    dead = w.clone()
    dead[5:20] = 0
    underflown = (w / 0.02 * 1e-6).half()
    for x, why in (
        (
            ROUND_TRIPS["NF4"](w).half(),
            "its values lie on a quantisation grid, which puts many on 0",
        ),
        (
            w.to(torch.float8_e4m3fn).half(),
            "its values lie on a quantisation grid, which puts many on 0",
        ),
        (torch.zeros(64, 4), "all its entries are 0, as in an adapter that was never trained"),
        (dead, "its zeros fill whole rows or columns"),
        (w, "it has none"),
        (underflown, f"they are {int((underflown == 0).sum())}, no more than rounding leaves"),
    ):
        assert natural_zeros(x) == why and not pruned_zeros(x).any()
