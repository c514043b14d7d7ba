"""What other methods than ConceptPrune leave of a concept: masks, controls, and trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.locating import (
    GUIDANCE,
    Scores,
    differentiable,
    gradient_scores,
    largest_magnitudes,
    random_everywhere,
    random_in_layers,
    selected,
    spread,
)
from conceptrevive.experiments.parts import key_of
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.methods import (
    ALL,
    CONTROLS,
    FULL,
    LARGEST,
    LOCATED,
    RANDOM,
    SALUN,
    SPREAD,
    fewer,
    layers_of,
    share_of,
    steps_of,
)
from conceptrevive.files import replacing
from conceptrevive.models.weights import Weights, read_weights
from conceptrevive.unlearning.budgets import BUDGETS, SALUN_RELEASED
from conceptrevive.unlearning.examples import Picture, concept_pictures, retained_pictures
from conceptrevive.unlearning.forget_it_all import locate_forget_it_all
from conceptrevive.unlearning.gradients import top_masks
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.salun import unlearn_salun
from conceptrevive.unlearning.scissorhands import unlearn_scissorhands


class Erasers:
    """Masks and trained weights for the concepts of a bench; each is made once.

    Pictures to learn from are drawn once a concept for all methods.

    Attributes:
        layers: where gradients are taken, every one of the model's unless the profile says less.
        all: the weights there, and of ConceptPrune's candidates.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.pipe, self.seed = bench, bench.lab.pipe, bench.seed
        self.layers = spread(self.pipe, bench.profile.layers)
        self.all: Weights = bench.lab.original | read_weights(self.pipe, self.layers)
        self.shown = lru_cache(maxsize=1)(self._shown)
        self.scores = lru_cache(maxsize=1)(self._scores)
        self.masks = lru_cache(maxsize=4)(self._masks)
        self.unlearnt = lru_cache(maxsize=1)(self._unlearnt)

    def _shown(self, name: str) -> list[Picture]:
        with differentiable(self.pipe):
            count = self.bench.profile.examples
            return concept_pictures(self.pipe, self.bench.concept(name), count, seed=self.seed)

    def _scores(self, name: str) -> dict[str, Scores]:
        concept = self.bench.concept(name)
        return gradient_scores(
            self.pipe, concept, self.shown(name), layers=self.layers, seed=self.seed
        )

    def _masks(self, name: str, concept: str) -> MaskSet:
        """What the rows of `name` zero.

        Raises ConceptReviveError where that is nothing.
        """
        share = share_of(self.bench.preset, name, concept)
        if name == ALL:
            wanted = self.bench.concept(concept)
            return locate_forget_it_all(self.pipe, wanted, skill_ratio=share, seed=self.seed)
        if name in CONTROLS:
            like = self.masks(SALUN, concept)
            there = {n: self.all[n] for n in like}
            found = {
                RANDOM: lambda: random_everywhere(there, like.count, self.seed),
                SPREAD: lambda: random_in_layers(like, self.seed),
                LARGEST: lambda: largest_magnitudes(there, like.count),
            }[name]()
        else:
            scores = self.scores(concept)[LOCATED[name]]
            found = top_masks(
                selected(self.pipe, scores, layers_of(self.bench.preset, name)), share
            )
        masks = MaskSet(found, concept=concept, seed=self.seed)
        if not masks.count:
            raise ConceptReviveError(
                f"{name} located nothing for {concept!r}: there is nothing to revive and no result "
                "to publish; raise its budget"
            )
        return masks

    def _unlearnt(self, name: str, concept: str) -> tuple[Weights, Mapping[str, JsonValue]]:
        """Weights after a full method, and what is told of them; trained once and kept."""
        method = FULL[name]
        budget = BUDGETS[self.bench.preset][method]
        again: JsonValue = None if budget.again is None else [*budget.again]
        told: dict[str, JsonValue] = {
            "layers": budget.layers,
            "share": SALUN_RELEASED if method == "salun" else budget.share_of(concept),
            "steps": steps_of(self.bench.preset, name, self.bench.profile),
            "lr": budget.lr,
            "guidance": GUIDANCE,
            "examples": self.bench.profile.examples,
            "again": again,
            **fewer(self.bench.profile),
        }
        cell = Cell("unlearnt", concept, method, seed=self.seed, settings=told)
        parts, key, file = self.bench.lab.parts, self._key(cell), self._file(cell)
        kept = parts.keep(cell, key, self.train)
        try:
            weights = load_file(file, device=str(torch.device(parts.device)))
        except (OSError, SafetensorError) as e:
            raise ConceptReviveError(
                f"cannot read {file} ({e}): move {parts.path(cell, key)} away to train again"
            ) from e
        return weights, {**kept.numbers, "training_seconds": kept.seconds}

    def _key(self, cell: Cell) -> str:
        return key_of(cell, self.train, self.bench.depends(Cell("", cell.concept)))

    def _file(self, cell: Cell) -> Path:
        return self.bench.lab.parts.folder / f"{cell.recipe}-{self._key(cell)}.safetensors"

    def train(self, cell: Cell) -> Found:
        """Keep a full method's weights, in the model's precision, beside the part that tells of it.

        What is trained by half is kept too, and gone on with.
        """
        file = self._file(cell)
        half = file.with_suffix(".checkpoint")
        out, numbers = self._trained(cell, half)
        weights = {n: w.to(self.all[n].dtype) for n, w in out.items()}
        numbers["changed"] = sum(int((w != self.all[n]).sum()) for n, w in weights.items())
        with replacing(file) as temporary:
            save_file({n: w.cpu().contiguous() for n, w in weights.items()}, temporary)
        half.unlink(missing_ok=True)
        return Found(numbers=numbers)

    def _trained(self, cell: Cell, checkpoint: Path) -> tuple[Weights, dict[str, JsonValue]]:
        concept, told = self.bench.concept(cell.concept), cell.settings
        scores = self.scores(cell.concept)[cell.recipe]
        scores = selected(self.pipe, scores, str(told["layers"]))
        masks = top_masks(scores, float(str(told["share"])))
        numbers: dict[str, JsonValue] = {"selected": sum(int(m.sum()) for m in masks.values())}
        given: dict[str, Any] = {
            "masks": masks,
            "pictures": self.shown(cell.concept),
            "checkpoint": checkpoint,
            "seed": cell.seed,
            **{name: told[name] for name in ("guidance", "steps", "lr")},
        }
        with differentiable(self.pipe):
            given["retained"] = retained_pictures(
                self.pipe, concept, self.bench.profile.examples, seed=cell.seed
            )
            if cell.recipe == "salun":
                return unlearn_salun(self.pipe, concept, **given), numbers
            again = told["again"] if isinstance(told["again"], list) else []
            # A model without the released code's blocks is drawn anew wherever it was located.
            names = [str(n) for n in again if n in masks] or [*masks]
            numbers["reinitialised"] = sum(int(masks[n].sum()) for n in names)
            return unlearn_scissorhands(self.pipe, concept, reinitialise=names, **given), numbers
