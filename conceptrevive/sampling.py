"""Pictures from prompts: one seed a picture, so that models can be compared picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Integral

import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models import denoiser

#: Evaluation noise starts here; `locate` uses one seed below it, so the two never meet.
EVALUATION_SEED = 1_000_000


def _latent_size(model) -> tuple[int, int]:
    size = denoiser(model).config.sample_size
    return (size, size) if isinstance(size, int) else tuple(size)


def noise(model, seeds: Sequence[int]) -> torch.Tensor:
    """Initial latents, one seed each: (n, channels, height, width), drawn on the CPU in float32.

    The same seed gives the same latent whatever the batch size or device.
    """
    shape = (denoiser(model).config.in_channels, *_latent_size(model))
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds])


def precision(model, autocast: bool = True):
    """Autocast to bfloat16 on CPUs with bfloat16 instructions, where it is faster; nothing elsewhere, or if not wanted."""
    device = next(denoiser(model).parameters()).device
    if autocast and device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def quiet(model) -> Iterator[None]:
    """Silence the pipeline's own progress bar."""
    before = dict(getattr(model, "_progress_bar_config", {}))
    model.set_progress_bar_config(**before | {"disable": True})
    try:
        yield
    finally:
        model.set_progress_bar_config(**before)


@torch.no_grad()
def generate(
    model,
    prompts: Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    steps: int = 20,
    guidance: float = 3.0,
    batch_size: int | None = None,
    autocast: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Image.Image]:
    """One picture per prompt.

    Args:
        model: a diffusers text-to-image pipeline.
        seed: of the first picture (picture i takes seed + i), or one seed per prompt.
        steps: denoising steps. guidance: classifier-free guidance scale.
        batch_size: pictures at a time; None takes as many as make 8192 latent positions (32 pocket pictures, the
            fastest on two cores; 2 of SD-1.5).
        autocast: let the processor draw in bfloat16 where that is faster; False keeps to the caller's precision.
        progress: called with the number of pictures finished since the last call.

    Returns: PIL images, in the order of the prompts.
    """
    if isinstance(prompts, str):
        raise ConceptReviveError(f"prompts is the string {prompts!r}: give a list of prompts")
    seeds = [seed + i for i in range(len(prompts))] if isinstance(seed, Integral) else list(seed)
    if len(seeds) != len(prompts):
        raise ConceptReviveError(f"{len(prompts)} prompts but {len(seeds)} seeds: give one seed per prompt")
    if batch_size is None:
        batch_size = max(1, 8192 // math.prod(_latent_size(model)))
    if batch_size < 1 or steps < 1:
        raise ConceptReviveError(f"batch_size is {batch_size} and steps is {steps}: both must be at least 1")
    device = next(denoiser(model).parameters()).device
    dtype = next(denoiser(model).parameters()).dtype
    images: list[Image.Image] = []
    with quiet(model), precision(model, autocast):
        for first in range(0, len(prompts), batch_size):
            part = list(prompts[first : first + batch_size])
            latents = noise(model, seeds[first : first + batch_size]).to(device, dtype)
            images += model(part, num_inference_steps=steps, guidance_scale=guidance, latents=latents).images
            if progress:
                progress(len(part))
    return images
