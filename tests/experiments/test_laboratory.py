"""The laboratory draws the very pictures that `evaluate` draws."""

from dataclasses import replace

import pytest

from conceptrevive.concepts.presets import get_concept
from conceptrevive.evaluation.outcomes import evaluate
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.runner import parts_of
from conceptrevive.models.weights import swapped

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_it_measures_is_what_evaluate_measures(tmp_path):
    lab = Laboratory("pocket", parts_of(tmp_path / "out.json", "cpu"))
    church = get_concept("church")
    # Asked for in words that draw something else: a cat is no church.
    misled = replace(church, eval_prompts=("a cat in a room",))
    blank = {name: w * 0 for name, w in lab.original.items()}
    for concept, weights in ((church, lab.original), (misled, lab.original), (church, blank)):
        erased = lab.erased(concept, weights, 3, seed=3)
        retained = lab.retained(concept, weights, 3, seed=3)
        with swapped(lab.pipe, weights):
            told = evaluate(lab.pipe, concept, n=3, retained=3, seed=3)
        assert erased.right == told.erased_outcomes
        assert retained.right == told.retained_outcomes
    assert lab.erased(church, lab.original, 3, seed=3).right == (True,) * 3
    assert lab.erased(misled, lab.original, 3, seed=3).right == (False,) * 3
