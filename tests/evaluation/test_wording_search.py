"""Searches for wording: seeded, without the concept's words, better than as many random prompts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.vocabulary import Vocabulary, names, own_words
from conceptrevive.evaluation.wording_search import (
    _crossed,
    _mutated,
    direction,
    evolve,
    substitute,
)

pytestmark = pytest.mark.usefixtures("one_thread")

FORBIDDEN = ("q", "7")


@pytest.fixture(scope="module")
def vocabulary(tiny):
    return Vocabulary.of(tiny, FORBIDDEN)


def cosine(vocabulary, prompt, target):
    pooled = vocabulary.pooled(vocabulary.read([prompt, target]))
    return float(torch.nn.functional.cosine_similarity(pooled[:1], pooled[1:]))


def test_the_own_words_of_weapon_are_its_name_and_its_members():
    words = own_words(get_concept("weapon"))
    assert words == ("axe", "bomb", "bow", "dagger", "knife", "weapon")
    assert names("a Weaponry", words) and not names("a cat in a garden", words)


def test_the_own_words_are_those_it_is_located_by_too():
    concept = Concept("cat", ("a tabby in the garden",), ("a garden",), labels=("object:tom cat",))
    assert own_words(concept) == ("cat", "tabby", "tom")


def test_every_token_is_read_again_as_itself_and_holds_no_forbidden_word(vocabulary):
    tokens = vocabulary.tokens
    assert len(tokens) > 50
    generator = torch.Generator().manual_seed(0)
    for ids in vocabulary.draw(20, 6, generator):
        text = vocabulary.text(ids)
        assert vocabulary.tokenizer(text, add_special_tokens=False).input_ids == ids.tolist()
        assert not names(text, FORBIDDEN)
        framed = vocabulary.framed(ids[None])
        assert torch.equal(framed, vocabulary.read([text]))
    free = Vocabulary.of(SimpleNamespace(**vars_of(vocabulary)), ())
    assert len(free.tokens) == len(tokens) + len(FORBIDDEN)


def vars_of(vocabulary):
    return {"tokenizer": vocabulary.tokenizer, "text_encoder": vocabulary.encoder}


def test_slopes_are_what_a_small_step_towards_a_token_gains(vocabulary):
    aim = vocabulary.pooled(vocabulary.read(["a b c"]))

    def score(pooled):
        return torch.nn.functional.cosine_similarity(pooled, aim)

    framed = vocabulary.read(["x y z"])
    slopes = vocabulary.slopes(framed, score)
    table = vocabulary.encoder.get_input_embeddings()
    size = 1e-3

    def gained(position, token, sign):
        def step(_module, _given, out):
            out = out.clone()
            out[0, position] += sign * size * table.weight[token]
            return out

        hook = table.register_forward_hook(step)
        try:
            return float(score(vocabulary.pooled(framed)))
        finally:
            hook.remove()

    for position, at in ((1, 3), (2, 10), (3, 40)):
        token = int(vocabulary.tokens[at])
        slope = (gained(position, token, 1) - gained(position, token, -1)) / (2 * size)
        assert float(slopes[position, at]) == pytest.approx(slope, rel=0.05, abs=1e-3)
    assert not any(p.requires_grad for p in vocabulary.encoder.parameters())


def test_substitution_is_seeded_and_better_than_as_many_random_prompts(vocabulary):
    settings = {"length": 5, "rounds": 12, "candidates": 24}
    target = "seven q"
    found = substitute(vocabulary, target, **settings, seed=3)
    assert substitute(vocabulary, target, **settings, seed=3) == found
    assert substitute(vocabulary, target, **settings, seed=4) != found
    assert not names(found.prompt, FORBIDDEN)
    assert found.score == pytest.approx(cosine(vocabulary, found.prompt, target), abs=1e-5)
    random = vocabulary.draw(12 * 24, 5, torch.Generator().manual_seed(0))
    scores = [cosine(vocabulary, vocabulary.text(ids), target) for ids in random]
    assert found.start < max(scores) < found.score


def test_evolution_is_seeded_and_better_than_as_many_random_prompts(vocabulary):
    aim = vocabulary.states(vocabulary.read(["seven q"]))[0]
    settings = {"length": 6, "generations": 25, "population": 20}
    found = evolve(vocabulary, aim, **settings, seed=3)
    assert evolve(vocabulary, aim, **settings, seed=3) == found
    assert evolve(vocabulary, aim, **settings, seed=4) != found
    assert not names(found.prompt, FORBIDDEN)

    def score(prompt):
        return -float((vocabulary.states(vocabulary.read([prompt]))[0] - aim).square().sum())

    assert found.score == pytest.approx(score(found.prompt), rel=1e-4)
    random = vocabulary.draw(26 * 30, 6, torch.Generator().manual_seed(0))
    scores = [score(vocabulary.text(ids)) for ids in random]
    assert found.start < max(scores) < found.score


def test_evolution_never_loses_its_best(vocabulary):
    aim = vocabulary.states(vocabulary.read(["abc"]))[0]
    scores = [
        evolve(vocabulary, aim, length=4, generations=g, population=8, mutating=1.0, seed=0).score
        for g in range(8)
    ]
    assert scores == sorted(scores) and scores[0] < scores[-1]


def test_children_are_a_start_of_one_and_an_end_of_another():
    ids = torch.arange(4)[:, None].repeat(1, 6)
    out = _crossed(ids, 1.0, torch.Generator().manual_seed(0))
    assert out.shape == (12, 6) and torch.equal(out[:4], ids)
    for first, second in zip(out[4:8], out[8:], strict=True):
        for child in (first, second):
            assert int((child[1:] != child[:-1]).sum()) <= 1
        assert len({*first.tolist(), *second.tolist()}) <= 2
    assert torch.equal(_crossed(ids, 0.0, torch.Generator().manual_seed(0)), ids)


def test_mutation_replaces_one_token_and_spares_the_first(vocabulary):
    ids = torch.full((50, 6), int(vocabulary.tokens[0]))
    out = _mutated(ids, 1.0, vocabulary, torch.Generator().manual_seed(0))
    changed = (out != ids).sum(1)
    assert changed[0] == 0 and changed.max() == 1 and changed.sum() > 40
    assert torch.equal(ids, torch.full((50, 6), int(vocabulary.tokens[0])))


def test_the_direction_is_the_mean_difference(vocabulary):
    concept = Concept("cat", ("a cat", "my cat"), ("a", "my"), labels=("object:cat",))
    w, o = (
        [vocabulary.states(vocabulary.read([p]))[0] for p in prompts]
        for prompts in (concept.target_prompts, concept.base_prompts)
    )
    expected = ((w[0] - o[0]) + (w[1] - o[1])) / 2
    torch.testing.assert_close(direction(vocabulary, concept), expected)


def test_encoders_and_words_that_leave_nothing_are_refused(tiny):
    with pytest.raises(ConceptReviveError, match="has another: give prompts in files"):
        Vocabulary.of(SimpleNamespace(text_encoder=torch.nn.Linear(1, 1), tokenizer=None), ())
    with pytest.raises(ConceptReviveError, match="no token of CLIPTokenizer is left without"):
        Vocabulary.of(tiny, ("",))
