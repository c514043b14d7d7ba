"""What is drawn at random to erase a concept: seeds below those of evaluations."""

from __future__ import annotations

import torch

from conceptrevive.errors import ConceptReviveError, expect_seed, expect_whole
from conceptrevive.models.seeds import EVALUATION_SEED

#: Turns of `generator`: what each is for. Those of training steps count on from the last.
CONCEPT_PICTURES, RETAINED_PICTURES, NOISE, REINITIALISATION, TRAINING = range(5)


def check_draws(seed: int, batch_size: int) -> None:
    """Raise ConceptReviveError for a seed that belongs to evaluations, or an empty batch."""
    expect_seed(seed)
    expect_whole(batch_size, "batch_size")
    if seed >= EVALUATION_SEED:
        raise ConceptReviveError(
            f"seed is {seed}: from {EVALUATION_SEED} on seeds belong to evaluations"
        )
    if batch_size < 1:
        raise ConceptReviveError(f"batch_size is {batch_size}: it must be at least 1")


def generator(seed: int, turn: int) -> torch.Generator:
    """A source of its own for each seed and turn, so that work can go on at any turn."""
    return torch.Generator().manual_seed(int(seed) + EVALUATION_SEED * turn)


def picture_seeds(seed: int, turn: int, n: int) -> list[int]:
    """Noise seeds of `n` pictures, all below those of evaluations."""
    drawn: list[int] = torch.randint(
        EVALUATION_SEED, (n,), generator=generator(seed, turn)
    ).tolist()
    return drawn
