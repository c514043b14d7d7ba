"""Round trips keep each format's promises: how many levels, where, and what shares a scale."""

from __future__ import annotations

import pytest
import torch

from calibration import round_trips as rt
from tests.detectors.test_detectors import clean


def groups(w, size):
    return w.reshape(-1, size)


def most_levels(w, size):
    return max(len(row.unique()) for row in groups(w, size))


@pytest.mark.parametrize("way", rt.ROUND_TRIPS)
@pytest.mark.parametrize("shape", [(96, 384), (16, 27), (16, 8, 3, 3)])
def test_shapes_stay_and_values_come_near(way, shape):
    w = clean(1, shape[0], torch.Size(shape[1:]).numel()).reshape(shape)
    out = rt.ROUND_TRIPS[way](w)
    assert out.shape == w.shape and torch.isfinite(out).all()
    far = (out - w).std() / w.std()
    assert 0 < far < (0.65 if way in ("ternary per row", "Q2_K", "Q3_K") else 0.35)


@pytest.mark.parametrize(
    ("way", "size", "levels"),
    [
        ("NF4", 64, 16), ("MXFP4", 32, 15), ("NVFP4", 16, 15), ("IQ4_NL", 32, 16),
        ("int4 per 128, zero point", 128, 16), ("int3 per 64, zero point", 64, 8),
        ("int8 per block", 32, 256), ("Q4_0", 32, 17), ("Q4_1", 32, 16), ("Q2_K", 16, 4),
        ("Q3_K", 16, 8), ("Q4_K", 32, 16), ("Q5_K", 32, 32), ("Q6_K", 16, 64),
    ],
)  # fmt: skip
def test_levels_within_a_scale_s_reach(way, size, levels):
    out = rt.ROUND_TRIPS[way](clean(2))
    assert most_levels(out, size) <= levels < most_levels(out, out.numel())


def test_four_bit_floats_are_e2m1_under_their_scales():
    out = groups(rt.ROUND_TRIPS["MXFP4"](clean(3)), 32).abs()
    scale = torch.exp2(out.amax(1, keepdim=True).log2().floor() - 2)
    assert torch.isin(out / scale, rt.E2M1).all()
    out = groups(rt.ROUND_TRIPS["NVFP4"](clean(3)), 16).abs()
    top = out.amax(1, keepdim=True)
    near = (out / top * 6)[..., None] - rt.E2M1
    assert (near.abs().amin(-1) < 1e-5)[(out / top * 6 <= 6).all(1)].float().mean() > 0.99


def test_eight_bit_floats_under_powers_of_two_are_such_floats():
    for name, top, dtype in (
        ("MXFP8 E4M3", 8, torch.float8_e4m3fn),
        ("MXFP8 E5M2", 15, torch.float8_e5m2),
    ):
        out = groups(rt.ROUND_TRIPS[name](clean(4)), 32)
        scale = torch.exp2(out.abs().amax(1, keepdim=True).log2().floor() - top)
        assert torch.equal((out / scale).to(dtype).float(), out / scale)


def test_zero_points_keep_zero_and_both_ends():
    w = clean(5)
    w.view(-1)[::7] = 0
    out = rt.ROUND_TRIPS["int8 per row, zero point"](w)
    assert (out.view(-1)[::7] == 0).all()
    step = (w.amax(1) - w.amin(1)) / 255
    assert ((out - w).abs().amax(1) <= 1.01 * step).all()


def test_columns_in_another_order_come_back():
    same = rt.shuffled(lambda w: w)
    w = clean(6)
    assert torch.equal(same(w), w)
    in_order = rt.ROUND_TRIPS["int4 per 128, zero point"](w)
    moved = rt.ROUND_TRIPS["int4 per 128, act-order"](w)
    assert most_levels(in_order, 128) <= 16 < most_levels(moved, 128)


def test_tiles_share_a_scale():
    w = clean(7, 128, 256)
    whole = rt.tiles(128, torch.float8_e4m3fn)(w)
    left = rt.tiles(128, torch.float8_e4m3fn)(w[:, :128].contiguous())
    assert torch.equal(whole[:, :128], left)
