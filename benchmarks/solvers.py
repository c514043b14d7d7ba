"""Which solver finds the most signs, and does that revive more? Every concept and layer of a model.

    python -m benchmarks.solvers --out results/benchmarks/solvers.json
    python -m benchmarks.solvers --images 0        # signs only, minutes
    python -m benchmarks.solvers --stages runs/early/pipeline runs/late/pipeline   # and those of other pipelines

For each concept: sign accuracy of every solver against the paper's loop on the same entries, how often a sign that is
said to be right with some probability is right, and the pictures of every solver under every magnitude rule, same seeds.
Matrices with known structure come first, then weights trained on other tasks that come with the package, then the model at
other stages of its training. Intervals of sign accuracy resample layers, not entries: the entries of a layer go together.
Finished concepts are kept beside the output (``….parts/``), by the weights' hash, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.matrices import SPECTRUM
from benchmarks.signs import OTHERS, SOLVERS, Weights, accuracy, known_structure, other_weights, reliability, signs
from conceptrevive.concepts import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation import retained_pictures
from conceptrevive.judges import judge_files
from conceptrevive.locate import locate
from conceptrevive.masks import prune
from conceptrevive.models import ASSETS, load_pipeline, read_side, read_weights, training_note, weight_bytes
from conceptrevive.phenomenon import CONCEPTS, Measurer
from conceptrevive.precision import VARIABLE
from conceptrevive.provenance import provenance, short_hash, write_json
from conceptrevive.revival import revive_layer
from conceptrevive.sampling import fastest
from conceptrevive.statistics import Rate, paired_difference

#: Masks by which signs are counted at other stages of training.
STAGE_CONCEPTS = ("gas pump", "bicycle", "church")
#: Magnitude rules and the share of signs kept with each; expected values shrink what is unsure, so all are kept.
RULES = {"max": 0.6, "average": 0.6, "sample": 0.6, "expected": 1.0}


def pictures(measurer, original: Weights, concept, masks: Weights, done: dict, solvers) -> dict[str, dict]:
    """Outcomes, erased and retained, of the original, the pruned, and every solver under every magnitude rule."""
    weights = {"original": original, "pruned": prune(original, masks)}
    for s in solvers:
        generator = torch.Generator().manual_seed(measurer.seed)
        for rule, top_k in RULES.items():
            weights[f"{s} · {rule}"] = {n: revive_layer(c, top_k, rule, generator) for n, c in done[s].items()}
    return {
        name: {
            "erased": measurer.erased(concept, w),
            "retained": measurer.retained_outcomes(concept, w, name == "original"),
        }
        for name, w in weights.items()
    }


def compare(parts: list[dict], kind: str, base: str = "conditional · max", clusters=None) -> dict[str, dict]:
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
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="*", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument("--images", type=int, default=24, help="pictures of the concept per model; 0: signs only")
    ap.add_argument("--retained", type=int, default=31, help="pictures of other objects per model")
    ap.add_argument(
        "--draw", nargs="*", default=["paper", "conditional", "prior", "prior + side"], choices=list(SOLVERS)
    )
    ap.add_argument("--seeds", type=int, default=5, help="matrices of known structure per size and noise")
    ap.add_argument(
        "--rows", type=int, nargs="*", default=[128, 320, 640], help="their rows; four times as many columns"
    )
    ap.add_argument("--noise", type=float, nargs="*", default=[0.3, 1.0, 4.0])
    ap.add_argument("--others", type=int, default=12, help="matrices of each other part that comes with the package")
    ap.add_argument("--stages", nargs="*", default=[], help="pipeline folders of the model at other stages of training")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--workers", type=int, default=1, help="processes that share the parts, and the threads")
    ap.add_argument("--out", default="results/benchmarks/solvers.json")
    args = ap.parse_args(argv)
    try:
        return run(args)
    except ConceptReviveError as e:
        print(f"solvers: {e}", file=sys.stderr)
        return 2


def run(args) -> int:
    """Measure what is not there yet and write the result."""
    if args.concepts:
        pipe = _pipe(args.model, args.device)  # an error is better now than after hours
        if args.images:
            os.environ[VARIABLE] = str(fastest(pipe))  # the same in every process
    jobs = [("known", (d, level)) for d in args.rows for level in args.noise] + [("others", args.others)]
    jobs += [("stage", f) for f in args.stages] + [("concept", c) for c in args.concepts]
    threads = max(1, torch.get_num_threads() // args.workers)
    if args.workers == 1:
        done = [work(args, threads, job) for job in jobs]
    else:
        with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
            done = list(pool.map(work, repeat(args), repeat(threads), jobs))
    by_kind: dict[str, dict] = {kind: {} for kind in ("known", "others", "stage", "concept")}
    for (kind, what), part in zip(jobs, done, strict=True):
        by_kind[kind][what] = part
    result = {
        "spectrum": SPECTRUM, "known_structure": [row for part in by_kind["known"].values() for row in part["rows"]],
        "other_weights": by_kind["others"][args.others]["rows"],
    }  # fmt: skip
    if args.stages:
        result["stages"] = list(by_kind["stage"].values())
    if found := by_kind["concept"]:
        units = {s: [r for f in found.values() for r in f["signs"][s]] for s in SOLVERS}
        result |= {
            "signs": accuracy(units, seed=args.seed), "signs_top": accuracy(units, top=True, seed=args.seed),
            "reliability": reliability([f["reliability"] for f in found.values()]),
            "concepts": {n: {s: v["value"] for s, v in accuracy(f["signs"]).items()} for n, f in found.items()},
            "images": args.images, "retained_images": args.retained,
        }  # fmt: skip
        if args.images:
            base = "conditional" if "conditional" in args.draw else args.draw[0]
            drawn = [f["pictures"] for f in found.values()]
            shared = [x for o in found for x in retained_pictures(get_concept(o), args.retained, args.seed)]
            result |= {
                kind: compare(drawn, kind, f"{base} · max", clusters)
                for kind, clusters in (("erased", None), ("retained", shared))
            }
            result |= {"base": f"{base} · max", "sampling": os.environ[VARIABLE]}
    write_json(args.out, result | {"workers": args.workers} | provenance(args.seed, args.device))
    return 0


def work(args, threads: int, job: tuple[str, Any]) -> dict:
    """One part of the result, kept beside the output; in a process of its own if there are several."""
    torch.set_num_threads(threads)
    parts, (kind, what) = Path(f"{args.out}.parts"), job
    if kind == "known":
        d, level = what
        path = parts / f"known-{args.seeds}-{d}-{level:g}.json"
        return _kept(path, lambda: {"rows": known_structure([(d, 4 * d)], args.seeds, (level,))})
    if kind == "others":
        digest = short_hash((ASSETS / f).read_bytes() for f in OTHERS.values())
        return _kept(parts / f"others-{what}-{digest}.json", lambda: {"rows": other_weights(what)})
    if kind == "stage":
        return _kept(parts / f"stage-{_digest(what)}.json", lambda: stage(what, args.seed))
    facts = [get_concept(what).settings, *([args.draw, os.environ[VARIABLE]] if args.images else [])]
    files = [f.read_bytes() for f in judge_files()] if args.images else []
    digest = short_hash([*weight_bytes(_pipe(args.model, args.device)), *files, repr(facts).encode()])
    key = f"{what.replace(' ', '-')}-{args.images}-{args.retained}-{args.seed}-{digest}.json"
    found = _kept(parts / key, lambda: one_concept(args, what))
    print(what, {s: round(v["value"], 3) for s, v in accuracy(found["signs"]).items()}, flush=True)
    return found


def one_concept(args, name: str) -> dict:
    """Counts of signs and, if wanted, outcomes of pictures for one concept."""
    pipe, concept = _pipe(args.model, args.device), get_concept(name)
    original, side = read_weights(pipe), read_side(pipe)
    masks = locate(pipe, concept, seed=args.seed)
    counts, done = signs(original, masks, side)
    measurer = Measurer(pipe, args.images, args.retained, args.seed)
    drawn = pictures(measurer, original, concept, masks, done, args.draw) if args.images else None
    return counts | {"pictures": drawn}


@cache
def _pipe(model: str, device: str):
    return load_pipeline(model, device=device)


def stage(folder: str, seed: int) -> dict:
    """Sign accuracy on the pipeline in `folder`, over `STAGE_CONCEPTS`, and how long its `training.json` says it trained."""
    pipe = load_pipeline(folder, device="cpu")
    original, side, units = read_weights(pipe), read_side(pipe), {}
    for name in STAGE_CONCEPTS:
        counts, _ = signs(original, locate(pipe, get_concept(name), seed=seed), side)
        for s, rows in counts["signs"].items():
            units.setdefault(s, []).extend(rows)
    trained = training_note(folder)
    return {
        "trained": {k: trained.get(k) for k in ("pictures", "total_decay")},
        "concepts": STAGE_CONCEPTS, "signs": accuracy(units, seed=seed), "signs_top": accuracy(units, top=True, seed=seed),
    }  # fmt: skip


def _digest(folder: str) -> str:
    files = sorted(Path(folder).rglob("*.safetensors")) + sorted(Path(folder).glob("training.json"))
    return short_hash(f.read_bytes() for f in files)


def _kept(path: Path, make: Callable[[], dict]) -> dict:
    """What `path` holds, made and written there if it is not."""
    if not path.exists():
        write_json(path, make())
    return json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
