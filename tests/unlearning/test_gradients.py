"""Gradients and ranking on matrices small enough to do by hand."""

from __future__ import annotations

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.gradients import summed_gradients, top_masks

WEIGHTS = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[3.0]])}


def test_signs_cancel_unless_taken_absolutely():
    losses = [
        lambda w: (w["a"] * torch.tensor([[1.0, 2.0]])).sum() + w["b"].sum() ** 2,
        lambda w: -(w["a"] * torch.tensor([[3.0, 1.0]])).sum() + w["b"].sum(),
    ]
    signed = summed_gradients(WEIGHTS, losses)
    assert signed["a"].tolist() == [[-2.0, 1.0]] and signed["b"].tolist() == [[7.0]]
    absolute = summed_gradients(WEIGHTS, losses, absolute=True)
    assert absolute["a"].tolist() == [[4.0, 3.0]]


def test_half_precision_is_differentiated_in_single():
    weights = {"a": torch.ones(1, 1, dtype=torch.bfloat16)}
    assert summed_gradients(weights, [lambda w: w["a"].sum() / 3])["a"].dtype == torch.float32


def test_a_layer_without_gradient_is_named():
    with pytest.raises(ConceptReviveError, match="b: the loss has no gradient there: it takes no"):
        summed_gradients(WEIGHTS, [lambda w: w["a"].sum()])
    with pytest.raises(ConceptReviveError, match="a: the loss has no gradient there"):
        summed_gradients(WEIGHTS, [lambda w: torch.ones(())])
    with pytest.raises(ConceptReviveError, match="b: the gradient of the loss is 0 everywhere"):
        summed_gradients(WEIGHTS, [lambda w: w["a"].sum() + 0 * w["b"].sum()])
    with pytest.raises(ConceptReviveError, match="a: the gradient is not finite: load the model"):
        summed_gradients(WEIGHTS, [lambda w: (w["a"] * float("inf")).sum() + w["b"].sum()])


def test_one_threshold_for_all_layers_and_exactly_the_share():
    scores = {"a": torch.tensor([[5.0, 1.0], [4.0, 0.0]]), "b": torch.tensor([[9.0, 3.0, 3.0]])}
    masks = top_masks(scores, 0.6)  # ⌊0.6 · 7⌋ = 4: of the equal ones the first
    assert masks["a"].tolist() == [[True, False], [True, False]]
    assert masks["b"].tolist() == [[True, True, False]]
    assert sum(int(m.sum()) for m in top_masks(scores, 1)["a"]) == 3, "a score of 0 is none"


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (0, "ratio is 0: it is a share"),
        (1.1, "ratio is 1.1: it is a share"),
        (True, "ratio is a bool: give a number"),
        (0.1, "ratio 0.1 selects none of 3 weights: raise it"),
    ],
)
def test_ratios_that_select_nothing(ratio, message):
    with pytest.raises(ConceptReviveError, match=message):
        top_masks(WEIGHTS, ratio)
