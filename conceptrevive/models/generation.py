"""Pictures from prompts: one seed a picture, so that models can be compared picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral

import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.calling import latent_size, run_pipeline
from conceptrevive.models.precision import How, applied, choose
from conceptrevive.models.protocol import TextToImage


def picture_size(model: TextToImage) -> int:
    """Pixels of a picture's longer side."""
    return max(latent_size(model)) * int(getattr(model, "vae_scale_factor", 8))


def _batch_size(model: TextToImage) -> int:
    return max(1, 8192 // math.prod(latent_size(model)))


@torch.no_grad()
def fastest(model: TextToImage) -> How:
    """How this machine draws fastest with `model`.

    A quarter of a batch is drawn for one step, in each of the ways there are.
    """
    count = max(1, _batch_size(model) // 4)

    def one_step() -> None:
        run_pipeline(model, [""] * count, range(count), steps=1, guidance=2.0, output_type="latent")

    return choose(model, one_step)


def precision(model: TextToImage, autocast: bool = True) -> AbstractContextManager[None]:
    """The context to run `model` in.

    With `autocast` the fastest way on this processor; the model's own elsewhere, or if not wanted.
    """
    return applied(model, fastest(model)) if autocast else nullcontext()


@torch.no_grad()
def generate(
    model: TextToImage,
    prompts: Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    steps: int = 20,
    guidance: float = 3.0,
    batch_size: int | None = None,
    autocast: bool = True,
    progress: Callable[[int], object] | None = None,
) -> list[Image.Image]:
    """One picture per prompt.

    Args:
        model: a diffusers text-to-image pipeline.
        seed: of the first picture (picture i takes seed + i), or one seed per prompt.
        steps: denoising steps. guidance: classifier-free guidance scale.
        batch_size: pictures at a time; None takes as many as make 8192 latent positions (32 pocket
            pictures, the fastest on two cores; 2 of SD-1.5).
        autocast: let a processor draw in the way that a short timing found fastest, see `fastest`;
            False keeps to the caller's precision.
        progress: called with the number of pictures finished since the last call.

    Returns: PIL images, in the order of the prompts.

    Raises:
        ConceptReviveError: settings out of range, or a pipeline that cannot draw so.
    """
    if isinstance(prompts, str):
        raise ConceptReviveError(f"prompts is the string {prompts!r}: give a list of prompts")
    seeds = _seeds(seed, len(prompts))
    if batch_size is None:
        batch_size = _batch_size(model)
    if batch_size < 1 or steps < 1:
        raise ConceptReviveError(
            f"batch_size is {batch_size} and steps is {steps}: both must be at least 1"
        )
    images: list[Image.Image] = []
    with precision(model, autocast):
        for first in range(0, len(prompts), batch_size):
            part = list(prompts[first : first + batch_size])
            chosen = seeds[first : first + batch_size]
            images += run_pipeline(model, part, chosen, steps=steps, guidance=guidance).images
            if progress:
                progress(len(part))
    return images


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """One noise seed per prompt."""
    if isinstance(seed, Integral):
        return [int(seed) + i for i in range(count)]
    seeds = [int(s) for s in seed]
    if len(seeds) != count:
        raise ConceptReviveError(
            f"{count} prompts but {len(seeds)} seeds: give one seed per prompt"
        )
    return seeds
