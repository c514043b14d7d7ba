"""What each row's weights are, on small layers: of one part exact, or all, or none."""

from functools import partial

import pytest
import torch

from conceptrevive.experiments.laboratory import weights_digest
from conceptrevive.experiments.reproduction import defence, objects, several, signs
from conceptrevive.experiments.reproduction.profiles import LAPTOP, SMOKE
from conceptrevive.experiments.reproduction.recipes import Erased
from conceptrevive.revival.attack import revive
from conceptrevive.revival.signs import retain_signs
from conceptrevive.unlearning.masks import MaskSet

NAMES = ("a.ff.net.2", "b.ff.net.2")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def erased():
    """Two layers of low rank, a seventh pruned for two concepts together."""
    g = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=g)
    original = {n: draw(16, 4) @ draw(4, 48) + 0.1 * draw(16, 48) for n in NAMES}
    one, two = (
        MaskSet({n: torch.rand(16, 48, generator=g) < 0.08 for n in NAMES}) for _ in range(2)
    )
    return Erased(original, one | two, 3, (one, two))


def at_mask(erased, weights):
    return torch.cat([weights[n][erased.masks[n]] for n in NAMES])


def test_survivors_are_untouched_by_every_recipe(erased):
    recipes = {**signs.RECIPES, **several.RECIPES}
    recipes |= {k: v for k, v in objects.recipes(SMOKE).items() if not k.startswith("quantised")}
    for name, recipe in recipes.items():
        weights = recipe.make(erased)
        assert list(weights) == list(NAMES), name
        for n in NAMES:
            alive = ~erased.masks[n]
            assert torch.equal(weights[n][alive], erased.original[n][alive]), name


def test_exact_signs_and_exact_magnitudes_are_the_original_bit_for_bit(erased):
    both = signs.RECIPES["exact signs, exact magnitudes"].make(erased)
    assert weights_digest(both) == weights_digest(erased.original)


def test_oracles_are_exact_in_one_part_and_random_in_the_other(erased):
    truth = at_mask(erased, erased.original)
    found = {name: at_mask(erased, r.make(erased)) for name, r in signs.RECIPES.items()}
    for name in ("exact signs, random magnitudes", "exact signs, neuron max"):
        assert torch.equal(found[name].sign(), truth.sign()) and not torch.equal(found[name], truth)
    flipped = found["random signs, exact magnitudes"]
    assert torch.equal(flipped.abs(), truth.abs())
    assert 0.3 < float((flipped.sign() == truth.sign()).float().mean()) < 0.7
    assert torch.equal(found["pruned"], torch.zeros_like(truth))
    # Layers do not share their coins.
    a, b = (signs.coins(erased, n) for n in NAMES)
    assert not torch.equal(a, b) and set(a.unique().tolist()) == {-1.0, 1.0}


def test_k_of_1_keeps_every_sign(erased):
    for completion in erased.completed.values():
        kept = retain_signs(completion, 1.0)[completion.mask]
        assert torch.equal(kept, completion.unrounded[completion.mask].sign())
        assert bool((kept != 0).all())
    recipes = objects.recipes(LAPTOP)
    for rule in objects.RULES:
        whole = at_mask(erased, recipes[f"neuron {rule} 1"].make(erased))
        some = at_mask(erased, recipes[f"neuron {rule} 0.3"].make(erased))
        assert bool((whole != 0).all())
        kept = some != 0
        assert float(kept.float().mean()) == pytest.approx(0.3, abs=0.02)
        assert torch.equal(some[kept].sign(), whole[kept].sign())


def test_the_tables_have_every_rule_at_every_k():
    recipes = objects.recipes(LAPTOP)
    assert len(recipes) == 2 + 4 + 3 * 10 + 1
    assert recipes["neuron max 0.6"].told == {"magnitude": "max", "top_k": 0.6}
    assert recipes["quantised 8 bits"].told == {"bits": 8}


def test_the_attack_at_its_defaults_is_a_row(erased):
    row = objects.recipes(SMOKE)["neuron max 0.6"].make(erased)
    assert weights_digest(row) == weights_digest(revive(erased.pruned, erased.masks))


def test_quant_recover_leaves_the_zeros(erased):
    weights = objects.recipes(SMOKE)["quantised 4 bits"].make(erased)
    assert bool((at_mask(erased, weights) == 0).all())


def test_one_of_two_concepts_is_revived(erased):
    mine, others = erased.each
    first = several.RECIPES["first revived"].make(erased)
    whole = several.RECIPES["all revived"].make(erased)
    for n in NAMES:
        assert torch.equal(first[n][mine[n]], whole[n][mine[n]])
        assert bool((first[n][others[n] & ~mine[n]] == 0).all())
        assert bool((whole[n][others[n] & ~mine[n]] != 0).any())


def test_whoever_knows_the_places_is_not_hindered_by_noise(erased):
    recipes = defence.recipes(LAPTOP)
    assert weights_digest(recipes["revived, positions known"].make(erased)) == weights_digest(
        revive(recipes["σ_M 0.5 σ_U"].make(erased), erased.masks, seed=3)
    )
    guesses = [
        recipes[f"σ_M 0.01, revived {w}"].make(erased) for w in ("per row", "over all layers")
    ]
    assert weights_digest(guesses[0]) != weights_digest(guesses[1])


def test_guesses_find_small_noise(erased):
    weights = defence.hidden(erased, 1e-4, relative=True)
    for everywhere in (False, True):
        guess = defence.guessed(erased, weights, everywhere)
        hits = sum(int((guess[n] & erased.masks[n]).sum()) for n in NAMES)
        assert hits / erased.masks.count > (0.99 if everywhere else 0.7)


def test_p_of_w_counts_what_the_formula_says(erased):
    told = defence.surface(erased, LAPTOP)
    assert len(told["surface"]) == len(LAPTOP.sigmas)
    row = told["surface"][0]
    assert row["sigma"] == 0.1 and len(row["formula"]) == len(told["widths"])
    at = defence.WIDTHS.index(min(defence.WIDTHS, key=lambda w: abs(w - 0.4)))
    assert row["counted"][at] == pytest.approx(row["formula"][at], abs=0.15)
    assert row["formula"][0] > row["formula"][-1] > told["pruned_fraction"] * 0.9
