"""The measuring itself: turns, ratios, masks, counts and intervals; interrupted runs go on."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats

import benchmarks.completion as completion
import conceptrevive as cr
from benchmarks import common, pipeline, sign_parts, signs, solver_parts, solvers
from benchmarks.matrices import concept_mask, structured
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments import laboratory
from conceptrevive.experiments import parts as kept_parts
from pages import benchmarks as benchmarks_page
from tests.processes import launched

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def test_calls_take_turns_and_ratios_pair_them():
    order = []
    runs = common.alternate({n: lambda n=n: order.append(n) or n for n in "ab"}, 3, CPU)
    assert order == list("ab" * 5), (
        "one untimed turn before three timed ones, and one after for memory"
    )
    assert {n: (len(r.seconds), r.result) for n, r in runs.items()} == {
        "a": (3, "a"),
        "b": (3, "b"),
    }
    slow, fast = common.Run((4.0, 9.0, 2.0), None, None), common.Run((2.0, 3.0, 2.0), None, None)
    assert common.ratio(slow, fast) == (2.0, 1.0, 3.0)


@pytest.mark.skipif(
    common.reset_peak(CPU) is None, reason="this system does not tell a process its peak memory"
)
def test_peak_memory_counts_what_a_call_adds():
    runs = common.alternate({"big": lambda: torch.ones(16 << 20).sum(), "small": lambda: 0}, 1, CPU)
    assert 60 < runs["big"].peak_mb < 90 and runs["small"].peak_mb < 30


def test_masks_are_conceptprunes():
    weight = structured(32, 128, 0)
    assert float(weight.square().mean()) == pytest.approx(1, abs=1e-4)
    one, ten = (
        concept_mask(weight, 0, skill_ratio=0.1, tau=1),
        concept_mask(weight, 0, skill_ratio=0.1),
    )
    assert (one <= ten).all() and 0 < one.sum() < ten.sum()
    assert one.sum(1).max() <= 12
    assert weight.abs()[ten].mean() > 1.5 * weight.abs()[~ten].mean()


def test_sign_counts_by_hand():
    done = cr.Completion(
        torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[True, True, False]]), "paper", 1, True
    )
    truth = {"a": torch.tensor([[5.0, 5.0, 3.0]])}
    assert signs.count_signs(truth, {"a": done}) == [
        {"layer": "a", "n": 2, "right": 1, "n_top": 1, "right_top": 0, "converged": True}
    ]


def test_accuracy_draws_layers():
    """Layers that differ: entries are many, layers few; equal sizes have Student's bounds."""

    def rows(*right):
        return [
            {"layer": f"{i}", "n": 1000, "right": r, "n_top": 10, "right_top": 9, "converged": True}
            for i, r in enumerate(right)
        ]

    base, other = (500, 700, 630), (600, 690, 640)
    found = signs.accuracy({"paper": rows(*base), "other": rows(*other)})
    assert found["paper"]["value"] == pytest.approx(0.61) and found["paper"]["n"] == 3000
    for key, values in (("interval", other), ("minus_paper_interval", np.subtract(other, base))):
        each = np.array(values) / 1000
        bounds = stats.t.interval(0.95, 2, each.mean(), each.std(ddof=1) / 3**0.5)
        assert found["other"][key] == pytest.approx(bounds)
    # Concepts share layers: what is seen of a layer twice is no second draw.
    twice = signs.accuracy({"paper": rows(*base) * 2, "other": rows(*other) * 2})
    assert twice["other"]["interval"] == pytest.approx(found["other"]["interval"])
    assert twice["other"]["n"] == 6000 and twice["other"]["layers"] == 3
    alone = signs.accuracy({"paper": rows(1)}, top=True)["paper"]
    assert alone["value"] == 0.9 and math.isnan(alone["interval"][0])


def test_reliability_puts_every_sign_in_one_bin():
    weight = {n: structured(32, 128, i) for i, n in enumerate("ab")}
    mask = {n: concept_mask(w, 1, skill_ratio=0.1) for n, w in weight.items()}
    rows = signs.count_reliability(weight, cr.prune(weight, mask), mask, None)
    assert [sum(r["n"] for r in rows if r["layer"] == n) for n in "ab"] == [
        int(m.sum()) for m in mask.values()
    ]
    pooled = signs.reliability([rows, rows])
    for r in pooled:
        if r["n"]:
            assert r["low"] - 1e-6 <= r["stated"] <= r["high"] + 1e-6
            assert r["interval"][0] <= r["value"] <= r["interval"][1]
    assert sum(r["n"] for r in pooled) == 2 * sum(int(m.sum()) for m in mask.values())


def test_every_solver_is_compared_and_side_only_where_there_is_some():
    weight = {"a": structured(16, 64, 2)}
    mask = {"a": concept_mask(weight["a"], 2, skill_ratio=0.1)}
    assert set(signs.signs(weight, mask, None)) == {s for s in signs.SOLVERS if "side" not in s}
    assert set(signs.signs(weight, mask, {"a": torch.randn(5, 64)})) == set(signs.SOLVERS)


@pytest.fixture
def small_shapes(monkeypatch):
    monkeypatch.setattr(
        completion, "SHAPES", {"pocket": ((16, 64, 2), (24, 96, 1)), "sdxl": ((16, 64, 2),)}
    )
    monkeypatch.setattr(completion, "matmul_rate", lambda *_: 1e9)


def test_completion_is_measured_resumed_and_shown(small_shapes, tmp_path, monkeypatch, capsys):
    options = ["--repeats", "2", "--turns", "2", "--sweeps", "2", "--out", str(tmp_path)]
    assert completion.main([*options, "--sets", "pocket"]) == 0
    rows = common.read_table(tmp_path / "completion.csv")
    widths = {r["rows"] for r in rows}
    assert widths == {"16", "24", "all"}
    paper = next(r for r in rows if r["solver"] == "paper" and r["rows"] == "16")
    svd = next(r for r in rows if r["solver"] == "paper (svd)" and r["rows"] == "16")
    assert svd["extrapolated_from_sweeps"] == "2" and svd["iterations"] == paper["iterations"]
    assert float(next(r for r in rows if r["solver"] == "nuclear")["same_signs"]) >= 0.99

    def fail(*args):
        raise AssertionError("measured again")

    monkeypatch.setattr(completion, "one_layer", fail)
    assert completion.main([*options, "--sets", "pocket", "sdxl"]) == 0
    again = common.read_table(tmp_path / "completion.csv")
    assert [r["seconds"] for r in again[: len(rows)]] == [r["seconds"] for r in rows]
    assert {r["solver"] for r in again if r["set"] == "sdxl"} == {"conditional", "attack", "floor"}
    whole = {r["solver"]: r for r in again if (r["set"], r["rows"]) == ("pocket", "all")}
    for solver in ("conditional", "attack"):
        over, low, high = (float(whole[solver][k]) for k in completion.FLOOR)
        assert 0 < low <= over <= high
        assert float(whole[solver]["speedup_low"]) <= float(whole[solver]["speedup_high"])
    assert whole["floor"]["times_floor"] == "" and whole["prior"]["times_floor"] == ""

    monkeypatch.setattr(benchmarks_page, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmarks_page, "ROOT", tmp_path)
    page = benchmarks_page.benchmarks()
    assert "| 16×64 | paper (svd) ✱ |" in page and "### Shapes of SDXL" in page
    assert (tmp_path / benchmarks_page.FIGURE).exists() and "images/benchmarks.png" in page


def test_pages_say_what_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks_page, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmarks_page, "GENERATED", tmp_path)
    benchmarks_page.main()
    assert "`make bench` does" in (tmp_path / "benchmarks.md").read_text()
    assert "`make solvers` does" in (tmp_path / "solvers.md").read_text()


def test_known_structure_is_counted_once_and_shown(tmp_path, monkeypatch):
    out = tmp_path / "solvers.json"
    options = [
        "--concepts",
        "--rows",
        "16",
        "--noise",
        "0.1",
        "50",
        "--seeds",
        "2",
        "--others",
        "0",
        "--out",
        str(out),
    ]
    assert solvers.main(options) == 0
    result = json.loads(out.read_text())
    assert [k["counts"] for k in result["known_structure"]] == [True, False]
    monkeypatch.setattr(sign_parts, "known_structure", lambda *_: pytest.fail("counted again"))
    assert solvers.main(options) == 0
    text = benchmarks_page.solvers(result)
    assert "| 16×64, 2 | 50 | no | paper |" in text


def test_other_code_or_seeds_are_counted_again(tmp_path, monkeypatch):
    out = tmp_path / "solvers.json"
    options = [
        "--concepts",
        "--rows",
        "16",
        "--noise",
        "0.1",
        "--seeds",
        "1",
        "--others",
        "0",
        "--out",
        str(out),
    ]
    parts = lambda: len(list(out.with_name("solvers.json.parts").glob("known-*.json")))  # noqa: E731
    assert solvers.main(options) == 0 and parts() == 1
    assert solvers.main([*options, "--seed", "5"]) == 0 and parts() == 2
    monkeypatch.setattr(kept_parts, "_code", lambda module: b"other")
    assert solvers.main(options) == 0 and parts() == 3
    assert (
        solvers.main(
            [
                *options[:-2],
                "--out",
                str(tmp_path / "b.json"),
                "--rows",
                "16",
                "24",
                "--seeds",
                "1",
                "2",
                "3",
            ]
        )
        == 2
    )


def test_pictures_of_each_solver_are_kept_and_compared(tiny_folder, tmp_path, monkeypatch):
    """The tiny model draws nothing: whatever is judged, every row is there, paired, drawn once."""
    concept = replace(get_concept("golf"), settings=cr.Settings(0.2, 1, 2, 1.5))
    for module in (solvers, solver_parts, laboratory):
        monkeypatch.setattr(module, "get_concept", lambda _: concept)
    out = tmp_path / "solvers.json"
    options = [
        "--model",
        str(tiny_folder),
        "--concepts",
        "golf",
        "--rows",
        "--others",
        "0",
        "--images",
        "2",
        "--retained",
        "2",
    ]
    options += ["--draw", "conditional", "paper", "--out", str(out)]
    assert solvers.main(options) == 0
    result = json.loads(out.read_text())
    assert result["base"] == "conditional · max, K = 0.6" and len(result["erased"]) == 2 + 2 * len(
        solver_parts.RULES
    )
    assert result["erased"][result["base"]]["minus_base"][0] == 0 and result["sampling"]
    monkeypatch.setattr(laboratory, "generate", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr(laboratory, "locate", lambda *_: pytest.fail("located again"))
    assert solvers.main(options) == 0
    assert "| paper · average, K = 0.6 |" in benchmarks_page.solvers(result)


def test_two_processes_count_what_one_does(tmp_path):
    options = ["--concepts", "--rows", "16", "--noise", "0.1", "0.2", "--seeds", "1"]
    options += ["--others", "0", "--out"]
    assert solvers.main([*options, str(tmp_path / "1.json")]) == 0
    run = launched(["-m", "benchmarks.solvers", *options, str(tmp_path / "2.json")], processes=2)
    assert run.returncode == 0, run.stderr
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "12")
    assert one["known_structure"] == two["known_structure"] and len(one["known_structure"]) == 2
    assert (one["workers"], two["workers"]) == (1, 2)


def test_stages_of_training_are_counted_once_and_shown(tiny_folder, tmp_path, monkeypatch):
    concept = cr.Concept("cat", ("a cat", "cat"), ("a", "a thing"), settings=cr.Settings(0.2, 1, 2))
    monkeypatch.setattr(solver_parts, "get_concept", lambda _: concept)
    folder, out = tmp_path / "stage", tmp_path / "solvers.json"
    shutil.copytree(tiny_folder, folder)
    options = [
        "--concepts",
        "--rows",
        "--others",
        "0",
        "--out",
        str(out),
        "--stages",
        str(tiny_folder),
        str(folder),
    ]
    (folder / "training.json").write_text('{"pictures": 640, "total_decay": 0.25}')
    assert solvers.main(options) == 0
    result = json.loads(out.read_text())
    assert set(result["stages"][0]["signs"]) == set(signs.SOLVERS)
    text = benchmarks_page.solvers(result)
    assert (
        "| not stated | paper |" in text
        and "| 640 pictures, total decay 0.25 | paper |" in text
        and "masks of gas pump, bicycle, church" in text
    )


def test_matrices_of_other_parts(tmp_path):
    save_file(
        {
            "fc.weight": torch.ones(40, 64),
            "tall.weight": torch.ones(90, 50),
            "conv.weight": torch.ones(32, 8, 3, 3),
            "token_embedding.weight": torch.ones(99, 64),
            "a.ff.net.2.weight": torch.ones(64, 64),
            "norm.weight": torch.ones(64),
            "thin.weight": torch.ones(8, 64),
            "fc.bias": torch.ones(40),
        },
        tmp_path / "part.safetensors",
    )
    found = signs.trained_matrices(tmp_path / "part.safetensors", 10)
    assert {n: tuple(w.shape) for n, w in found.items()} == {
        "conv.weight": (32, 72),
        "fc.weight": (40, 64),
        "tall.weight": (50, 90),
    }
    assert len(signs.trained_matrices(tmp_path / "part.safetensors", 2)) == 2
    for file in signs.OTHERS.values():
        assert signs.trained_matrices(signs.ASSETS / file, 3)


def test_unusable_input_is_one_line(tmp_path, capsys):
    assert completion.main(["--device", "warp"]) == 2
    assert "'warp' cannot be used here" in capsys.readouterr().err
    assert (
        solvers.main(
            ["--model", "./nowhere", "--rows", "--others", "0", "--out", str(tmp_path / "s.json")]
        )
        == 2
    )
    assert "no folder './nowhere'" in capsys.readouterr().err


def test_plain_sampling_denoises_what_locate_does(tiny):
    concept = cr.Concept(
        "cat",
        ("a cat", "a cat in a park", "cat"),
        ("a", "a park", "a thing"),
        settings=cr.Settings(0.1, 2, 5),
    )
    seen = {"plain": [], "locate": []}
    for name, call in (("plain", pipeline.sample_plainly), ("locate", cr.locate)):
        hook = tiny.unet.register_forward_pre_hook(
            lambda _m, a, k, n=name: seen[n].append((a[0].clone(), int(a[1]))), with_kwargs=True
        )
        call(tiny, concept, batch_size=4)
        hook.remove()
    assert len(seen["plain"]) == len(seen["locate"]) == 4
    for (a, t), (b, u) in zip(seen["plain"], seen["locate"], strict=True):
        assert t == u
        torch.testing.assert_close(a, b)


def test_drawing_is_compared_with_the_models_own_precision(tiny):
    before = {n: p.clone() for n, p in tiny.unet.named_parameters()}
    concept = cr.Concept("cat", ("a cat", "cat"), ("a", "a thing"), settings=cr.Settings(0.1, 1, 2))
    args = argparse.Namespace(pictures=2, batches=[1, 2], repeats=1, model="tiny", device="cpu")
    rows = pipeline.drawing(tiny, concept, args, CPU)
    assert [r["name"] for r in rows[:2]] == [
        "float32, contiguous, batch 1",
        "float32, contiguous, batch 2",
    ]
    assert len(rows) == 8 and rows[0]["grey_max"] == 0
    assert all(r["grey_max"] <= 1 for r in rows if r["name"].startswith("float32"))
    assert any(r["grey_mean"] > 0 for r in rows if r["name"].startswith("bfloat16"))
    assert all(
        torch.equal(p, before[n]) and p.is_contiguous() for n, p in tiny.unet.named_parameters()
    )


def test_editing_a_folder_adds_less_than_half_of_it(tmp_path):
    assert pipeline.main(["--parts", "edit", "--megabytes", "64", "--out", str(tmp_path)]) == 0
    row = common.read_table(tmp_path / "pipeline.csv")[0]
    assert float(row["file_mb"]) == pytest.approx(64, rel=0.1)
    if row["peak_mb"]:
        assert float(row["ratio"]) <= pipeline.MEMORY_LIMIT


def test_the_random_model_is_located_and_attacked(tmp_path, monkeypatch):
    from conceptrevive.models import random_model

    small = random_model.random_sd15
    monkeypatch.setattr(random_model, "random_sd15", lambda *a: small(*a, size=8, share=0.05))
    monkeypatch.setattr(
        pipeline,
        "get_concept",
        lambda *_: cr.Concept("a", ("a cat",), ("a",), settings=cr.Settings(0.1, 1, 2)),
    )
    options = [
        "--model",
        "sd15-random",
        "--parts",
        "locate",
        "attack",
        "--repeats",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert pipeline.main(options) == 0
    rows = common.read_table(tmp_path / "pipeline-sd15-random-cpu.csv")
    assert [r["name"] for r in rows] == [
        "plain sampling",
        "locate",
        "paper",
        "conditional",
        "prior",
    ]
