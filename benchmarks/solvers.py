"""Which solver finds the most signs, and does that revive more? Every concept and layer of a model.

    python -m benchmarks.solvers --out results/benchmarks/solvers.json
    python -m benchmarks.solvers --images 0        # signs only, minutes
    python -m benchmarks.solvers --stages runs/early/pipeline runs/late/pipeline   # and those of other pipelines

For each concept: sign accuracy of every solver against the paper's loop on the same entries, how often a sign that is
said to be right with some probability is right, and the pictures of every solver under every magnitude rule, same seeds.
Matrices with known structure come first, then weights trained on other tasks that come with the package, then the model at
other stages of its training. What is finished is kept beside the output (``….parts/``) and not measured again.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import torch

from benchmarks.matrices import SPECTRUM
from benchmarks.signs import RELIABLE, SOLVERS, accuracy, reliability
from benchmarks.solver_parts import RULES, pipeline, work
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.phenomenon import CONCEPTS
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.intervals import Rate, paired_difference
from conceptrevive.models.generation import fastest
from conceptrevive.models.precision import VARIABLE

#: Matrices of known structure by their rows: fewer where the loop takes minutes.
SEEDS = {128: 10, 320: 10, 640: 5, 1280: 3}


def compare(parts: list[dict], kind: str, base: str, clusters=None) -> dict[str, dict]:
    """Rates over all concepts, and paired differences from the pruned model and from `base`.

    Args:
        clusters: per outcome, a label that outcomes of one and the same picture share.
    """
    pooled = {name: [o for part in parts for o in part[name][kind]] for name in parts[0]}
    return {
        name: Rate.of(right).as_dict()
        | {
            "minus_pruned": paired_difference(right, pooled["pruned"], clusters=clusters),
            "minus_base": paired_difference(right, pooled[base], clusters=clusters),
        }
        for name, right in pooled.items()
    }


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="*", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument(
        "--images", type=int, default=24, help="pictures of the concept per model; 0: signs only"
    )
    ap.add_argument("--retained", type=int, default=31, help="pictures of other objects per model")
    ap.add_argument(
        "--draw",
        nargs="*",
        default=["paper", "conditional", "prior", "prior + side"],
        choices=list(SOLVERS),
    )
    ap.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=None,
        help="matrices of known structure per size and noise: one number, or one for each of --rows; default: "
        + ", ".join(f"{n} of {d} rows" for d, n in SEEDS.items()),
    )
    ap.add_argument(
        "--rows",
        type=int,
        nargs="*",
        default=list(SEEDS),
        help="their rows; four times as many columns",
    )
    ap.add_argument("--noise", type=float, nargs="*", default=[0.3, 1.0, 4.0])
    ap.add_argument(
        "--others",
        type=int,
        default=12,
        help="matrices of each other part that comes with the package",
    )
    ap.add_argument(
        "--stages",
        nargs="*",
        default=[],
        help="pipeline folders of the model at other stages of training",
    )
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default="cpu")
    ap.add_argument(
        "--workers", type=int, default=1, help="processes that share the parts, and the threads"
    )
    ap.add_argument("--out", default="results/benchmarks/solvers.json")
    args = ap.parse_args(argv)
    try:
        return run(args)
    except ConceptReviveError as e:
        print(f"solvers: {e}", file=sys.stderr)
        return 2


def run(args) -> int:
    """Measure what is not there yet and write the result."""
    seeds = args.seeds or [SEEDS.get(d, min(SEEDS.values())) for d in args.rows]
    if args.seeds and len(seeds) not in (1, len(args.rows)):
        raise ConceptReviveError(
            f"{len(seeds)} --seeds for {len(args.rows)} --rows: give one, or one for each"
        )
    if args.concepts or args.stages:
        # The same in every process: masks and pictures depend on it. An error is better now than after hours.
        os.environ[VARIABLE] = str(fastest(pipeline(args.model, args.device)))
    seeds = seeds * len(args.rows) if len(seeds) == 1 else seeds
    drawn = [None, *args.draw] if args.images else []
    jobs = [
        ("known", (d, n, level))
        for d, n in zip(args.rows, seeds, strict=True)
        for level in args.noise
    ]
    jobs += (
        [("others", args.others)]
        + [("stage", f) for f in args.stages]
        + [("signs", c) for c in args.concepts]
    )
    jobs += [("pictures", (c, solver)) for c in args.concepts for solver in drawn]
    threads = max(1, torch.get_num_threads() // args.workers)
    if args.workers == 1:
        done = [work(args, threads, job) for job in jobs]
    else:
        with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
            done = list(pool.map(work, repeat(args), repeat(threads), jobs))
    by_kind: dict[str, dict] = {
        kind: {} for kind in ("known", "others", "stage", "signs", "pictures")
    }
    for (kind, what), part in zip(jobs, done, strict=True):
        by_kind[kind][what] = part["found"]
    result = {
        "spectrum": SPECTRUM,
        "known_structure": [row for rows in by_kind["known"].values() for row in rows],
        "other_weights": by_kind["others"][args.others],
    }
    if args.stages:
        result["stages"] = list(by_kind["stage"].values())
    if found := by_kind["signs"]:
        units = {s: [r for f in found.values() for r in f["signs"][s]] for s in SOLVERS}
        result |= {
            "signs": accuracy(units),
            "signs_top": accuracy(units, top=True),
            "reliability": reliability([f["reliability"] for f in found.values()]),
            "reliable": RELIABLE,
            "concepts": {
                n: {s: v["value"] for s, v in accuracy(f["signs"]).items()}
                for n, f in found.items()
            },
            "sampling": os.environ[VARIABLE],
        }
    if drawn and args.concepts:
        base = f"{'conditional' if 'conditional' in args.draw else args.draw[0]} · max, K = {RULES['max']:g}"
        parts = [
            {
                f"{s} · {v}" if s else v: o
                for s in drawn
                for v, o in by_kind["pictures"][c, s].items()
            }
            for c in args.concepts
        ]
        shared = [
            x
            for c in args.concepts
            for x in retained_pictures(get_concept(c), args.retained, args.seed)
        ]
        result |= {
            kind: compare(parts, kind, base, clusters)
            for kind, clusters in (("erased", None), ("retained", shared))
        }
        result |= {"base": base, "images": args.images, "retained_images": args.retained}
    dates = sorted(part["made"]["date"] for part in done)
    result |= {"workers": args.workers, "measured": [dates[0], dates[-1]]}
    write_json(args.out, result | provenance(args.seed, args.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
