"""Pictures to learn from, of the concept and of the rest: the model draws them unless given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError, expect_whole
from conceptrevive.models.calling import latent_size
from conceptrevive.models.generation import generate
from conceptrevive.models.protocol import TextToImage
from conceptrevive.unlearning.draws import CONCEPT_PICTURES, RETAINED_PICTURES, picture_seeds

#: A picture and its prompt.
Picture: TypeAlias = tuple[Image.Image, str]

#: How many the model is to draw, or those to take.
Pictures: TypeAlias = int | Sequence[Picture]

#: Pictures of a concept, and of the rest, where no others are asked for.
COUNT = 32


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures as the autoencoder encodes them, each with its prompt."""

    latents: Float[Tensor, "pictures channels height width"]
    prompts: tuple[str, ...]

    def batch(self, first: int, size: int) -> Examples:
        """`size` of them from the `first` on, again from the start after the last."""
        rows = [(first + i) % len(self.prompts) for i in range(size)]
        return Examples(self.latents[rows], tuple(self.prompts[i] for i in rows))


def concept_examples(
    model: TextToImage,
    concept: Concept,
    pictures: Pictures = COUNT,
    *,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Examples:
    """Pictures of the concept: of its target prompts in turn, or those given.

    Raises ConceptReviveError for pictures of a wrong kind, and as `generate` does.
    """
    draw = partial(concept_pictures, model, concept, seed=seed, progress=progress)
    return _examples(model, pictures, "pictures", draw)


def retained_examples(
    model: TextToImage,
    concept: Concept,
    pictures: Pictures = COUNT,
    *,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Examples:
    """Pictures of the rest: of `retained_prompts` in turn, or those given.

    Raises ConceptReviveError for pictures of a wrong kind, and as `generate` does.
    """
    draw = partial(retained_pictures, model, concept, seed=seed, progress=progress)
    return _examples(model, pictures, "retained", draw)


def retained_prompts(concept: Concept) -> tuple[str, ...]:
    """Prompts of what is to be retained; the base prompts of a concept that names nothing."""
    return tuple(p.prompt for p in concept.retained) or concept.base_prompts


def concept_pictures(
    model: TextToImage,
    concept: Concept,
    count: int = COUNT,
    *,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> list[Picture]:
    """What the model draws for the target prompts in turn, each with its prompt."""
    return _drawn(model, concept, concept.target_prompts, count, seed, CONCEPT_PICTURES, progress)


def retained_pictures(
    model: TextToImage,
    concept: Concept,
    count: int = COUNT,
    *,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> list[Picture]:
    """What the model draws for `retained_prompts` in turn, each with its prompt."""
    prompts = retained_prompts(concept)
    return _drawn(model, concept, prompts, count, seed, RETAINED_PICTURES, progress)


def _drawn(
    model: TextToImage,
    concept: Concept,
    prompts: Sequence[str],
    count: int,
    seed: int,
    turn: int,
    progress: Callable[[int], object] | None,
) -> list[Picture]:
    asked = [prompts[i % len(prompts)] for i in range(int(count))]
    drawn = generate(
        model,
        asked,
        seed=picture_seeds(seed, turn, len(asked)),
        steps=concept.settings.steps,
        guidance=concept.settings.guidance,
        autocast=False,
        progress=progress,
    )
    return list(zip(drawn, asked, strict=True))


def _examples(
    model: TextToImage, pictures: Pictures, name: str, draw: Callable[[int], list[Picture]]
) -> Examples:
    """Of the pictures given, or of as many as `draw` is asked for."""
    check_pictures(pictures, name)
    shown = pictures if isinstance(pictures, Sequence) else draw(pictures)
    latents = encoded(model, [image for image, _ in shown])
    return Examples(latents, tuple(prompt for _, prompt in shown))


def check_pictures(pictures: Pictures, name: str) -> None:
    """Raise ConceptReviveError unless `pictures` is a number of them, or pictures with prompts."""
    if not isinstance(pictures, Sequence) or isinstance(pictures, str):
        expect_whole(pictures, name)
        if pictures < 1:
            raise ConceptReviveError(f"{name} is {pictures}: draw at least one")
        return
    if not pictures:
        raise ConceptReviveError(f"{name} is empty: give at least one, with its prompt")
    for i, pair in enumerate(pictures):
        image, prompt = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)
        if not (isinstance(image, Image.Image) and isinstance(prompt, str)):
            raise ConceptReviveError(
                f"{name}[{i}] is no (PIL image, prompt): give a whole number, or a list of these"
            )


@torch.no_grad()
def encoded(
    model: TextToImage, images: Sequence[Image.Image], batch_size: int = 16
) -> Float[Tensor, "pictures channels height width"]:
    """Latents of pictures in float32 on the CPU: the middle of what the autoencoder says.

    Pictures of another size are scaled to the model's.

    Raises ConceptReviveError where the denoiser does not work on such latents.
    """
    pipe: Any = model
    height, width = (
        side * int(getattr(model, "vae_scale_factor", 8)) for side in latent_size(model)
    )
    vae: Any = getattr(pipe, "vae", None)
    if not hasattr(getattr(vae, "config", None), "scaling_factor"):
        raise ConceptReviveError(
            f"{type(model).__name__} has no autoencoder with a scaling_factor: pictures cannot be "
            "turned into what its denoiser takes; a Stable Diffusion pipeline can be trained"
        )
    parts = []
    for first in range(0, len(images), batch_size):
        some = [image.convert("RGB") for image in images[first : first + batch_size]]
        pixels = pipe.image_processor.preprocess(some, height=height, width=width)
        found = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        parts.append(found.float().cpu())
    config = vae.config
    return (torch.cat(parts) - (getattr(config, "shift_factor", None) or 0.0)) * float(
        config.scaling_factor
    )
