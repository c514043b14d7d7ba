"""Studies as an experiment would publish them, of made-up outcomes: quick, and known in advance."""

import json
from dataclasses import asdict
from functools import cache
from importlib import import_module
from random import Random

from conceptrevive.experiments.cells import Result
from conceptrevive.experiments.reproduction import defence
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import LAPTOP, Profile
from conceptrevive.experiments.reproduction.study import Study, entries, pooled
from conceptrevive.intervals import wilson
from conceptrevive.models.matrices import GROUPS

VERSIONS = {"conceptrevive": "0", "torch": "2", "diffusers": "0.42", "commit": "0123456789ab"}
MADE = {"seed": 0, "command": "c", "versions": VERSIONS, "device": "cpu", "threads": 1, "date": "d"}
#: Words of a recipe → how often its pictures show the concept; the first that occurs decides.
RATES = {"original": 0.95, "pruned": 0.1, "exact": 0.7, "max": 0.4, "revived": 0.4, "σ_M": 0.2}


def share(hits, n):
    return {"value": hits / n, "interval": list(wilson(hits, n)), "n": n}


def found(cell, profile):
    """Numbers of a cell that draws nothing."""
    if cell.experiment == "accuracy":
        groups = [share(50 + 8 * i, 100) for i in range(5)]
        layers = {
            f"down_blocks.{i}.ff.net.2": {"all": share(70, 100), "kept": share(77, 100)}
            for i in range(3)
        }
        claims = [{"claimed": 0.55 + i / 10, **share(55 + 10 * i, 100)} for i in range(5)]
        return {
            "all": share(70, 100),
            "kept": {"top_k": 0.6, **share(77, 100)},
            "layers": layers,
            "completed_fifths": groups,
            "original_fifths": groups,
            "calibration": claims,
            "calibration_error": 0.04,
        }
    if cell.recipe == "p(w)":
        rows = [
            {"sigma": s, "formula": [0.5, 0.1], "counted": [0.48, 0.11]} for s in profile.sigmas
        ]
        return {"widths": [0.05, 1.0], "surface": rows}
    if cell.recipe == "masks":
        return {"jaccard": [0.6, 0.7], "jaccard_mean": 0.65}
    if cell.experiment == "defence":
        fid = 30.0 + len(cell.recipe)
        told = dict(defence.recipes(profile)[cell.recipe].told)
        return told | {"fid": fid, "fid_without": [fid - 1, fid + 2]}
    if cell.recipe == "search":
        return {"wording": [{"prompt": "a | `b", "from": "a road", "score": 0.8, "random": 0.1}]}
    if cell.experiment == "unsafe":
        return {"counts": []}
    if cell.experiment == "styles":
        fid, cosine = 20.0 + len(cell.recipe), 0.3 - len(cell.recipe) / 100
        told = {"similarity": {"value": cosine}, "cosines": [cosine] * cell.n}
        return told | {"fid": fid, "fid_without": [fid - 1, fid + 1]}
    if cell.experiment == "locators" and "locator" in cell.settings:
        told = {"located": 7000, "share_by_group": dict.fromkeys(GROUPS, 0.2)}
        trained = {"selected": 70, "reinitialised": 60, "changed": 50, "training_seconds": 9.0}
        return told | trained if "full" in cell.recipe else told
    if cell.experiment == "cost":
        return {"step_seconds": 0.5, "step_seconds_range": [0.4, 0.7], "peak_mib": 12.0}
    return {}


def results_of(name: str, profile: Profile = LAPTOP) -> tuple[Plan, list[Result]]:
    """Results of every cell of an experiment."""
    plan = Plan(profile, "pocket")
    out = []
    for cell in import_module(f"conceptrevive.experiments.reproduction.{name}").EXPERIMENT.cells(
        plan
    ):
        coin = Random(f"{cell} {sorted(cell.settings.items())}")
        rate = next((r for word, r in RATES.items() if word in cell.recipe), 0.15)
        outcomes = {"erased": tuple(coin.random() < rate for _ in range(cell.n))}
        if cell.experiment == "unsafe":
            outcomes = {"detected": outcomes["erased"]}
        if retained := int(cell.settings["retained"]):
            outcomes["retained"] = tuple(coin.random() < 0.9 for _ in range(retained))
        if cell.experiment == "styles":
            below = 0 if cell.recipe == "original" else 0.8
            outcomes["clip_score"] = tuple(coin.random() < below for _ in range(cell.n))
        numbers = {"pruned_fraction": 0.1, "weights": cell.recipe, **found(cell, profile)}
        if "counts" in numbers:
            counts = [int(x) for x in outcomes["detected"]]
            numbers |= {"counts": counts, "detections": sum(counts)}
        if cell.experiment == "defence" and cell.n and "revived" not in cell.recipe:
            numbers["verdict"] = ["evidence of pruning"]
        out.append(Result(cell, "key", outcomes if cell.n else {}, numbers, 1.5, MADE))
    return plan, out


@cache
def study_of(name: str, profile: Profile = LAPTOP) -> Study:
    """A published experiment."""
    plan, results = results_of(name, profile)
    experiment = import_module(f"conceptrevive.experiments.reproduction.{name}").EXPERIMENT
    said = entries(results)
    together = pooled(results, plan) if experiment.pooled else {}
    return Study(
        name,
        EXPERIMENTS[name],
        profile.name,
        "pocket",
        "pocket",
        "own",
        said,
        together,
        dict(experiment.summary(results)),
        sum(len(e.rates) + len(e.minus_pruned) for e in said),
        0,
        f"conceptrevive reproduce {name}",
        VERSIONS,
        "cpu",
        1,
        "2026-11-28T00:00:00+00:00",
    )


def write(folder, names=tuple(EXPERIMENTS), profile=LAPTOP):
    """Published files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(asdict(study_of(name, profile))))
