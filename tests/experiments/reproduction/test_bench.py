"""What a bench asks for, without a model."""

from collections import Counter

import pytest

from conceptrevive.concepts.concept import Settings
from conceptrevive.concepts.presets import get_concept
from conceptrevive.concepts.world import OBJECTS
from conceptrevive.evaluation.outcomes import retained_probes
from conceptrevive.experiments.reproduction import locators, stability
from conceptrevive.experiments.reproduction.bench import turned
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import LAPTOP, PAPER, SMOKE


def test_all_preserved_classes_are_looked_at():
    plan, seen = Plan(LAPTOP, "pocket"), Counter()
    for name in plan.concepts:
        cell = plan.cell("objects", name, "pruned")
        asked = plan.asked(cell)
        labels = [x for p in retained_probes(asked, LAPTOP.retained) for x in p.labels]
        assert len(set(labels)) == LAPTOP.retained
        assert f"object:{name}" not in labels
        seen.update(labels)
    assert seen.keys() == {f"object:{name}" for name in OBJECTS}
    assert max(seen.values()) <= 3


def test_turning_keeps_every_probe():
    assert turned("abcde", 7) == tuple("cdeab")
    assert turned("abcde", 0) == tuple("abcde")
    assert turned((), 3) == ()


def test_only_smoke_draws_in_fewer_steps_and_says_so():
    plan = Plan(SMOKE, "pocket")
    own = get_concept("golf", "pocket")
    assert (own.settings.steps, own.settings.tau) == (12, 6)
    assert plan.concept("golf").settings == Settings(0.1, tau=2, steps=4, guidance=3.0)
    assert plan.concept("golf").eval_prompts == own.eval_prompts
    cell = plan.cell("objects", "golf", "pruned")
    assert (cell.settings["steps"], cell.settings["tau"]) == (4, 2)
    assert plan.asked(cell).settings == plan.concept("golf").settings
    for profile in (LAPTOP, PAPER):
        assert Plan(profile, "pocket").concept("golf") == own
    # Fewer steps make no concept of the user's own: it is asked for in phrasings that cross.
    assert list(stability.phrasings(plan.concept("golf"), "pocket", 2)) == list(
        stability.phrasings(own, "pocket", 2)
    )


@pytest.mark.parametrize(("profile", "told"), [(SMOKE, 6), (LAPTOP, None), (PAPER, None)])
def test_only_smoke_looks_in_some_of_the_layers_and_says_so(profile, told):
    cells = locators.cells(Plan(profile, "pocket"))
    some = [c for c in cells if "layers_of_a_kind" in c.settings]
    assert {c.settings["layers_of_a_kind"] for c in some} == ({told} if told else set())
    whole = {c.settings.get("locator") for c in cells if c not in some}
    assert {None, "ConceptPrune", "Forget-It-All"} <= whole and ("SalUn" in whole) == (not told)
