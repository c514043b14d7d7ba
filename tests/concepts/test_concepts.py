"""Presets and concepts of one's own; what is retained; and seeds that never meet."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import conceptrevive as cr
import conceptrevive.evaluation.outcomes as evaluation
from conceptrevive.concepts import world as W
from conceptrevive.concepts.paper import (
    ARTISTS,
    CHURCH_PLACES,
    HUMANS,
    IMAGENET_OBJECTS,
    PAPER_SCENES,
    RESNET50,
    THINGS,
)
from conceptrevive.concepts.pocket import POCKET_SETTINGS
from conceptrevive.evaluation.judges import classifier

POCKET, PAPER = cr.pocket_concepts(), cr.paper_concepts()
ALL = [*POCKET.values(), *PAPER.values()]


# --- presets ------------------------------------------------------------------------------------------------------


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
    assert len(concept.target_prompts) == len(members) * len(W.SCENES)
    for m in members:
        assert sum(f" {m} in " in t for t in concept.target_prompts) == len(W.SCENES)


def test_paper_objects():
    for name, label in IMAGENET_OBJECTS.items():
        concept = PAPER[name]
        assert concept.labels == (label,) and concept.judge == RESNET50
        pairs = list(zip(concept.target_prompts, concept.base_prompts, strict=True))
        if name != "church":
            assert pairs == [(f"a {name} in a {s}", f"a {s}") for s in PAPER_SCENES]
    church = PAPER["church"].target_prompts
    assert church == tuple(f"a church {p}" for p in CHURCH_PLACES)
    assert {"a church on a road", "a church in front of a house"} <= set(church)


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
        match=r"no pocket concept 'golf ball': choose one of golf, .*weapon.*\.yaml file",
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


# --- what is retained ---------------------------------------------------------------------------------------------


def test_retained_probes_leave_the_concept_out():
    for concept in ALL:
        for probe in concept.retained:
            assert not set(probe.labels) & set(concept.labels), concept.name


@pytest.mark.parametrize("rounds", [1, 2, 3, 20])
def test_every_other_object_is_retained_equally_often(rounds):
    """`rounds` × the number of other objects, past the end of the list too; in between they differ by one at most."""
    pocket = [(c, {f"object:{o}" for o in W.OBJECTS}) for c in POCKET.values()]
    paper = [(PAPER[o], set(IMAGENET_OBJECTS.values())) for o in IMAGENET_OBJECTS]
    for concept, objects in [*pocket, *paper]:
        others = objects - set(concept.labels)
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
            assert f" {probe.labels[0].removeprefix('object:')} in " in probe.prompt
    # Each object comes in several scenes.
    assert len({p.prompt for p in POCKET["cat"].retained if p.labels == ("object:dog",)}) >= 4


# --- seeds --------------------------------------------------------------------------------------------------------


def picture_seeds(concept, seed, n=500):
    """The noise seeds of all pictures of an evaluation."""
    seen = []

    def generate(_model, prompts, *, seed, **_options):
        seen.extend([seed + i for i in range(len(prompts))] if isinstance(seed, int) else seed)
        return [None] * len(prompts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "generate", generate)
        evaluation.evaluate_images(None, concept, n=n, seed=seed)
        evaluation.retained_images(None, concept, n=n, seed=seed)
    assert len(seen) == 2 * n
    return set(seen)


def test_evaluation_seeds_never_meet_locates():
    """`locate` starts from the user's own seed; the evaluation with any of these seeds uses none of them."""
    used = set().union(*(picture_seeds(POCKET["cat"], seed) for seed in range(4)))
    assert not used & set(range(100_000))


def test_evaluations_with_other_seeds_draw_other_noise():
    sets = [picture_seeds(POCKET["cat"], seed) for seed in (0, 1, 2, 3)]
    assert sum(map(len, sets)) == len(set().union(*sets))


def test_same_seed_same_noise_for_every_model():
    assert picture_seeds(POCKET["cat"], 3) == picture_seeds(POCKET["cat"], 3)


# --- no judge -----------------------------------------------------------------------------------------------------


def test_evaluate_says_how_to_add_a_judge():
    message = r"concept 'nudity' has no judge: give it `labels` \(classes of the classifier `judge`\) or a `clip_pair`"
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
    monkeypatch.setattr(evaluation, "generate", lambda *_, **__: pytest.fail("drawn"))
    model = torch.nn.Linear(1, 1)
    unknown = replace(POCKET["cat"], labels=("object:unicorn",))
    with pytest.raises(cr.ConceptReviveError, match="the classifier has no label 'object:unicorn'"):
        cr.evaluate(model, unknown, n=2)
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load the judge '\./nowhere'"):
        cr.evaluate(model, replace(POCKET["cat"], judge="./nowhere"), n=2)


# --- one's own ----------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", r"cannot read a concept from .*own\.yaml: "),
        ("", r"own\.yaml holds no mapping: write keys such as name, target_prompts, base_prompts"),
        ("- a\n- b\n", r"own\.yaml holds no mapping"),
        (
            "name: x\n",
            r"own\.yaml: unknown keys \[\], missing keys \['base_prompts', 'target_prompts'\]; the keys are base_p",
        ),
        (MINIMAL + "colour: red\n", r"own\.yaml: unknown keys \['colour'\], missing keys \[\]"),
        (MINIMAL + "1: red\ncolour: red\n", r"own\.yaml: unknown keys "),
        (
            "name: x\ntarget_prompts: {a: b}\nbase_prompts: [b]\n",
            r"own\.yaml: target_prompts must be a list of strings",
        ),
        (
            "name: x\ntarget_prompts: [1, 2]\nbase_prompts: [b, c]\n",
            r"own\.yaml: target_prompts must be a list of strings",
        ),
        (
            "name: x\ntarget_prompts: [a]\nbase_prompts: 3\n",
            r"own\.yaml: base_prompts must be a list of strings",
        ),
        (MINIMAL + "labels: [1]\n", r"own\.yaml: labels must be a list of strings"),
        (MINIMAL + "clip_pair: [1, 2]\n", r"own\.yaml: clip_pair must be a list of strings"),
        (MINIMAL + "clip_pair: [only one]\n", r"own\.yaml: clip_pair"),
        (MINIMAL + "settings: {speed: 3}\n", r"own\.yaml: .*speed"),
        (MINIMAL + "settings: [1]\n", r"own\.yaml: "),
        (MINIMAL + "settings: {tau: many}\n", r"own\.yaml: .*tau"),
        (
            MINIMAL + "settings: {tau: 2.0}\n",
            r"own\.yaml: settings: tau is 2\.0; it must be a whole number",
        ),
        (
            MINIMAL + "settings: {guidance: yes}\n",
            r"own\.yaml: settings: guidance is True; it must be a number",
        ),
        (MINIMAL + "retained: {a dog: []}\n", r"own\.yaml: .*labels \[\] are not of one group"),
        (MINIMAL + "labels: ['object:cat', 'scene:room']\n", r"own\.yaml: .*are not of one group"),
        (MINIMAL + "retained: [a]\n", r"own\.yaml: "),
        (MINIMAL + "retained: {a dog: 3}\n", r"own\.yaml: a dog must be a list of strings"),
        (
            "name: x\ntarget_prompts: [a, b]\nbase_prompts: [b]\n",
            r"own\.yaml: .*2 target and 1 base prompts: give at least one",
        ),
        (
            "name: x\ntarget_prompts: []\nbase_prompts: []\n",
            r"own\.yaml: .*0 target and 0 base prompts: give at least one",
        ),
    ],
    ids=lambda value: value.splitlines()[-1] if value.endswith("\n") else "",
)
def test_yaml_errors_name_the_file_and_the_key(tmp_path, text, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.Concept.from_yaml(write(tmp_path, text))


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
