"""Zeros that pruning left are told from those of rounding, quantisation, padding and adapters."""

from __future__ import annotations

import pytest
import torch

from calibration.round_trips import ROUND_TRIPS
from conceptrevive.revival.natural import TOO_FEW, tell_zeros

pytestmark = pytest.mark.usefixtures("one_thread")


def weight(seed=0, rows=96, columns=384):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.05


def scattered(w, count, seed=0):
    """The matrix with so many zeros at random places."""
    out = w.clone()
    places = torch.randperm(w.numel(), generator=torch.Generator().manual_seed(seed))[:count]
    out.view(-1)[places] = 0
    return out


def pruned(seed=0, share=0.05, dtype=torch.float32):
    w = weight(seed)
    return scattered(w, int(share * w.numel()), seed).to(dtype)


def ending(name):
    return name.rpartition(".")[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_pruned_layers_give_their_zeros_as_masks(dtype, share):
    w = pruned(share=share, dtype=dtype)
    report = tell_zeros([("a.x", w), ("b.x", weight(1).to(dtype)), ("c.y", weight(2).to(dtype))])
    assert list(report.masks) == ["a.x"] and torch.equal(report.masks["a.x"], w == 0)
    assert report.natural == {} and report.looked_at == 3
    assert report.masks.concept == "exact zeros"


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_zeros_of_quantisation_are_natural(way):
    """fp8, nf4 and all others, stored as float16 again, also beside a layer that was pruned."""
    w = ROUND_TRIPS[way](weight()).half()
    report = tell_zeros([("a.x", w), ("b.x", pruned(1, dtype=torch.float16))], ending)
    assert list(report.masks) == ["b.x"]
    if (w == 0).any():
        assert report.natural.keys() == {"a.x"}


def natural_cases():
    rows, columns = weight(), weight()
    rows[:30], columns[:, 7] = 0, 0
    blocks = torch.block_diag(*weight().reshape(6, 16, 384))
    halves = torch.where(weight().abs() > 0.05, weight().sign() * 0.1, 0.0)
    return {
        "all its entries are 0": torch.zeros(96, 384),
        "its zeros fill whole rows or columns": rows,
        "whole rows or columns": columns,
        "they fill blocks or a triangle": blocks,
        "blocks or a triangle": weight(0, 384, 384).triu(),
        "its values lie on a quantisation grid": halves,
        TOO_FEW: scattered(weight(), 1),
    }


@pytest.mark.parametrize("reason", natural_cases())
def test_natural_zeros_have_a_reason(reason):
    report = tell_zeros([("a.x", natural_cases()[reason])])
    assert not report.masks and report.looked_at == 1
    assert reason in report.natural["a.x"]


def test_fewer_zeros_are_enough_beside_a_pruned_layer_of_the_kind():
    """A layer with a handful is pruned for certain only where another of its kind is."""
    few = next(
        x
        for count in range(1, 40)
        if not tell_zeros([("a.x", x := scattered(weight(), count))]).masks
        and tell_zeros([("a.x", x), ("b.x", pruned(1))], ending).masks.keys() == {"a.x", "b.x"}
    )
    alone = tell_zeros([("a.x", few), ("b.x", few), ("c.y", pruned(1))], ending)
    assert list(alone.masks) == ["c.y"]
    assert alone.natural == {"a.x": TOO_FEW, "b.x": TOO_FEW}
    together = tell_zeros([("a.x", few), ("b.x", pruned(1)), ("c.y", few)], ending)
    assert list(together.masks) == ["a.x", "b.x"] and together.natural == {"c.y": TOO_FEW}


def test_one_natural_zero_stays_natural_beside_a_pruned_layer():
    single = weight().half()
    single.view(-1)[7] = 0
    w = single.float().mul(0.001).half()  # so small that rounding leaves zeros of its own
    report = tell_zeros([("a.x", w), ("b.x", pruned(1, dtype=torch.float16))], ending)
    assert list(report.masks) == ["b.x"] and report.natural.keys() == {"a.x"}


def test_matrices_too_small_to_say_anything_are_left_alone():
    small = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    report = tell_zeros([("a.x", small), ("b.x", pruned())], ending)
    assert list(report.masks) == ["b.x"] and report.natural == {"a.x": TOO_FEW}


def test_layers_are_looked_at_one_at_a_time():
    alive = []

    def layers():
        for i in range(3):
            alive.append(i)
            assert alive == [i]
            yield f"{i}.x", pruned(i)
            alive.remove(i)

    assert tell_zeros(layers()).looked_at == 3


def test_no_layers():
    report = tell_zeros([])
    assert not report.masks and report.natural == {} and report.looked_at == 0
