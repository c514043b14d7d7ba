"""How much each locator takes on the pocket model, chosen by what is forgotten and what is kept.

    python -m conceptrevive.experiments.budgets --out results/pocket/budgets.json

ConceptPrune's is chosen by `training.choose_settings`; here those of the three others, on objects
that no table has. The rule: of the budgets under which the other objects are still drawn
(retained ≥ 0.80, what ConceptPrune keeps of them in the paper), the one that forgets most (lowest
erased; of equal ones the one that zeroes least); where all cost more, the one that retains most.
Revived pictures are not drawn here, so they cannot influence the choice.

An interrupted run goes on where it stopped; several processes: see `runner`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import lru_cache

from pydantic import JsonValue

from conceptrevive.concepts.presets import get_concept
from conceptrevive.concepts.world import OBJECTS, PAPER_OBJECTS
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.locating import Scores, gradient_scores, selected
from conceptrevive.experiments.runner import check_out, parts_of, publish, run
from conceptrevive.models.weights import read_weights
from conceptrevive.unlearning.budgets import Selection
from conceptrevive.unlearning.defaults import Method
from conceptrevive.unlearning.forget_it_all import locate_forget_it_all
from conceptrevive.unlearning.gradients import top_masks
from conceptrevive.unlearning.masks import MaskSet, prune

#: Every other object after the twelve of the tables.
CONCEPTS = tuple(OBJECTS)[len(PAPER_OBJECTS) :: 2][:3]
#: Seed of the evaluation, another than that of the tables.
SEED = 3
RETAINED = 0.80

#: (method, layers, budget): the budget is a share of all weights of linear layers, or of all with
#: two axes or more; Forget-It-All's is r₂.
BUDGETS: tuple[tuple[Method, Selection, float], ...] = (
    ("salun", "linear", 0.003),
    ("salun", "linear", 0.004),
    ("salun", "linear", 0.005),
    ("salun", "linear", 0.007),
    ("salun", "linear", 0.01),
    ("salun", "linear", 0.03),
    ("salun", "all", 0.0005),
    ("scissorhands", "linear", 0.001),
    ("scissorhands", "linear", 0.0015),
    ("scissorhands", "linear", 0.002),
    ("scissorhands", "linear", 0.004),
    ("scissorhands", "all", 0.0005),
    ("forget-it-all", "candidates", 0.05),
    ("forget-it-all", "candidates", 0.1),
)


class Sweep:
    """Measures cells of the sweep with one model."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.scores = lru_cache(maxsize=1)(self._scores)

    def _scores(self, concept: str) -> dict[str, Scores]:
        return gradient_scores(self.lab.pipe, get_concept(concept), seed=0)

    def _masks(self, method: str, layers: str, concept: str, budget: float) -> MaskSet:
        if method == "forget-it-all":
            wanted = get_concept(concept)
            return locate_forget_it_all(self.lab.pipe, wanted, skill_ratio=budget)
        scores = selected(self.lab.pipe, self.scores(concept)[method], layers)
        return MaskSet(top_masks(scores, budget), concept, method=method)

    def measure(self, cell: Cell) -> Found:
        """Pictures of the concept and of others without what one budget locates."""
        concept, told = get_concept(cell.concept), cell.settings
        budget = float(str(told["budget"]))
        masks = self._masks(cell.recipe, str(told["layers"]), cell.concept, budget)
        weights = prune(read_weights(self.lab.pipe, masks), masks)
        others = int(str(told["retained"]))
        outcomes = {
            "erased": self.lab.erased(concept, weights, cell.n, cell.seed).right,
            "retained": self.lab.retained(concept, weights, others, cell.seed).right,
        }
        return Found(outcomes, {"pruned": masks.count, "pruned_fraction": masks.fraction})


def cells(concepts: Sequence[str], images: int, retained: int) -> list[Cell]:
    """Every concept at every budget of every locator."""
    return [
        Cell(
            "budgets",
            name,
            method,
            images,
            SEED,
            {"layers": layers, "budget": budget, "retained": retained},
        )
        for name in concepts
        for method, layers, budget in BUDGETS
    ]


def chosen(rows: Sequence[dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    """The layers and the budget of each method that the rule above takes."""
    out: dict[str, dict[str, JsonValue]] = {}
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        mine = [row for row in rows if row["method"] == method]
        good = [row for row in mine if _number(row, "retained") >= RETAINED]
        if good:
            best = min(good, key=lambda row: (_number(row, "erased"), _number(row, "pruned")))
        else:
            best = max(mine, key=lambda row: _number(row, "retained"))
        out[method] = {"layers": best["layers"], "budget": best["budget"]}
    return out


def _number(row: dict[str, JsonValue], name: str) -> float:
    return float(str(row[name]))


def table(results: Sequence[Result]) -> list[dict[str, JsonValue]]:
    """One row per method, selection of layers and budget: means over the concepts, and each."""
    groups: dict[tuple[str, str, float], list[Result]] = {}
    for r in results:
        told = r.cell.settings
        key = (r.cell.recipe, str(told["layers"]), float(str(told["budget"])))
        groups.setdefault(key, []).append(r)
    return [
        {
            "method": method,
            "layers": layers,
            "budget": budget,
            "pruned": _mean([int(str(r.numbers["pruned"])) for r in mine]),
            "erased": _mean([r.rate("erased").value for r in mine]),
            "retained": _mean([r.rate("retained").value for r in mine]),
            "erased_each": {r.cell.concept: r.rate("erased").value for r in mine},
            "retained_each": {r.cell.concept: r.rate("retained").value for r in mine},
        }
        for (method, layers, budget), mine in groups.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)


def options() -> argparse.ArgumentParser:
    """The command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="+", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument("--images", type=int, default=16)
    ap.add_argument("--retained", type=int, default=16, help="pictures of other objects")
    ap.add_argument("--device", default=None)
    ap.add_argument("--out", default="results/pocket/budgets.json")
    return ap


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    args = options().parse_args(argv)
    try:
        check_out(args.out)
        todo = cells(args.concepts, args.images, args.retained)
        lab = Laboratory(args.model, parts_of(args.out, args.device))
        results = run(todo, Sweep(lab).measure, args.out, depends=lab.depends, device=args.device)
        rows = table(results)
        told = {
            "concepts": args.concepts,
            "images": args.images,
            "retained_images": args.retained,
            "sampling": lab.sampling,
            "least_retained": RETAINED,
            "chosen": chosen(rows),
            "rows": rows,
        }
        publish(args.out, told, seed=SEED, device=args.device)
    except ConceptReviveError as e:
        print(f"budgets: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
