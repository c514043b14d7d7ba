"""A model and its judges: pictures are drawn and judged here, and the same picture once.

What is drawn is kept like every part, by the weights it is drawn with, its prompts, seeds and
settings: two rows of a table with equal weights, or two concepts that look at the same pictures of
the original, share them, in one process or in several.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

import torch
from PIL import Image
from pydantic import JsonValue

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.presets import get_concept
from conceptrevive.evaluation.judges import classifier
from conceptrevive.evaluation.outcomes import (
    erased_pictures,
    judge_concept,
    retained_pictures,
    retained_probes,
)
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.parts import Parts, key_of
from conceptrevive.experiments.sources import short_hash
from conceptrevive.files import ASSETS
from conceptrevive.models.generation import fastest, generate
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.precision import VARIABLE
from conceptrevive.models.weights import Weights, read_weights, swapped, weight_bytes
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import MaskSet

Picture = tuple[str, int]  # a prompt and the seed of its noise
Told = dict[str, JsonValue]


class Laboratory:
    """A model on one device, with the folder that what it draws is kept in.

    Args:
        model: `pocket`, a folder or a hub id.
        parts: where the outcomes of pictures are kept, and on which device they are drawn.
    """

    def __init__(self, model: str, parts: Parts) -> None:
        self.parts = parts
        self.pipe = load_pipeline(model, device=parts.device)
        self.original: Weights = read_weights(self.pipe)
        self.weights = short_hash(weight_bytes(self.pipe)).encode()
        self.sampling = self._sampling()
        self.masks = lru_cache(maxsize=4)(self._masks)
        self.drawn: Callable[[int], None] | None = None

    def _sampling(self) -> str:
        """How pictures are drawn: as the environment says, or by a timing taken once and kept."""

        def timed(cell: Cell) -> Found:
            return Found(numbers={"sampling": str(fastest(self.pipe))})

        if os.environ.get(VARIABLE):
            return str(fastest(self.pipe))
        cell = Cell("sampling", self.parts.device)
        kept = self.parts.keep(cell, key_of(cell, timed, [self.weights]), timed)
        os.environ[VARIABLE] = how = str(kept.numbers["sampling"])
        return how

    def depends(self, cell: Cell) -> Iterator[bytes]:
        """What a part depends on besides cell and code: weights, way of drawing, concept, judge."""
        yield from self.ground()
        concept = get_concept(cell.concept)
        yield repr(concept).encode()
        yield judge_digest(concept.judge)

    def ground(self) -> tuple[bytes, ...]:
        """The model's weights, and how it draws."""
        return self.weights, self.sampling.encode(), torch.device(self.parts.device).type.encode()

    def _masks(self, concept: Concept, seed: int, autocast: bool = False) -> MaskSet:
        return locate(self.pipe, concept, seed=seed, autocast=autocast)

    def erased(
        self, concept: Concept, weights: Weights, n: int, seed: int, show: Sequence[int] = ()
    ) -> Drawn:
        """`n` pictures of the concept: whether each shows it.

        Args:
            weights: of the candidate layers. show: which of the pictures to keep.
        """
        jobs = erased_pictures(concept, n, seed)
        judge = partial(judge_concept, concept, device=self.parts.device)
        wanted: Told = {"labels": [*concept.labels], "clip": [*(concept.clip_pair or ())]}
        return self._pictures(concept, concept.name, weights, jobs, wanted, judge, show)

    def retained(
        self,
        concept: Concept,
        weights: Weights,
        n: int,
        seed: int,
        show: Sequence[int] = (),
        shared: bool = False,
    ) -> Drawn:
        """`n` pictures of the other concepts: whether each shows its own.

        Args:
            shared: keep each picture apart, so that other concepts find it: for the original.
        """
        jobs = retained_pictures(concept, n, seed)
        labels = [probe.labels for probe in retained_probes(concept, n)]
        right: list[bool] = []
        images: list[Image.Image] = []
        size = 1 if shared else max(1, n)
        for first in range(0, n, size):
            members = range(first, min(n, first + size))
            wanted = [labels[i] for i in members]
            judge = partial(classifier(concept.judge, self.parts.device).correct, wanted=wanted)
            name = " ".join(wanted[0]) if shared else f"other than {concept.name}"
            told: Told = {"labels": [[*w] for w in wanted]}
            here = [i - first for i in show if i in members]
            mine = [jobs[i] for i in members]
            found = self._pictures(concept, name, weights, mine, told, judge, here)
            right += found.right
            images += found.shown
        return Drawn(tuple(right), tuple(images))

    def _pictures(
        self,
        concept: Concept,
        name: str,
        weights: Weights,
        jobs: Sequence[Picture],
        wanted: Told,
        judge: Callable[[list[Image.Image]], list[bool]],
        show: Sequence[int],
    ) -> Drawn:
        """Outcomes of pictures, drawn if they are not kept."""
        s = concept.settings
        prompts, seeds = [prompt for prompt, _ in jobs], [seed for _, seed in jobs]

        def draw(cell: Cell) -> Found:
            with swapped(self.pipe, weights):
                images = generate(
                    self.pipe,
                    prompts,
                    seed=seeds,
                    steps=s.steps,
                    guidance=s.guidance,
                    progress=self.drawn,
                )
            return Found(
                {"right": tuple(judge(images))}, {"shown": [encode(images[i]) for i in show]}
            )

        settings: Told = {
            "steps": s.steps,
            "guidance": s.guidance,
            "prompts": [*prompts],
            "seeds": [*seeds],
            "show": [*show],
            "judge": concept.judge,
            **wanted,
        }
        cell = Cell("pictures", name, weights_digest(weights), len(jobs), settings=settings)
        key = key_of(cell, draw, [*self.ground(), judge_digest(concept.judge)])
        found = self.parts.keep(cell, key, draw)
        kept = found.numbers["shown"]
        shown = kept if isinstance(kept, list) else []
        return Drawn(found.outcomes["right"], tuple(decode(str(text)) for text in shown))


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        right: one outcome per picture. shown: the pictures that were asked for.
    """

    right: tuple[bool, ...]
    shown: tuple[Image.Image, ...] = ()


def encode(image: Image.Image) -> str:
    """A picture as text, without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decode(text: str) -> Image.Image:
    """The picture that `encode` made text of."""
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def weights_digest(weights: Weights) -> str:
    """`short_hash` of weights and their names."""
    parts: list[bytes] = []
    for name, weight in sorted(weights.items()):
        values = weight.detach().cpu().contiguous()
        parts.append(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        parts.append(values.view(-1).view(torch.uint8).numpy().tobytes())
    return short_hash(parts)


@cache
def judge_digest(name: str) -> bytes:
    """Digest of a judge's files; its name, where it comes from a hub."""
    folders = [ASSETS / "classifier", ASSETS / "clip"] if name == "pocket" else [Path(name)]
    files = [f for folder in folders if folder.is_dir() for f in sorted(folder.rglob("*"))]
    return short_hash([name.encode(), *(f.read_bytes() for f in files if f.is_file())]).encode()
