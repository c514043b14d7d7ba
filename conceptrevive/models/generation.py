"""Pictures from prompts: one seed a picture, so that models can be compared picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from numbers import Integral

import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import denoiser
from conceptrevive.models.precision import How, applied, choose

#: Evaluation noise starts here; `locate` uses one seed below it, so the two never meet.
EVALUATION_SEED = 1_000_000


def _latent_size(model) -> tuple[int, int]:
    net = denoiser(model)
    size = getattr(net.config, "sample_size", None)
    if size is None or "callback_on_step_end" not in signature(type(model).__call__).parameters:
        raise ConceptReviveError(
            f"{type(model).__name__} with a {type(net).__name__} cannot be drawn with: its latents or its steps are not those of "
            "Stable Diffusion; prune, revive, obfuscate and audit work on its files"
        )
    return (size, size) if isinstance(size, int) else tuple(size)


def picture_size(model) -> int:
    """Pixels of a picture's longer side."""
    return max(_latent_size(model)) * getattr(model, "vae_scale_factor", 8)


def noise(model, seeds: Sequence[int] | Sequence[torch.Generator]) -> torch.Tensor:
    """Initial latents, one seed or generator each: (n, channels, height, width), drawn on the CPU in float32.

    The same seed gives the same latent whatever the batch size or device.
    """
    shape = (denoiser(model).config.in_channels, *_latent_size(model))
    each = [s if isinstance(s, torch.Generator) else generators([s])[0] for s in seeds]
    return torch.stack([torch.randn(shape, generator=g) for g in each])


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One per seed. They draw the initial latents, then what a scheduler adds in its steps, so that nothing else does."""
    return [torch.Generator().manual_seed(int(s)) for s in seeds]


@contextmanager
def quiet(model) -> Iterator[None]:
    """Silence the pipeline's own progress bar."""
    before = dict(getattr(model, "_progress_bar_config", {}))
    model.set_progress_bar_config(**before | {"disable": True})
    try:
        yield
    finally:
        model.set_progress_bar_config(**before)


def _batch_size(model) -> int:
    return max(1, 8192 // math.prod(_latent_size(model)))


def fastest(model) -> How:
    """How this machine draws fastest with `model`: a quarter of a batch, one step, in each of the ways there are."""
    count = max(1, _batch_size(model) // 4)
    weight = next(denoiser(model).parameters())

    @torch.no_grad()
    def one_step() -> None:
        latents = noise(model, range(count)).to(weight.device, weight.dtype)
        with quiet(model):
            model(
                [""] * count,
                num_inference_steps=1,
                guidance_scale=2.0,
                latents=latents,
                output_type="latent",
            )

    return choose(model, one_step)


def precision(model, autocast: bool = True):
    """The context to run `model` in: the fastest way on this processor; the model's own elsewhere, or if not wanted."""
    return applied(model, fastest(model)) if autocast else nullcontext()


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
        autocast: let a processor draw in the way that a short timing found fastest, see `fastest`; False keeps to the
            caller's precision.
        progress: called with the number of pictures finished since the last call.

    Returns: PIL images, in the order of the prompts.
    """
    if isinstance(prompts, str):
        raise ConceptReviveError(f"prompts is the string {prompts!r}: give a list of prompts")
    seeds = [seed + i for i in range(len(prompts))] if isinstance(seed, Integral) else list(seed)
    if len(seeds) != len(prompts):
        raise ConceptReviveError(
            f"{len(prompts)} prompts but {len(seeds)} seeds: give one seed per prompt"
        )
    if batch_size is None:
        batch_size = _batch_size(model)
    if batch_size < 1 or steps < 1:
        raise ConceptReviveError(
            f"batch_size is {batch_size} and steps is {steps}: both must be at least 1"
        )
    device = next(denoiser(model).parameters()).device
    dtype = next(denoiser(model).parameters()).dtype
    images: list[Image.Image] = []
    with quiet(model), precision(model, autocast):
        for first in range(0, len(prompts), batch_size):
            part = list(prompts[first : first + batch_size])
            draws = generators(seeds[first : first + batch_size])
            latents = noise(model, draws).to(device, dtype)
            images += model(
                part,
                num_inference_steps=steps,
                guidance_scale=guidance,
                latents=latents,
                generator=draws,
            ).images
            if progress:
                progress(len(part))
    return images
