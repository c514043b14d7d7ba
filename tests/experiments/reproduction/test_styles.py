"""Table 2 on a tiny model: each number from the pictures, drawn once; COCO at paper scale."""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image

from conceptrevive.cli import main
from conceptrevive.concepts import world as W
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.frechet import Distances, difference, frechet_distance
from conceptrevive.evaluation.outcomes import erased_pictures, evaluate, retained_pictures
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.reproduction import looking, styles, views
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.driver import reproduce
from conceptrevive.experiments.reproduction.looking import look, packed, unpacked
from conceptrevive.experiments.reproduction.profiles import LAPTOP, PAPER, PROFILES, SMOKE
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.experiments.runner import parts_of
from conceptrevive.intervals import Rate, paired_difference
from conceptrevive.models.weights import swapped

pytestmark = pytest.mark.usefixtures("one_thread")

CONCEPT = """
name: cat
target_prompts: [a cat, a cat in a room]
base_prompts: [a thing, a room]
eval_prompts: [one cat, two cats]
labels: ["object:cat"]
retained: {a golf: "object:golf", a saw: "object:saw", a bus: "object:bus"}
settings: {skill_ratio: 0.2, tau: 2, steps: 3, guidance: 3.0}
"""
TINY = replace(SMOKE, style_images=5, neutral=6, rules=("max",))


@pytest.fixture(scope="module")
def concept(tmp_path_factory):
    file = tmp_path_factory.mktemp("concept") / "cat.yaml"
    file.write_text(CONCEPT)
    return str(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("styles")


@pytest.fixture(scope="module")
def study(tiny_folder, concept, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "smoke", TINY)
        told = reproduce(
            "styles", model=str(tiny_folder), concepts=[concept], out=folder, device="cpu"
        )
    assert told["styles"]["cells"] == 4 and (folder / "styles.png").exists()
    return Study.read(folder / "styles.json")


@pytest.fixture
def bench(tiny_folder, concept, folder, study):
    return Bench(
        Laboratory(str(tiny_folder), parts_of(folder / "pictures", "cpu")), TINY, [concept]
    )


def test_the_original_against_itself_is_exactly_0(study, concept):
    original = study.entry(concept, "original")
    assert original.rates["clip_score"] == Rate.of((False,) * 5)
    for name in ("similarity_minus_original", "fid_minus_original"):
        told = original.numbers[name]
        assert (told["value"], told["interval"]) == (0, [0, 0])
    assert "similarity_minus_pruned" not in original.numbers
    pruned = study.entry(concept, "pruned")
    assert pruned.numbers["similarity_minus_pruned"]["interval"] == [0, 0]
    assert pruned.minus_pruned["clip_score"] == (0.0, (0.0, 0.0))


def test_every_number_comes_of_the_published_cosines(study, concept):
    original = study.entry(concept, "original").numbers["cosines"]
    pruned = study.entry(concept, "pruned")
    assert [e.recipe for e in study.entries] == [
        "original",
        "pruned",
        "quantised 4 bits",
        "neuron max 0.6",
    ]
    for entry in study.entries:
        cosines = entry.numbers["cosines"]
        assert len(cosines) == 5 and all(-1 <= c <= 1 for c in cosines)
        below = [c < o for c, o in zip(cosines, original, strict=True)]
        assert entry.outcomes["clip_score"] == "".join(str(int(x)) for x in below)
        assert entry.rates["clip_score"] == Rate.of(below)
        told = entry.numbers["similarity"]
        value, (low, high) = told["value"], told["interval"]
        assert value == pytest.approx(fmean(cosines)) and low <= value <= high
        if entry.recipe not in ("original", "pruned"):
            before = [int(x) for x in pruned.outcomes["clip_score"]]
            assert entry.minus_pruned["clip_score"] == paired_difference(below, before)
            gain = entry.numbers["similarity_minus_pruned"]["value"]
            base = fmean(pruned.numbers["cosines"])
            assert gain == pytest.approx(fmean(cosines) - base, abs=1e-7)
        row = study.summary["rows"][entry.recipe]
        assert row == {key: entry.numbers[key] for key in row} and "fid" in row
    assert study.summary["styles"] == 1


def test_pictures_are_those_that_evaluate_draws_and_judges(study, bench, concept):
    lab, cat = bench.lab, bench.concept(concept)
    cell = styles.cells(bench)[1]
    weights = bench.erased_of(cell).pruned
    with swapped(lab.pipe, weights):
        told = evaluate(lab.pipe, cat, n=5, retained=6)
    entry = study.entry(concept, "pruned")
    assert entry.outcomes["erased"] == "".join(str(int(x)) for x in told.erased_outcomes)
    assert entry.outcomes["retained"] == "".join(str(int(x)) for x in told.retained_outcomes)


def test_fid_is_from_the_originals_pictures_of_another_seed(study, bench, concept):
    lab, cat = bench.lab, bench.concept(concept)

    def features(images, at):
        return views.featured(
            images,
            at,
            labels=[("object:cat",)] * 6,
            judge="pocket",
            features="pocket",
            device="cpu",
        )[:, :-1]

    weights = bench.erased_of(styles.cells(bench)[1]).pruned
    seen = {
        (name, seed): look(
            lab, w, retained_pictures(cat, 6, seed), cat.settings, features, [], {}
        ).values
        for name, w, seed in (
            ("original", lab.original, 0),
            ("original", lab.original, 1),
            ("pruned", weights, 0),
        )
    }
    other = seen["original", 1]
    for name in ("original", "pruned"):
        entry = study.entry(concept, name)
        assert entry.numbers["fid"] == pytest.approx(frechet_distance(seen[name, 0], other))
        assert len(entry.numbers["fid_without"]) == 3
        assert entry.settings["fid_reference"].startswith("the original on the same prompts, seeds")
    assert study.entry(concept, "original").numbers["fid"] > 0, "the floor"


def test_pieces_are_put_together_in_order(bench, concept, monkeypatch):
    cat = bench.concept(concept)
    jobs = erased_pictures(cat, 5, 0)
    drawn = []

    def see(images, at):
        drawn.extend(at)
        means = [np.asarray(i).mean() for i in images]
        return torch.tensor([[i, m] for i, m in zip(at, means, strict=True)])

    lab = bench.lab
    whole = look(lab, lab.original, jobs, cat.settings, see, [], {"whole": True}, [0, 3])
    monkeypatch.setattr(looking, "PIECE", 2)
    pieces = look(lab, lab.original, jobs, cat.settings, see, [], {"whole": False}, [0, 3])
    assert torch.equal(whole.values, pieces.values) and whole.values[:, 0].tolist() == [*range(5)]
    assert [i.tobytes() for i in whole.shown] == [i.tobytes() for i in pieces.shown]
    assert len(whole.shown) == 2 and drawn == [*range(5)] * 2
    look(lab, lab.original, jobs, cat.settings, see, [], {"whole": False}, [0, 3])
    assert len(drawn) == 10, "drawn once"
    values = torch.tensor([[0.1, -3e-38], [1e38, 2]])
    assert torch.equal(unpacked(packed(values)), values)


def told(recipe, concept, cosines, without):
    """A result of two pictures of one prompt."""
    cell = Cell("styles", concept, recipe, 2, 0, {"prompts": [f"one {concept}"]})
    numbers = {"cosines": cosines, "fid": fmean(without), "fid_without": without}
    return Result(cell, "key", {"erased": (True, False)}, numbers, 1.0, {})


def test_the_summary_pools_styles_by_prompt_and_by_group():
    rows = {
        "original": {"a": ([0.5, 0.7], [2.0, 4.0]), "b": ([0.3, 0.5], [1.0, 3.0])},
        "pruned": {"a": ([0.1, 0.3], [4.0, 7.0]), "b": ([0.1, 0.1], [4.0, 5.0])},
    }
    results = [told(r, c, *x) for r, row in rows.items() for c, x in row.items()]
    found = styles.summary(results)["rows"]["pruned"]
    assert found["similarity"]["value"] == pytest.approx(0.15)
    # Two prompts: resamples take one twice, or both.
    assert found["similarity"]["interval"] == pytest.approx([0.1, 0.2])
    assert found["similarity_minus_original"]["value"] == pytest.approx(-0.35)
    assert found["fid"] == pytest.approx(5)
    value, interval = difference(Distances(5.0, (4.0, 6.0)), Distances(2.5, (1.5, 3.5)))
    assert found["fid_minus_original"] == {"value": value, "interval": [*interval]}


def test_profiles_have_all_styles_and_fifty_prompts():
    for profile in (LAPTOP, PAPER):
        assert profile.styles == len(W.STYLES) == 5 and profile.style_images >= 50
    assert PAPER.neutral == 30_000 and LAPTOP.neutral % len(W.OBJECTS) == 0
    assert list(styles.recipes(PAPER)) == [
        "original",
        "pruned",
        "quantised 4 bits",
        "neuron sample 0.6",
        "neuron average 0.6",
        "neuron max 0.6",
    ]


@pytest.fixture
def coco(tmp_path):
    """Four pictures of one colour each, with captions."""
    for i in range(4):
        Image.new("RGB", (9, 9 + i), (60 * i, 10, 10)).save(tmp_path / f"{i}.png")
    data = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(4)],
        "annotations": [{"id": i, "image_id": i, "caption": f"thing {i}"} for i in range(4)],
    }
    (tmp_path / "captions_val2014.json").write_text(json.dumps(data))
    return tmp_path


def test_at_paper_scale_captions_are_drawn_and_compared_with_their_pictures(
    bench, coco, concept, monkeypatch
):
    def colours(images, device):
        return torch.tensor([np.asarray(i).mean((0, 1)).tolist() for i in images])

    monkeypatch.setattr(views, "inception", lambda device: None)
    monkeypatch.setattr(looking, "inception_features", colours)
    monkeypatch.setitem(views.CLIPS, "paper", "pocket")
    bench.preset, bench.coco = "paper", coco
    styles.ready(bench)
    cells = styles.cells(bench)
    assert cells[0].settings["fid_reference"].startswith("4 pictures of COCO (")
    found = styles.measure(bench, cells[0])
    assert set(found.outcomes) == {"erased", "clip_score"}
    real = torch.tensor([[60.0 * i, 10, 10] for i in range(4)])
    kept = [p for p in bench.lab.parts.folder.glob("looked-*.json") if "thing 2" in p.read_text()]
    drawn = unpacked(json.loads(kept[0].read_text())["numbers"])
    assert len(kept) == 1 and drawn.shape == (4, 3)
    assert found.numbers["fid"] == pytest.approx(frechet_distance(drawn, real), rel=1e-4)


def test_what_fid_lacks_is_named_before_anything_is_drawn(
    bench, coco, concept, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(views.CLIPS, "paper", "pocket")
    bench.preset = "paper"
    with pytest.raises(ConceptReviveError, match="give their folder by --coco; COCO's 2014"):
        styles.ready(bench)
    bench.coco = tmp_path / "none"
    with pytest.raises(ConceptReviveError, match="none is no folder"):
        styles.ready(bench)
    argv = ["reproduce", "styles", "--model", str(bench.lab.pipe.config._name_or_path)]
    bare = tmp_path / "bare.yaml"
    bare.write_text("\n".join(x for x in CONCEPT.splitlines() if not x.startswith("retained")))
    for more, said in (
        (["--coco", str(coco), "--concept", concept], "is compared with its own, not with COCO's"),
        (["--concept", str(bare)], "retains nothing, so FID has no neutral prompts: give it"),
    ):
        assert main([*argv, *more, "--device", "cpu", "--out", str(tmp_path / "r")]) == 2
        out = capsys.readouterr()
        assert said in out.err and out.err.count("\n") == 1 and out.out == ""
    assert not list(tmp_path.glob("r/*.json"))
