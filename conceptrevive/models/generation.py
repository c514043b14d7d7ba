"""Pictures from prompts: one seed a picture, so that models can be compared picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import adapter_of, drawn_with
from conceptrevive.models.calling import latent_size, run_pipeline
from conceptrevive.models.pictures import checked, decoded, watched
from conceptrevive.models.precision import How, applied, choose
from conceptrevive.models.protocol import TextToImage


def picture_size(model: TextToImage) -> int:
    """Pixels of a picture's longer side."""
    latent_size(model)  # refuses what cannot draw
    return max(adapter_of(model).pixels(model))


def _batch_size(model: TextToImage) -> int:
    return max(1, 8192 // math.prod(latent_size(model)))


@torch.no_grad()
def fastest(model: TextToImage) -> How:
    """How this machine draws fastest with `model`.

    A quarter of a batch is drawn for one step, in each of the ways there are.
    """
    count, steps = max(1, _batch_size(model) // 4), adapter_of(model).least_steps

    def few_steps() -> None:
        run_pipeline(
            model, [""] * count, range(count), steps=steps, guidance=2.0, output_type="latent"
        )

    return choose(model, few_steps)


def precision(model: TextToImage, autocast: bool = True) -> AbstractContextManager[None]:
    """The context to run `model` in.

    With `autocast` the fastest way on this processor; the model's own elsewhere, or if not wanted.
    """
    return applied(model, fastest(model)) if autocast else nullcontext()


@dataclass(frozen=True)
class Step:
    """The pictures after one denoising step.

    Attributes:
        index: which step, from 0. total: how many there are (some schedulers take more than asked).
        latents: as the pipeline has them, (pictures, channels, height, width) in Stable Diffusion.
        pictures: the same, decoded; after the last step they are `generate`'s.
    """

    index: int
    total: int
    latents: Float[Tensor, "pictures channels *latent"]
    pictures: list[Image.Image]


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
    adapter: Adapter | None = None,
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
        adapter: how the pipeline is called, its size and further arguments; None takes that of
            its family, see `conceptrevive.models.adapters`.
        progress: called with the number of pictures finished since the last call.

    Returns: PIL images, in the order of the prompts.

    Raises:
        ConceptReviveError: settings out of range; a pipeline that cannot draw so; a picture that is
            not finite, or was blackened by a safety checker (see `pictures.checked`).
    """
    seeds = _checked(prompts, seed, steps, guidance)
    expect(batch_size, (Integral, NoneType), "batch_size", "give how many pictures at a time")
    if batch_size is not None and batch_size < 1:
        raise ConceptReviveError(f"batch_size is {batch_size}: it must be at least 1")
    images: list[Image.Image] = []
    with drawn_with(model, adapter), precision(model, autocast):
        size = _batch_size(model) if batch_size is None else int(batch_size)
        for first in range(0, len(prompts), size):
            part = prompts[first : first + size]
            images += _draw(model, part, seeds[first:], steps, guidance, first=first)
            if progress:
                progress(len(part))
    return images


def denoise_steps(
    model: TextToImage,
    prompts: Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    steps: int = 20,
    guidance: float = 3.0,
    autocast: bool = True,
    adapter: Adapter | None = None,
) -> Iterator[Step]:
    """How `generate`'s pictures come about: one `Step` after each denoising step.

    All prompts are denoised in one batch before the first step is handed over; each step is decoded
    when it is asked for.

    Args: see `generate`. Raises: as `generate` does.
    """
    seeds = _checked(prompts, seed, steps, guidance)
    if not prompts:
        return
    taken: list[Tensor] = []

    def keep(latents: Tensor) -> None:
        # Some keep the halves of guidance in it.
        taken.append(latents[: len(prompts)].clone())

    with torch.no_grad(), drawn_with(model, adapter), precision(model, autocast):
        with adapter_of(model).steps(model, keep):
            last = _draw(model, prompts, seeds, steps, guidance)
    for index, latents in enumerate(taken):
        if index + 1 == len(taken):
            yield Step(index, len(taken), latents, last)
            return
        with drawn_with(model, adapter), precision(model, autocast):
            pictures = decoded(model, latents)
        yield Step(index, len(taken), latents, pictures)


def _draw(
    model: TextToImage,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    *,
    first: int = 0,
) -> list[Image.Image]:
    """One batch of pictures, finite and not blackened; `seeds` may go on beyond the prompts."""
    seeds = seeds[: len(prompts)]
    with watched(model) as finite:
        result = run_pipeline(model, prompts, seeds, steps=steps, guidance=guidance)
    return checked(model, result, finite, prompts, seeds, first)


def _checked(
    prompts: Sequence[str], seed: int | Sequence[int], steps: int, guidance: float
) -> list[int]:
    """One noise seed per prompt. Raises ConceptReviveError for settings of a wrong kind or size."""
    if isinstance(prompts, str):
        raise ConceptReviveError(f"prompts is the string {prompts!r}: give a list of prompts")
    expect(prompts, Sequence, "prompts", "give a list of prompts")
    for i, prompt in enumerate(prompts):
        expect(prompt, str, f"prompt {i}", "give each prompt as a string")
    expect(steps, Integral, "steps", "give a whole number of denoising steps")
    expect(guidance, Real, "guidance", "give the guidance scale as a number")
    if steps < 1:
        raise ConceptReviveError(f"steps is {steps}: it must be at least 1")
    if not math.isfinite(guidance):
        raise ConceptReviveError(f"guidance is {guidance}: it must be finite")
    if isinstance(seed, Integral):
        return [int(seed) + i for i in range(len(prompts))]
    seeds = _listed(seed)
    for s in seeds:
        expect(s, Integral, "seed", "give whole numbers")
    if len(seeds) != len(prompts):
        raise ConceptReviveError(
            f"{len(prompts)} prompts but {len(seeds)} seeds: give one seed per prompt"
        )
    return [int(s) for s in seeds]


def _listed(seed: object) -> list[int]:
    if not isinstance(seed, Iterable):
        kind = type(seed).__name__
        raise ConceptReviveError(f"seed is a {kind}: give a whole number, or one for each prompt")
    return list(seed)
