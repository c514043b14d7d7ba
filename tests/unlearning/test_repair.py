"""Gradient projection against cases done by hand, and what is drawn anew."""

from __future__ import annotations

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.repair import chosen_masks, projected, reinitialised


def vector(*numbers):
    """Two layers of what is one vector."""
    return {"a": torch.tensor([numbers[:1]]), "b": torch.tensor([numbers[1:]])}


def numbers(gradient):
    return [x for matrix in gradient.values() for x in matrix.flatten().tolist()]


def test_a_gradient_that_does_not_conflict_stays():
    assert numbers(projected(vector(1.0, 2.0), vector(2.0, -1.0))) == [1, 2], "at right angles"
    assert numbers(projected(vector(1.0, 2.0), vector(1.0, 0.0))) == [1, 2]


def test_a_gradient_that_conflicts_is_turned_aside():
    out = projected(vector(-3.0, 1.0), vector(2.0, 0.0), margin=0.0, ridge=0.0)
    assert numbers(out) == [0, 1], "the part against the reference is taken away"
    out = projected(vector(-3.0, 1.0), vector(1.0, 1.0), margin=0.0, ridge=0.0)
    assert numbers(out) == [-2, 2], "g·r = −2, r·r = 2: one r is added"


def test_the_margin_goes_beyond():
    out = projected(vector(-1.0, 1.0), vector(2.0, 0.0), margin=0.5, ridge=0.0)
    assert numbers(out) == [0, 1], "v = 2/4 is the margin itself"
    out = projected(vector(-0.2, 1.0), vector(2.0, 0.0), margin=0.5, ridge=0.0)
    assert numbers(out) == pytest.approx([0.8, 1]), "0.4/4 would do, 0.5 is added"
    out = projected(vector(-3.0, 1.0), vector(2.0, 0.0), margin=0.0, ridge=2.0)
    assert numbers(out) == [-1, 1], "6/(4 + 2) = 1"


def test_it_solves_the_quadratic_programme():
    """min ½(r·r + ridge)v² + (g·r)v over v ≥ margin, by trying many v."""
    source = torch.Generator().manual_seed(0)
    for _ in range(5):
        g, r = (torch.randn(6, generator=source) for _ in range(2))
        r = -r if g @ r > 0 else r
        v = torch.linspace(0.5, 20, 200_001)
        best = v[(0.5 * (r @ r + 1e-3) * v * v + (g @ r) * v).argmin()]
        (out,) = projected({"a": g[None]}, {"a": r[None]}).values()
        torch.testing.assert_close(out[0], g + best * r, atol=1e-3, rtol=0)


def test_only_what_is_masked_is_drawn_anew():
    weights = {"a": torch.full((200, 50), 7.0), "b": torch.full((2, 2), 7.0)}
    masks = {"a": torch.arange(200)[:, None].expand(200, 50) < 100}
    out = reinitialised(weights, masks, torch.Generator().manual_seed(0))
    again = reinitialised(weights, masks, torch.Generator().manual_seed(0))
    assert (out["a"][100:] == 7).all() and torch.equal(out["b"], weights["b"])
    assert out["a"][:100].std() == pytest.approx(0.02, rel=0.05)
    assert abs(float(out["a"][:100].mean())) < 1e-3
    assert torch.equal(out["a"], again["a"]) and (weights["a"] == 7).all()


def test_layers_to_draw_anew():
    masks = {"a": torch.tensor([[True]]), "b": torch.tensor([[False]])}
    assert list(chosen_masks(masks, None)) == ["a", "b"]
    assert list(chosen_masks(masks, ("a",))) == ["a"]
    with pytest.raises(
        ConceptReviveError, match="none of the 1 located weights is in the 1 layers to draw anew"
    ):
        chosen_masks(masks, ["b"])
    with pytest.raises(ConceptReviveError, match="reinitialise has 'c', of which there is no mask"):
        chosen_masks(masks, ["c"])
    with pytest.raises(ConceptReviveError, match="reinitialise is the string 'a': give a list"):
        chosen_masks(masks, "a")
