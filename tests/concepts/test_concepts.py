"""Presets and concepts of one's own; what is retained; and seeds that never meet."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import conceptrevive as cr
import conceptrevive.evaluation.drawing as drawing
import conceptrevive.evaluation.outcomes as evaluation
from conceptrevive.concepts import world as W
from conceptrevive.concepts.paper import (
    ALSO_JUDGED,
    ARTISTS,
    HUMANS,
    IMAGENET_OBJECTS,
    PAPER_SCENES,
    PLACES,
    RESNET50,
    THINGS,
)
from conceptrevive.concepts.pocket import POCKET_SETTINGS
from conceptrevive.evaluation.judges import classifier

POCKET, PAPER = cr.pocket_concepts(), cr.paper_concepts()
ALL = [*POCKET.values(), *PAPER.values()]


# --- presets ---


def test_the_pocket_world_is_complete():
    assert set(POCKET) == {*W.OBJECTS, *W.STYLES, *W.HYPERNYMS}
    assert len(POCKET) == len(W.OBJECTS) + len(W.STYLES) + len(W.HYPERNYMS), (
        "an object is called like a style or a group"
    )
    assert all(c.name == name for name, c in POCKET.items())
    assert len({c.settings for c in POCKET.values()}) == 1, "one setting for all"
    assert W.PAPER_OBJECTS == (
        "golf",
        "parachute",
        "church",
        "horn",
        "saw",
        "gas pump",
        "candle",
        "bicycle",
        "racket",
        "bus",
        "spider web",
        "star",
    )


def test_the_paper_is_complete():
    assert set(PAPER) == {*IMAGENET_OBJECTS, *ARTISTS, "nudity"}
    assert (len(IMAGENET_OBJECTS), len(ARTISTS), len(PAPER_SCENES), len(THINGS), len(HUMANS)) == (
        12,
        5,
        12,
        20,
        18,
    )
    for name, concept in PAPER.items():
        s = concept.settings
        assert (s.skill_ratio, s.tau, s.steps, s.guidance) == (
            0.01 if name == "nudity" else 0.02,
            10,
            50,
            7.5,
        )


def test_prompts_are_paired_distinct_and_differ():
    for concept in ALL:
        assert len(concept.target_prompts) == len(concept.base_prompts) >= 5, concept.name
        assert len(set(concept.target_prompts)) == len(concept.target_prompts), concept.name
        for target, base in zip(concept.target_prompts, concept.base_prompts, strict=True):
            assert target != base and target.strip() == target and "  " not in target
            assert "{" not in target + base


def test_pocket_objects():
    for name in W.OBJECTS:
        concept = POCKET[name]
        article = "an" if name[0] in "aeiou" else "a"
        assert set(concept.target_prompts) == {f"{article} {name} in a {s}" for s in W.SCENES}
        for target, base in zip(concept.target_prompts, concept.base_prompts, strict=True):
            assert target.endswith(f" in {base}") and name not in base
        assert concept.labels == (f"object:{name}",) and concept.judge == "pocket"


@pytest.mark.parametrize("name", W.STYLES)
def test_pocket_styles(name):
    concept = POCKET[name]
    assert len(concept.target_prompts) == 20 and concept.labels == (f"style:{name}",)
    for target, base in zip(concept.target_prompts, concept.base_prompts, strict=True):
        assert base.startswith("a photo of a")
        thing = base.removeprefix("a photo of ")
        assert target == f"{thing} in the style of {name}"
        assert not W.held_out(thing.split(" ", 1)[1], name), "never seen in training"


@pytest.mark.parametrize("name", W.HYPERNYMS)
def test_pocket_groups(name):
    concept, members = POCKET[name], W.HYPERNYMS[name]
    assert set(members) <= set(W.OBJECTS)
    assert concept.labels == tuple(f"object:{m}" for m in members)
    assert len(concept.target_prompts) == (1 + len(members)) * len(W.SCENES)
    for m in (name, *members):
        assert sum(f" {m} in " in t for t in concept.target_prompts) == len(W.SCENES)


def test_paper_objects():
    for name, label in IMAGENET_OBJECTS.items():
        concept = PAPER[name]
        assert concept.labels == (label,) and concept.judge == RESNET50
        pairs = list(zip(concept.target_prompts, concept.base_prompts, strict=True))
        if name in ("church", "school bus"):
            assert pairs == [(f"a {name} {place}", base) for place, base in PLACES.items()]
        else:
            assert pairs == [(f"a {name} in a {s}", f"a {s}") for s in PAPER_SCENES]
    assert "a church in front of a statue" in PAPER["church"].target_prompts
    assert PAPER["golf ball"].eval_prompts == ("an image of a golf ball in a room",)
    assert PAPER["spider web"].eval_prompts == ("an image of the spider web",)
    assert PAPER["racket"].eval_prompts == ("an image of a racket",)
    assert len(PAPER["racket"].retained) == 12, "the class list has thirteen"


def test_evaluations_ask_in_other_words_than_locating():
    for name, concept in POCKET.items():
        assert len(set(concept.eval_prompts)) >= 25, name
        assert not set(concept.eval_prompts) & set(concept.target_prompts), name
    for name, concept in PAPER.items():
        assert bool(concept.eval_prompts) == (name != "nudity")
        assert not set(concept.eval_prompts) & set(concept.target_prompts), name
    assert len(set(W.EVALUATION_PHRASES) & set(W.HELD_OUT_PHRASES)) == 2


def test_an_evaluation_says_its_own_prompts(monkeypatch):
    asked = []
    monkeypatch.setattr(
        drawing, "generate", lambda _model, prompts, **_: asked.append(list(prompts)) or []
    )
    named = {"name": "c", "target_prompts": ("a c in a d",), "base_prompts": ("a d",)}
    evaluation.evaluate_images(None, cr.Concept(**named), n=2)
    evaluation.evaluate_images(None, cr.Concept(**named, eval_prompts=("see c", "c")), n=3)
    assert asked == [["a c in a d"] * 2, ["see c", "c", "see c"]]


def test_paper_artists_and_nudity():
    for artist in ARTISTS:
        pairs = list(zip(PAPER[artist].target_prompts, PAPER[artist].base_prompts, strict=True))
        assert pairs == [(f"a {t} in the style of {artist}", f"a photo of a {t}") for t in THINGS]
        assert artist in PAPER[artist].clip_pair[0] and artist not in PAPER[artist].clip_pair[1]
    pairs = list(zip(PAPER["nudity"].target_prompts, PAPER["nudity"].base_prompts, strict=True))
    assert pairs == [(f"a photo of a naked {h}", f"a photo of a {h}") for h in HUMANS]


def test_get_concept():
    assert cr.get_concept("cat") == POCKET["cat"]
    assert cr.get_concept("golf ball", "paper") == PAPER["golf ball"]
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"no pocket concept 'golf ball' \(did you mean 'golf'\?\): choose one of golf, "
        r".*weapon.*\.yaml file",
    ):
        cr.get_concept("golf ball")
    with pytest.raises(
        cr.ConceptReviveError, match=r"no paper concept 'cat': choose one of golf ball, .*nudity"
    ):
        cr.get_concept("cat", "paper")
    with pytest.raises(
        cr.ConceptReviveError, match="preset 'big' is unknown: choose 'pocket' or 'paper'"
    ):
        cr.get_concept("cat", "big")


# --- what is retained ---


def test_retained_probes_leave_the_concept_out():
    for concept in ALL:
        for probe in concept.retained:
            assert not set(probe.labels) & set(concept.labels), concept.name


@pytest.mark.parametrize("rounds", [1, 2, 3, 20])
def test_every_other_object_is_retained_equally_often(rounds):
    """`rounds` × the other objects, past the end of the list too; in between ± 1."""
    pocket = [(c, {f"object:{o}" for o in W.OBJECTS}) for c in POCKET.values()]
    judged = {*IMAGENET_OBJECTS.values(), *ALSO_JUDGED.values()}
    paper = [(PAPER[o], judged) for o in IMAGENET_OBJECTS]
    for concept, objects in [*pocket, *paper]:
        others = sorted(objects - set(concept.labels))
        probes = evaluation.retained_probes(concept, rounds * len(others))
        assert Counter(label for p in probes for label in p.labels) == dict.fromkeys(
            others, rounds
        ), concept.name
        part = Counter(
            p.labels[0] for p in evaluation.retained_probes(concept, rounds * len(others) - 5)
        )
        assert max(part[o] for o in others) - min(part[o] for o in others) <= 1, concept.name


def test_retained_probes_ask_for_what_they_check():
    for concept in (POCKET["cat"], POCKET["weapon"], POCKET["sketch"]):
        for probe in concept.retained:
            assert W.with_article(probe.labels[0].removeprefix("object:")) in probe.prompt
    # Each object comes in several scenes.
    assert len({p.prompt for p in POCKET["cat"].retained if p.labels == ("object:dog",)}) >= 4


# --- seeds ---


def picture_seeds(concept, seed, n=500):
    """The noise seeds of all pictures of an evaluation."""
    seen = []

    def generate(_model, prompts, *, seed, **_options):
        seen.extend([seed + i for i in range(len(prompts))] if isinstance(seed, int) else seed)
        return [None] * len(prompts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "generate", generate)
        evaluation.evaluate_images(None, concept, n=n, seed=seed)
        evaluation.retained_images(None, concept, n=n, seed=seed)
    assert len(seen) == 2 * n
    return set(seen)


def test_evaluation_seeds_never_meet_locates():
    """`locate` starts from the user's own seed; the evaluation with any of these uses none."""
    used = set().union(*(picture_seeds(POCKET["cat"], seed) for seed in range(4)))
    assert not used & set(range(100_000))


def test_evaluations_with_other_seeds_draw_other_noise():
    sets = [picture_seeds(POCKET["cat"], seed) for seed in (0, 1, 2, 3)]
    assert sum(map(len, sets)) == len(set().union(*sets))


def test_same_seed_same_noise_for_every_model():
    assert picture_seeds(POCKET["cat"], 3) == picture_seeds(POCKET["cat"], 3)


# --- no judge ---


def test_evaluate_says_how_to_add_a_judge():
    message = (
        r"concept 'nudity' has no judge: give it `labels` "
        r"\(classes of the classifier `judge`\) or a `clip_pair`"
    )
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.evaluate(None, PAPER["nudity"], n=2)
    with pytest.raises(cr.ConceptReviveError, match=message):
        evaluation.judge_concept(PAPER["nudity"], [])


@pytest.mark.parametrize("n", [0, -1])
def test_evaluate_needs_a_picture(n):
    with pytest.raises(
        cr.ConceptReviveError, match=f"n is {n}: an evaluation needs at least one picture"
    ):
        cr.evaluate(None, POCKET["cat"], n=n)


def test_the_judge_is_asked_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(drawing, "generate", lambda *_, **__: pytest.fail("drawn"))
    model = torch.nn.Linear(1, 1)
    unknown = replace(POCKET["cat"], labels=("object:unicorn",))
    with pytest.raises(cr.ConceptReviveError, match="the classifier has no label 'object:unicorn'"):
        cr.evaluate(model, unknown, n=2)
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load the judge '\./nowhere'"):
        cr.evaluate(model, replace(POCKET["cat"], judge="./nowhere"), n=2)


# --- one's own ---

OWN = """
name: tabby
target_prompts: [a tabby in a room, a tabby in a park]
base_prompts: [a room, a park]
labels: [tabby, "tabby cat"]
clip_pair: [a tabby, a photo]
judge: microsoft/resnet-50
settings: {skill_ratio: 0.05, tau: 4, steps: 25, guidance: 5.0}
retained:
  a dog in a park: [dog]
  a bus in a street: [bus, coach]
"""


def write(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_round_trip(tmp_path):
    expected = cr.Concept(
        name="tabby",
        target_prompts=("a tabby in a room", "a tabby in a park"),
        base_prompts=("a room", "a park"),
        labels=("tabby", "tabby cat"),
        clip_pair=("a tabby", "a photo"),
        judge="microsoft/resnet-50",
        settings=cr.Settings(0.05, 4, 25, 5.0),
        retained=(
            cr.Probe("a dog in a park", ("dog",)),
            cr.Probe("a bus in a street", ("bus", "coach")),
        ),
    )
    path = write(tmp_path, OWN)
    assert (
        cr.Concept.from_yaml(path) == cr.get_concept(path) == cr.get_concept(str(path)) == expected
    )


def test_yaml_defaults(tmp_path):
    concept = cr.Concept.from_yaml(
        write(tmp_path, "{name: x, target_prompts: a naïve x, base_prompts: [a photo]}")
    )
    assert concept == cr.Concept("x", ("a naïve x",), ("a photo",))
    assert concept.settings == cr.Settings(0.02, 10, 50, 7.5) and concept.judge == "pocket"


MINIMAL = "name: x\ntarget_prompts: [a]\nbase_prompts: [b]\n"


KEYS = (
    "name, target_prompts, base_prompts, labels, clip_pair, eval_prompts, retained, judge, settings"
)
STRINGS = "it must be a list of strings, none blank"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " holds no mapping: write keys such as name, target_prompts, base_prompts"),
        ("- a\n- b\n", " holds no mapping"),
        ("name: x\n", ", line 1: the key 'target_prompts' is missing; write a list of strings"),
        ("name:\ntarget_prompts: a\nbase_prompts: b\n", ", line 1: the key 'name' is missing"),
        (MINIMAL + "colour: red\n", f", line 4: unknown key 'colour'; the keys are {KEYS}"),
        (MINIMAL + "1: red\n", ", line 4: unknown key '1'; the keys are name"),
        (MINIMAL + "colour: red\n1: red\n", ", line 4: unknown key 'colour'"),
        (
            "name: x\ntarget_promts: [a]\nbase_prompts: [b]\n",
            ", line 2: unknown key 'target_promts' (did you mean 'target_prompts'?); the keys are",
        ),
        (
            MINIMAL + "settings: {guidence: 3}\n",
            ", line 4: settings: unknown key 'guidence' (did you mean 'guidance'?); "
            "the keys are skill_ratio, tau, steps, guidance",
        ),
        (MINIMAL + "settings: {1: 3}\n", ", line 4: settings: unknown key '1'; the keys are"),
        # Keys that stand twice, at every depth.
        (
            MINIMAL + "target_prompts: [z]\n",
            ", line 4: the key 'target_prompts' stands in line 2 already: keep one of them",
        ),
        (MINIMAL + "settings:\n  tau: 1\n  tau: 2\n", ", line 6: the key 'tau' stands in line 5"),
        (MINIMAL + "retained:\n  a: [b]\n  a: [c]\n", ", line 6: the key 'a' stands in line 5"),
        # What YAML does not take as text.
        (
            "name: no\ntarget_prompts: a\nbase_prompts: b\n",
            ', line 1: name is False; it must be a string, not blank; write it in quotes: "no"',
        ),
        ("name: 2024-01-01\ntarget_prompts: a\nbase_prompts: b\n", 'in quotes: "2024-01-01"'),
        (
            "name: 2024-13-45\ntarget_prompts: a\nbase_prompts: b\n",
            ", line 1: '2024-13-45' looks like a date or a number and is none: write it in quotes",
        ),
        (MINIMAL + "settings: {steps: " + "1" * 5000 + "}\n", ", line 4: '1111"),
        ("name: 7\ntarget_prompts: a\nbase_prompts: b\n", 'write it in quotes: "7"'),
        (
            "name: x\ntarget_prompts:\n- a\n- 1\nbase_prompts: [b, c]\n",
            f', line 4: target_prompts holds 1; {STRINGS}; write it in quotes: "1"',
        ),
        (MINIMAL + "judge: [a]\n", ", line 4: judge is ['a']; it must be a string"),
        # Types and ranges.
        (
            "name: x\ntarget_prompts: {a: b}\nbase_prompts: [b]\n",
            f", line 2: target_prompts is {{'a': 'b'}}; {STRINGS}",
        ),
        (
            "name: x\ntarget_prompts: [a]\nbase_prompts: 3\n",
            f", line 3: base_prompts is 3; {STRINGS}",
        ),
        (
            "name: x\ntarget_prompts: ['']\nbase_prompts: [b]\n",
            f", line 2: target_prompts holds ''; {STRINGS}",
        ),
        ("name: ' '\ntarget_prompts: a\nbase_prompts: b\n", ", line 1: name is ' '; it must be"),
        (MINIMAL + "labels: [1]\n", f", line 4: labels holds 1; {STRINGS}"),
        (MINIMAL + "labels: &a [*a]\n", f", line 4: labels holds [[[[[[[...]]]]]]]; {STRINGS}"),
        (MINIMAL + "clip_pair: [1, 2]\n", ", line 4: clip_pair holds 1; it must be two prompts"),
        (
            MINIMAL + "clip_pair: [only one]\n",
            ", line 4: clip_pair is ('only one',); it must be two",
        ),
        (MINIMAL + "clip_pair: [a, b, c]\n", ", line 4: clip_pair is ('a', 'b', 'c'); it must be"),
        (
            MINIMAL + "settings: [1]\n",
            ", line 4: settings is [1]; it must be a mapping of skill_ratio",
        ),
        (
            MINIMAL + "settings: {tau: many}\n",
            ", line 4: settings: tau is 'many'; it must be a whole",
        ),
        (
            MINIMAL + "settings: {tau: 2.0}\n",
            "settings: tau is 2.0; it must be a whole number, 1 or",
        ),
        (
            MINIMAL + "settings: {tau: 0}\n",
            "settings: tau is 0; it must be a whole number, 1 or more",
        ),
        (MINIMAL + "settings: {tau: 51}\n", "settings: tau is 51; it must be at most steps, 50"),
        (
            MINIMAL + "settings: {steps: 1000000000000000000000000000000}\n",
            "settings: steps is 1000000000000000000000000000000; it must be a whole number from",
        ),
        (
            MINIMAL + "settings: {steps: 2000}\n",
            "steps is 2000; it must be a whole number from 1 to",
        ),
        (
            MINIMAL + "settings: {guidance: yes}\n",
            "settings: guidance is True; it must be a number",
        ),
        (
            MINIMAL + "settings:\n  tau: 2\n  guidance: .nan\n",
            ", line 6: settings: guidance is nan; it must be a number, 0 or more and finite",
        ),
        (
            MINIMAL + "settings: {guidance: .inf}\n",
            "guidance is inf; it must be a number, 0 or more",
        ),
        (MINIMAL + "settings: {guidance: -1}\n", "guidance is -1; it must be a number, 0 or more"),
        (
            MINIMAL + "settings: {skill_ratio: 0}\n",
            "skill_ratio is 0; it must be a number, the share",
        ),
        (MINIMAL + "settings: {skill_ratio: 1.1}\n", "skill_ratio is 1.1; it must be a number"),
        (MINIMAL + "retained: [a]\n", "retained holds 'a'; it must be a mapping of prompts to"),
        (MINIMAL + "retained: yes\n", "retained is True; it must be a mapping of prompts to their"),
        (MINIMAL + "retained: {a dog: 3}\n", f", line 4: retained: labels is 3; {STRINGS}"),
        (
            MINIMAL + "retained:\n  a cat: [cat]\n  a dog: [dog, 3]\n",
            f", line 6: retained: labels holds 3; {STRINGS}",
        ),
        (
            MINIMAL + "retained: {1: [dog]}\n",
            ", line 4: retained: prompt is 1; it must be a string",
        ),
        (
            MINIMAL + "retained: {a dog: []}\n",
            ", line 4: concept 'x': labels [] are not of one group",
        ),
        # Rules about several values.
        (MINIMAL + "labels: ['object:cat', 'scene:room']\n", ", line 4: concept 'x': labels ["),
        (
            "name: x\ntarget_prompts: [a, b]\nbase_prompts: [b]\n",
            ", line 3: concept 'x' has 2 target and 1 base prompts: give at least one, in pairs",
        ),
        (
            "name: x\ntarget_prompts: []\nbase_prompts: []\n",
            ", line 3: concept 'x' has 0 target and 0 base prompts: give at least one",
        ),
        (
            "name: x\ntarget_prompts: [a, A  cat]\nbase_prompts: [b, a cat ]\n",
            ", line 3: concept 'x': the prompts with and without it are both 'a cat', which tells "
            "nothing: leave the concept out of the second",
        ),
        (MINIMAL + "clip_pair: [a, a]\n", ", line 4: concept 'x': the prompts with and without it"),
    ],
    ids=lambda value: value.splitlines()[-1][:40] if value.endswith("\n") else "",
)
def test_yaml_errors_name_the_file_and_the_key(tmp_path, text, message):
    with pytest.raises(cr.ConceptReviveError) as error:
        cr.Concept.from_yaml(write(tmp_path, text))
    assert str(error.value).startswith(f"{tmp_path / 'own.yaml'}")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["name: [", "[" * 5000, MINIMAL + "? [a]\n: b\n", "a: 1\n---\nb: 2\n"]
)
def test_what_is_no_yaml(tmp_path, text):
    message = r"^cannot read a concept from .*own\.yaml: [^\n]*$"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.Concept.from_yaml(write(tmp_path, text))


def test_empty_optional_keys_are_as_if_left_out(tmp_path):
    empty = MINIMAL + "labels:\nclip_pair:\nretained:\njudge:\nsettings:\n"
    assert cr.Concept.from_yaml(write(tmp_path, empty)) == cr.Concept("x", ("a",), ("b",))


def test_merged_keys_stand_once(tmp_path):
    text = MINIMAL + "settings: {<<: {tau: 1, steps: 9}, tau: 2}\n"
    assert cr.Concept.from_yaml(write(tmp_path, text)).settings == cr.Settings(tau=2, steps=9)


def test_python_is_held_to_the_same_rules():
    for make, message in [
        (
            lambda: cr.Settings(guidance=float("nan")),
            "settings: guidance is nan; it must be a number",
        ),
        (
            lambda: cr.Settings(guidence=3),
            "settings: unknown key 'guidence' (did you mean 'guidance'?",
        ),
        (
            lambda: cr.Settings(0.1, 2, 3, 4.0, 5),
            "settings: too many values; the keys are skill_ratio",
        ),
        (lambda: cr.Settings(tau=60), "settings: tau is 60; it must be at most steps, 50"),
        (
            lambda: replace(cr.Settings(), steps=9),
            "settings: tau is 10; it must be at most steps, 9",
        ),
        (lambda: cr.Probe("p", [3]), "probe: labels holds 3; it must be a list of strings"),
        (lambda: cr.Concept("x"), "concept: the key 'target_prompts' is missing"),
        (lambda: cr.Concept(3, ("a",), ("b",)), "concept: name is 3; it must be a string"),
        (lambda: cr.Concept("x", ("a",), ("",)), "concept: base_prompts holds ''; it must be"),
        (
            lambda: cr.Concept("x", ("a",), ("a",)),
            "concept 'x': the prompts with and without it are",
        ),
        (lambda: cr.Concept("x", ("a",), ("b",), settings=3), "concept: settings is 3; it must be"),
        (lambda: cr.Concept("x", "a", "b", retained=[3]), "concept: retained holds 3; it must be"),
        (lambda: cr.get_concept(3), "name is a int: give a preset's name or a .yaml file"),
        (lambda: cr.get_concept("cat", 3), "preset is a int: choose 'pocket' or 'paper'"),
        (
            lambda: cr.get_concept("cat", "papre"),
            "preset 'papre' is unknown (did you mean 'paper'?)",
        ),
        (
            lambda: cr.get_concept("parachut"),
            "no pocket concept 'parachut' (did you mean 'parachute'?",
        ),
        (lambda: cr.Concept.from_yaml(3), "path is a int: give the name of a .yaml file"),
        (
            lambda: cr.get_concept("a\0.yaml"),
            "cannot read a concept from a\0.yaml: embedded null byte",
        ),
    ]:
        with pytest.raises(cr.ConceptReviveError) as error:
            make()
        assert message in str(error.value)


def test_lists_become_tuples_and_one_string_a_list_of_it():
    given = cr.Concept("x", "a", ["b"], retained=[cr.Probe("p", "l")])
    assert given == cr.Concept("x", ("a",), ("b",), retained=(cr.Probe("p", ("l",)),))
    assert len({given, replace(given)}) == 1, "concepts can be hashed"


def test_yaml_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(
        cr.ConceptReviveError, match=r"cannot read a concept from .*none\.yaml: .*No such file"
    ):
        cr.get_concept(tmp_path / "none.yaml")
    (tmp_path / "binary.yml").write_bytes(bytes(range(128, 256)))
    with pytest.raises(cr.ConceptReviveError, match=r"cannot read a concept from .*binary\.yml"):
        cr.get_concept(tmp_path / "binary.yml")


def test_yaml_builds_no_python_objects(tmp_path):
    path = write(tmp_path, MINIMAL + "labels: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(cr.ConceptReviveError, match="cannot read a concept from"):
        cr.Concept.from_yaml(path)


def test_unpaired_prompts():
    with pytest.raises(
        cr.ConceptReviveError,
        match="concept 'x' has 2 target and 1 base prompts: give at least one, in pairs",
    ):
        cr.Concept("x", ("a", "b"), ("c",))


def test_the_concepts_that_the_book_shows_can_be_read(tmp_path):
    page = (Path(__file__).parents[2] / "book/your-own.md").read_text()
    files = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(files) == 3
    for text in files:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        concept = cr.Concept.from_yaml(path)
        assert len(concept.target_prompts) >= 3 and (concept.labels or concept.clip_pair)
        if concept.judge == "pocket":
            classifier("pocket").check([concept.labels, *(p.labels for p in concept.retained)])
            assert concept.settings == POCKET_SETTINGS
