"""Choose the pocket preset by original, pruned and retained accuracy on six objects.

    python -m training.choose_settings --out results/pocket/settings.json

It chooses skill ratio, τ and guidance. The rule: of the settings under which the whole model draws
the objects (original ≥ 0.90), the one that separates best (retained after pruning − pruned).
Revived accuracy is not measured here, so it cannot influence the choice.
"""

from __future__ import annotations

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import torch

from conceptrevive.concepts import world as W
from conceptrevive.concepts.pocket import POCKET_SETTINGS
from conceptrevive.concepts.presets import get_concept
from conceptrevive.evaluation.outcomes import evaluate
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.models.generation import fastest
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.precision import VARIABLE
from conceptrevive.models.weights import read_weights, swapped
from conceptrevive.unlearning.conceptprune import concept_masks
from conceptrevive.unlearning.masks import MaskSet, prune
from conceptrevive.unlearning.recording import column_norms

SIX = W.PAPER_OBJECTS[::2]
SEED = 3


def mean(values) -> float:
    """Arithmetic mean."""
    values = list(values)
    return sum(values) / len(values)


def chosen(rows: list[dict]) -> dict:
    """The row that the rule above takes; of all rows if the model never draws well enough."""
    good = [r for r in rows if r["original"] >= 0.90] or rows
    return max(good, key=lambda r: r["retained_pruned"] - r["pruned"])


def at_guidance(args, guidance: float, threads: int) -> list[dict]:
    """One row per skill ratio and τ."""
    torch.set_num_threads(threads)
    pipe = load_pipeline(args.model, device="cpu")
    original, rows = read_weights(pipe), []
    concepts = {o: get_concept(o) for o in SIX}
    concepts = {
        o: replace(c, settings=replace(c.settings, guidance=guidance)) for o, c in concepts.items()
    }
    drawn = dict(n=args.images, retained=args.retained, seed=SEED)
    before = {o: evaluate(pipe, c, **drawn) for o, c in concepts.items()}
    run = dict(tau=max(args.taus), steps=POCKET_SETTINGS.steps, guidance=guidance, seed=0)
    # One look at the activations serves every skill ratio and τ.
    norms = {
        o: column_norms(pipe, (c.target_prompts, c.base_prompts), **run)
        for o, c in concepts.items()
    }
    for k, tau in itertools.product(args.skill_ratios, args.taus):
        after, fractions = {}, {}
        for o, c in concepts.items():
            masks = MaskSet(concept_masks(original, norms[o], k, tau))
            fractions[o] = masks.fraction
            with swapped(pipe, prune(original, masks)):
                after[o] = evaluate(pipe, c, **drawn)
        rows.append(
            {
                "guidance": guidance,
                "skill_ratio": k,
                "tau": tau,
                "steps": POCKET_SETTINGS.steps,
                "pruned_fraction": mean(fractions.values()),
                "original": mean(r.erased.value for r in before.values()),
                "pruned": mean(r.erased.value for r in after.values()),
                "retained_original": mean(r.retained.value for r in before.values()),
                "retained_pruned": mean(r.retained.value for r in after.values()),
                "pruned_each": {o: r.erased.value for o, r in after.items()},
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--skill-ratios", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.5])
    ap.add_argument("--taus", type=int, nargs="+", default=[POCKET_SETTINGS.tau])
    ap.add_argument("--guidances", type=float, nargs="+", default=[2.0, 3.0])
    ap.add_argument("--images", type=int, default=16)
    ap.add_argument("--retained", type=int, default=31, help="pictures of the other objects")
    ap.add_argument(
        "--workers", type=int, default=2, help="processes that share the guidances, and the threads"
    )
    ap.add_argument("--out", default="results/pocket/settings.json")
    args = ap.parse_args()
    threads = max(1, torch.get_num_threads() // args.workers)
    os.environ[VARIABLE] = how = str(
        fastest(load_pipeline(args.model, device="cpu"))
    )  # the same in every process
    with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
        parts = pool.map(
            at_guidance, itertools.repeat(args), args.guidances, itertools.repeat(threads)
        )
        rows = [row for part in parts for row in part]
    torch.set_num_threads(threads)
    result = {
        "objects": SIX,
        "images": args.images,
        "retained_images": args.retained,
        "sampling": how,
    }
    write_json(args.out, result | provenance(SEED) | {"chosen": chosen(rows), "rows": rows})
    print("chosen:", chosen(rows))


if __name__ == "__main__":
    main()
