"""How far the other concepts' pictures have moved: FID of the defence's rows."""

from __future__ import annotations

import pytest
import torch

from conceptrevive.evaluation.frechet import GROUPS, distances
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.reproduction import defence
from conceptrevive.experiments.reproduction.looking import packed

CONCEPTS = [f"object {i}" for i in range(GROUPS)]
PICTURES = 3


def result(concept, recipe, numbers):
    return Result(Cell("defence", concept, recipe), "key", {}, numbers, 0.0, {})


@pytest.fixture(scope="module")
def features():
    """Of three pictures a concept: the reference, and two models."""
    draw = torch.Generator().manual_seed(0)
    shape = (GROUPS, PICTURES, 4)
    reference, original = (torch.randn(shape, generator=draw) for _ in range(2))
    return {"reference": reference, "original": original, "pruned": original + 2}


@pytest.fixture(scope="module")
def results(features):
    out = []
    for i, concept in enumerate(CONCEPTS):
        for recipe in ("original", "pruned"):
            numbers = {"features": packed(features[recipe][i])}
            if recipe == "original":
                numbers["reference"] = packed(features["reference"][i])
            out.append(result(concept, recipe, numbers))
        out.append(result(concept, defence.SURFACE, {}))
    return out


def test_all_concepts_pictures_are_one_set_and_a_concept_is_a_group(results, features):
    rows = defence.summary(results)["rows"]
    whole, reference = features["pruned"].flatten(0, 1), features["reference"].flatten(0, 1)
    assert set(rows) == {"original", "pruned"}
    assert rows["pruned"]["fid"] == pytest.approx(distances(whole, reference).value, rel=1e-6)
    assert rows["original"]["fid_minus_original"] == {"value": 0.0, "interval": [0.0, 0.0]}
    # All features moved by 2: the means of four, by 16 and what the two samples' means differ by.
    moved = rows["pruned"]["fid_minus_original"]
    apart = features["original"].flatten(0, 1).mean(0) - reference.mean(0)
    assert moved["value"] == pytest.approx(float(16 + 4 * apart.sum()), rel=1e-3)
    assert moved["interval"][0] < moved["value"] < moved["interval"][1]

    left_out = defence.together([*features["pruned"]])
    groups = torch.arange(len(left_out)) % GROUPS
    assert torch.equal(left_out[groups == 2], features["pruned"][2])


def test_where_each_concept_has_a_distance_the_mean_is_told():
    results = [
        result(
            f"{fid}", recipe, {"fid": fid + more, "fid_without": [fid + more - 1, fid + more + 1]}
        )
        for fid in (10.0, 20.0)
        for recipe, more in (("original", 0), ("pruned", 4))
    ]
    rows = defence.summary(results)["rows"]
    assert rows["original"]["fid"] == 15 and rows["pruned"]["fid"] == 19
    assert rows["pruned"]["fid_minus_original"] == {"value": 4.0, "interval": [4.0, 4.0]}


def test_of_one_picture_or_none_nothing_is_told(features):
    alone = [
        result(
            "a",
            recipe,
            {
                "features": packed(features[recipe][0, :1]),
                "reference": packed(features[recipe][0, :1]),
            },
        )
        for recipe in ("original", "pruned")
    ]
    assert defence.summary(alone) == {"rows": {}}
    assert defence.summary([result("a", "original", {})]) == {"rows": {}}
