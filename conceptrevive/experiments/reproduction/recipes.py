"""What a row is drawn with: weights, made of a model, its masks and what is completed there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import JsonValue

from conceptrevive.models.weights import Weights
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.unlearning.masks import MaskSet, prune


@dataclass(frozen=True)
class Erased:
    """What recipes start from; the rest is computed when first needed.

    Attributes:
        original: the model's weights. masks: what is pruned. seed: of random draws.
        each: the masks of every concept, where several are pruned together.
    """

    original: Weights
    masks: MaskSet
    seed: int
    each: tuple[MaskSet, ...] = ()

    @cached_property
    def pruned(self) -> Weights:
        """The original with exact zeros where `masks` says."""
        return prune(self.original, self.masks)

    @cached_property
    def completed(self) -> dict[str, Completion]:
        """The estimate of what was pruned."""
        return complete(self.pruned, self.masks)


@dataclass(frozen=True)
class Recipe:
    """What is done to the weights of one row.

    Attributes:
        make: the weights. told: what the row's name says, as numbers.
    """

    make: Callable[[Erased], Weights]
    told: Mapping[str, JsonValue] = field(default_factory=dict)


#: The rows that every table begins with.
ORIGINAL, PRUNED = "original", "pruned"
BASIS = {
    ORIGINAL: Recipe(lambda erased: erased.original),
    PRUNED: Recipe(lambda erased: erased.pruned),
}
