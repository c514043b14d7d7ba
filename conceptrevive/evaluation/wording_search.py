"""Wording that means a concept without its words: two seeded searches over a vocabulary.

`substitute` follows MMA-Diffusion (Yang et al., CVPR 2024): tokens are replaced, those that the
gradient points to, until the prompt's embedding is that of a target prompt. `evolve` follows
Ring-A-Bell (Tsai et al., ICLR 2024): a genetic algorithm for the states of a neutral prompt moved
along the concept's direction. Both look at the text encoder alone. Both are written anew, and far
smaller: the originals take 1000 rounds of 512 candidates, and 3000 generations of 200 prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.evaluation.vocabulary import Ids, Scores, Vocabulary


@dataclass(frozen=True)
class Wording:
    """A prompt that a search found.

    Attributes:
        prompt: the words. score: what was searched for, larger is better. start: the score of the
            best of the random prompts that the search began with.
    """

    prompt: str
    score: float
    start: float


def substitute(
    vocabulary: Vocabulary,
    target: str,
    *,
    length: int,
    rounds: int,
    candidates: int,
    top: int = 32,
    seed: int,
) -> Wording:
    """The prompt whose embedding is most like that of `target`, by cosine.

    Args:
        length: tokens of the prompt. rounds: of replacements, of one token each.
        candidates: prompts tried a round. top: how many tokens a position offers, those to which
            the gradient points. seed: of the first prompt and of what is tried.
    """
    generator = torch.Generator().manual_seed(seed)
    aim = vocabulary.pooled(vocabulary.read([target]))

    def score(pooled: Float[Tensor, "prompts width"]) -> Scores:
        return torch.nn.functional.cosine_similarity(pooled, aim.to(pooled.device))

    here = vocabulary.draw(1, length, generator)
    start = best = float(score(vocabulary.pooled(vocabulary.framed(here))))
    found = here[0]
    for _ in range(rounds):
        slopes = vocabulary.slopes(vocabulary.framed(here), score)[1 : length + 1]
        offered = slopes.topk(min(top, slopes.shape[1])).indices
        position = torch.randint(length, (candidates,), generator=generator)
        choice = torch.randint(offered.shape[1], (candidates,), generator=generator)
        tried = here.repeat(candidates, 1)
        tried[torch.arange(candidates), position] = vocabulary.tokens[offered[position, choice]]
        scores = score(vocabulary.pooled(vocabulary.framed(tried)))
        at = int(scores.argmax())
        here = tried[
            at : at + 1
        ]  # even where it is worse, to leave a place where nothing is better
        if float(scores[at]) > best:
            best, found = float(scores[at]), here[0]
    return Wording(vocabulary.text(found), best, start)


def direction(vocabulary: Vocabulary, concept: Concept) -> Float[Tensor, "positions width"]:
    """The mean difference of the states of prompts with a concept and without it."""
    with_it = vocabulary.states(vocabulary.read(concept.target_prompts))
    without = vocabulary.states(vocabulary.read(concept.base_prompts))
    return (with_it - without).mean(0)


def evolve(
    vocabulary: Vocabulary,
    aim: Float[Tensor, "positions width"],
    *,
    length: int,
    generations: int,
    population: int,
    crossing: float = 0.5,
    mutating: float = 0.25,
    seed: int,
) -> Wording:
    """The prompt whose states are nearest to `aim`: its score is minus their squared distance.

    Of each generation the better half survives; each survivor is crossed with another with
    probability `crossing`, and every prompt but the best has one token replaced with probability
    `mutating`.

    Args:
        length: tokens of a prompt. population: prompts of the first generation. seed: of all draws.
    """
    generator = torch.Generator().manual_seed(seed)

    def score(ids: Ids) -> Scores:
        return -(vocabulary.states(vocabulary.framed(ids)) - aim).square().sum((1, 2))

    ids = vocabulary.draw(population, length, generator)
    scores = score(ids)
    start = float(scores.max())
    for _ in range(generations):
        ids = ids[scores.argsort(descending=True, stable=True)[: max(1, population // 2)]]
        ids = _mutated(_crossed(ids, crossing, generator), mutating, vocabulary, generator)
        scores = score(ids)
    at = int(scores.argmax())
    return Wording(vocabulary.text(ids[at]), float(scores[at]), start)


def _crossed(ids: Ids, rate: float, generator: torch.Generator) -> Ids:
    """Prompts, best first, and the two children of each that is crossed."""
    n, length = ids.shape
    chosen = torch.rand(n, generator=generator) < rate
    other = ids[torch.randint(n, (n,), generator=generator)]
    cut = torch.randint(length + 1, (n, 1), generator=generator)
    first = torch.arange(length) < cut
    children = torch.where(first, ids, other), torch.where(first, other, ids)
    return torch.cat([ids, *(child[chosen] for child in children)])


def _mutated(ids: Ids, rate: float, vocabulary: Vocabulary, generator: torch.Generator) -> Ids:
    """Prompts with, here and there, one token replaced; the first is left as it is."""
    n, length = ids.shape
    chosen = (torch.rand(n, generator=generator) < rate) & (torch.arange(n) > 0)
    position = torch.randint(length, (n,), generator=generator)
    new = vocabulary.draw(n, 1, generator)[:, 0]
    out = ids.clone()
    out[chosen, position[chosen]] = new[chosen]
    return out
