"""Masks compared, phrasings told apart, variance shared out."""

import pytest
import torch

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.paper import paper_concepts
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.reproduction.stability import (
    FACTORS,
    NAMES,
    explained,
    jaccard,
    phrasings,
)
from conceptrevive.unlearning.masks import MaskSet

THREE = NAMES[FACTORS]


def test_jaccard_by_hand():
    a = MaskSet({"x": torch.tensor([[True, True, False, False]])})
    b = MaskSet({"x": torch.tensor([[True, False, True, False]])})
    none = MaskSet({"x": torch.zeros(1, 4, dtype=torch.bool)})
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert jaccard(a, a) == 1 and jaccard(none, none) == 1 and jaccard(a, none) == 0


def test_what_one_factor_decides_it_explains():
    rates = {
        (c, s, p): {"cat": 0.2, "dog": 0.8}[c] for c in ("cat", "dog") for s in "01" for p in "ab"
    }
    found = explained(rates, 10, THREE)
    assert found["concept"] == pytest.approx(1) and found["rest"] == pytest.approx(0, abs=1e-12)
    assert found["locating_seed"] == found["phrasing"] == 0
    assert found["sampling"] == pytest.approx(8 * 0.16 / 9 / (8 * 0.09))


def test_an_interaction_is_nobodys():
    rates = {(c, s, "a"): float((c == "cat") == (s == "0")) for c in ("cat", "dog") for s in "01"}
    found = explained(rates, 1, THREE)
    assert found["rest"] == 1 and found["sampling"] == 0


def test_shares_add_up_to_one():
    g = torch.Generator().manual_seed(0)
    rates = {
        (c, s, p): float(torch.rand(1, generator=g)) for c in "abc" for s in "0123" for p in "xyz"
    }
    found = explained(rates, 8, THREE)
    assert sum(found[k] for k in (*THREE, "rest")) == pytest.approx(1)
    assert all(found[k] >= 0 for k in (*THREE, "rest"))


def test_where_nothing_varies_nothing_is_explained():
    assert set(explained({("a", "0", "x"): 0.5}, 4, THREE).values()) == {None}


def test_pocket_objects_are_asked_in_every_phrasing_in_every_scene():
    concept = get_concept("parachute")
    found = phrasings(concept, "pocket", 5)
    assert list(found) == list(W.EVALUATION_PHRASES)
    assert sum(p in W.HELD_OUT_PHRASES for p in found) == 2
    said = {prompt for prompts in found.values() for prompt in prompts}
    assert said == set(concept.eval_prompts) and not said & set(concept.target_prompts)
    for phrase, prompts in found.items():
        start = phrase.split("{")[0]
        assert all(p.startswith(start) and "parachute" in p for p in prompts)
    assert list(phrasings(concept, "pocket", 2)) == list(W.EVALUATION_PHRASES[:2])


def test_others_are_asked_in_words_of_their_own():
    golf = paper_concepts()["golf ball"]
    found = phrasings(golf, "paper", 5)
    assert len(found) == 5 and found["an image of a {}"] == ("an image of a golf ball",)
    own = Concept("cat", ("a cat in a room",), ("a room",), labels=("object:cat",))
    assert phrasings(own, "pocket", 5) == {"a cat in a room": ("a cat in a room",)}
