"""Scissorhands' masks against a slow literal reading."""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from conceptrevive.unlearning.draws import NOISE, generator
from conceptrevive.unlearning.examples import concept_examples
from conceptrevive.unlearning.scissorhands import snip_scores
from tests.unlearning.literal import CONCEPT, LAYERS, Literal, highest

pytestmark = pytest.mark.usefixtures("one_thread")

GIVEN = dict(
    ratio=0.05, layers=LAYERS, pictures=3, draws=2, guidance=1.5, seed=4, batch_size=2
)  # two batches of two of three pictures: the first comes again


def literal_masks(tiny, pictures):
    """Signs cancel within a batch, not between batches."""
    shown = concept_examples(tiny, CONCEPT, 3, seed=4)
    source = generator(4, NOISE)
    times = torch.randint(1000, (4,), generator=source).tolist()
    noise = torch.randn((4, *shown.latents.shape[1:]), generator=source)
    literal, total = Literal(tiny), dict.fromkeys(LAYERS, 0)
    for batch in ((0, 1), (2, 3)):
        within = dict.fromkeys(LAYERS, 0)
        for draw in batch:
            i = pictures[draw]
            one = literal.gradient(
                shown.latents[i], times[draw], noise[draw], shown.prompts[i], 1.5
            )
            within = {n: within[n] + one[n] for n in LAYERS}
        total = {n: total[n] + within[n].abs() for n in LAYERS}
    return highest({n: literal.weight(n).abs() * total[n] for n in LAYERS}, 0.05)


@pytest.mark.parametrize(("as_released", "pictures"), [(False, (0, 1, 2, 0)), (True, (0, 1, 0, 1))])
def test_masks_equal_the_literal_reading(tiny, as_released, pictures):
    found = cr.locate_scissorhands(tiny, CONCEPT, **GIVEN, as_released=as_released)
    masks, near, count = literal_masks(tiny, pictures)
    assert list(found) == list(LAYERS) and found.count == count
    for name in LAYERS:
        assert near[name].float().mean() < 0.01
        assert torch.equal(found[name] | near[name], masks[name] | near[name]), name
    assert (found.method, found.seed, found.concept) == ("scissorhands", 4, "cat")


def test_the_score_is_the_weight_times_the_gradient():
    weights = {"a": torch.tensor([[-2.0, 0.0, 1.0]])}
    assert snip_scores(weights, {"a": torch.tensor([[3.0, 5.0, 0.5]])})["a"].tolist() == [
        [6.0, 0.0, 0.5]
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"draws": 0}, "draws is 0: add up at least one batch"),
        ({"draws": "10"}, "draws is a str: give a whole number"),
        ({"ratio": 2}, "ratio is 2: it is a share of all weights"),
        ({"seed": -1}, "seed is -1: give one from 0"),
        ({"guidance": "7.5"}, "guidance is a str: give a number"),
    ],
)
def test_settings_of_a_wrong_kind(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate_scissorhands(tiny, CONCEPT, **GIVEN | given)
