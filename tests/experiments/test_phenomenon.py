"""The controls of the phenomenon's table, and which concept the demo shows."""

import json
from pathlib import Path

import pytest
import torch

from conceptrevive.concepts import world as W
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.demo import DEFAULT_CONCEPT
from conceptrevive.experiments.phenomenon import main, random_masks, variants
from conceptrevive.experiments.pooling import pooled, representative
from conceptrevive.unlearning.masks import MaskSet, prune


def table(**concepts):
    return {"concepts": {name: {"pruned": p, "revived": r} for name, (p, r) in concepts.items()}}


def test_the_representative_is_nearest_the_median_of_those_erased():
    # Of the erased ones (golf, church, horn, star) the median is (0.4 + 0.6) / 2; horn is nearer than golf.
    result = table(
        golf=(0.1, 0.3),
        church=(0.0, 0.9),
        horn=(0.2, 0.6),
        star=(0.1, 0.38),
        saw=(0.5, 0.5),
        cat=(0, 0.5),
    )
    assert representative(result) == "horn"
    assert (
        representative(table(golf=(0.1, 0.4), church=(0.0, 0.6))) == "golf"
    )  # the earlier of two as near
    assert (
        representative(table(golf=(0, 0.8), parachute=(0, 0.6), racket=(0, 0.4), star=(0, 0.7)))
        == "parachute"
    )
    assert W.PAPER_OBJECTS.index("golf") < W.PAPER_OBJECTS.index("church")


def test_no_representative_where_nothing_was_erased():
    with pytest.raises(ConceptReviveError, match=r"no object was erased to top-1 ≤ 0\.2"):
        representative(table(golf=(0.9, 0.9), cat=(0.0, 0.5)))


@pytest.fixture
def layer():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(24, 6, generator=generator) @ torch.randn(6, 96, generator=generator)
    return {"a.ff.net.2": w}, MaskSet(
        {"a.ff.net.2": torch.rand(24, 96, generator=generator) < 0.15}
    )


def test_the_random_mask_prunes_as_many_entries_of_every_row(layer):
    _, masks = layer
    for seed in (0, 1):
        other = random_masks(masks, seed)["a.ff.net.2"]
        assert torch.equal(other.sum(1), masks["a.ff.net.2"].sum(1))
    assert not torch.equal(
        random_masks(masks, 0)["a.ff.net.2"], random_masks(masks, 1)["a.ff.net.2"]
    )


def test_controls_differ_from_the_attack_in_their_signs_alone(layer, one_thread):
    original, masks = layer
    weights, numbers = variants(original, masks, random_masks(masks, 5), seed=0)
    name, m = "a.ff.net.2", masks["a.ff.net.2"]
    revived = weights["revived"][name]
    for control in ("random_signs", "exact_signs"):
        assert torch.equal(weights[control][name].abs(), revived.abs())
    kept = (revived != 0) & m
    assert torch.equal(weights["exact_signs"][name][kept].sign(), original[name][kept].sign())
    share = (
        (weights["random_signs"][name][kept].sign() == original[name][kept].sign()).float().mean()
    )
    assert 0.3 < share < 0.7
    for w in weights.values():
        untouched = ~m & (w[name] != 0)
        assert torch.equal(w[name][untouched], original[name][untouched])
    assert numbers["sign_accuracy_topk"] > 0.8 and numbers["pruned_fraction"] == pytest.approx(
        float(m.float().mean())
    )
    assert torch.equal(weights["pruned"][name], prune(original, masks)[name])


def test_pooling_counts_every_picture_of_the_objects_once():
    def row(pruned, revived):
        return {
            "outcomes": {"original": [1, 1], "pruned": pruned, "revived": revived},
            "retained_outcomes": {"original": [1], "pruned": [0], "revived": [1]},
        }

    rows = {
        "golf": row([0, 0], [1, 0]),
        "church": row([1, 0], [1, 1]),
        "sepia": row([0, 0], [0, 0]),
    }
    found = pooled(rows)
    assert (found["concepts"], found["original"], found["pruned"], found["revived"]) == (
        2,
        1.0,
        0.25,
        0.75,
    )
    difference, (low, high) = found["revived_minus_pruned"]
    assert difference == 0.5 and low < 0.5 < high
    assert found["retained_revived_minus_pruned"][0] == 1.0
    assert pooled({"sepia": row([0], [0])}) == {"concepts": 0}


def test_concepts_are_measured_once_and_shared_by_processes(tmp_path, capsys):
    out = tmp_path / "p.json"
    argv = [
        "--concepts",
        "golf",
        "cat",
        "--images",
        "2",
        "--retained",
        "2",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    assert main([*argv, "--workers", "2"]) == 0
    result = json.loads(out.read_text())
    fields = {
        "original",
        "pruned",
        "revived",
        "revived_paper",
        "neuron_average",
        "random_signs",
        "exact_signs",
        "random_mask",
        "other_mask",
        "retained_original",
        "retained_pruned",
        "retained_revived",
        "sign_accuracy",
        "sign_accuracy_topk",
        "pruned_fraction",
    }
    assert list(result["concepts"]) == ["golf", "cat"] and fields <= set(result["concepts"]["cat"])
    assert result["n"] == 2 and result["workers"] == 2 and len(result["layers"]) >= 11
    parts = sorted((tmp_path / "p.json.parts").iterdir())
    written = [p.stat().st_mtime_ns for p in parts]
    assert len(parts) == 2
    assert main(argv) == 0
    assert [p.stat().st_mtime_ns for p in parts] == written
    assert main(["--concepts", "nothing", "--out", str(out)]) == 2
    assert "no pocket concept 'nothing'" in capsys.readouterr().err


def test_the_demo_shows_the_representative_of_what_was_measured():
    measured = json.loads(
        (Path(__file__).parents[2] / "results/pocket/phenomenon.json").read_text()
    )
    assert representative(measured) == DEFAULT_CONCEPT
    assert len(measured["concepts"]) == len(W.PAPER_OBJECTS) + len(W.STYLES) and measured["n"] >= 50
