"""Is the phenomenon there? Every concept erased and revived, with controls at equal counts.

    python -m conceptrevive.experiments.phenomenon --out results/pocket/phenomenon.json

Every finished cell is kept beside the output (`….parts/`): an interrupted run goes on where it
stopped. Several processes: see `runner`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from pydantic import JsonValue

from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.controls import CONCEPTS, RECIPES, Attack
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.runner import check_out, parts_of, processes, publish, run
from conceptrevive.experiments.table import Layer, Row, Table, pooled
from conceptrevive.models.pipeline import training_note
from conceptrevive.models.weights import Weights


def cells(
    concepts: Sequence[str], images: int, retained: int, seed: int, autocast: bool
) -> list[Cell]:
    """Every concept under every recipe; the control mask is that of the concept before it."""
    out = []
    for name in concepts:
        s = get_concept(name).settings
        other = CONCEPTS[CONCEPTS.index(name) - 1] if name in CONCEPTS else CONCEPTS[0]
        settings: dict[str, JsonValue] = {
            "retained": retained,
            "other": other,
            "locate_autocast": autocast,
            "skill_ratio": s.skill_ratio,
            "tau": s.tau,
            "steps": s.steps,
            "guidance": s.guidance,
        }
        out += [Cell("phenomenon", name, recipe, images, seed, settings) for recipe in RECIPES]
    return out


def spectrum(weights: Weights) -> dict[str, Layer]:
    """Singular values and effective rank of each layer.

    The effective rank is exp of the entropy of the singular values' shares (Roy and Vetterli 2007).
    """
    out = {}
    for name, w in weights.items():
        s = torch.linalg.svdvals(w.double())
        p = s / s.sum()
        rank = float(torch.exp(-(p * p.clamp_min(1e-300).log()).sum()))
        out[name] = Layer(rank, tuple(round(float(v), 5) for v in s))
    return out


def table(results: Sequence[Result], lab: Laboratory, model: str) -> Table:
    """What is published."""
    first, seed = results[0].cell, results[0].cell.seed
    by_concept: dict[str, list[Result]] = {}
    for result in results:
        by_concept.setdefault(result.cell.concept, []).append(result)
    settings = get_concept(first.concept).settings
    return Table(
        n=first.n,
        retained_n=int(str(first.settings["retained"])),
        settings={
            "skill_ratio": settings.skill_ratio,
            "tau": settings.tau,
            "steps": settings.steps,
            "guidance": settings.guidance,
        },
        concepts={name: Row.of(each) for name, each in by_concept.items()},
        objects=pooled(results, seed),
        layers=spectrum(lab.original),
        told={
            "sampling": lab.sampling,
            "locate_autocast": first.settings["locate_autocast"],
            "workers": processes(lab.parts.device).num_processes,
            "trained": training_note(model),
        },
    )


def options() -> argparse.ArgumentParser:
    """The command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="+", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument("--images", type=int, default=50)
    ap.add_argument("--retained", type=int, default=94, help="pictures of other objects per model")
    ap.add_argument(
        "--locate-autocast",
        action="store_true",
        help="locate as pictures are drawn, as the numbers published so far were; "
        "else in the model's own precision",
    )
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default=None)
    ap.add_argument("--out", default="results/pocket/phenomenon.json")
    return ap


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    args = options().parse_args(argv)
    try:
        check_out(args.out)
        todo = cells(args.concepts, args.images, args.retained, args.seed, args.locate_autocast)
        lab = Laboratory(args.model, parts_of(args.out, args.device))
        results = run(todo, Attack(lab).measure, args.out, depends=lab.depends, device=args.device)
        publish(
            args.out,
            table(results, lab, args.model).as_dict(),
            seed=args.seed,
            device=args.device,
        )
    except ConceptReviveError as e:
        print(f"phenomenon: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
