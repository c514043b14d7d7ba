"""The attack and its controls on one concept: which weights each row of a table is drawn with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from pydantic import JsonValue

from conceptrevive.concepts import world as W
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.magnitude import neuron_magnitude
from conceptrevive.revival.signs import retain_signs, sign_accuracy
from conceptrevive.unlearning.masks import MaskSet, prune

CONCEPTS = (*W.PAPER_OBJECTS, *W.STYLES)
#: Rows of which pictures of the other concepts are judged too.
RETAINED = ("original", "pruned", "revived")


@dataclass(frozen=True)
class Case:
    """What the recipes of one concept start from; completions are computed when first needed.

    Attributes:
        original: the model's weights. masks: of the concept. other: of another concept.
        seed: what the random controls are drawn from.
    """

    original: Weights
    masks: MaskSet
    other: MaskSet
    seed: int

    @cached_property
    def pruned(self) -> Weights:
        """The original without what `masks` says."""
        return prune(self.original, self.masks)

    @cached_property
    def conditional(self) -> dict[str, Completion]:
        """Our estimate of what was pruned."""
        return complete(self.pruned, self.masks)

    @cached_property
    def paper(self) -> dict[str, Completion]:
        """The paper's estimate of what was pruned."""
        return complete(self.pruned, self.masks, solver="paper")


def random_masks(masks: MaskSet, seed: int) -> MaskSet:
    """As many pruned entries in every row as `masks` has, anywhere in the row."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, mask in masks.items():
        rank = torch.rand(mask.shape, generator=generator).argsort(1).argsort(1)
        out[name] = rank.to(mask.device) < mask.sum(1, keepdim=True)
    return MaskSet(out, concept="random positions")


def with_signs(case: Case, signs: Weights) -> Weights:
    """Pruned weights with given signs at neuron max, at the positions the attack would keep."""
    out = dict(case.pruned)
    for name, completion in case.conditional.items():
        kept = retain_signs(completion) != 0
        magnitude = neuron_magnitude(completion.weight, completion.mask)
        out[name] = torch.where(kept, signs[name] * magnitude, case.pruned[name])
    return out


def coins(case: Case) -> Weights:
    """+1 or −1 for every entry, by a coin."""
    generator = torch.Generator().manual_seed(case.seed)
    return {
        name: torch.randint(0, 2, w.shape, generator=generator).to(w) * 2 - 1
        for name, w in case.original.items()
    }


def neuron_average(case: Case) -> Weights:
    """Revived with every neuron's average magnitude instead of its largest."""
    return {n: revive_layer(c, magnitude="average") for n, c in case.conditional.items()}


#: Every row of the table: its weights.
RECIPES: Mapping[str, Callable[[Case], Weights]] = {
    "original": lambda case: case.original,
    "pruned": lambda case: case.pruned,
    "revived": lambda case: {n: revive_layer(c) for n, c in case.conditional.items()},
    "revived_paper": lambda case: {n: revive_layer(c) for n, c in case.paper.items()},
    "neuron_average": neuron_average,
    "random_signs": lambda case: with_signs(case, coins(case)),
    "exact_signs": lambda case: with_signs(case, {n: w.sign() for n, w in case.original.items()}),
    "random_mask": lambda case: prune(case.original, random_masks(case.masks, case.seed)),
    "other_mask": lambda case: prune(case.original, case.other),
}


def numbers(case: Case, recipe: str) -> dict[str, JsonValue]:
    """What is said of a row besides its pictures."""
    if recipe == "pruned":
        return {"pruned_fraction": case.masks.fraction}
    if recipe == "other_mask":
        return {"other_mask_fraction": case.other.fraction}
    if recipe == "revived":
        right, kept = sign_accuracy(case.original, case.conditional)
        return {"sign_accuracy": right, "sign_accuracy_topk": kept}
    if recipe == "revived_paper":
        right, kept = sign_accuracy(case.original, case.paper)
        converged = all(c.converged for c in case.paper.values())
        return {
            "sign_accuracy_paper": right,
            "sign_accuracy_paper_topk": kept,
            "paper_converged": converged,
        }
    return {}


class Attack:
    """Measures cells of the attack and its controls with one model."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.case = lru_cache(maxsize=1)(self._case)

    def _case(self, concept: str, other: str, seed: int, autocast: bool) -> Case:
        masks, control = (
            self.lab.masks(get_concept(name), seed, autocast) for name in (concept, other)
        )
        return Case(self.lab.original, masks, control, seed)

    def measure(self, cell: Cell) -> Found:
        """Pictures of the concept, and of the others where `RETAINED` says so, of one row."""
        told = cell.settings
        case = self.case(cell.concept, str(told["other"]), cell.seed, bool(told["locate_autocast"]))
        weights, concept = RECIPES[cell.recipe](case), get_concept(cell.concept)
        outcomes = {"erased": self.lab.erased(concept, weights, cell.n, cell.seed).right}
        if cell.recipe in RETAINED:
            outcomes["retained"] = self.lab.retained(
                concept,
                weights,
                int(str(told["retained"])),
                cell.seed,
                shared=cell.recipe == "original",
            ).right
        return Found(outcomes, numbers(case, cell.recipe))
