"""A judge of one's own says of every picture whether it shows the concept, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.own_judge import find_judge, judged_by

PICTURES = [Image.new("RGB", (2, 2), c) for c in ("black", "white", "black")]


def is_dark(pictures):
    return [bool(np.asarray(p).mean() < 9) for p in pictures]


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, iter])
def test_outcomes_in_any_form(form):
    judge = find_judge(lambda pictures: form(is_dark(pictures)))
    assert judged_by(judge, PICTURES) == [True, False, True]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "what the judge returned is a NoneType: return one truth value a picture"),
        ([True], "the judge returned 1 outcomes for 3 pictures: return one each, in their order"),
        ([True, 0.7, False], "the judge's outcome of picture 1 is 0.7: return True where it shows"),
        (["cat", True, True], "outcome of picture 0 is 'cat': return True where"),
        (np.ones((3, 2), bool), r"outcome of picture 0 is \[True, True\]: return True where"),
    ],
)
def test_what_is_no_outcome_is_told(said, message):
    with pytest.raises(ConceptReviveError, match=message):
        judged_by(lambda pictures: said, PICTURES)


def test_an_unknown_judge_is_told():
    with pytest.raises(ConceptReviveError, match="judge 'x' is unknown: give your own as module:f"):
        find_judge("x")
