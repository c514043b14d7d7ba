"""Defences by name and of one's own: called alike, and refused where the result is none."""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from conceptrevive.defence.defaults import DEFENCE, DEFENCES_SAID
from conceptrevive.defence.defences import DEFENCES, defend

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = {"a": torch.arange(1.0, 25.0).view(4, 6), "b": torch.ones(2, 3)}
MASKS = {"a": torch.eye(4, 6, dtype=torch.bool)}


def test_the_shipped_one_is_the_default():
    assert tuple(DEFENCES) == tuple(DEFENCES_SAID) == (DEFENCE,)
    new = defend(DEFENCE, WEIGHTS, MASKS, sigma=0.5, relative=None, seed=3)
    expected = cr.obfuscate(WEIGHTS, MASKS, sigma=0.5, seed=3)
    assert all(torch.equal(new[n], expected[n]) for n in WEIGHTS)


def test_one_of_ones_own_gets_what_it_names_and_may_change_more():
    def mean(weights, masks, sigma):
        for name, mask in masks.items():
            weights[name].masked_fill_(mask, float(weights[name][~mask].mean()) * sigma)
        weights["b"] += 1
        return weights

    new = defend(mean, WEIGHTS, MASKS, sigma=2.0, seed=None)
    alive = WEIGHTS["a"][~MASKS["a"]]
    assert torch.equal(new["a"], WEIGHTS["a"].masked_fill(MASKS["a"], 2 * float(alive.mean())))
    assert torch.equal(new["b"], torch.full((2, 3), 2.0)) and (WEIGHTS["b"] == 1).all()
    with pytest.raises(cr.ConceptReviveError, match="seed is no setting of mean: it takes sigma"):
        defend(mean, WEIGHTS, MASKS, sigma=2.0, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: None, r"what it returned is a NoneType: give \{module name: matrix\}"),
        (lambda w: {"a": w["a"] + 1}, "b: return the layers that were given, all of them"),
        (
            lambda w: w | {"a": w["a"].T},
            r"a: torch.float32 of shape \(6, 4\): it was torch.float32",
        ),
        (lambda w: w | {"a": w["a"].half()}, "a: torch.float16 of shape"),
        (lambda w: w | {"a": w["a"] / 0}, "a: NaN or Inf: return finite weights"),
        (lambda w: w, "nothing of 2 layers is changed"),
    ],
)
def test_what_is_no_defence_is_refused(change, message):
    with pytest.raises(
        cr.ConceptReviveError, match=f"defence 'mine' returned what cannot be used: {message}"
    ):

        def mine(weights, masks):
            return change(weights)

        defend(mine, WEIGHTS, MASKS)


def test_masks_are_checked_first():
    with pytest.raises(cr.ConceptReviveError, match=r"a: mask \(2, 2\) does not fit"):
        defend(lambda w, m: w, WEIGHTS, {"a": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(cr.ConceptReviveError, match=r"defence 'gausian' is unknown \(did you mean"):
        defend("gausian", WEIGHTS, MASKS)
