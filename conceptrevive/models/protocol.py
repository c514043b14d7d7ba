"""What the package asks of a model: a text-to-image pipeline of diffusers, or any like it."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any, Protocol, TypeAlias

from torch import nn

#: What a pipeline's call must take by keyword, besides the list of prompts.
ARGUMENTS = (
    "num_inference_steps",
    "guidance_scale",
    "latents",
    "generator",
    "output_type",
    "callback_on_step_end",
)

#: What a pipeline must have to be drawn with, besides its denoiser.
ATTRIBUTES = ("components", "image_processor", "set_progress_bar_config")


class TextToImage(Protocol):
    """A pipeline that draws from prompts alone.

    Its denoiser is its `unet` or `transformer`, with `sample_size` and `in_channels` in its config;
    its call takes `ARGUMENTS`. `missing_for_drawing` says what an object lacks.
    """

    image_processor: Any

    @property
    def components(self) -> dict[str, Any]:
        """The pipeline's parts by name."""

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Settings of its progress bar."""

    def __call__(self, prompt: Any = None, **arguments: Any) -> Any:
        """Draw; the result has `images`."""


#: Where weights alone are concerned, the denoiser will do.
Model: TypeAlias = TextToImage | nn.Module


def missing_for_drawing(model: object, config: object) -> list[str]:
    """What `model`, whose denoiser has `config`, lacks to be drawn with; empty if nothing."""
    missing = [name for name in ATTRIBUTES if not hasattr(model, name)]
    missing += [
        f"{name} in its denoiser's config"
        for name in ("in_channels", "sample_size")
        if getattr(config, name, None) is None
    ]
    if not callable(model):
        return [*missing, "a call that draws"]
    takes = signature(type(model).__call__).parameters
    kinds = {p.kind for p in takes.values()}
    # A call that hands all its arguments on. Keywords alone are no sign: PixArt drops those.
    if kinds >= {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
        return missing
    return missing + [f"{name} in its call" for name in ARGUMENTS if name not in takes]
