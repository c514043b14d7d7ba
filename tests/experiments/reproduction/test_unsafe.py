"""Table 7 on a tiny model: what is asked, what is counted, and what is never kept."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from conceptrevive.cli import main
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation import detection
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.parts import Parts
from conceptrevive.experiments.reproduction import wording
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.driver import reproduce
from conceptrevive.experiments.reproduction.profiles import LAPTOP, PAPER, SMOKE
from conceptrevive.experiments.reproduction.prompt_sets import SETS
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.experiments.reproduction.unsafe import RECIPES, cells, more, summary, unnamed

pytestmark = pytest.mark.usefixtures("one_thread")

#: Group of two objects, and one that has no classes: the detector of nudity stands in for its own.
GROUP = """
name: pet
target_prompts: [a cat, a dog in it]
base_prompts: [a thing, a box in it]
eval_prompts: [one cat, a pet, one dog]
labels: ["object:cat", "object:dog"]
settings: {skill_ratio: 0.2, tau: 2, steps: 2, guidance: 3.0}
"""
NUDITY = """
name: nudity
target_prompts: [a red box]
base_prompts: [a box]
settings: {skill_ratio: 0.2, tau: 2, steps: 2, guidance: 3.0}
"""


@pytest.fixture
def concept(tmp_path):
    def write(text):
        path = tmp_path / "concept.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def fake_nudenet(monkeypatch):
    """NudeNet that sees two parts in every picture, and a face."""

    class NudeDetector:
        def detect(self, pixels):
            assert pixels.dtype == np.uint8 and pixels.ndim == 3
            seen = (("FEET_EXPOSED", 0.7), ("BELLY_EXPOSED", 0.6), ("FACE_MALE", 0.9))
            return [{"class": name, "score": score} for name, score in seen]

    monkeypatch.setitem(sys.modules, "nudenet", SimpleNamespace(NudeDetector=NudeDetector))
    monkeypatch.setattr(detection, "version", lambda name: "3.4")


@pytest.fixture(scope="module")
def bench_of(tiny_folder, tmp_path_factory):
    lab = Laboratory(str(tiny_folder), Parts(tmp_path_factory.mktemp("parts")))
    return lambda profile=SMOKE, **given: Bench(lab, profile, **given)


def test_weapon_is_asked_for_without_its_name():
    concept = get_concept("weapon")
    said = unnamed(concept)
    assert said == concept.eval_prompts and not any("weapon" in prompt for prompt in said)
    assert not set(said) & set(concept.target_prompts)
    assert any("a weapon in" in prompt for prompt in concept.target_prompts)
    assert not any(label in p for p in (q.prompt for q in concept.retained) for label in ("knife",))


def test_every_set_has_every_row_on_the_same_pictures(bench_of):
    todo = cells(bench_of(LAPTOP))
    rows = {}
    for cell in todo:
        assert cell.concept == "weapon"
        rows.setdefault(cell.settings["prompt_set"], []).append(cell)
    assert list(rows) == [*SETS, "neutral"]
    for which, mine in rows.items():
        searched = which in ("adversarial", "direction")
        assert [c.recipe for c in mine] == ["search"] * searched + list(RECIPES)
        assert {c.n for c in mine if c.recipe != "search"} == {LAPTOP.attacked}
        assert len({json.dumps(dict(c.settings)) for c in mine}) == 1


def test_the_wording_is_found_without_the_words_and_published(tiny_folder, concept, tmp_path):
    file = concept(GROUP)
    given = {"model": str(tiny_folder), "concepts": [file], "device": "cpu"}
    reproduce("unsafe", out=tmp_path / "r", **given)
    study = Study.read(tmp_path / "r/unsafe.json")
    found = [e for e in study.entries if e.recipe == "search"]
    assert [e.settings["prompt_set"] for e in found] == ["adversarial", "direction"]
    for entry in found:
        assert entry.numbers["excluded"] == ["cat", "dog", "pet"] and entry.rates == {}
        assert len(entry.numbers["wording"]) == SMOKE.attacked
        for each in entry.numbers["wording"]:
            assert not any(w in each["prompt"] for w in entry.numbers["excluded"])
            assert each["from"] in ("a cat", "a dog in it", "a thing", "a box in it")
    drawn = [e for e in study.entries if e.rates]
    assert len(drawn) == 4 * len(RECIPES)
    for entry in drawn:
        assert entry.numbers["detections"] == sum(entry.numbers["counts"])
        assert entry.rates["detected"].n == entry.n == SMOKE.attacked
    told = study.summary["concepts"][file]
    assert told["left_out"] == [] and set(told["sets"]["neutral"]["rows"]) == set(RECIPES)
    # Another folder, the same wording.
    reproduce("unsafe", out=tmp_path / "again", **given)
    again = Study.read(tmp_path / "again/unsafe.json")
    assert [e.numbers for e in again.entries] == [e.numbers for e in study.entries]


def test_the_wording_is_chosen_by_what_the_pruned_model_draws(bench_of, concept, monkeypatch):
    bench = bench_of(concepts=[concept(GROUP)])
    looked = []

    def look(_bench, _concept, weights, jobs, show=0):
        looked.append((weights, jobs))
        return [[0.1 * i] for i in range(len(jobs))], []

    monkeypatch.setattr(wording, "look", look)
    cell = bench.cell("wording", bench.concepts[0], "adversarial", 3, 0)
    found = wording.search(bench, cell).numbers["wording"]
    ((weights, jobs),) = looked
    pruned = bench.erased_of(cell).pruned
    assert all(bool((weights[n] == pruned[n]).all()) for n in pruned)
    assert [each["prompt"] for each in found] == [jobs[i][0] for i in (1, 3, 5)]
    assert [each["pruned_sees"] for each in found] == [0.1, 0.3, 0.5]
    # Its noise is none that is measured with.
    assert min(seed for _, seed in jobs) > 1_000_000 + 800_000


def test_prompts_of_files_are_counted_and_not_kept(
    tiny_folder, concept, tmp_path, fake_nudenet, capsys
):
    secret = ("zebra crossing", "violet umbrella")
    file = tmp_path / "mine.txt"
    file.write_text("\n".join(secret))
    base = ["--model", str(tiny_folder), "--device", "cpu", "--out", str(tmp_path / "r")]
    argv = ["reproduce", "unsafe", *base, "--concept", concept(NUDITY)]
    assert main([*argv, "--prompts", f"indirect={file}"]) == 0
    said = capsys.readouterr()
    study = Study.read(tmp_path / "r/unsafe.json")
    assert {e.settings["prompt_set"] for e in study.entries} == {"indirect", "neutral"}
    for entry in study.entries:
        assert entry.numbers["detections"] == 2 * entry.n
        assert entry.rates["detected"].value == 1 and entry.settings["shown"] == 0
    assert study.entries[0].settings["file"] == "mine.txt"
    told = next(iter(study.summary["concepts"].values()))
    assert told["left_out"] == ["adversarial", "direction"]
    assert told["sets"]["indirect"]["rows"]["original"]["more_a_picture"] == [0, 0, 0]
    assert not (tmp_path / "r/unsafe.png").exists()
    written = "".join(p.read_text() for p in (tmp_path / "r").rglob("*.json"))
    for prompt in secret:
        assert prompt not in written + said.out + said.err
    parts = [json.loads(p.read_text()) for p in (tmp_path / "r").rglob("*.parts/*.json")]
    assert all(not part["numbers"].get("pictures") for part in parts)


def test_nothing_is_searched_for_nudity(bench_of, concept, fake_nudenet):
    bench = bench_of(concepts=[concept(NUDITY)])
    with pytest.raises(ConceptReviveError, match=r"neither shipped nor made: give --prompts SET=F"):
        cells(bench)
    with pytest.raises(ConceptReviveError, match="no prompt is searched for that asks for 'nudity"):
        wording.search(bench, bench.cell("wording", bench.concepts[0], "adversarial"))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["unsafe", "--prompts", "indirekt=x"], "no prompt set 'indirekt' (did you mean 'indirect"),
        (["signs", "--prompts", "indirect=x"], "'signs' takes no --prompts: they are for 'unsafe'"),
    ],
)
def test_the_command_ends_with_2_and_one_line(argv, said, tmp_path, capsys):
    assert main(["reproduce", *argv, "--out", str(tmp_path / "r")]) == 2
    out = capsys.readouterr()
    assert out.err.startswith(f"conceptrevive reproduce: {said}") and out.err.count("\n") == 1


def test_without_nudenet_the_remedy_is_named(tiny_folder, concept, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nudenet", None)
    argv = ["--model", str(tiny_folder), "--device", "cpu", "--out", str(tmp_path / "r")]
    (tmp_path / "p.txt").write_text("a road")
    argv += ["--prompts", f"direction={tmp_path / 'p.txt'}"]
    assert main(["reproduce", "unsafe", *argv, "--concept", concept(NUDITY)]) == 2
    assert "pip install 'conceptrevive[nsfw]'" in capsys.readouterr().err
    assert not list(tmp_path.glob("r/*.json"))


def result(recipe, which, counts):
    cell = Cell("unsafe", "x", recipe, len(counts), 0, {"prompt_set": which, "detector": "d"})
    outcomes = {"detected": tuple(c > 0 for c in counts)}
    return Result(cell, "", outcomes, {"counts": counts}, 0.0, {})


def test_the_summary_by_hand():
    told = summary(
        [
            result("pruned", "indirect", [0, 0, 1]),
            result("neuron max 0.6", "indirect", [3, 0, 2]),
            result("pruned", "neutral", [0, 0, 0]),
        ]
    )["concepts"]["x"]
    rows = told["sets"]["indirect"]["rows"]
    assert rows["pruned"]["detections"] == 1 and rows["neuron max 0.6"]["detections"] == 5
    mean, low, high = rows["neuron max 0.6"]["more_a_picture"]
    assert mean == pytest.approx(4 / 3) and 0 <= low < mean < high <= 3
    assert told["sets"]["neutral"]["rows"] == {"pruned": {"detections": 0}}
    assert told["left_out"] == ["adversarial", "direction"] and told["detector"] == "d"


def test_the_interval_of_counts_covers_what_a_normal_one_does():
    random = np.random.default_rng(1)
    after, before = random.poisson(2, 400), random.poisson(1, 400)
    mean, low, high = more(after, before)
    half = 1.96 * (after - before).std(ddof=1) / 20
    assert mean == pytest.approx((after - before).mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.02)
    assert more(after, after) == (0, 0, 0)


def test_of_a_file_the_paper_profile_takes_every_prompt():
    assert PAPER.listed is None and LAPTOP.listed == LAPTOP.attacked
