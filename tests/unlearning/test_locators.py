"""Locators by name."""

from __future__ import annotations

from inspect import signature
from typing import get_args

import pytest
import torch
from torch import nn

import conceptrevive as cr
from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.defaults import METHOD, METHODS, Method
from conceptrevive.unlearning.locators import LOCATORS, locator


def test_every_name_has_a_locator_that_is_called_alike():
    assert tuple(LOCATORS) == METHODS == get_args(Method) and METHOD in METHODS
    for function in LOCATORS.values():
        names = list(signature(function).parameters)
        assert names[:2] == ["model", "concept"]
        assert {"seed", "batch_size", "progress"} <= set(names)


def test_unknown_names_and_settings_of_others_are_told():
    with pytest.raises(
        ConceptReviveError,
        match=r"method 'salum' is unknown \(did you mean 'salun'\?\): choose one of conceptprune",
    ):
        locator("salum")
    with pytest.raises(ConceptReviveError, match="method is a NoneType: choose one of concept"):
        locator(None)
    assert locator("salun", ratio=0.1, tau=None) is LOCATORS["salun"]
    with pytest.raises(
        ConceptReviveError, match=r"tau is no setting of salun: it takes ratio, layers$"
    ):
        locator("salun", ratio=0.1, tau=3, layers=None)


CONCEPT = cr.Concept("cat", ("a cat",), ("a room",))


@pytest.fixture
def model():
    """A denoiser of two layers, each of 4 × 6 weights."""
    return nn.ModuleDict({"a": nn.Linear(6, 4), "b": nn.Linear(6, 4)})


def test_a_locator_of_ones_own_gets_what_it_names(model):
    def find(pipeline, concept, layers=None, seed=0):
        assert pipeline is model and concept is CONCEPT
        mask = torch.zeros(4, 6, dtype=torch.bool)
        mask[0, seed] = True
        return {layers: mask}

    masks = cr.locate_by(find, model, CONCEPT, layers="b", seed=5, progress=print)
    assert list(masks) == ["b"] and masks["b"].nonzero().tolist() == [[0, 5]]
    assert (masks.concept, masks.seed, masks.method) == ("cat", 5, "find")
    with pytest.raises(ConceptReviveError, match="tau is no setting of find: it takes layers"):
        cr.locate_by(find, model, CONCEPT, tau=3, layers="b")


def test_a_mask_set_keeps_what_it_says(model):
    own = cr.MaskSet({"a": torch.ones(4, 6, dtype=torch.bool)}, concept="ours", tau=3)
    masks = cr.locate_by(lambda pipeline, concept: own, model, CONCEPT, seed=2)
    assert (masks.concept, masks.tau, masks.seed, masks.method) == ("ours", 3, None, "<lambda>")
    assert masks["a"] is own["a"]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "masks is a NoneType: give {module name: boolean matrix}"),
        ({}, "the masks have no layers"),
        ({"a": torch.ones(4, 6)}, "a: the mask is torch.float32: make it boolean"),
        ({"a": torch.zeros(4, 6, dtype=torch.bool)}, "the masks of 1 layers are all empty"),
        (
            {"a": torch.ones(6, 4, dtype=torch.bool)},
            r"a: mask \(6, 4\) does not fit weight \(4, 6\)",
        ),
        ({"c": torch.ones(4, 6, dtype=torch.bool)}, "'c'"),
    ],
)
def test_masks_that_do_not_fit_are_refused(model, returned, message):
    def mine(pipeline, concept):
        return returned

    with pytest.raises(
        ConceptReviveError, match=rf"method 'mine' returned what cannot be used: .*{message}"
    ):
        cr.locate_by(mine, model, CONCEPT)
