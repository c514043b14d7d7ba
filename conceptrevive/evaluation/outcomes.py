"""Does a model still draw a concept, and everything else?

Top-1 with Wilson intervals, same prompts and seeds for every model.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from types import NoneType
from typing import Any

from PIL import Image

from conceptrevive.concepts.concept import Concept, Probe
from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.evaluation.defaults import IMAGES
from conceptrevive.evaluation.drawing import Progress, drawn
from conceptrevive.evaluation.judges import classifier, clip
from conceptrevive.evaluation.own_judge import Judge, find_judge, judged_by
from conceptrevive.intervals import Rate
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import drawn_with
from conceptrevive.models.calling import SEEDS
from conceptrevive.models.layers import denoiser
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.seeds import EVALUATION_SEED


@dataclass(frozen=True)
class Outcomes:
    """One outcome per picture, in the order of prompts and seeds, so that two models can be paired.

    Attributes:
        erased_outcomes: whether each picture of the concept shows it.
        retained_outcomes: whether each other picture shows its own object.
    """

    concept: str
    erased_outcomes: tuple[bool, ...]
    retained_outcomes: tuple[bool, ...]
    seed: int

    @property
    def erased(self) -> Rate:
        """Top-1 accuracy on the erased concept."""
        return Rate.of(self.erased_outcomes)

    @property
    def retained(self) -> Rate:
        """Top-1 accuracy on the retained concepts."""
        return Rate.of(self.retained_outcomes)


def evaluation_seed(seed: int) -> int:
    """The first noise seed of an evaluation with user seed `seed` ≥ 0.

    Disjoint from `locate`'s and from other seeds'.
    """
    expect(seed, Integral, "seed", "give a whole number")
    largest = SEEDS.stop // EVALUATION_SEED - 2
    if not 0 <= seed <= largest:
        raise ConceptReviveError(f"seed is {seed}: it must be from 0 to {largest}")
    return EVALUATION_SEED * (1 + int(seed))


def judge_concept(
    concept: Concept, images: Sequence[Image.Image], device: str = "cpu"
) -> list[bool]:
    """Whether each picture shows the concept, by its class labels or its CLIP pair."""
    if concept.labels:
        return classifier(concept.judge, device).correct(images, [concept.labels] * len(images))
    if concept.clip_pair:
        return clip(concept.judge, device).shows(images, concept.clip_pair)
    raise ConceptReviveError(
        f"concept {concept.name!r} has no judge: give it `labels` (classes of the classifier "
        "`judge`) or a `clip_pair` (prompt with, prompt without)"
    )


def evaluate_images(
    model: TextToImage,
    concept: Concept,
    *,
    n: int,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int | None = None,
    progress: Progress = None,
) -> list[Image.Image]:
    """`n` pictures of the concept, the evaluation's prompts and seeds."""
    prompts = [prompt for prompt, _ in erased_pictures(concept, n, seed)]
    first = evaluation_seed(seed)
    return drawn(model, concept, prompts, first, steps, guidance, batch_size, progress)


def erased_pictures(concept: Concept, n: int, seed: int) -> list[tuple[str, int]]:
    """(Prompt, noise seed) of the `n` pictures of the concept.

    They are asked for in the evaluation's words, or, without any, in the locating ones.
    """
    said, first = concept.eval_prompts or concept.target_prompts, evaluation_seed(seed)
    return [(said[i % len(said)], first + i) for i in range(n)]


def retained_seeds(probes: Sequence[Probe], seed: int) -> list[int]:
    """One noise seed per probe, by its prompt.

    So a retained picture is the same whichever concept was erased.
    """
    first = evaluation_seed(seed) + EVALUATION_SEED // 2
    turns: Counter[str] = Counter()
    out = []
    for probe in probes:
        out.append(
            first + zlib.crc32(probe.prompt.encode()) % (EVALUATION_SEED // 4) + turns[probe.prompt]
        )
        turns[probe.prompt] += 1
    return out


def retained_images(
    model: TextToImage,
    concept: Concept,
    *,
    n: int,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int | None = None,
    progress: Progress = None,
) -> list[Image.Image]:
    """`n` pictures of the other concepts, each equally often (± 1).

    With the evaluation's prompts and seeds.
    """
    probes = retained_probes(concept, n)
    return drawn(
        model,
        concept,
        [p.prompt for p in probes],
        retained_seeds(probes, seed),
        steps,
        guidance,
        batch_size,
        progress,
    )


def retained_pictures(concept: Concept, n: int, seed: int) -> list[tuple[str, int]]:
    """(prompt, noise seed) of each retained picture.

    The same picture may stand for several concepts.
    """
    probes = retained_probes(concept, n)
    return list(zip((p.prompt for p in probes), retained_seeds(probes, seed), strict=True))


def retained_probes(concept: Concept, n: int) -> list[Probe]:
    """The first `n` of the concept's retained probes, again from the start where it has fewer."""
    return (
        [concept.retained[i % len(concept.retained)] for i in range(n)] if concept.retained else []
    )


def evaluate(
    model: TextToImage,
    concept: Concept,
    *,
    n: int = IMAGES,
    retained: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    judge: str | Judge | None = None,
    batch_size: int | None = None,
    adapter: Adapter | None = None,
    progress: Progress = None,
) -> Outcomes:
    """Draw and judge the erased concept and the retained ones.

    Args:
        model: a diffusers pipeline. concept: what was erased.
        n: pictures of it.
        retained: pictures of the others; None draws each other concept once, 0 none.
        seed: the same seed gives the same noise, so two models' outcomes are paired.
        steps, guidance: None takes the concept's settings.
        judge: of the concept's pictures: a function from pictures to truth values, or its name;
            None takes the concept's labels or pair. The others' labels are always the concept's.
        batch_size, adapter: see `generate`.

    Raises:
        ConceptReviveError: the concept has no judge, or one that lacks its classes; n < 1; or
            pictures that cannot be judged, see `generate`.
    """
    expect(concept, Concept, "concept", "give a Concept, e.g. get_concept('cat')")
    expect(n, Integral, "n", "give how many pictures to draw")
    expect(retained, (Integral, NoneType), "retained", "give how many pictures to draw, or None")
    if n < 1:
        raise ConceptReviveError(f"n is {n}: an evaluation needs at least one picture")
    if retained is not None and retained < 0:
        raise ConceptReviveError(
            f"retained is {retained}: it must be 0 or more, or None for each other concept once"
        )
    own = None if judge is None else find_judge(judge)
    if own is None and not concept.labels and not concept.clip_pair:
        judge_concept(concept, [])
    device = str(next(denoiser(model).parameters()).device)
    count = len({p.labels for p in concept.retained}) if retained is None else retained
    wanted = [p.labels for p in retained_probes(concept, count)]
    # The judge first: what it lacks should be known before an hour of drawing.
    labels = [] if own else [concept.labels]
    if any(labels) or wanted:
        classifier(concept.judge, device).check([*labels, *wanted])
    if not own and not concept.labels:
        clip(concept.judge, device)
    given: dict[str, Any] = dict(
        seed=seed, steps=steps, guidance=guidance, batch_size=batch_size, progress=progress
    )
    with drawn_with(model, adapter):
        images = evaluate_images(model, concept, n=n, **given)
        others = retained_images(model, concept, n=count, **given)
    right = classifier(concept.judge, device).correct(others, wanted) if wanted else []
    shows = judged_by(own, images) if own else judge_concept(concept, images, device)
    return Outcomes(concept.name, tuple(shows), tuple(right), seed)
