"""Is the phenomenon there? Every concept erased and revived, with controls at equal counts and seeds.

    python -m conceptrevive.experiments.phenomenon --out results/pocket/phenomenon.json

Finished concepts are kept beside the output (``….parts/``), so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import torch

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.judges import classifier, judge_files
from conceptrevive.evaluation.outcomes import (
    evaluate_images,
    judge_concept,
    retained_pictures,
    retained_probes,
)
from conceptrevive.experiments.pooling import pooled
from conceptrevive.experiments.provenance import provenance, short_hash, write_json
from conceptrevive.intervals import Rate, paired_difference
from conceptrevive.models.generation import fastest, generate
from conceptrevive.models.layers import denoiser
from conceptrevive.models.pipeline import load_pipeline, training_note
from conceptrevive.models.precision import VARIABLE
from conceptrevive.models.weights import Weights, read_weights, swapped, weight_bytes
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.magnitude import neuron_magnitude
from conceptrevive.revival.signs import retain_signs, sign_accuracy
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import MaskSet, prune

CONCEPTS = (*W.PAPER_OBJECTS, *W.STYLES)


def random_masks(masks: MaskSet, seed: int) -> MaskSet:
    """As many pruned entries in every row as `masks` has, anywhere in the row."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, m in masks.items():
        rank = torch.rand(m.shape, generator=generator).argsort(1).argsort(1)
        out[name] = rank.to(m.device) < m.sum(1, keepdim=True)
    return MaskSet(out, concept="random positions")


def with_signs(weights: Weights, completions: dict, signs: dict[str, torch.Tensor]) -> Weights:
    """Pruned weights with given signs at neuron max, at the positions the attack would keep."""
    out = dict(weights)
    for name, c in completions.items():
        kept = retain_signs(c) != 0
        out[name] = torch.where(
            kept, signs[name] * neuron_magnitude(c.weight, c.mask), weights[name]
        )
    return out


def variants(
    original: Weights, masks: MaskSet, other: MaskSet, seed: int
) -> tuple[dict[str, Weights], dict]:
    """Weights of every row of the table, and sign accuracies."""
    pruned = prune(original, masks)
    conditional = complete(pruned, masks)
    paper = complete(pruned, masks, solver="paper")
    generator = torch.Generator().manual_seed(seed)
    coin = {
        n: torch.randint(0, 2, w.shape, generator=generator).to(w) * 2 - 1
        for n, w in original.items()
    }
    right, right_kept = sign_accuracy(original, conditional)
    paper_right, paper_kept = sign_accuracy(original, paper)
    weights = {
        "original": original,
        "pruned": pruned,
        "revived": {n: revive_layer(c) for n, c in conditional.items()},
        "revived_paper": {n: revive_layer(c) for n, c in paper.items()},
        "neuron_average": {n: revive_layer(c, magnitude="average") for n, c in conditional.items()},
        "random_signs": with_signs(pruned, conditional, coin),
        "exact_signs": with_signs(pruned, conditional, {n: w.sign() for n, w in original.items()}),
        "random_mask": prune(original, random_masks(masks, seed)),
        "other_mask": prune(original, other),
    }
    return weights, {
        "sign_accuracy": right,
        "sign_accuracy_topk": right_kept,
        "sign_accuracy_paper": paper_right,
        "sign_accuracy_paper_topk": paper_kept,
        "pruned_fraction": masks.fraction,
        "other_mask_fraction": other.fraction,
        "paper_converged": all(c.converged for c in paper.values()),
    }


class Measurer:
    """Draws and judges; the original's retained pictures are drawn once for all concepts."""

    def __init__(self, pipe, n: int, retained: int, seed: int) -> None:
        self.pipe, self.n, self.retained, self.seed = pipe, n, retained, seed
        self.kept: dict[tuple[str, int], bool] = {}

    def erased(self, concept: Concept, weights: Weights) -> list[bool]:
        """One outcome per picture of the concept."""
        with swapped(self.pipe, weights):
            return judge_concept(
                concept, evaluate_images(self.pipe, concept, n=self.n, seed=self.seed)
            )

    def retained_outcomes(
        self, concept: Concept, weights: Weights, original: bool = False
    ) -> list[bool]:
        """One outcome per picture of the other objects."""
        probes = retained_probes(concept, self.retained)
        jobs = retained_pictures(concept, self.retained, self.seed)
        todo = [i for i, job in enumerate(jobs) if not (original and job in self.kept)]
        with swapped(self.pipe, weights):
            images = generate(
                self.pipe,
                [jobs[i][0] for i in todo],
                seed=[jobs[i][1] for i in todo],
                steps=concept.settings.steps,
                guidance=concept.settings.guidance,
            )
        right = (
            classifier(concept.judge).correct(images, [probes[i].labels for i in todo])
            if todo
            else []
        )
        fresh = dict(zip((jobs[i] for i in todo), right, strict=True))
        if original:
            self.kept |= fresh
        return [fresh[j] if j in fresh else self.kept[j] for j in jobs]


def spectrum(weights: Weights) -> dict[str, dict]:
    """Singular values and effective rank (exp of the entropy of their shares; Roy and Vetterli 2007) of each layer."""
    out = {}
    for name, w in weights.items():
        s = torch.linalg.svdvals(w.double())
        p = s / s.sum()
        rank = float(torch.exp(-(p * p.clamp_min(1e-300).log()).sum()))
        out[name] = {"effective_rank": rank, "singular_values": [round(float(v), 5) for v in s]}
    return out


def measure(
    measurer: Measurer, original: Weights, concept: Concept, masks: MaskSet, other: MaskSet
) -> dict:
    """Everything about one concept."""
    weights, row = variants(original, masks, other, measurer.seed)
    outcomes = {name: measurer.erased(concept, w) for name, w in weights.items()}
    kept = {
        name: measurer.retained_outcomes(concept, weights[name], name == "original")
        for name in ("original", "pruned", "revived")
    }
    for name, right in outcomes.items():
        rate = Rate.of(right)
        row[name], row[f"{name}_interval"] = rate.value, rate.interval
        if name not in ("original", "pruned"):
            row[f"{name}_minus_pruned"] = paired_difference(right, outcomes["pruned"])
    for name, right in kept.items():
        rate = Rate.of(right)
        row[f"retained_{name}"], row[f"retained_{name}_interval"] = rate.value, rate.interval
    row["retained_revived_minus_pruned"] = paired_difference(kept["revived"], kept["pruned"])
    row["outcomes"] = {n: list(map(int, right)) for n, right in outcomes.items()}
    row["retained_outcomes"] = {n: list(map(int, right)) for n, right in kept.items()}
    return row


def part_of(args, name: str) -> Path:
    """Where one concept's row is kept: by the model, judge, settings and way of drawing it belongs to."""
    s = get_concept(name).settings
    key = [
        name.replace(" ", "-"),
        args.images,
        args.retained,
        args.seed,
        s.skill_ratio,
        s.tau,
        s.steps,
        s.guidance,
    ]
    return Path(f"{args.out}.parts") / f"{'-'.join(map(str, key))}-{args.digest}.json"


def share(args, number: int, threads: int) -> None:
    """Measure every `args.workers`-th concept from the `number`-th on, and keep each; those that are kept are left out."""
    torch.set_num_threads(threads)
    pipe = load_pipeline(args.model, device=args.device)
    original, measurer = read_weights(pipe), Measurer(pipe, args.images, args.retained, args.seed)
    masks = cache(lambda name: locate(pipe, get_concept(name), seed=args.seed))
    short = (
        "original",
        "pruned",
        "revived",
        "revived_paper",
        "random_signs",
        "retained_pruned",
        "sign_accuracy",
    )
    for i in range(number, len(args.concepts), args.workers):
        name, part = args.concepts[i], part_of(args, args.concepts[i])
        if not part.exists():
            other = CONCEPTS[CONCEPTS.index(name) - 1] if name in CONCEPTS else CONCEPTS[0]
            row = measure(measurer, original, get_concept(name), masks(name), masks(other))
            write_json(part, row)
            print(name, {k: round(row[k], 2) for k in short}, flush=True)


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="*", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument("--images", type=int, default=50)
    ap.add_argument("--retained", type=int, default=93, help="pictures of other objects per model")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default=None)
    ap.add_argument(
        "--workers", type=int, default=1, help="processes that share the concepts, and the threads"
    )
    ap.add_argument("--out", default="results/pocket/phenomenon.json")
    args = ap.parse_args(argv)
    try:
        pipe = load_pipeline(args.model, device=args.device)
        settings = {c: get_concept(c).settings for c in args.concepts}[args.concepts[0]]
        os.environ[VARIABLE] = how = str(fastest(pipe))  # the same in every process
    except ConceptReviveError as e:
        print(f"phenomenon: {e}", file=sys.stderr)
        return 2
    original = read_weights(pipe)
    args.digest = short_hash(
        [how.encode(), *weight_bytes(pipe), *(f.read_bytes() for f in judge_files())]
    )
    threads = max(1, torch.get_num_threads() // args.workers)
    if args.workers == 1:
        share(args, 0, threads)
    else:
        with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
            list(pool.map(share, repeat(args), range(args.workers), repeat(threads)))
    torch.set_num_threads(threads)
    rows = {name: json.loads(part_of(args, name).read_text()) for name in args.concepts}
    result = {
        "n": args.images,
        "retained_n": args.retained,
        "sampling": how,
        "workers": args.workers,
        "settings": {k: getattr(settings, k) for k in ("skill_ratio", "tau", "steps", "guidance")},
        **provenance(args.seed, str(next(denoiser(pipe).parameters()).device)),
        "trained": training_note(args.model),
        "objects": pooled(rows, args.seed),
        "concepts": {
            c: {k: v for k, v in row.items() if not k.endswith("outcomes")}
            for c, row in rows.items()
        },
        "layers": spectrum(original),
    }
    write_json(args.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
