"""Other locators on a tiny model: what each row starts from, what is kept, and what is refused."""

from dataclasses import replace

import pytest
import torch

import conceptrevive as cr
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.locating import (
    densities,
    differentiable,
    largest_magnitudes,
    random_everywhere,
    random_in_layers,
    spread,
)
from conceptrevive.experiments.reproduction import erasers, locators, methods
from conceptrevive.experiments.reproduction.driver import reproduce
from conceptrevive.experiments.reproduction.profiles import PROFILES, SMOKE
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.unlearning.budgets import BUDGETS, Budget
from conceptrevive.unlearning.masks import MaskSet

EVERY_LAYER = replace(SMOKE, layers=None)
pytestmark = pytest.mark.usefixtures("one_thread")

CONCEPT = """
name: {name}
target_prompts: [a {name}, a {name} in a room]
base_prompts: [a thing, a room]
eval_prompts: [one {name}]
labels: ["object:{name}"]
retained: {{a golf: "object:golf", a saw: "object:saw"}}
settings: {{skill_ratio: 0.2, tau: 2, steps: 2, guidance: 3.0}}
"""


@pytest.fixture(scope="module", autouse=True)
def every_layer():
    """The tiny model has few, and all are looked in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "smoke", EVERY_LAYER)
        yield


@pytest.fixture(scope="module")
def concepts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    files = [folder / f"{name}.yaml" for name in ("cat", "dog")]
    for file in files:
        file.write_text(CONCEPT.format(name=file.stem))
    return [str(file) for file in files]


@pytest.fixture(scope="module")
def options(tiny_folder, concepts):
    return {"model": str(tiny_folder), "concepts": concepts, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(options, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("r") / "smoke"
    reproduce("locators", out=out, **options)
    return out


@pytest.fixture(scope="module")
def study(folder):
    return Study.read(folder / "locators.json")


ROWS = [
    *("original", "ConceptPrune pruned", "ConceptPrune revived", "SalUn pruned", "SalUn revived"),
    *("Scissorhands pruned", "Scissorhands revived"),
    *("Forget-It-All pruned", "Forget-It-All revived"),
]
MORE = [
    *("SalUn, convolutions too, pruned", "SalUn, convolutions too, revived"),
    *("Scissorhands, convolutions too, pruned", "Scissorhands, convolutions too, revived"),
    *("SalUn, half of all, pruned", "SalUn, half of all, revived"),
    *("random pruned", "random revived"),
    *("random per layer pruned", "random per layer revived"),
    *("largest magnitudes pruned", "largest magnitudes revived"),
    *("SalUn full", "SalUn full, pruned", "SalUn full, revived"),
    *("Scissorhands full", "Scissorhands full, pruned", "Scissorhands full, revived"),
]


def test_every_locator_has_its_rows(study, concepts):
    first, second = ([e.recipe for e in study.entries if e.concept == c] for c in concepts)
    assert first == ROWS + MORE and second == ROWS
    assert study.summary["concepts"] == concepts[:1]
    assert list(study.summary["means"]) == ROWS + MORE


def test_rows_are_paired_with_what_their_own_locator_left(study, concepts):
    for recipe in MORE:
        entry = study.entry(concepts[0], recipe)
        assert set(entry.minus_pruned) == {"erased", "retained"}, recipe
        if recipe.endswith("pruned"):
            assert set(entry.minus_pruned.values()) == {(0.0, (0.0, 0.0))}
    assert study.entry(concepts[0], "original").minus_pruned == {}
    assert study.pooled["SalUn revived"].concepts == 2
    assert set(study.pooled["SalUn full, revived"].minus_pruned) == {"erased", "retained"}
    assert study.pooled["SalUn pruned"].minus_pruned == {}


def test_controls_zero_as_many_as_salun_and_each_says_where(study, concepts):
    told = {e.recipe: e.numbers for e in study.entries if e.concept == concepts[0]}
    salun = told["SalUn pruned"]
    for name in ("random", "random per layer", "largest magnitudes"):
        assert told[f"{name} pruned"]["located"] == salun["located"]
        assert told[f"{name} pruned"]["pruned_fraction"] == salun["pruned_fraction"]
    spread = told["random per layer pruned"]
    assert spread["share_by_group"] == salun["share_by_group"]
    assert told["random pruned"]["share_by_group"] != salun["share_by_group"]
    for name in ("ConceptPrune", "Forget-It-All"):
        assert told[f"{name} pruned"]["share_by_group"]["ff.net.2"] == 1
    assert sum(salun["share_by_group"].values()) == pytest.approx(1, abs=1e-5)
    assert salun["density_by_group"]["convolution"] == 0 < salun["density_by_group"]["attention"]
    for name in ("SalUn", "Scissorhands"):
        wider = told[f"{name}, convolutions too, pruned"]
        assert wider["density_by_group"]["convolution"] > 0
    assert told["SalUn, half of all, pruned"]["pruned_fraction"] == pytest.approx(0.5, abs=1e-4)
    assert (
        told["SalUn revived"]["rows_lost"] == 0 < told["SalUn, half of all, revived"]["rows_lost"]
    )
    assert 0.3 < told["SalUn, half of all, revived"]["sign_accuracy"] < 0.7, "random weights"


def test_full_methods_say_what_they_selected_and_drew_anew(study, concepts):
    told = {e.recipe: e.numbers for e in study.entries if e.concept == concepts[0]}
    assert told["SalUn pruned"]["zeroed_in"] == "original"
    salun, scissors = told["SalUn full"], told["Scissorhands full"]
    assert salun["zeroed_in"] == scissors["zeroed_in"] == "unlearnt"
    assert salun["selected"] > salun["located"] and "reinitialised" not in salun
    assert 0 < salun["changed"] <= salun["selected"]
    assert scissors["selected"] == scissors["reinitialised"] == scissors["located"]
    assert len({told[f"SalUn full{w}"]["weights"] for w in ("", ", pruned", ", revived")}) == 3
    assert told["SalUn full, pruned"]["weights"] != told["SalUn pruned"]["weights"]


def test_trained_weights_are_kept_and_a_lost_file_is_named(folder, options, monkeypatch):
    """As after a kill between a training and its first picture: nothing is trained again."""
    for name in ("unlearn_salun", "unlearn_scissorhands"):
        monkeypatch.setattr(erasers, name, lambda *_, **__: pytest.fail("trained again"))
    (part,) = (folder / "locators.json.parts").glob("locators*SalUn-full-[!-]*.json")
    before = part.read_text()
    part.unlink()
    reproduce("locators", out=folder, **options)
    (again,) = (folder / "locators.json.parts").glob("locators*SalUn-full-[!-]*.json")
    assert again.name == part.name and '"erased"' in before
    assert not list(folder.rglob("*.checkpoint"))
    (kept,) = folder.rglob("salun-*.safetensors")
    kept.rename(kept.with_suffix(".away"))
    again.unlink()
    with pytest.raises(ConceptReviveError, match=r"cannot read .*salun-.*: move .* away to train"):
        reproduce("locators", out=folder, **options)
    kept.with_suffix(".away").rename(kept)
    reproduce("locators", out=folder, **options)


def test_the_model_is_as_it_was_after_all_rows(tiny_folder, concepts, tmp_path):
    """Layers of every kind are written before drawing and restored after it."""
    from conceptrevive.experiments.laboratory import Laboratory
    from conceptrevive.experiments.reproduction.bench import Bench
    from conceptrevive.experiments.runner import parts_of

    lab = Laboratory(str(tiny_folder), parts_of(tmp_path / "p", "cpu"))
    before = {n: p.clone() for n, p in lab.pipe.unet.state_dict().items()}
    bench = Bench(lab, EVERY_LAYER, concepts[:1])
    wanted = ("SalUn pruned", "SalUn revived", "Scissorhands full")
    cells = [c for c in locators.cells(bench) if c.recipe in wanted]
    found = [locators.measure(bench, cell) for cell in cells]
    assert len({f.numbers["weights"] for f in found}) == 3
    assert all(torch.equal(p, before[n]) for n, p in lab.pipe.unet.state_dict().items())


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.0, "ratio is 0.0: it is a share of all weights"),
        (1e-9, r"ratio 1e-09 selects none of \d+ weights: raise it"),
    ],
)
def test_a_locator_that_takes_nothing_is_not_published(
    options, tmp_path, monkeypatch, share, message
):
    own = {**BUDGETS["pocket"], "salun": replace(BUDGETS["pocket"]["salun"], share=share)}
    monkeypatch.setattr(methods, "BUDGETS", {"pocket": own})
    with pytest.raises(ConceptReviveError, match=message):
        reproduce("locators", out=tmp_path / "r", **options)
    assert not list(tmp_path.rglob("locators.json"))


def test_larger_shares_of_some_concepts():
    paper = BUDGETS["paper"]["forget-it-all"]
    assert (paper.share_of("church"), paper.share_of("gas pump")) == (0.007, 0.03)
    assert Budget(0.1).share_of("gas pump") == 0.1


# --- controls -------------------------------------------------------------------------------------


def weights():
    g = torch.Generator().manual_seed(1)
    return {"a": torch.randn(8, 30, generator=g), "b": 0.1 * torch.randn(10, 50, generator=g)}


def count(masks):
    return {n: int(m.sum()) for n, m in masks.items()}


def test_random_controls_have_the_count_and_the_seed_decides():
    one, again, other = (random_everywhere(weights(), 70, seed) for seed in (3, 3, 4))
    assert sum(count(one).values()) == 70 and min(count(one).values()) > 0
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert not all(torch.equal(one[n], other[n]) for n in one)
    like = MaskSet({n: w.abs() > w.abs().quantile(0.9) for n, w in weights().items()})
    spread = random_in_layers(like, 3)
    assert count(spread) == count(like) and not torch.equal(spread["b"], like["b"])
    nothing = MaskSet({"a": like["a"], "b": torch.zeros(10, 50, dtype=torch.bool)})
    assert count(random_in_layers(nothing, 3)) == {"a": 24, "b": 0}


def test_the_largest_magnitudes_are_those_of_all_layers_together():
    every = torch.cat([w.abs().flatten() for w in weights().values()])
    least = sorted(every.tolist())[-20]
    found = largest_magnitudes(weights(), 20)
    assert all(torch.equal(found[n], w.abs() >= least) for n, w in weights().items())


def test_densities_count_layers_without_a_mask(tiny):
    layers = cr.read_weights(tiny, "all")
    name = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
    mask = torch.zeros(16, 64, dtype=torch.bool)
    mask[0, :8] = True
    both = densities(tiny, {name: mask, "conv_in": torch.ones(16, 36, dtype=torch.bool)})
    assert both["share"]["ff.net.2"] == pytest.approx(8 / (8 + 576), abs=1e-6)
    total = sum(w.numel() for n, w in layers.items() if n.endswith("ff.net.2"))
    assert both["density"]["ff.net.2"] == pytest.approx(8 / total, abs=1e-6)
    assert both["density"]["attention"] == both["share"]["other"] == 0


def test_some_of_the_layers_are_spread_over_the_model(tiny):
    layers = cr.candidate_layers(tiny, "all")
    every = list(layers)
    assert spread(tiny, None) == spread(tiny, 10**6) == every
    linear, kernels = (
        [n for n in every if (layers[n].weight.ndim > 2) == kernel] for kernel in (False, True)
    )
    found = spread(tiny, 2)
    assert set(found) == {kind[i] for kind in (linear, kernels) for i in (0, len(kind) // 2)}
    assert found == [n for n in every if n in found]


def test_half_precision_there_and_back(tiny):
    import copy

    pipe = copy.copy(tiny)
    pipe.unet = copy.deepcopy(tiny.unet).half()
    pipe.to = lambda dtype: pipe.unet.to(dtype)
    before = {n: p.clone() for n, p in pipe.unet.state_dict().items()}
    with pytest.raises(RuntimeError, match="inside"), differentiable(pipe):
        assert pipe.unet.conv_in.weight.dtype == torch.float32
        raise RuntimeError("inside")
    after = pipe.unet.state_dict()
    assert all(torch.equal(after[n], p) and after[n].dtype == p.dtype for n, p in before.items())
    with differentiable(tiny):
        assert cr.read_weights(tiny, ["conv_in"])["conv_in"].dtype == torch.float32
