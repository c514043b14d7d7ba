"""An evaluation judges pictures, and says before it draws what it lacks."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

import conceptrevive as cr
import conceptrevive.evaluation.outcomes as outcomes
from conceptrevive.evaluation.outcomes import evaluation_seed

pytestmark = pytest.mark.usefixtures("one_thread")
CAT = cr.Concept(
    "cat", ("a cat",), ("a garden",), labels=("object:cat",), settings=cr.Settings(0.2, 1, 2, 3.0)
)


def test_pictures_that_are_none_are_not_judged(tiny, monkeypatch):
    monkeypatch.setattr(
        outcomes, "judge_concept", lambda *_: pytest.fail("judged what is no picture")
    )
    pipe = type(tiny)(
        **tiny.components | {"vae": deepcopy(tiny.vae)}, requires_safety_checker=False
    )
    pipe.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    pipe.set_progress_bar_config(disable=True)
    message = rf"picture 0 \('a cat', seed {evaluation_seed(2)}\) is not finite"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.evaluate(pipe, CAT, n=2, retained=0, seed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"concept": "cat"}, r"concept is a str: give a Concept, e\.g\. get_concept\('cat'\)"),
        ({"n": 2.5}, "n is a float: give how many pictures to draw"),
        ({"retained": "3"}, "retained is a str: give how many pictures to draw, or None"),
        ({"seed": -1}, r"seed is -1: it must be from 0 to \d+"),
        ({"seed": 2**63 - 1}, r"seed is 9223372036854775807: it must be from 0 to \d+"),
        ({"seed": 1.0}, "seed is a float: give a whole number"),
        ({"steps": 0}, "steps is 0: it must be at least 1"),
        ({"concept": replace(CAT, labels=("object:unicorn",))}, "has no label 'object:unicorn'"),
        ({"concept": replace(CAT, labels=("cat",))}, "has no label 'cat': see `Classifier.load"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_refused_before_drawing(tiny, monkeypatch, arguments, message):
    monkeypatch.setattr(tiny.unet, "forward", lambda *_, **__: pytest.fail("drawn"))
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.evaluate(tiny, **{"concept": CAT, "n": 1, "retained": 0} | arguments)


def test_the_largest_seed_still_draws(tiny):
    largest = 2**64 // 1_000_000 - 2
    probe = cr.Probe("a dog", ("object:dog",))
    result = cr.evaluate(tiny, replace(CAT, retained=(probe,)), n=1, retained=1, seed=largest)
    assert len(result.erased_outcomes) == len(result.retained_outcomes) == 1
    with pytest.raises(cr.ConceptReviveError, match=f"it must be from 0 to {largest}"):
        evaluation_seed(largest + 1)


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch before 2.6")
def test_a_compiled_model_is_evaluated_on_its_own_device(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "unet", torch.compile(tiny.unet, backend="eager"))
    with torch.compiler.set_stance("force_eager"):
        assert len(cr.evaluate(tiny, CAT, n=1, retained=0).erased_outcomes) == 1


def test_a_judge_of_ones_own_needs_no_labels(tiny):
    """The concept's are for the others' pictures then, if it has some."""
    concept = replace(CAT, labels=(), retained=(cr.Probe("a dog", ("object:dog",)),))
    seen = []

    def judge(pictures):
        seen.extend(pictures)
        return [i == 1 for i in range(len(pictures))]

    result = cr.evaluate(tiny, concept, n=3, judge=judge)
    assert result.erased_outcomes == (False, True, False) and len(seen) == 3
    assert len(result.retained_outcomes) == 1
    with pytest.raises(cr.ConceptReviveError, match="judge 'none' is unknown"):
        cr.evaluate(tiny, concept, n=3, judge="none")
