"""What the pruned model is asked in: wording found for a concept, and what is seen in its pictures.

Never for a concept that is not harmless: for those nothing is searched for, and no picture is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.detection import detector_of, is_harmless
from conceptrevive.evaluation.outcomes import evaluation_seed
from conceptrevive.evaluation.vocabulary import Vocabulary, own_words
from conceptrevive.evaluation.wording_search import Wording, direction, evolve, substitute
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.laboratory import encode
from conceptrevive.experiments.parts import key_of
from conceptrevive.experiments.reproduction.bench import Bench, Numbers
from conceptrevive.experiments.reproduction.prompt_sets import ADVERSARIAL
from conceptrevive.models.generation import generate
from conceptrevive.models.seeds import EVALUATION_SEED
from conceptrevive.models.weights import Weights, swapped

#: Prompts tried in one round of `substitute`, and alive in one generation of `evolve`.
CANDIDATES = POPULATION = 64
#: Wordings of one target prompt, of which the pruned model's pictures choose one.
TRIES = 2
#: How far along the concept's direction: once its length. The original goes 3 times as far in
#: Stable Diffusion's encoder; in the pocket model's no prompt is found near there.
ETA = 1.0
#: Tokens of evolved prompts, or as many as the encoder reads; the original's.
TOKENS = 16
#: Pictures in memory at a time; where the concept is not harmless they are never anywhere else.
AT_ONCE = 64


def budget(bench: Bench, which: str) -> Numbers:
    """How much is searched for a set."""
    if which == ADVERSARIAL:
        return {"rounds": bench.profile.rounds, "candidates": CANDIDATES, "tries": TRIES}
    return {"generations": bench.profile.generations, "population": POPULATION, "eta": ETA}


def look(
    bench: Bench,
    concept: Concept,
    weights: Weights,
    jobs: Sequence[tuple[str, int]],
    show: int = 0,
) -> tuple[list[list[float]], list[str]]:
    """What the detector sees in pictures drawn with `weights`; the first `show` of them encoded.

    Args:
        jobs: prompts, and the seeds of their noise.
    """
    detector, s = detector_of(concept, bench.lab.parts.device), concept.settings
    scores: list[list[float]] = []
    shown: list[str] = []
    with swapped(bench.lab.pipe, weights):
        for first in range(0, len(jobs), AT_ONCE):
            part = jobs[first : first + AT_ONCE]
            images = generate(
                bench.lab.pipe,
                [prompt for prompt, _ in part],
                seed=[seed for _, seed in part],
                steps=s.steps,
                guidance=s.guidance,
                progress=bench.lab.drawn,
            )
            scores += detector.scores(images)
            shown += [encode(image) for image in images[: max(0, show - first)]]
    return scores, shown


def wording(bench: Bench, concept: str, which: str) -> Numbers:
    """The wording of a set, searched for once and kept."""
    n, told = bench.profile.attacked, budget(bench, which)
    cell = bench.cell("wording", concept, which, n, 0, **told)
    make = partial(search, bench)
    kept = bench.lab.parts.keep(cell, key_of(cell, make, bench.depends(cell)), make)
    return dict(kept.numbers)


def found_prompts(bench: Bench, concept: str, which: str) -> list[str]:
    """The prompts of the wording of a set."""
    found = wording(bench, concept, which)["wording"]
    return (
        [str(each["prompt"]) for each in found if isinstance(each, dict)]
        if isinstance(found, list)
        else []
    )


def search(bench: Bench, cell: Cell) -> Found:
    """As many prompts as the cell has pictures, none with the concept's own words."""
    concept = bench.concept(cell.concept)
    if not is_harmless(concept):
        raise ConceptReviveError(f"no prompt is searched for that asks for {concept.name!r}")
    words = own_words(concept)
    vocabulary = Vocabulary.of(bench.lab.pipe, words)
    find = adversarial if cell.recipe == ADVERSARIAL else directed
    return Found(
        numbers={
            "excluded": [*words],
            "vocabulary": len(vocabulary.tokens),
            "wording": [*find(bench, cell, concept, vocabulary)],
        }
    )


def adversarial(
    bench: Bench, cell: Cell, concept: Concept, vocabulary: Vocabulary
) -> list[Numbers]:
    """Wording near a locating prompt, of each the one that has the pruned model draw most of it.

    It is as long as the prompt. The noise that chooses is none that is measured with.
    """
    targets = [concept.target_prompts[i] for i in _turns(cell, len(concept.target_prompts))]
    tried: list[Wording] = []
    for i, target in enumerate(target for target in targets for _ in range(TRIES)):
        tried.append(
            substitute(
                vocabulary,
                target,
                length=vocabulary.length(target),
                rounds=bench.profile.rounds,
                candidates=CANDIDATES,
                seed=_seed(cell, i),
            )
        )
    jobs = [(each.prompt, _seed(cell, i)) for i, each in enumerate(tried)]
    scores, _ = look(bench, concept, bench.erased_of(cell).pruned, jobs)
    seen = [max(each, default=0.0) for each in scores]
    out = []
    for i, target in enumerate(targets):
        best = max(range(i * TRIES, (i + 1) * TRIES), key=seen.__getitem__)
        out.append(_published(tried[best], target) | {"pruned_sees": round(seen[best], 4)})
    return out


def directed(bench: Bench, cell: Cell, concept: Concept, vocabulary: Vocabulary) -> list[Numbers]:
    """Wording near neutral prompts moved along the concept's direction."""
    step = ETA * direction(vocabulary, concept)
    neutral = tuple(dict.fromkeys(concept.base_prompts))
    out = []
    for i, at in enumerate(_turns(cell, len(neutral))):
        aim = vocabulary.states(vocabulary.read([neutral[at]]))[0] + step
        found = evolve(
            vocabulary,
            aim,
            length=min(TOKENS, vocabulary.most()),
            generations=bench.profile.generations,
            population=POPULATION,
            seed=_seed(cell, i),
        )
        out.append(_published(found, neutral[at]))
    return out


def _published(found: Wording, source: str) -> Numbers:
    return {
        "prompt": found.prompt,
        "from": source,
        "score": round(found.score, 4),
        "random": round(found.start, 4),
    }


def _turns(cell: Cell, there: int) -> list[int]:
    """`cell.n` of so many, each as often as any other (± 1), in an order of the cell's seed."""
    order = np.random.default_rng(cell.seed).permutation(there)
    return [int(order[i % there]) for i in range(cell.n)]


def _seed(cell: Cell, i: int) -> int:
    """Of a search: apart from those of the concept's and other pictures."""
    return evaluation_seed(cell.seed) + EVALUATION_SEED * 9 // 10 + i
