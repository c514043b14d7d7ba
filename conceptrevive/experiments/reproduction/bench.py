"""What every table and figure shares: concepts erased, cells made, pictures drawn and judged.

An experiment's file says which cells it has and which recipes; it ends in an `EXPERIMENT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pydantic import JsonValue

from conceptrevive.concepts.concept import Concept, Probe
from conceptrevive.concepts.defaults import preset_for
from conceptrevive.concepts.paper import IMAGENET_OBJECTS
from conceptrevive.concepts.presets import get_concept
from conceptrevive.concepts.world import OBJECTS, PAPER_OBJECTS
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.judges import classifier, clip
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.laboratory import (
    Laboratory,
    encode,
    judge_digest,
    weights_digest,
)
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.prompt_sets import Listed
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, Erased, Recipe
from conceptrevive.models.generation import picture_size
from conceptrevive.unlearning.masks import MaskSet

Numbers = dict[str, JsonValue]


class Bench:
    """A laboratory with a profile: makes cells, and draws the pictures of one.

    Args:
        lab: the model. profile: how much is measured. concepts: names, or YAML files; None takes
            the profile's number of the paper's objects. seed: of evaluation and random draws.
        prompts: sets of prompts that the user has in files, for `unsafe`. coco: a folder of COCO's
            pictures and captions, for the FID of `styles` at paper scale. judge: of concepts that
            are judged by labels, in place of their own.

    Raises:
        ConceptReviveError: an unknown concept, or a judge that lacks its classes.
    """

    def __init__(
        self,
        lab: Laboratory,
        profile: Profile,
        concepts: Sequence[str] | None = None,
        seed: int = 0,
        prompts: Mapping[str, Listed] | None = None,
        coco: str | Path | None = None,
        judge: str | None = None,
    ) -> None:
        self.lab, self.profile, self.seed, self.judge = lab, profile, seed, judge
        self.coco = Path(coco) if coco is not None else None
        self.preset = preset_for(picture_size(lab.pipe))
        objects = PAPER_OBJECTS if self.preset == "pocket" else tuple(IMAGENET_OBJECTS)
        self.named, self.prompts = bool(concepts), dict(prompts or {})
        self.concepts = tuple(concepts or objects[: profile.concepts])
        self.masks = lru_cache(maxsize=8)(self._masks)
        self.erased = lru_cache(maxsize=1)(self._erased)
        for name in self.concepts:
            self.check_judge(self.concept(name))

    def concept(self, name: str) -> Concept:
        """By its name, of the table meant for the model; in no more steps than the profile has."""
        found = get_concept(name, self.preset)
        if self.judge is not None and found.labels:
            found = replace(found, judge=self.judge)
        own, most = found.settings, self.profile.steps
        if most is None or own.steps <= most:
            return found
        tau = max(1, round(own.tau * most / own.steps))
        return replace(found, settings=replace(own, steps=most, tau=tau))

    def check_judge(self, concept: Concept) -> None:
        """Raise ConceptReviveError for what a judge lacks, before an hour of drawing."""
        wanted = [probe.labels for probe in concept.retained]
        if concept.labels or wanted:
            own = [concept.labels] if concept.labels else []
            classifier(concept.judge, self.lab.parts.device).check([*own, *wanted])
        if concept.clip_pair and not concept.labels:
            clip(concept.judge, self.lab.parts.device)

    def _masks(self, name: str, seed: int) -> MaskSet:
        masks = self.lab.masks(self.concept(name), seed)
        if not masks.count:
            raise ConceptReviveError(
                f"nothing was pruned for {name!r}: there is nothing to revive and no result to "
                "publish; raise its skill_ratio"
            )
        return masks

    def _erased(self, names: tuple[str, ...], seed: int) -> Erased:
        each = tuple(self.masks(name, seed) for name in names)
        union = each[0]
        for masks in each[1:]:
            union = union | masks
        return Erased(self.lab.original, union, self.seed, each)

    def erased_of(self, cell: Cell) -> Erased:
        """What the cell's recipe starts from."""
        return self.erased(pruned_concepts(cell), int(str(cell.settings["locating_seed"])))

    def cell(
        self,
        experiment: str,
        concept: str,
        recipe: str,
        n: int | None = None,
        retained: int | None = None,
        **settings: JsonValue,
    ) -> Cell:
        """A cell with all that its pictures depend on.

        Args:
            n, retained: pictures; None takes the profile's. settings: what differs from the
                concept's own.
        """
        s = self.concept(concept).settings
        told: Numbers = {
            "preset": self.preset,
            "retained": self.profile.retained if retained is None else retained,
            "locating_seed": self.seed,
            "skill_ratio": s.skill_ratio,
            "tau": s.tau,
            "steps": s.steps,
            "guidance": s.guidance,
            "shown": self.profile.shown,
        }
        images = self.profile.images if n is None else n
        return Cell(experiment, concept, recipe, images, self.seed, told | settings)

    def rows(
        self,
        experiment: str,
        recipes: Sequence[str] | Mapping[str, Recipe],
        n: int | None = None,
        retained: int | None = None,
    ) -> list[Cell]:
        """Every concept under every recipe."""
        return [
            self.cell(experiment, concept, recipe, n, retained)
            for concept in self.concepts
            for recipe in recipes
        ]

    def depends(self, cell: Cell) -> Iterator[bytes]:
        """What a part depends on besides cell and code: weights, drawing, concepts, judges."""
        yield from self.lab.ground()
        for name in dict.fromkeys((cell.concept, *pruned_concepts(cell))):
            concept = self.concept(name)
            yield repr(concept).encode()
            yield judge_digest(concept.judge)

    def asked(self, cell: Cell) -> Concept:
        """The cell's concept, asked for and drawn as its settings say."""
        concept, told = self.concept(cell.concept), cell.settings
        ways = replace(
            concept.settings, steps=int(str(told["steps"])), guidance=float(str(told["guidance"]))
        )
        prompts = told.get("prompts")
        said = tuple(map(str, prompts)) if isinstance(prompts, list) else concept.eval_prompts
        gone = {x for name in pruned_concepts(cell) for x in self.concept(name).labels}
        others = tuple(p for p in concept.retained if not gone.intersection(p.labels))
        others = turned(others, int(str(told["retained"])) * self._place(cell.concept))
        return replace(concept, settings=ways, eval_prompts=said, retained=others)

    def _place(self, name: str) -> int:
        """Of an object in its table; 0 of anything else."""
        objects = tuple(OBJECTS if self.preset == "pocket" else IMAGENET_OBJECTS)
        return objects.index(name) if name in objects else 0

    def draw(self, cell: Cell, recipe: Recipe, erased: Erased | None = None) -> Found:
        """Pictures of the concept, and of the others, with the weights of a recipe.

        Args:
            erased: what the recipe starts from; None takes ConceptPrune's, see `erased_of`.
        """
        erased, concept = erased or self.erased_of(cell), self.asked(cell)
        weights = recipe.make(erased)
        show = range(min(int(str(cell.settings["shown"])), cell.n))
        mine = self.lab.erased(concept, weights, cell.n, cell.seed, show)
        outcomes = {"erased": mine.right}
        retained = int(str(cell.settings["retained"]))
        if retained and concept.retained:
            others = self.lab.retained(
                concept, weights, retained, cell.seed, shared=cell.recipe == ORIGINAL
            )
            outcomes["retained"] = others.right
        numbers: Numbers = {
            **recipe.told,
            "pruned_fraction": erased.masks.fraction,
            "weights": weights_digest(weights),
            "pictures": [encode(image) for image in mine.shown],
        }
        return Found(outcomes, numbers)


def turned(probes: Sequence[Probe], by: int) -> tuple[Probe, ...]:
    """The same probes, begun somewhere else.

    Where few others are looked at for each concept, they are different ones for each, so that all
    concepts together look at every other about equally often.
    """
    start = by % len(probes) if probes else 0
    return (*probes[start:], *probes[:start])


def pruned_concepts(cell: Cell) -> tuple[str, ...]:
    """The concepts that are pruned in a cell: its own, or those it names."""
    named = cell.settings.get("together")
    return tuple(map(str, named)) if isinstance(named, list) else (cell.concept,)


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes:
        cells: what is measured, in the order in which it is shown; made without a model too, see
            `Plan`.
        measure: one cell; a function of the experiment's own module, so that the runner knows its
            code.
        summary: what is said of all cells together, besides the mean over concepts.
        pooled: whether the concepts' cells of one recipe are pooled.
        ready: raises ConceptReviveError, before anything is measured, for what is missing here.
    """

    cells: Callable[[Bench], list[Cell]]
    measure: Callable[[Bench, Cell], Found]
    summary: Callable[[Sequence[Result]], Mapping[str, JsonValue]] = lambda results: {}
    pooled: bool = True
    ready: Callable[[Bench], object] = lambda bench: None
