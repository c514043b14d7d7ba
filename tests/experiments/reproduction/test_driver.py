"""From a name to results, on a tiny model: every experiment, killed and gone on with, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conceptrevive.cli import main
from conceptrevive.experiments import laboratory
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.driver import reproduce
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.files import ASSETS
from conceptrevive.intervals import wilson
from conceptrevive.unlearning.masks import MaskSet
from tests.experiments.reproduction.shared import CONCEPT, comparable

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def argv(tiny_folder, concepts):
    named = [word for file in concepts for word in ("--concept", file)]
    return ["--model", str(tiny_folder), *named, "--device", "cpu"]


@pytest.fixture(scope="module")
def measured(options, tmp_path_factory):
    """All experiments, measured by this process: their folder."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("all") / "smoke"
    told = reproduce("all", out=out, **options)
    assert list(told) == list(EXPERIMENTS)
    assert all(each["cells"] > 0 and Path(each["out"]).exists() for each in told.values())
    return out


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_says_how_sure_it_is_and_how_it_came_about(measured, concepts, name):
    study = Study.read(measured / f"{name}.json")
    assert (study.experiment, study.profile, study.preset) == (name, "smoke", "pocket")
    for entry in study.entries:
        assert entry.concept in concepts and entry.seconds >= 0 and entry.seed == 0
        assert set(entry.made) >= {"command", "versions", "device", "date"}
        assert entry.numbers["pruned_fraction"] > 0 and "pictures" not in entry.numbers
        for rate in entry.rates.values():
            assert rate.interval == wilson(round(rate.value * rate.n), rate.n)
        assert set(entry.minus_pruned) in (set(), set(entry.rates))
        if entry.recipe == "pruned":
            assert set(entry.minus_pruned.values()) == {(0.0, (0.0, 0.0))}
    drawn = any(entry.rates for entry in study.entries)
    assert (measured / f"{name}.png").exists() == drawn
    assert study.intervals == sum(len(e.rates) + len(e.minus_pruned) for e in study.entries)


def test_exact_signs_and_magnitudes_draw_what_the_original_draws(measured, concepts):
    study = Study.read(measured / "signs.json")
    for concept in concepts:
        original, both = (
            study.entry(concept, recipe) for recipe in ("original", "exact signs, exact magnitudes")
        )
        assert both.numbers["weights"] == original.numbers["weights"]
        assert both.rates == original.rates
    assert study.pooled["original"].concepts == 2
    assert set(study.pooled["exact signs, neuron max"].minus_pruned) == {"erased", "retained"}


def test_the_defence_tells_what_an_audit_sees(measured, concepts):
    study = Study.read(measured / "defence.json")
    assert study.entry(concepts[0], "pruned").numbers["verdict"] == ["evidence of pruning"]
    noise = study.entry(concepts[0], "σ_M 0.25 σ_U")
    assert noise.numbers["relative"] is True and noise.numbers["verdict"]
    assert study.entry(concepts[0], "p(w)").rates == {}


def test_several_concepts_are_pruned_together(measured, concepts):
    study = Study.read(measured / "several.json")
    assert len(study.entries) == 8
    assert all(e.settings["together"] == concepts for e in study.entries)
    first, second = (study.entry(c, "pruned") for c in concepts)
    assert first.numbers["weights"] == second.numbers["weights"]
    assert set(first.rates) == {"erased", "retained"} and set(second.rates) == {"erased"}


def test_stability_compares_masks_and_shares_out_the_variance(measured, concepts):
    study = Study.read(measured / "stability.json")
    masks = study.entry(concepts[0], "masks").numbers
    assert len(masks["jaccard"]) == 1 and 0 < masks["jaccard_mean"] <= 1
    changed = [e.settings["changed"] for e in study.entries if e.concept == concepts[0]]
    assert changed.count("factors") == 2 * 2 * 2 and changed.count("steps") == 2 * 3
    # Phrasings of the user's own concepts do not cross.
    told = study.summary["explained"]
    assert told["factors"] == {} and set(told["steps"]) == {"pruned", "revived"}
    assert set(told["guidance"]["revived"]) == {"concept", "guidance", "rest", "sampling"}


def test_cost_has_every_step(measured):
    study = Study.read(measured / "cost.json")
    steps = [e.recipe for e in study.entries]
    assert steps[0] == "locate" and {"prune", "revive", "audit", "draw a picture"} < set(steps)
    assert all(e.numbers["step_seconds"] >= 0 for e in study.entries)


def test_pictures_are_drawn_once_for_all_experiments(measured, options, monkeypatch):
    for name in ("generate", "locate"):
        monkeypatch.setattr(laboratory, name, lambda *_, **__: pytest.fail("again"))
    before = {p: p.stat().st_mtime_ns for p in measured.rglob("*.parts/*.json")}
    file = json.loads((measured / "signs.json").read_text())
    reproduce("signs", out=measured, **options)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert comparable(json.loads((measured / "signs.json").read_text())) == comparable(file)


def test_killed_in_the_middle_and_gone_on_with(measured, argv, tmp_path, capsys):
    command = [sys.executable, "-m", "conceptrevive", "reproduce", "signs", *argv]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([*command, "--out", str(tmp_path / "r")], env=env, stderr=log)
        while len(list((tmp_path / "r").glob("signs.json.parts/*.json"))) < 3:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "r/signs.json").exists()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").rglob("*.parts/*.json")}
    assert main(["reproduce", "signs", *argv, "--out", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signs"]["cells"] == 12
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    one, two = (json.loads((f / "signs.json").read_text()) for f in (tmp_path / "r", measured))
    assert json.dumps(comparable(one)) == json.dumps(comparable(two))
    assert (tmp_path / "r/signs.png").read_bytes() == (measured / "signs.png").read_bytes()


def fails(capsys, *argv):
    """Run a command that must fail; return its one line."""
    assert main(["reproduce", *argv]) == 2
    out = capsys.readouterr()
    assert out.out == "" and out.err.count("\n") == 1, out.err
    return out.err


def test_an_unfinished_or_foreign_file_is_left_alone(argv, tmp_path, capsys):
    half = '{"experiment": "signs", "ent'
    (tmp_path / "signs.json").write_text(half)
    line = fails(capsys, "all", *argv, "--out", str(tmp_path))
    assert "signs.json is no result: it is left as it is; name another file" in line
    assert [p.name for p in tmp_path.iterdir()] == ["signs.json"]
    assert (tmp_path / "signs.json").read_text() == half
    (tmp_path / "objects.png").write_bytes(b"a photograph")
    line = fails(capsys, "objects", *argv, "--out", str(tmp_path))
    assert "objects.png belongs to no result: it is left as it is" in line
    assert (tmp_path / "objects.png").read_bytes() == b"a photograph"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("profile", "laptop", "profile 'laptop', not 'smoke'"),
        ("seed", 3, "seed 3, not 0"),
        ("experiment", "objects", "experiment 'objects', not 'signs'"),
        ("judge", "owner/other", "judge 'owner/other', not None"),
        ("entries", [{"concept": "golf"}, {"concept": "star"}], "concepts golf, star"),
    ],
)
def test_the_result_of_another_measurement_is_left_alone(
    measured, argv, tmp_path, capsys, key, value, said
):
    text = json.dumps(json.loads((measured / "signs.json").read_text()) | {key: value})
    (tmp_path / "signs.json").write_text(text)
    line = fails(capsys, "signs", *argv, "--out", str(tmp_path))
    assert f"signs.json holds another measurement ({said}): it is left as it is" in line
    assert (tmp_path / "signs.json").read_text() == text


def test_a_locator_that_finds_nothing_is_not_published(argv, tmp_path, capsys, monkeypatch):
    def nothing(pipe, concept, **settings):
        shapes = {n: w.shape for n, w in laboratory.read_weights(pipe).items()}
        return MaskSet({n: torch.zeros(s, dtype=torch.bool) for n, s in shapes.items()})

    monkeypatch.setattr(laboratory, "locate", nothing)
    line = fails(capsys, "signs", *argv, "--out", str(tmp_path))
    assert "nothing was pruned for" in line and "no result to publish" in line
    assert not (tmp_path / "signs.json").exists()


def test_another_judge_of_objects(argv, tmp_path, capsys):
    folder = tmp_path / "judge"
    shutil.copytree(ASSETS / "classifier", folder)
    out = ["--out", str(tmp_path / "r")]
    assert main(["reproduce", "accuracy", *argv, *out, "--judge", str(folder)]) == 0
    capsys.readouterr()
    assert Study.read(tmp_path / "r/accuracy.json").judge == str(folder)
    line = fails(capsys, "accuracy", *argv, *out)
    assert f"holds another measurement (judge {str(folder)!r}, not None)" in line
    line = fails(capsys, "signs", *argv, *out, "--judge", str(tmp_path / "none"))
    assert "cannot load the judge" in line
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {i: f"n{i}" for i in config["id2label"]}
    config["label2id"] = {name: int(i) for i, name in config["id2label"].items()}
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "config.json").write_text(json.dumps(config))
    line = fails(capsys, "signs", *argv, *out, "--judge", str(other))
    assert "the classifier has no label 'object:" in line


def test_unknown_concepts_and_judges_without_the_class_are_named(
    tiny_folder, concepts, tmp_path, capsys
):
    base = ["--model", str(tiny_folder), "--device", "cpu", "--out", str(tmp_path / "r")]
    line = fails(capsys, "signs", *base, "--concept", "parachut")
    assert "no pocket concept 'parachut' (did you mean 'parachute'?)" in line
    other = tmp_path / "other.yaml"
    other.write_text(CONCEPT.format(name="cat").replace("object:saw", "object:yeti"))
    line = fails(capsys, "signs", *base, "--concept", str(other))
    assert "the classifier has no label 'object:yeti'" in line
    line = fails(capsys, "several", *base, "--concept", concepts[0])
    assert "several concepts are pruned together and there is only" in line
    assert not list(tmp_path.glob("r/*.json"))
