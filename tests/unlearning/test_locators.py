"""Locators by name."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import get_args

import pytest
import torch
from torch import nn

import conceptrevive as cr
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.matrices import choose
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


class Blocks(nn.Module):
    """A denoiser of three blocks with two layers each, and one outside."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"to_q": nn.Linear(6, 4), "mlp": nn.Linear(6, 4)}) for _ in range(3)
        )
        self.mlp = nn.Linear(6, 4)


def finder(*names):
    """A locator that has masks of these layers, whatever it is given."""

    def find(pipeline, concept, layers=None):
        return {name: torch.eye(4, 6, dtype=torch.bool) for name in names}

    return find


BY = f"{__name__}:finder.<locals>.find"
Q = [f"blocks.{i}.to_q" for i in range(3)]


@pytest.mark.parametrize(
    ("layers", "names", "said"),
    [
        ("*.to_q", Q, ("*.to_q", None, None)),
        ("*.to_q", Q[:1], ("*.to_q", None, f"{Q[1]},{Q[2]}")),
        (Q[:2], Q[:2], (f"{Q[0]},{Q[1]}", None, None)),
        (iter(Q), Q[1:], (",".join(Q), None, Q[0])),
        (
            "attention,mlp",
            [*Q, "mlp"],
            ("attention,mlp", None, ",".join(f"blocks.{i}.mlp" for i in range(3))),
        ),
        (None, Q, ("attention", BY, None)),
        (None, Q[1:2], ("blocks.*.to_q", BY, Q[0] + "," + Q[2])),
        (
            None,
            ["blocks.2.mlp", *Q],
            ("blocks.*.mlp,blocks.*.to_q", BY, "blocks.0.mlp,blocks.1.mlp"),
        ),
        (None, ["mlp"], ("[m]lp", BY, None)),
        ("blocks.0.mlp", Q, ("attention", BY, None)),
    ],
    ids=[
        "given",
        "less than given",
        "named",
        "named by an iterator",
        "two, less than given",
        "a preset",
        "some of a kind",
        "two kinds",
        "outside of blocks",
        "not what was given",
    ],
)
def test_what_was_looked_at_is_kept(layers, names, said, tmp_path):
    """Masks of one's own say it as the shipped ones do, and which of the layers have none."""
    model = Blocks()
    masks = cr.locate_by(finder(*names), model, CONCEPT, layers=layers)
    masks.save(tmp_path / "m")
    back = cr.MaskSet.load(tmp_path / "m")
    assert (back.layers, back.chosen_by, back.left_out) == said
    meant = set(choose(model, back.layers).layers)
    without = set(choose(model, back.left_out).layers) if back.left_out else set()
    assert meant == set(masks) | without and not set(masks) & without


def test_by_a_function_and_what_a_mask_set_says_itself():
    model = Blocks()
    masks = cr.locate_by(finder(*Q[:2]), model, CONCEPT, layers=lambda x: x.name in Q)
    assert masks.layers == ",".join(Q) and masks.left_out == Q[2]
    assert masks.chosen_by.startswith(f"{__name__}:test_by_a_function")
    own = cr.MaskSet({Q[0]: torch.ones(4, 6, dtype=torch.bool)}, layers="attention")
    assert cr.locate_by(lambda *_: own, model, CONCEPT).layers == "attention"
    assert cr.locate_by(partial(finder(*Q)), model, CONCEPT).chosen_by == BY


def test_layers_that_are_not_there_are_told_before_anything_is_drawn():
    def find(pipeline, concept, layers):
        raise AssertionError

    with pytest.raises(ConceptReviveError, match="layers 'to_z' matches none of 7 layers"):
        cr.locate_by(find, Blocks(), CONCEPT, layers="to_z")
