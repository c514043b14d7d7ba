"""Scissorhands' masks against a slow literal reading, and the full method."""

from __future__ import annotations

import math

import pytest
import torch

import conceptrevive as cr
from conceptrevive.unlearning.denoising import NoisePredictor
from conceptrevive.unlearning.draws import NOISE, generator
from conceptrevive.unlearning.examples import concept_examples
from conceptrevive.unlearning.snip import snip_scores
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


# --- the full method ------------------------------------------------------------------------------

TRAINED = dict(
    layers=LAYERS, ratio=0.05, pictures=4, retained=4, guidance=0, steps=6, seed=4, batch_size=4
)


def loss_on_the_concept(tiny, weights):
    """On the pictures that were learnt from, with noise of another seed."""
    predictor = NoisePredictor(tiny, LAYERS)
    shown = concept_examples(tiny, CONCEPT, 4, seed=4)
    (batch,) = predictor.batches(shown, 4, generator(9, NOISE))
    with torch.no_grad():
        return float(predictor.losses(weights, batch).mean())


def test_the_concept_is_unlearnt(tiny):
    before = cr.read_weights(tiny, LAYERS)
    given = TRAINED | {"steps": 20, "lr": 3e-2, "forget": 5, "cap": math.inf}
    out = cr.unlearn_scissorhands(tiny, CONCEPT, **given)
    assert list(out) == list(LAYERS)
    assert loss_on_the_concept(tiny, out) > 1.05 * loss_on_the_concept(tiny, before)
    again = cr.unlearn_scissorhands(tiny, CONCEPT, **given)
    assert all(torch.equal(again[n], w) for n, w in out.items())
    assert all(torch.equal(w, cr.read_weights(tiny, [n])[n]) for n, w in before.items())


def test_what_is_located_is_drawn_anew_where_it_was_asked_for(tiny):
    """A learning rate next to nothing leaves the start as it was."""
    masks = {n: torch.rand(w.shape) < 0.3 for n, w in cr.read_weights(tiny, LAYERS).items()}
    given = {k: v for k, v in TRAINED.items() if k != "layers"} | {"steps": 1, "lr": 1e-12}
    out = cr.unlearn_scissorhands(
        tiny, CONCEPT, masks=masks, reinitialise=LAYERS[:1], **given, project=False
    )
    before = cr.read_weights(tiny, LAYERS)
    for name in LAYERS:
        moved = (out[name] - before[name]).abs() > 1e-6
        assert not moved[~masks[name]].any()
        assert moved[masks[name]].float().mean() == pytest.approx(
            float(name == LAYERS[0]), abs=0.02
        )


def test_a_capped_loss_is_not_worsened(tiny):
    given = TRAINED | {"steps": 1, "lr": 1e-3, "project": False}
    capped = cr.unlearn_scissorhands(tiny, CONCEPT, **given, cap=0)
    without = cr.unlearn_scissorhands(tiny, CONCEPT, **given, forget=0)
    with_it = cr.unlearn_scissorhands(tiny, CONCEPT, **given, forget=9, cap=math.inf)
    assert all(torch.equal(capped[n], w) for n, w in without.items())
    assert any(not torch.equal(with_it[n], w) for n, w in without.items())


def test_a_repair_that_would_relearn_is_turned_aside(tiny):
    """With this seed what lowers the loss on the rest lowers the concept's too."""
    given = TRAINED | {"steps": 1, "lr": 1e-3, "forget": 0, "seed": 0}
    free, aside = (
        cr.unlearn_scissorhands(tiny, CONCEPT, **given, project=project)
        for project in (False, True)
    )
    assert any(not torch.equal(free[n], w) for n, w in aside.items())


def test_a_stopped_repair_goes_on(tiny, tmp_path):
    whole = cr.unlearn_scissorhands(tiny, CONCEPT, **TRAINED, lr=1e-3)
    path = tmp_path / "state.safetensors"
    given = dict(lr=1e-3, checkpoint=path)
    cr.unlearn_scissorhands(tiny, CONCEPT, **TRAINED | {"steps": 2}, **given)
    rest = cr.unlearn_scissorhands(tiny, CONCEPT, **TRAINED, **given)
    assert all(torch.equal(rest[n], w) for n, w in whole.items())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forget": -1}, "forget is -1: give 0 or more"),
        ({"cap": math.nan}, "cap is nan: give 0 or more"),
        ({"project": 1}, "project is a int: give True or False"),
        ({"lr": 0}, "lr is 0: give a learning rate above 0"),
        ({"reinitialise": ["x"]}, "reinitialise has 'x', of which there is no mask"),
    ],
)
def test_settings_of_the_full_method(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.unlearn_scissorhands(tiny, CONCEPT, **TRAINED | given)
