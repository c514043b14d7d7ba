"""What a model's signs and pictures are measured by: one cell each of the solvers' comparison."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.signs import SOLVERS, Weights, accuracy, count_reliability, signs
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.models.pipeline import load_pipeline, training_note
from conceptrevive.models.weights import read_side, read_weights
from conceptrevive.revival.attack import revive_layer
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import prune

#: Masks by which signs are counted at other stages of training.
STAGE_CONCEPTS = ("gas pump", "bicycle", "church")
#: Magnitude rules and the share of signs kept with each; expected values shrink what is unsure, so
#: all are kept.
RULES = {"max": 0.6, "average": 0.6, "sample": 0.6, "expected": 1.0}
#: The recipe without a solver: the original and the pruned model.
PLAIN = "none"


class Solvers:
    """Measures cells of the solvers' comparison with one model."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.side = read_side(lab.pipe)

    def masks(self, cell: Cell) -> Weights:
        """The masks of a cell's concept."""
        autocast = bool(cell.settings["locate_autocast"])
        return self.lab.masks(get_concept(cell.concept), cell.seed, autocast)

    def count(self, cell: Cell) -> Found:
        """Signs of one concept: every solver's, and how reliable stated probabilities are."""
        original, masks = self.lab.original, self.masks(cell)
        told = count_reliability(original, prune(original, masks), masks, self.side)
        return Found(numbers={"signs": signs(original, masks, self.side), "reliability": told})

    def draw(self, cell: Cell) -> Found:
        """Outcomes of every variant of one solver: "erased · variant" and "retained · variant"."""
        concept, solver, outcomes = get_concept(cell.concept), cell.recipe, {}
        original, masks = self.lab.original, self.masks(cell)
        pruned = prune(original, masks)
        done = None if solver == PLAIN else SOLVERS[solver](pruned, masks, self.side)
        retained = int(cell.settings["retained"])
        for name, w in variants(original, pruned, done, cell.seed).items():
            mine = self.lab.erased(concept, w, cell.n, cell.seed)
            shared = name == "original"
            others = self.lab.retained(concept, w, retained, cell.seed, shared=shared)
            outcomes |= {f"erased · {name}": mine.right, f"retained · {name}": others.right}
        return Found(outcomes)

    def stage_files(self, cell: Cell) -> Iterator[bytes]:
        """What the counts of a stage depend on: its weights, what it says of its training."""
        folder = Path(cell.concept)
        yield self.lab.sampling.encode()
        for file in [*sorted(folder.rglob("*.safetensors")), *sorted(folder.glob("training.json"))]:
            yield file.read_bytes()


def stage(cell: Cell) -> Found:
    """Sign accuracy on the pipeline in the folder `cell.concept`, over `STAGE_CONCEPTS`.

    Says too how long its `training.json` says that it trained.
    """
    pipe = load_pipeline(cell.concept, device="cpu")
    original, side, units = read_weights(pipe), read_side(pipe), {}
    for name in STAGE_CONCEPTS:
        autocast = bool(cell.settings["locate_autocast"])
        masks = locate(pipe, get_concept(name), seed=cell.seed, autocast=autocast)
        for solver, rows in signs(original, masks, side).items():
            units.setdefault(solver, []).extend(rows)
    trained = training_note(cell.concept)
    return Found(
        numbers={
            "trained": {k: trained.get(k) for k in ("pictures", "total_decay")},
            "concepts": STAGE_CONCEPTS,
            "signs": accuracy(units),
            "signs_top": accuracy(units, top=True),
        }
    )


def variants(
    original: Weights, pruned: Weights, done: dict | None, seed: int
) -> dict[str, Weights]:
    """What is drawn of one solver's completions: every magnitude rule.

    Without completions the original and the pruned.
    """
    if done is None:
        return {"original": original, "pruned": pruned}
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{rule}, K = {top_k:g}": {
            n: revive_layer(c, top_k, rule, generator) for n, c in done.items()
        }
        for rule, top_k in RULES.items()
    }
