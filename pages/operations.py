"""How many pictures an experiment draws, and the operations that one takes: counted, not timed."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from conceptrevive.evaluation.outcomes import erased_pictures, retained_pictures
from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.operations import Model
from conceptrevive.experiments.reproduction.bench import pruned_concepts
from conceptrevive.experiments.reproduction.claims import NMS
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, PRUNED

#: Rows of equal weights under different names: the attack as it comes.
SAME = {
    "revived": NMS,
    "revived, positions known": NMS,
    "ConceptPrune pruned": PRUNED,
    "ConceptPrune revived": NMS,
}


def cells_of(name: str, plan: Plan) -> list[Cell]:
    """The cells of an experiment."""
    module = import_module(f"conceptrevive.experiments.reproduction.{name}")
    cells: list[Cell] = module.EXPERIMENT.cells(plan)
    return cells


def blocks(cell: Cell, plan: Plan) -> Iterator[tuple[Hashable, int]]:
    """What a cell draws, each with a key that is equal where the pictures are: (key, pictures).

    As `Laboratory` keeps them: the concept's pictures together, the others' too, but those of the
    original one by one, since all concepts share them. Where FID compares with the original's own
    pictures, these are drawn besides.
    """
    asked, told = plan.asked(cell), cell.settings
    ways = (int(str(told["steps"])), float(str(told["guidance"])))
    weights: Hashable = ORIGINAL
    if cell.recipe != ORIGINAL:
        recipe = SAME.get(cell.recipe, cell.recipe)
        weights = (recipe, pruned_concepts(cell), told["locating_seed"])
    if cell.n:
        said = (told.get("prompt_set"), *erased_pictures(asked, cell.n, cell.seed))
        yield (weights, ways, said), cell.n
    retained = int(str(told["retained"])) if asked.retained else 0
    looked = "fid_reference" in told  # at features too, and kept together
    if retained and weights == ORIGINAL and not looked:
        for picture in retained_pictures(asked, retained, cell.seed):
            yield (weights, ways, picture), 1
    elif retained:
        yield (weights, ways, "others", cell.concept, retained, looked), retained
    if retained and looked:
        yield (ORIGINAL, ways, "reference", cell.concept, retained), retained
    if captions := int(str(told.get("captions", 0))):
        yield (weights, ways, "captions", captions), captions


@dataclass(frozen=True)
class Work:
    """What an experiment draws.

    Attributes:
        name: of the experiment. cells: how many. asked: pictures its cells look at.
        operations: of the pictures each cell draws that no cell before it has drawn.
        pictures: how many these are.
    """

    name: str
    cells: int
    asked: int
    pictures: int
    operations: tuple[float, ...]

    @property
    def total(self) -> float:
        """Operations of all cells."""
        return sum(self.operations)


def work(names: Iterable[str], plan: Plan, model: Model) -> list[Work]:
    """What experiments draw, one after the other: a picture that is there is not drawn again."""
    known: set[Hashable] = set()
    out = []
    for name in names:
        cells = cells_of(name, plan)
        asked = pictures = 0
        operations = []
        for cell in cells:
            drawn = 0
            for key, count in blocks(cell, plan):
                asked += count
                if key not in known:
                    known.add(key)
                    drawn += count
            pictures += drawn
            operations.append(drawn * model.picture(int(str(cell.settings["steps"]))))
        out.append(Work(name, len(cells), asked, pictures, tuple(operations)))
    return out


def longest(jobs: Sequence[float], processes: int) -> float:
    """When the last of several processes is done, each taking the next job when it is free."""
    busy = [0.0] * processes
    for job in jobs:
        heapq.heappush(busy, heapq.heappop(busy) + job)
    return max(busy)
