"""One part of the solvers' comparison each: kept beside the output, under a hash of all that it depends on."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.signs import (
    OTHERS,
    SOLVERS,
    Weights,
    accuracy,
    count_reliability,
    known_structure,
    other_weights,
    signs,
)
from conceptrevive.concepts.presets import get_concept
from conceptrevive.evaluation.judges import judge_files
from conceptrevive.experiments.phenomenon import Measurer
from conceptrevive.experiments.provenance import code_digest, provenance, short_hash, write_json
from conceptrevive.files import ASSETS
from conceptrevive.models.pipeline import load_pipeline, training_note
from conceptrevive.models.precision import VARIABLE
from conceptrevive.models.weights import read_side, read_weights, weight_bytes
from conceptrevive.revival.attack import revive_layer
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import prune

#: Modules that counts of signs depend on, and those that pictures do besides.
SIGN_CODE = (
    "benchmarks.joint",
    "benchmarks.matrices",
    "benchmarks.nuclear",
    "benchmarks.signs",
    "conceptrevive.unlearning.activations",
    "conceptrevive.unlearning.conceptprune",
    "conceptrevive.unlearning.masks",
    "conceptrevive.revival.attack",
    "conceptrevive.revival.magnitude",
    "conceptrevive.revival.signs",
    *(
        f"conceptrevive.revival.completion.{m}"
        for m in (
            "solvers",
            "problems",
            "conditional",
            "covariance",
            "holdout",
            "prior",
            "softimpute",
        )
    ),
)
PICTURE_CODE = (
    *SIGN_CODE,
    "conceptrevive.evaluation.outcomes",
    "conceptrevive.evaluation.judges",
    "conceptrevive.models.generation",
)
#: Masks by which signs are counted at other stages of training.
STAGE_CONCEPTS = ("gas pump", "bicycle", "church")
#: Magnitude rules and the share of signs kept with each; expected values shrink what is unsure, so all are kept.
RULES = {"max": 0.6, "average": 0.6, "sample": 0.6, "expected": 1.0}


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
        name = "-".join(
            ["signs", concept] if kind == "signs" else ["pictures", concept, solver or "none"]
        )
        facts = [
            *weight_bytes(pipeline(args.model, args.device)),
            how,
            repr((get_concept(concept), args.seed)),
        ]
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
    pipe = pipeline(args.model, args.device)
    original, side, masks = (
        read_weights(pipe),
        read_side(pipe),
        _masks(args.model, args.device, name, args.seed),
    )
    return {
        "signs": signs(original, masks, side),
        "reliability": count_reliability(original, prune(original, masks), masks, side),
    }


def draw(args, name: str, solver: str | None) -> dict[str, dict[str, list[bool]]]:
    """Outcomes, erased and retained, of every variant of one solver."""
    pipe, concept = pipeline(args.model, args.device), get_concept(name)
    original, masks = read_weights(pipe), _masks(args.model, args.device, name, args.seed)
    pruned = prune(original, masks)
    measurer = _measurer(args.model, args.device, args.images, args.retained, args.seed)
    done = None if solver is None else SOLVERS[solver](pruned, masks, read_side(pipe))
    return {
        v: {
            "erased": measurer.erased(concept, w),
            "retained": measurer.retained_outcomes(concept, w, v == "original"),
        }
        for v, w in variants(original, pruned, done, args.seed).items()
    }


@cache
def _masks(model: str, device: str, name: str, seed: int):
    return locate(pipeline(model, device), get_concept(name), seed=seed)


@cache
def _measurer(model: str, device: str, *numbers: int) -> Measurer:
    return Measurer(pipeline(model, device), *numbers)


@cache
def pipeline(model: str, device: str):
    """The pipeline of `model`, loaded once a process."""
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
        "concepts": STAGE_CONCEPTS,
        "signs": accuracy(units),
        "signs_top": accuracy(units, top=True),
    }


def variants(
    original: Weights, pruned: Weights, done: dict | None, seed: int
) -> dict[str, Weights]:
    """What is drawn of one solver's completions: every magnitude rule; without completions the original and the pruned."""
    if done is None:
        return {"original": original, "pruned": pruned}
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{rule}, K = {top_k:g}": {
            n: revive_layer(c, top_k, rule, generator) for n, c in done.items()
        }
        for rule, top_k in RULES.items()
    }
