"""Measure the audit: false positives on clean weights, power on pruned, revived and filled ones;
and set its limits.

    python -m calibration.rates --out results/audit/rates.json

Origins in alphabetical order are taken in turn to set the limits and to report with; models are
trained from seeds that played no part in making the tests. A limit is 1.5 times the largest effect
among clean matrices of the first half whose uncorrected p-value is below 0.01 (0 if there are
none). Power comes from the shipped pipeline, pruned with its own masks. What is done is kept in
rates.parts/, by the code, weights and settings it depends on, and not done again. With --install
the limits go to conceptrevive/assets/audit.json, which the audit reads, and the table to
book/generated/audit-rates.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from functools import partial
from pathlib import Path

import torch

import conceptrevive as cr
from calibration import origins as clean_origins
from calibration import round_trips
from calibration.origins import STEPS, origins
from calibration.table import table
from conceptrevive.auditing import recoverability
from conceptrevive.auditing.measurement import TESTS, examine
from conceptrevive.auditing.recoverability import estimate_recoverability
from conceptrevive.auditing.significance import decide
from conceptrevive.checkpoints.folders import find_checkpoint, read_candidates
from conceptrevive.detectors import evidence as answers
from conceptrevive.detectors import grid, noise, repeats, tails, zeros
from conceptrevive.detectors.evidence import GRID, Evidence, as_matrix, testable
from conceptrevive.detectors.zeros import fingerprint
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.experiments.sources import short_hash
from conceptrevive.files import ASSETS
from conceptrevive.intervals import Rate
from conceptrevive.unlearning.activations import column_norms
from conceptrevive.unlearning.conceptprune import wanda_mask

ALPHA, MARGIN = 0.01, 1.5
FIRST_SEED = 200  # the tests were made looking at seeds below
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
SKILL_RATIOS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SIGMAS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0)
CONCEPTS = ("gas pump", "church", "cat", "bus", "guitar", "umbrella", "apple", "rocket")


def plain(evidence) -> list:
    """Evidence of one matrix, JSON-ready."""
    return [[e.test, round(e.log_p, 3), e.effect] for e in evidence]


def read_back(rows) -> list[list[Evidence]]:
    """`plain` of every matrix, back."""
    return [[Evidence(*e) for e in each] for each in rows]


def kept(path: Path, make) -> dict:
    """What `path` holds, or what `make` returns, written there."""
    if not path.exists():
        began = time.perf_counter()
        write_json(path, make())
        print(f"{path.name}: {time.perf_counter() - began:.1f} s", flush=True)
    return json.loads(path.read_text())


def clean_checkpoint(weights: dict, dtype: torch.dtype) -> dict:
    """Evidence of every testable matrix of one clean checkpoint."""
    matrices = [as_matrix(w).to(dtype) for w in weights.values()]
    return {"evidence": [plain(examine(w)) for w in matrices if testable(w)]}


def clean(parts: Path, seeds: int, steps: int) -> dict[str, list[dict]]:
    """{origin: its checkpoints}: every seed in every dtype."""
    out: dict[str, list[dict]] = {}
    for name, (make, seeded) in origins().items():
        for seed in range(FIRST_SEED, FIRST_SEED + (seeds if seeded else 1)):
            weights = None
            for dtype in DTYPES:
                path = parts / f"clean-{name.replace(' ', '-')}-{seed}-{dtype}.json"
                if not path.exists() and weights is None:
                    torch.manual_seed(seed)
                    weights = make(seed, steps)
                out.setdefault(name, []).append(
                    kept(path, partial(clean_checkpoint, weights, DTYPES[dtype]))
                )
    return out


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


def masks_of(norms: dict, weights: dict, ratio: float) -> dict:
    """The masks `locate` makes, from column norms taken once."""
    out = {}
    for n, w in weights.items():
        out[n] = torch.zeros_like(w, dtype=torch.bool)
        for a, b in zip(*norms[n], strict=True):
            out[n] |= wanda_mask(w, a, b, ratio)
    return out


def concept_power(name: str, ratios, sigmas) -> dict:
    """Evidence on the candidates of the shipped model after every edit, and how well signs were
    estimated.
    """
    concept = cr.get_concept(name)
    pipe, s = cr.load_pipeline("pocket", device="cpu"), concept.settings
    run = dict(tau=s.tau, steps=s.steps, guidance=s.guidance, seed=0)
    norms = column_norms(pipe, (concept.target_prompts, concept.base_prompts), **run)
    weights = read_candidates(find_checkpoint("pocket"))
    rows, signs = [], []
    for ratio in ratios:
        masks = masks_of(norms, weights, ratio)
        pruned = cr.prune(weights, masks)
        edits = {"pruned": pruned}
        for rule, top_k in itertools.product(("max", "average", "sample"), (0.6, 1.0)):
            edits[f"revived {rule} {top_k:g}"] = cr.revive(
                pruned, masks, top_k=top_k, magnitude=rule
            )
        for sigma in sigmas:
            edits[f"noise {sigma:g}"] = cr.obfuscate(weights, masks, sigma=sigma, seed=0)
        g = torch.Generator().manual_seed(0)
        anywhere = {
            n: torch.rand(w.shape, generator=g) < masks[n].float().mean()
            for n, w in weights.items()
        }
        edits["pruned at random"] = cr.prune(weights, anywhere)
        small = cr.guess_masks(weights, {n: float(masks[n].float().mean()) for n in weights})
        edits["pruned by magnitude"] = cr.prune(weights, small)
        for edit, changed in edits.items():
            wanda = [fingerprint(w == 0)["wanda"] for w in changed.values()]
            rows.append(
                {
                    "skill_ratio": ratio,
                    "edit": edit,
                    "evidence": [plain(examine(w)) for w in changed.values()],
                    "wanda": wanda if edit.startswith("pruned") else None,
                }
            )
        done = cr.complete({n: w.float() for n, w in pruned.items()}, masks)
        for n, w in pruned.items():
            told = estimate_recoverability(w, masks[n])
            true = cr.sign_accuracy(weights, {n: done[n]})
            signs.append(
                {
                    "skill_ratio": ratio,
                    "true": true,
                    "estimate": [told.signs.value, told.kept.value],
                }
            )
    return {"concept": name, "rows": rows, "signs": signs}


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


def state(a) -> str:
    """What the parts depend on: the tests' code, the origins', the shipped weights and the
    settings.
    """
    tests = (answers, grid, noise, repeats, tails, zeros, recoverability)
    code = [Path(m.__file__) for m in (*tests, clean_origins, round_trips)]
    files = [*code, *sorted(ASSETS.rglob("*.safetensors"))]
    return short_hash(
        [*(f.read_bytes() for f in files), repr((a.steps, a.skill_ratios, SIGMAS)).encode()]
    )


def main() -> None:
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
    a = ap.parse_args()
    parts = a.out.with_suffix(".parts") / state(a)
    origin = clean(parts, a.seeds, a.steps)
    concepts = [
        kept(
            parts / f"power-{c.replace(' ', '-')}.json",
            partial(concept_power, c, a.skill_ratios, SIGMAS),
        )
        for c in a.concepts
    ]
    result = summary(
        origin,
        concepts,
        {"seeds": a.seeds, "steps": a.steps, "concepts": list(a.concepts)} | provenance(0),
    )
    write_json(a.out, result)
    print(
        json.dumps(
            {
                "limits": result["limits"],
                "false positives": {
                    h: r["checkpoints"] for h, r in result["false_positives"].items()
                },
            }
        )
    )
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
