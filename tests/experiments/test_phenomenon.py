"""The controls of the phenomenon's table, and that its cells are measured once."""

import json

import pytest
import torch

from conceptrevive.concepts.presets import get_concept
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.controls import RECIPES, Case, numbers, random_masks
from conceptrevive.experiments.phenomenon import cells, main
from conceptrevive.experiments.table import Table
from conceptrevive.unlearning.masks import MaskSet, prune
from tests.processes import launched

NAME = "a.ff.net.2"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(24, 6, generator=generator) @ torch.randn(6, 96, generator=generator)
    masks = MaskSet({NAME: torch.rand(24, 96, generator=generator) < 0.15})
    return Case({NAME: w}, masks, random_masks(masks, 5), 0)


def test_the_random_mask_prunes_as_many_entries_of_every_row(case):
    drawn = [random_masks(case.masks, seed)[NAME] for seed in (0, 1)]
    for other in drawn:
        assert torch.equal(other.sum(1), case.masks[NAME].sum(1))
    assert not torch.equal(*drawn)


def test_controls_differ_from_the_attack_in_their_signs_alone(case):
    weights = {recipe: make(case)[NAME] for recipe, make in RECIPES.items()}
    original, m, revived = case.original[NAME], case.masks[NAME], weights["revived"]
    for control in ("random_signs", "exact_signs"):
        assert torch.equal(weights[control].abs(), revived.abs())
    kept = (revived != 0) & m
    assert torch.equal(weights["exact_signs"][kept].sign(), original[kept].sign())
    share = (weights["random_signs"][kept].sign() == original[kept].sign()).float().mean()
    assert 0.3 < share < 0.7
    for w in weights.values():
        untouched = ~m & (w != 0)
        assert torch.equal(w[untouched], original[untouched])
    assert torch.equal(weights["pruned"], prune(case.original, case.masks)[NAME])


def test_numbers_stand_with_their_rows(case):
    told = {recipe: numbers(case, recipe) for recipe in RECIPES}
    assert told["revived"]["sign_accuracy_topk"] > 0.8
    assert told["pruned"]["pruned_fraction"] == pytest.approx(
        float(case.masks[NAME].float().mean())
    )
    assert set(told["revived_paper"]) == {
        "sign_accuracy_paper",
        "sign_accuracy_paper_topk",
        "paper_converged",
    }
    assert told["original"] == told["random_signs"] == {}


def test_a_cell_says_all_that_it_is_measured_with():
    todo = cells(["golf", "sepia"], 3, 5, 7, autocast=True)
    assert len(todo) == 2 * len(RECIPES) and {c.recipe for c in todo} == set(RECIPES)
    golf, sepia = todo[0], todo[-1]
    assert (golf.n, golf.seed, golf.settings["retained"]) == (3, 7, 5)
    assert golf.settings["locate_autocast"] is True and golf.settings["steps"] == 12
    assert golf.settings["other"] == "sepia" and sepia.settings["other"] != "sepia"


CONCEPT = """
name: {name}
target_prompts: [a {name}, a {name} in a room]
base_prompts: [a thing, a room]
labels: ["object:{name}"]
retained: {{a golf: "object:golf", a saw: "object:saw", a bus: "object:bus", {last}}}
settings: {{skill_ratio: 0.2, tau: 2, steps: 3, guidance: 3.0}}
"""
#: Pictures of the others; of the last object one concept has another than the other concept.
RETAINED = 8


@pytest.fixture(scope="module")
def concepts(tmp_path_factory):
    """Two concepts, in prompts that the tiny model's tokenizer does not cut."""
    folder = tmp_path_factory.mktemp("concepts")
    files = []
    for name, last in (("cat", 'a horn: "object:horn"'), ("apple", 'a star: "object:star"')):
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(CONCEPT.format(name=name, last=last))
    return [str(file) for file in files]


@pytest.fixture(scope="module")
def options(tiny_folder, concepts):
    argv = ["--model", str(tiny_folder), "--concepts", *concepts, "--images", "2"]
    return [*argv, "--retained", str(RETAINED), "--device", "cpu"]


@pytest.fixture(scope="module")
def measured(options, tmp_path_factory):
    """Measured by one process."""
    out = tmp_path_factory.mktemp("phenomenon") / "p.json"
    torch.set_num_threads(1)
    assert main([*options, "--out", str(out)]) == 0
    return out


def test_cells_are_measured_once_and_the_originals_pictures_are_shared(
    options, concepts, measured, monkeypatch
):
    parts = list(measured.with_name("p.json.parts").glob("*.json"))
    assert len([p for p in parts if p.name.startswith("phenomenon-")]) == 2 * len(RECIPES)
    table = Table.read(measured)
    assert list(table.concepts) == concepts and (table.n, table.retained_n) == (2, RETAINED)
    assert set(RECIPES) < set(table.concepts[concepts[1]].rates) and table.told["workers"] == 1
    # A picture of the original that stands for several concepts is drawn once.
    drawn = [set(retained_pictures(get_concept(name), RETAINED, 0)) for name in concepts]
    shared = [p for p in parts if p.name.startswith("pictures-object-")]
    assert len(shared) == len(drawn[0] | drawn[1]) == 10
    written = {p: p.stat().st_mtime_ns for p in parts}
    for name in ("generate", "locate"):
        monkeypatch.setattr(
            f"conceptrevive.experiments.laboratory.{name}", lambda *_, **__: pytest.fail("again")
        )
    before = json.loads(measured.read_text())
    assert main([*options, "--out", str(measured)]) == 0
    assert {p: p.stat().st_mtime_ns for p in written} == written
    after = json.loads(measured.read_text())
    assert {k: v for k, v in after.items() if k != "date"} == {
        k: v for k, v in before.items() if k != "date"
    }


def test_two_processes_measure_bit_for_bit_what_one_does(options, measured, tmp_path):
    out = tmp_path / "p.json"
    module = ["-m", "conceptrevive.experiments.phenomenon"]
    run = launched([*module, *options, "--out", str(out)], processes=2)
    assert run.returncode == 0, run.stderr
    one, two = (json.loads(p.read_text()) for p in (measured, out))
    assert two.pop("workers") == 2 and one.pop("workers") == 1
    for key in ("date", "command"):
        assert one.pop(key) and two.pop(key)
    assert one == two
    parts = [sorted(p.parent.glob("p.json.parts/*.json")) for p in (measured, out)]
    assert [p.name for p in parts[0]] == [p.name for p in parts[1]]
    for pair in zip(*parts, strict=True):
        first, second = (json.loads(p.read_text()) for p in pair)
        for each in (first, second):
            assert each.pop("seconds") >= 0 and each.pop("made")
        assert first == second


def test_other_weights_ways_of_locating_or_numbers_are_measured_anew(tmp_path):
    todo = [
        cells(["golf"], n, r, 0, a)[0] for n, r, a in ((2, 3, False), (2, 3, True), (2, 4, True))
    ]
    assert len(set(map(str, (c.settings for c in todo)))) == 3


def test_unusable_input_is_one_line(tmp_path, capsys):
    assert main(["--concepts", "nothing", "--out", str(tmp_path / "p.json")]) == 2
    assert "phenomenon: no pocket concept 'nothing'" in capsys.readouterr().err
    (tmp_path / "p.json").write_text("{")
    assert main(["--concepts", "golf", "--out", str(tmp_path / "p.json")]) == 2
    assert "p.json is no result: it is left as it is" in capsys.readouterr().err
