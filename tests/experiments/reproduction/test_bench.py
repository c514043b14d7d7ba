"""What a bench asks for, without a model."""

from collections import Counter

from conceptrevive.concepts.world import OBJECTS
from conceptrevive.evaluation.outcomes import retained_probes
from conceptrevive.experiments.reproduction.bench import turned
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import LAPTOP


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
