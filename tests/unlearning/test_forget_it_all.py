"""Forget-It-All against a literal reading in plain loops, and its fusion by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

import conceptrevive as cr
from conceptrevive.unlearning.forget_it_all import (
    contrast,
    fused,
    integrated,
    prompt_norms,
    sparse_mask,
)
from conceptrevive.unlearning.recording import column_norms
from tests.unlearning.literal import CONCEPT

pytestmark = pytest.mark.usefixtures("one_thread")

OTHER = replace(CONCEPT, name="dog", target_prompts=("a dog in a road", "a dog in a park"))


def literal_mask(weight, target, base, r1, r2):
    """One layer's mask; weight rows × columns, norms prompts × steps × columns, all lists."""
    rows, columns, steps = len(weight), len(weight[0]), len(target[0])
    strength = [[0.0] * columns for _ in range(rows)]
    often = [[0.0] * columns for _ in range(rows)]
    for t in range(steps):
        lift = []
        for j in range(columns):
            there = [p[t][j] for p in target]
            without = [p[t][j] for p in base]
            mean = sum(without) / len(without)
            spread = math.sqrt(sum((x - mean) ** 2 for x in without) / len(without))
            lift.append(max(0.0, sum(there) / len(there) - mean - spread))
        s = [[abs(weight[i][j]) * lift[j] for j in range(columns)] for i in range(rows)]
        ranked = sorted((x for row in s for x in row), reverse=True)
        threshold = ranked[int(r1 * rows * columns) - 1]
        for i in range(rows):
            for j in range(columns):
                strength[i][j] += s[i][j] / steps
                often[i][j] += (s[i][j] > threshold) / steps
    top = max(max(row) for row in strength)
    a = [[(strength[i][j] / top + often[i][j]) / 2 for j in range(columns)] for i in range(rows)]
    in_layer = sorted((x for row in a for x in row), reverse=True)[int(r2 * rows * columns) - 1]
    return [
        [
            x > 0 and x >= in_layer and x >= sorted(row, reverse=True)[int(r2 * columns) - 1]
            for x in row
        ]
        for row in a
    ]


def test_masks_equal_the_literal_reading(tiny):
    found = cr.locate_forget_it_all(
        tiny, CONCEPT, skill_ratio=0.05, persistent=0.1, seed=3, batch_size=3
    )
    assert set(found) == set(cr.candidate_layers(tiny))
    run = dict(tau=2, steps=2, guidance=2.0, seed=3)
    for name, layer in list(cr.candidate_layers(tiny).items())[:2]:
        norms = [
            [column_norms(tiny, [[p]], **run)[name][0].tolist() for p in prompts]
            for prompts in (CONCEPT.target_prompts, CONCEPT.base_prompts)
        ]
        expected = torch.tensor(literal_mask(layer.weight.tolist(), *norms, 0.1, 0.05))
        assert int((found[name] != expected).sum()) <= 2, name  # ties, and the last digits
        assert expected.any()
    assert (found.method, found.skill_ratio, found.tau) == ("forget-it-all", 0.05, 2)


def test_norms_are_of_each_prompt_whatever_the_batches(tiny):
    names = list(cr.candidate_layers(tiny))[:2]
    some, all_at_once = (
        prompt_norms(tiny, CONCEPT.target_prompts, names, CONCEPT.settings, 3, size)
        for size in (1, 4)
    )
    for name in names:
        assert some[name].shape[:2] == (2, 2)
        torch.testing.assert_close(some[name], all_at_once[name])


def test_what_several_concepts_share_is_spared(tiny):
    given = dict(skill_ratio=0.05, tau=1)
    one, two = (cr.locate_forget_it_all(tiny, c, **given) for c in (CONCEPT, OTHER))
    both = cr.locate_forget_it_all(tiny, [CONCEPT, OTHER], **given)
    assert both.concept == "cat, dog" and both.count > 0
    for name in both:
        assert torch.equal(both[name], one[name] ^ two[name]), "⌈0.6 · 2⌉ = 2: shared ones are kept"
    with pytest.raises(
        cr.ConceptReviveError, match="every weight that was found for cat, cat is shared by too"
    ):
        cr.locate_forget_it_all(tiny, [CONCEPT, CONCEPT], **given)


def test_fusion_by_hand():
    votes = [[True, True, True, False], [True, True, False, False], [True, False, False, False]]
    masks = [{"a": torch.tensor([v])} for v in votes]
    assert fused(masks, 0.6)["a"].tolist() == [[False, False, True, False]]  # ⌈1.8⌉ = 2
    assert fused(masks, 1)["a"].tolist() == [[False, True, True, False]]
    assert fused(masks[:1], 0.6)["a"].tolist() == [votes[0]], "one concept's own mask"


def test_the_spread_is_that_of_the_base_prompts():
    target = torch.tensor([[[5.0, 2.0]], [[7.0, 2.0]]])
    base = torch.tensor([[[1.0, 1.0]], [[3.0, 4.0]]])
    assert contrast(target, base).tolist() == [[6 - 2 - 1, 0]]


def test_nothing_is_found_where_nothing_stands_out():
    weight = torch.rand(4, 8)
    assert not sparse_mask(integrated(weight, torch.zeros(2, 8), 0.05), 0.5).any()


def test_a_model_that_does_not_read_its_prompts_has_nothing_to_prune(tiny):
    deaf = copy.copy(tiny)
    deaf.unet = copy.deepcopy(tiny.unet)
    for name, p in deaf.unet.named_parameters():
        if "attn2.to_v" in name:
            p.data.zero_()
    with pytest.raises(cr.ConceptReviveError, match="nothing was found for 'cat': no column is"):
        cr.locate_forget_it_all(deaf, CONCEPT, skill_ratio=0.05)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"skill_ratio": 0}, "skill_ratio is 0: it is a share of each row"),
        ({"skill_ratio": 0.01}, r"skill_ratio 0.01 selects no entry of .*ff\.net\.2's 64 columns"),
        ({"agnostic": 0}, r"agnostic is 0: it is a share, in \(0, 1\]"),
        ({"persistent": "x"}, "persistent is a str: give a number"),
        ({"tau": 3}, "tau is 3: it counts denoising steps, from 1 to the 2 taken"),
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"concept": []}, "concept is an empty list: give at least one"),
        ({"concept": "cat"}, "concept is a str: give a Concept, or a list of them"),
        ({"concept": ["cat"]}, "concept is a str: give a Concept, as"),
    ],
)
def test_settings_of_a_wrong_kind(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate_forget_it_all(tiny, **{"concept": CONCEPT, "skill_ratio": 0.05} | given)
