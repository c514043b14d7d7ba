"""Pipelines without an image processor and without initial latents: IF, Kandinsky 2.2, DiT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, nearest
from conceptrevive.models.adapters.adapter import Adapter, cleans_captions, config_of
from conceptrevive.models.adapters.layouts import JOINT_HALVES, PROMPT_FIRST, UNGUIDED, Layout
from conceptrevive.models.protocol import WITHOUT_LATENTS


@dataclass(frozen=True, kw_only=True)
class Unprocessed(Adapter):
    """Pipelines without an image processor, which hand over pixels."""

    attributes: ClassVar[tuple[str, ...]] = ("components", "set_progress_bar_config")
    takes: ClassVar[tuple[str, ...]] = WITHOUT_LATENTS
    takes_latents: ClassVar[bool] = False

    #: Whether the pixels that the pipeline hands over lie around 0, from -1 to 1.
    centred: ClassVar[bool] = True

    def extra(self, model: Any) -> dict[str, Any]:
        """Pixels instead of pictures, to be looked at before they are rounded."""
        return {"output_type": "pt"}

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two halves from a scale above 1 on."""
        return JOINT_HALVES if guidance > 1 else UNGUIDED

    def pictures(self, model: Any, result: Any, finite: list[bool]) -> list[Image.Image]:
        """Made of the pixels here, which are looked at first."""
        pixels = result.images
        if not isinstance(pixels, Tensor):  # DiT of diffusers 0.32: arrays, channels last
            pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        finite.extend(torch.isfinite(pixels).flatten(1).all(1).tolist())
        return _pictures(pixels, self.centred)

    def drawn(self, model: Any, pixels: Tensor) -> list[Image.Image]:
        """As `pictures` makes them."""
        return _pictures(pixels)


def _pictures(pixels: Tensor, centred: bool = True) -> list[Image.Image]:
    from diffusers.image_processor import VaeImageProcessor

    images: list[Image.Image] = VaeImageProcessor(do_normalize=centred).postprocess(pixels)
    return images


class DeepFloyd(Unprocessed):
    """IF's first stage: pixels instead of latents."""

    def extra(self, model: Any) -> dict[str, Any]:
        """As of the others, and captions cleaned only where that is installed."""
        return super().extra(model) | {"clean_caption": cleans_captions()}

    def scale(self, model: Any) -> int:
        """There are no latents."""
        return 1

    def decode(self, model: Any, latents: Tensor) -> Float[Tensor, "pictures 3 height width"]:
        """They are pixels."""
        return latents


class Kandinsky22(Unprocessed):
    """A prior makes a picture's embedding of the prompt, of which the decoder, its unet, draws."""

    text = ()

    def scale(self, model: Any) -> int:
        """As the decoder's autoencoder has it."""
        return int(2 ** (len(model.movq.config.block_out_channels) - 1))

    def grain(self, model: Any) -> int:
        """As the decoder rounds sizes."""
        return self.scale(model) ** 2

    def sized(self, model: Any) -> dict[str, Any]:
        """The model's own size, which is not always the call's."""
        height, width = self.pixels(model)
        return {"height": height, "width": width}

    def decode(self, model: Any, latents: Tensor) -> Float[Tensor, "pictures 3 height width"]:
        """By the decoder's own autoencoder."""
        pixels: Tensor = model.movq.decode(latents, force_not_quantize=True)["sample"]
        return pixels


class DiT(Unprocessed):
    """DiT is told classes: those whose names are in the prompts; an empty prompt is no class.

    A prompt may be a class's number too, as it has to be where the model says no names.
    """

    text = ()
    centred = False

    def sized(self, model: Any) -> dict[str, Any]:
        """Nothing: it has one size."""
        if self.size is not None and self.latent_size(model) != self.own_size(model):
            own = config_of(model).sample_size * self.scale(model)
            raise ConceptReviveError(
                f"size is {self.size[0]} × {self.size[1]}: this {type(model).__name__} draws "
                f"{own} × {own} pixels and nothing else: leave size out"
            )
        return {}

    def scale(self, model: Any) -> int:
        """As the autoencoder has it."""
        return int(2 ** (len(model.vae.config.block_out_channels) - 1))

    def prompts(self, model: Any, prompts: Sequence[str]) -> dict[str, Any]:
        """The classes that are named."""
        return {"class_labels": [self._class(model, prompt) for prompt in prompts]}

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two halves from a scale above 1 on, the class first."""
        return PROMPT_FIRST if guidance > 1 else UNGUIDED

    def _class(self, model: Any, prompt: str) -> int:
        """The class whose name, the longest of those that are in the prompt, is meant."""
        classes = int(config_of(model).num_embeds_ada_norm)
        if not prompt.strip():
            return classes
        if prompt.strip().isdecimal() and int(prompt) < classes:
            return int(prompt)
        found = [
            name
            for name in model.labels
            if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", prompt, re.IGNORECASE)
        ]
        if not found:
            raise ConceptReviveError(
                f"{type(model).__name__} draws classes, and the prompt {prompt!r} names none of "
                f"its {len(model.labels)}{nearest(prompt, model.labels)}: write a class's name "
                f"into it, or give a number below {classes}"
            )
        return int(model.labels[max(found, key=len)])
