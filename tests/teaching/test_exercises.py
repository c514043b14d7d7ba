"""Checks say right or wrong, never raise on a reader's answer, and never tell it."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.teaching import checks, exercises
from conceptrevive.teaching.exercises import (
    Misfit,
    as_choice,
    as_function,
    as_number,
    as_tensor,
    check,
    exercise,
    right,
    wrong,
)

ROOT = Path(__file__).parents[2]
MODULES = [m.name for m in pkgutil.iter_modules(checks.__path__)]


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.setattr(exercises, "_EXERCISES", {})

    @exercise("sample.1", mistaken=(3, "x"))
    def _(answer, factor=1):
        value = as_number(answer, 0, 10)
        return right("twice two.") if value * factor == 4 else wrong("count again.")


def test_an_answer_is_right_or_not_yet(sample):
    assert repr(check("sample.1", 4)) == "✓ Right: twice two."
    assert repr(check("sample.1", 3)) == "✗ Not yet: count again."
    assert check("sample.1", 2, 2).right
    assert repr(check("sample.1")) == "✗ Not yet: put your answer in place of the three dots."


@pytest.mark.parametrize("answer", [None, "four", [4], float("nan"), True, object(), 11, -1])
def test_whatever_the_answer_is_the_check_answers(sample, answer):
    verdict = check("sample.1", answer)
    assert not verdict.right and verdict.message


def test_a_check_that_fails_says_so_instead_of_raising(sample):
    verdict = check("sample.1", 4, "no factor", "too many")
    assert not verdict.right and "TypeError" in verdict.message


def test_an_unknown_exercise_is_named_with_its_nearest(sample):
    with pytest.raises(ConceptReviveError, match=r"no exercise 'sample.2' \(did you mean"):
        check("sample.2", 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_number("x"), "give a finite number, not 'x'."),
        (lambda: as_number(5, 0, 1), "5 is not possible here: it lies between 0 and 1."),
        (lambda: as_choice("C", ("a", "b")), "give one of 'a', 'b', not 'C'."),
        (lambda: as_tensor([1], (1,)), "give a tensor, not [1]."),
        (lambda: as_tensor(torch.ones(2), (3,)), "the shape is (2,), and should be (3,)."),
        (lambda: as_tensor(torch.tensor([float("inf")]), (1,)), "some entries are not finite."),
        (lambda: as_function(3), "give the function itself, not 3."),
    ],
)
def test_answers_of_the_wrong_kind_are_told(call, message):
    with pytest.raises(Misfit, match=re.escape(message)):
        call()


def test_answers_of_the_right_kind_pass():
    assert as_number(torch.tensor(0.5), 0, 1) == 0.5
    assert as_choice(" A ", ("a", "b")) == "a"
    assert as_tensor(torch.ones(2), (2,)).dtype == torch.float64


@pytest.mark.parametrize("module", MODULES)
def test_checks_belong_to_a_notebook_and_refuse_what_is_mistaken(module):
    stem = module.removeprefix("n")
    slug = stem.partition("_")[2]
    source = (ROOT / f"notebooks/{stem}.py").read_text(encoding="utf-8")
    known = exercises.exercises(slug)
    assert len(known) >= 3
    for name, each in known.items():
        assert f'check("{name}"' in source, f"{name} is asked nowhere"
        assert len(each.mistaken) >= 2, f"{name}: give two mistaken answers"
        for answer in each.mistaken:
            given = answer if isinstance(answer, tuple) else (answer,)
            verdict = check(name, *given)
            assert not verdict.right, f"{name} takes {answer!r}"
            assert verdict.message.endswith((".", "?")), f"{name}: {verdict.message!r}"
