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
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.matrices import SPECTRUM
from benchmarks.signs import (
    OTHERS,
    RELIABLE,
    SOLVERS,
    Weights,
    accuracy,
    count_reliability,
    known_structure,
    other_weights,
    reliability,
    signs,
)  # fmt: skip
from conceptrevive.concepts import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation import retained_pictures
from conceptrevive.judges import judge_files
from conceptrevive.locate import locate
from conceptrevive.masks import prune
from conceptrevive.models import ASSETS, load_pipeline, read_side, read_weights, training_note, weight_bytes
from conceptrevive.phenomenon import CONCEPTS, Measurer
from conceptrevive.precision import VARIABLE
from conceptrevive.provenance import code_digest, provenance, short_hash, write_json
from conceptrevive.revival import revive_layer
from conceptrevive.sampling import fastest
from conceptrevive.statistics import Rate, paired_difference

#: Modules that counts of signs depend on, and those that pictures do besides.
SIGN_CODE = (
    "benchmarks.matrices", "benchmarks.signs",
    *(f"conceptrevive.{m}" for m in ("activations", "completion", "conditional", "covariance", "hidden", "joint", "locate",
                                     "masks", "prior", "revival", "softimpute")),
)  # fmt: skip
PICTURE_CODE = (*SIGN_CODE, *(f"conceptrevive.{m}" for m in ("evaluation", "judges", "sampling")))
#: Masks by which signs are counted at other stages of training.
STAGE_CONCEPTS = ("gas pump", "bicycle", "church")
#: Magnitude rules and the share of signs kept with each; expected values shrink what is unsure, so all are kept.
RULES = {"max": 0.6, "average": 0.6, "sample": 0.6, "expected": 1.0}


def variants(original: Weights, pruned: Weights, done: dict | None, seed: int) -> dict[str, Weights]:
    """What is drawn of one solver's completions: every magnitude rule; without completions the original and the pruned."""
    if done is None:
        return {"original": original, "pruned": pruned}
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{rule}, K = {top_k:g}": {n: revive_layer(c, top_k, rule, generator) for n, c in done.items()}
        for rule, top_k in RULES.items()
    }


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
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="*", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument("--images", type=int, default=24, help="pictures of the concept per model; 0: signs only")
    ap.add_argument("--retained", type=int, default=31, help="pictures of other objects per model")
    ap.add_argument(
        "--draw", nargs="*", default=["paper", "conditional", "prior", "prior + side"], choices=list(SOLVERS)
    )
    ap.add_argument(
        "--seeds", type=int, nargs="+", default=[10, 10, 5, 3],
        help="matrices of known structure per size and noise: one number, or one for each of --rows",
    )  # fmt: skip
    ap.add_argument(
        "--rows", type=int, nargs="*", default=[128, 320, 640, 1280], help="their rows; four times as many columns"
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
    if len(args.seeds) not in (1, len(args.rows)):
        raise ConceptReviveError(f"{len(args.seeds)} --seeds for {len(args.rows)} --rows: give one, or one for each")
    if args.concepts or args.stages:
        # The same in every process: masks and pictures depend on it. An error is better now than after hours.
        os.environ[VARIABLE] = str(fastest(_pipe(args.model, args.device)))
    seeds = args.seeds * len(args.rows) if len(args.seeds) == 1 else args.seeds
    drawn = [None, *args.draw] if args.images else []
    jobs = [("known", (d, n, level)) for d, n in zip(args.rows, seeds, strict=True) for level in args.noise]
    jobs += [("others", args.others)] + [("stage", f) for f in args.stages] + [("signs", c) for c in args.concepts]
    jobs += [("pictures", (c, solver)) for c in args.concepts for solver in drawn]
    threads = max(1, torch.get_num_threads() // args.workers)
    if args.workers == 1:
        done = [work(args, threads, job) for job in jobs]
    else:
        with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
            done = list(pool.map(work, repeat(args), repeat(threads), jobs))
    by_kind: dict[str, dict] = {kind: {} for kind in ("known", "others", "stage", "signs", "pictures")}
    for (kind, what), part in zip(jobs, done, strict=True):
        by_kind[kind][what] = part["found"]
    result = {
        "spectrum": SPECTRUM, "known_structure": [row for rows in by_kind["known"].values() for row in rows],
        "other_weights": by_kind["others"][args.others],
    }  # fmt: skip
    if args.stages:
        result["stages"] = list(by_kind["stage"].values())
    if found := by_kind["signs"]:
        units = {s: [r for f in found.values() for r in f["signs"][s]] for s in SOLVERS}
        result |= {
            "signs": accuracy(units), "signs_top": accuracy(units, top=True),
            "reliability": reliability([f["reliability"] for f in found.values()]), "reliable": RELIABLE,
            "concepts": {n: {s: v["value"] for s, v in accuracy(f["signs"]).items()} for n, f in found.items()},
            "sampling": os.environ[VARIABLE],
        }  # fmt: skip
    if drawn and args.concepts:
        base = f"{'conditional' if 'conditional' in args.draw else args.draw[0]} · max, K = {RULES['max']:g}"
        parts = [
            {f"{s} · {v}" if s else v: o for s in drawn for v, o in by_kind["pictures"][c, s].items()}
            for c in args.concepts
        ]
        shared = [x for c in args.concepts for x in retained_pictures(get_concept(c), args.retained, args.seed)]
        result |= {
            kind: compare(parts, kind, base, clusters) for kind, clusters in (("erased", None), ("retained", shared))
        }
        result |= {"base": base, "images": args.images, "retained_images": args.retained}
    dates = sorted(part["made"]["date"] for part in done)
    result |= {"workers": args.workers, "measured": [dates[0], dates[-1]]}
    write_json(args.out, result | provenance(args.seed, args.device))
    return 0


def work(args, threads: int, job: tuple[str, Any]) -> dict:
    """One part of the result, kept beside the output; in a process of its own if there are several.

    A part's name holds a hash of all that it depends on: weights, judges, settings, the way of drawing, the code.
    """
    torch.set_num_threads(threads)
    kind, what = job
    code, how = code_digest(SIGN_CODE), os.environ.get(VARIABLE, "")
    if kind == "known":
        d, n, level = what
        seeds = range(args.seed, args.seed + n)
        name, facts = f"known-{d}-{level:g}", [repr(seeds)]
        make = lambda: known_structure([(d, 4 * d)], seeds, (level,))  # noqa: E731
    elif kind == "others":
        name, facts = f"others-{what}", [(ASSETS / f).read_bytes() for f in OTHERS.values()]
        make = lambda: other_weights(what)  # noqa: E731
    elif kind == "stage":
        files = sorted(Path(what).rglob("*.safetensors")) + sorted(Path(what).glob("training.json"))
        name, facts = "stage", [*(f.read_bytes() for f in files), how, repr(args.seed)]
        make = lambda: stage(what, args.seed)  # noqa: E731
    else:
        concept, solver = (what, None) if kind == "signs" else what
        name = "-".join(["signs", concept] if kind == "signs" else ["pictures", concept, solver or "none"])
        facts = [*weight_bytes(_pipe(args.model, args.device)), how, repr((get_concept(concept).settings, args.seed))]
        if kind == "signs":
            make = lambda: count(args, concept)  # noqa: E731
        else:
            code = code_digest(PICTURE_CODE)
            facts += [repr((args.images, args.retained)), *(f.read_bytes() for f in judge_files())]
            make = lambda: draw(args, concept, solver)  # noqa: E731
    digest = short_hash([x.encode() if isinstance(x, str) else x for x in (code, *facts)])
    path = Path(f"{args.out}.parts") / f"{name.replace(' ', '-')}-{digest}.json"
    if not path.exists():
        write_json(path, {"found": make(), "made": provenance(args.seed, args.device)})
        print(path.stem, flush=True)
    return json.loads(path.read_text())


def count(args, name: str) -> dict:
    """Signs of one concept: every solver's, and how reliable stated probabilities are."""
    pipe = _pipe(args.model, args.device)
    original, side, masks = read_weights(pipe), read_side(pipe), _masks(args.model, args.device, name, args.seed)
    return {
        "signs": signs(original, masks, side),
        "reliability": count_reliability(original, prune(original, masks), masks, side),
    }


def draw(args, name: str, solver: str | None) -> dict[str, dict[str, list[bool]]]:
    """Outcomes, erased and retained, of every variant of one solver."""
    pipe, concept = _pipe(args.model, args.device), get_concept(name)
    original, masks = read_weights(pipe), _masks(args.model, args.device, name, args.seed)
    pruned = prune(original, masks)
    measurer = _measurer(args.model, args.device, args.images, args.retained, args.seed)
    done = None if solver is None else SOLVERS[solver](pruned, masks, read_side(pipe))
    return {
        v: {"erased": measurer.erased(concept, w), "retained": measurer.retained_outcomes(concept, w, v == "original")}
        for v, w in variants(original, pruned, done, args.seed).items()
    }


@cache
def _masks(model: str, device: str, name: str, seed: int):
    return locate(_pipe(model, device), get_concept(name), seed=seed)


@cache
def _measurer(model: str, device: str, *numbers: int) -> Measurer:
    return Measurer(_pipe(model, device), *numbers)


@cache
def _pipe(model: str, device: str):
    return load_pipeline(model, device=device)


def stage(folder: str, seed: int) -> dict:
    """Sign accuracy on the pipeline in `folder`, over `STAGE_CONCEPTS`, and how long its `training.json` says it trained."""
    pipe = load_pipeline(folder, device="cpu")
    original, side, units = read_weights(pipe), read_side(pipe), {}
    for name in STAGE_CONCEPTS:
        for s, rows in signs(original, locate(pipe, get_concept(name), seed=seed), side).items():
            units.setdefault(s, []).extend(rows)
    trained = training_note(folder)
    return {
        "trained": {k: trained.get(k) for k in ("pictures", "total_decay")},
        "concepts": STAGE_CONCEPTS, "signs": accuracy(units), "signs_top": accuracy(units, top=True),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
