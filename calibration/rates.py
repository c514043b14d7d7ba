"""Measure the audit: false positives on clean weights, power on pruned, revived and filled ones;
and set its limits.

    python -m calibration.rates --out results/audit/rates.json

Origins in alphabetical order are taken in turn to set the limits and to report with; models are
trained from seeds that played no part in making the tests. A limit is 1.5 times the largest effect
among clean matrices of the first half whose uncorrected p-value is below 0.01 (0 if there are
none). Power comes from the shipped pipeline, pruned with its own masks. What is done is kept beside
the output (`….parts/`), by the code, weights and settings it depends on, and not done again. With
--install the limits go to conceptrevive/assets/audit.json, which the audit reads, and the table to
book/generated/audit-rates.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from calibration.evidence import (
    DTYPES,
    clean,
    clean_cells,
    depends,
    edited,
    edited_cells,
    read_back,
)
from calibration.origins import STEPS
from calibration.table import table
from conceptrevive.auditing.measurement import TESTS
from conceptrevive.auditing.significance import decide
from conceptrevive.detectors.evidence import GRID
from conceptrevive.experiments.cells import Result
from conceptrevive.experiments.provenance import write_json
from conceptrevive.experiments.runner import check_out, is_first, publish, run
from conceptrevive.files import ASSETS
from conceptrevive.intervals import Rate

ALPHA, MARGIN = 0.01, 1.5
SKILL_RATIOS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SIGMAS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0)
CONCEPTS = ("gas pump", "church", "cat", "bus", "guitar", "umbrella", "apple", "rocket")


def limits_from(checkpoints: list[dict]) -> dict[str, float]:
    """1.5 × the largest effect of each test on clean matrices that it calls unlikely at 0.01."""
    every = [e for c in checkpoints for each in read_back(c["evidence"]) for e in each]
    return {
        t: MARGIN * max((e.effect for e in every if e.test == t and e.log_p < -2), default=0.0)
        for t in TESTS
    }


def flagged(checkpoint: dict, limits: dict) -> list[str]:
    """Tests that count somewhere in a checkpoint."""
    evidence = read_back(checkpoint["evidence"])
    return sorted({t for found in decide(evidence, len(evidence), limits) for t in found})


def on_grid(checkpoints: list[dict]) -> int:
    """Matrices of these checkpoints that lie on a quantisation grid, as the audit takes it."""
    every = [each for c in checkpoints for each in read_back(c["evidence"])]
    return sum(any(e.test == GRID for e in each) for each in every)


def power(concepts: list[dict], rest: list, limits: dict) -> list[dict]:
    """Rate at which an edited checkpoint is found, per edit, skill ratio and test; the rest of it
    is clean.
    """
    out = []
    tables = [{(r["edit"], r["skill_ratio"]): r for r in c["rows"]} for c in concepts]
    for edit, ratio in tables[0]:
        hits = [flagged({"evidence": t[edit, ratio]["evidence"] + rest}, limits) for t in tables]
        for test in TESTS:
            rate = Rate.of([test in h for h in hits])
            row = {
                "test": test,
                "edit": edit,
                "skill_ratio": ratio,
                "rate": rate.value,
                "interval": rate.interval,
                "n": rate.n,
            }
            out.append(
                row | ({"sigma": float(edit.split()[1])} if edit.startswith("noise") else {})
            )
    return out


def summary(origin: dict[str, list[dict]], concepts: list[dict], seed_note: dict) -> dict:
    """The published table."""
    names = list(origin)
    halves = {"set": names[::2], "report": names[1::2]}
    limits = {"alpha": ALPHA, "effects": limits_from([c for n in halves["set"] for c in origin[n]])}
    rates = {}
    for half, members in halves.items():
        outcomes = {n: [flagged(c, limits) for c in origin[n]] for n in members}
        rates[half] = {
            "origins": members,
            "matrices": sum(len(origin[n][0]["evidence"]) for n in members),
            "checkpoints": Rate.of([bool(f) for each in outcomes.values() for f in each]).as_dict(),
            "per_origin": {
                n: {
                    "flagged": sum(map(bool, f)),
                    "n": len(f),
                    "tests": sorted({t for x in f for t in x}),
                    "matrices": sum(len(c["evidence"]) for c in origin[n]),
                    "on_grid": on_grid(origin[n]),
                }
                for n, f in outcomes.items()
            },
        }
    shipped = [e for n in names if n.startswith("pocket") for e in origin[n][1]["evidence"]]
    out = {"limits": limits, "false_positives": rates} | seed_note
    if concepts:
        out["power"] = power(concepts, shipped, limits)
        out["fingerprint"] = [
            {
                "edit": e,
                "skill_ratio": k,
                **Rate.of(
                    [
                        w
                        for c in concepts
                        for r in c["rows"]
                        if (r["edit"], r["skill_ratio"]) == (e, k)
                        for w in r["wanda"]
                    ]
                ).as_dict(),
            }
            for e, k in dict.fromkeys(
                (r["edit"], r["skill_ratio"]) for r in concepts[0]["rows"] if r["wanda"]
            )
        ]
        out["signs"] = [
            _signs(concepts, k)
            for k in dict.fromkeys(s["skill_ratio"] for s in concepts[0]["signs"])
        ]
    return out


def _signs(concepts: list[dict], ratio: float) -> dict:
    pairs = torch.tensor(
        [
            [s["true"], s["estimate"]]
            for c in concepts
            for s in c["signs"]
            if s["skill_ratio"] == ratio
        ]
    )
    true, told = pairs[:, 0].mean(0), pairs[:, 1].mean(0)
    spread = (pairs[:, 1] - pairs[:, 0]).std(0) if len(pairs) > 1 else torch.zeros(2)
    return {
        "skill_ratio": ratio,
        "layers": len(pairs),
        "true": true.tolist(),
        "estimate": told.tolist(),
        "spread": spread.tolist(),
    }


def checkpoints_of(results: list[Result]) -> dict[str, list[dict]]:
    """{origin: its checkpoints}: every seed in every dtype."""
    out: dict[str, list[dict]] = {}
    for result in results:
        for dtype in DTYPES:
            out.setdefault(result.cell.concept, []).append({"evidence": result.numbers[dtype]})
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the summary."""
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", type=Path, default=Path("results/audit/rates.json"))
    ap.add_argument("--seeds", type=int, default=8, help="models trained per origin")
    ap.add_argument("--steps", type=int, default=STEPS)
    ap.add_argument("--concepts", nargs="*", default=CONCEPTS)
    ap.add_argument("--skill-ratios", nargs="*", type=float, default=SKILL_RATIOS)
    ap.add_argument(
        "--install",
        action="store_true",
        help="write limits and table into the package and the book",
    )
    a = ap.parse_args(argv)
    check_out(a.out)
    origin = checkpoints_of(run(clean_cells(a.seeds, a.steps), clean, a.out, depends=depends))
    cells = edited_cells(a.concepts, a.skill_ratios, SIGMAS)
    concepts = [dict(r.numbers) for r in run(cells, edited, a.out, depends=depends)]
    note = {"seeds": a.seeds, "steps": a.steps, "concepts": list(a.concepts)}
    result = publish(a.out, summary(origin, concepts, note), seed=0)
    if not is_first():
        return
    found = {h: r["checkpoints"] for h, r in result["false_positives"].items()}
    print(json.dumps({"limits": result["limits"], "false positives": found}))
    if a.install:
        short = [
            {k: p[k] for k in ("test", "skill_ratio", "sigma", "rate", "n")}
            for p in result["power"]
            if "sigma" in p and p["test"] == "noise"
        ]
        write_json(ASSETS / "audit.json", result["limits"] | {"power": short})
        Path("book/generated/audit-rates.md").write_text(table(result))


if __name__ == "__main__":
    main()
