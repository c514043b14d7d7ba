"""Pictures of a concept's prompts, by its own settings where none are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from PIL import Image

from conceptrevive.concepts.concept import Concept
from conceptrevive.models.generation import generate
from conceptrevive.models.protocol import TextToImage

#: Called with the number of pictures finished since the last call.
Progress: TypeAlias = Callable[[int], object] | None


def drawn(
    model: TextToImage,
    concept: Concept,
    prompts: Sequence[str],
    seed: int | Sequence[int],
    steps: int | None,
    guidance: float | None,
    batch_size: int | None,
    progress: Progress,
) -> list[Image.Image]:
    """One picture per prompt, see `generate`; None takes the concept's own steps and guidance."""
    s = concept.settings
    return generate(
        model,
        prompts,
        seed=seed,
        steps=s.steps if steps is None else steps,
        guidance=s.guidance if guidance is None else guidance,
        batch_size=batch_size,
        progress=progress,
    )
