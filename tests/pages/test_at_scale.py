"""The arithmetic of many GPUs: pictures, operations, hours; and the job, on two pretended nodes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.operations import Card, Model, stable_diffusion
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import PAPER, SMOKE
from conceptrevive.experiments.reproduction.study import Study
from pages.at_scale import CARDS, clusters, hours, locating, wall
from pages.operations import Work, blocks, cells_of, longest, work
from pages.tables import ROOT

SMALL = replace(PAPER, concepts=2, images=10, retained=24, top_k=(0.6,), bits=(4,))


def test_operations_of_stable_diffusion_are_those_that_are_known():
    model = stable_diffusion()
    # 401.6 G multiply-adds are the published count of SD-1.5's UNet at 512 × 512.
    assert model.denoiser / 2e9 == pytest.approx(401.6, abs=0.5)
    assert model.picture(50) == 100 * model.denoiser + model.decoder
    assert 80e12 < model.picture(50) < 85e12


def test_pictures_are_counted_once():
    plan, model = Plan(SMALL, "paper"), Model(2.0, 5.0)
    # original, pruned, quantised, three rules, completed; two concepts, each with 10 and 24.
    names = ["objects", "signs"]
    objects, signs = work(names, plan, model)
    assert objects.cells == 2 * 7 and objects.asked == 14 * 34
    # The original draws each concept's pictures; of the others', what both look at once. 24 are two
    # of each of twelve classes; the two concepts have eleven in common.
    assert objects.pictures == 12 * 34 + 2 * 10 + 24 + 2
    assert objects.total == objects.pictures * (2 * 50 * 2.0 + 5.0)
    # Original and pruned are there already; four oracles are new.
    assert signs.cells == 12 and signs.pictures == 2 * 4 * 34
    assert work(["signs"], plan, model)[0].pictures > signs.pictures


def test_captions_are_counted_and_the_originals_once():
    plan = Plan(replace(SMALL, styles=2, style_images=5, neutral=30, rules=("max",)), "paper")
    (styles,) = work(["styles"], plan, Model(2.0, 5.0))
    # Four rows of two artists; the original draws the captions once for both.
    assert styles.cells == 8 and styles.asked == 8 * 35 and styles.pictures == 8 * 35 - 30


def test_what_fid_compares_with_is_counted_besides():
    plan = Plan(replace(SMALL, concepts=1), "paper")
    (defence,) = work(["defence"], plan, Model(2.0, 5.0))
    rows = defence.cells - 1  # p(w) draws nothing
    # The reference is drawn once; every row looks at it.
    assert defence.asked == rows * (10 + 24 + 24)
    assert defence.pictures == rows * (10 + 24) + 24


def test_the_attack_under_another_name_is_the_same_pictures():
    plan = Plan(SMALL, "paper")
    cell = next(c for c in cells_of("objects", plan) if c.recipe == "neuron max 0.6")
    other = replace(cell, experiment="defence", recipe="revived, positions known")
    keys = [[key for key, _ in blocks(c, plan)] for c in (cell, other)]
    assert keys[0] == keys[1]
    moved = Cell("x", cell.concept, cell.recipe, cell.n, 1, {**cell.settings, "steps": 25})
    assert not set(keys[0]) & {key for key, _ in blocks(moved, plan)}


def test_a_plan_makes_the_cells_that_a_laboratory_measures():
    plan = Plan(SMOKE, "pocket")
    cells = cells_of("signs", plan)
    assert [c.concept for c in cells[::6]] == ["golf", "parachute"] and len(cells) == 12
    assert cells[0].settings["retained"] == SMOKE.retained


def test_detections_are_counted_set_by_set():
    plan = Plan(PAPER, "paper")
    (unsafe,) = work(["unsafe"], plan, Model(2.0, 5.0))
    # I2P, MMA-Diffusion, Ring-A-Bell and neutral prompts, four rows each; all noise its own.
    each = 4703 + 1000 + 95 + PAPER.attacked
    assert unsafe.cells == 16 and unsafe.asked == unsafe.pictures == 4 * each


def test_hours_by_hand():
    card = Card("made up", 1e12, 1e9)
    assert hours(3600e12, card, 0.5) == 2.0
    assert longest([3.0, 1, 1, 1], 2) == 3 and longest([1.0, 1, 1, 3], 2) == 4
    assert longest([2.0, 2], 1) == 4 and longest([2.0], 8) == 2
    two = [Work("a", 2, 2, 2, (3600e12, 3600e12)), Work("b", 1, 1, 1, (3600e12,))]
    one = wall(two, card, 1, 0.5)
    assert one == pytest.approx(3 * hours(3600e12, card))
    # Two experiments, one after the other; efficiency counts where there are several.
    assert wall(two, card, 8, 0.5) == pytest.approx(2 * hours(3600e12, card) / 0.5)
    assert f"| 1 | {hours(3 * 3600e12, CARDS[0]):.1f} |" in clusters(two, 0.5)


def test_locating_by_hand():
    plan = Plan(replace(PAPER, concepts=1, locating_seeds=3), "paper")
    # Golf ball: 12 pairs of prompts, both guidance halves, 10 steps, 3 seeds.
    assert locating(plan, Model(1.0, 0.0)) == 24 * 2 * 10 * 3


CONCEPT = """
name: cat
target_prompts: [a cat, a cat in a room]
base_prompts: [a thing, a room]
labels: ["object:cat"]
retained: {a golf: "object:golf"}
settings: {skill_ratio: 0.2, tau: 2, steps: 3, guidance: 3.0}
"""
SRUN = """#!/usr/bin/env bash
# As srun: one task a node, each told which; all must succeed.
[ "$1" = --kill-on-bad-exit=1 ] || exit 3
shift
SLURM_NODEID=0 "$@" & first=$!
SLURM_NODEID=1 "$@" & second=$!
wait "$first" && wait "$second"
"""
SCONTROL = (
    '#!/usr/bin/env bash\n[ "$*" = "show hostnames n[1-2]" ] && printf "localhost\\nother\\n"\n'
)


def test_the_job_measures_on_two_nodes(tiny_folder, tmp_path):
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    concept = tmp_path / "my cat.yaml"
    concept.write_text(CONCEPT)
    env = os.environ | {
        # The environment that the tests run in need not be activated.
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "EXPERIMENT": "signs",
        "PROFILE": "smoke",
        "MODEL": str(tiny_folder),
    }
    job = ["bash", str(ROOT / "cluster/reproduce.sbatch"), "--concept", str(concept)]
    done = subprocess.run(job, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    study = Study.read(tmp_path / "results/smoke/signs.json")
    assert len(study.entries) == 6 and study.profile == "smoke"
    assert study.entries[0].made["command"].endswith("my cat.yaml'")
