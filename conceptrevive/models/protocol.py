"""What the package asks of a model: a text-to-image pipeline of diffusers, or any like it."""

from __future__ import annotations

from collections.abc import Sequence
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
)

#: The same of pipelines that draw their latents themselves.
WITHOUT_LATENTS = tuple(name for name in ARGUMENTS if name != "latents")

#: What a pipeline must have to be drawn with, besides its denoiser.
ATTRIBUTES = ("components", "image_processor", "set_progress_bar_config")


class TextToImage(Protocol):
    """A pipeline that draws from prompts.

    Its denoiser is its `unet` or `transformer`; what else it needs is said by its adapter, which
    for pipelines like Stable Diffusion's are `ATTRIBUTES`, `ARGUMENTS` of its call, and
    `sample_size` and `in_channels` in the denoiser's config.
    """

    @property
    def components(self) -> dict[str, Any]:
        """The pipeline's parts by name."""

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Settings of its progress bar."""

    def __call__(self, *prompts: Any, **arguments: Any) -> Any:
        """Draw; the result has `images`."""


#: Where weights alone are concerned, the denoiser will do.
Model: TypeAlias = TextToImage | nn.Module


def lacking(
    model: object,
    config: object,
    attributes: Sequence[str],
    takes: Sequence[str],
    says: Sequence[str],
) -> list[str]:
    """What `model`, whose denoiser has `config`, lacks to be drawn with; empty if nothing.

    Args:
        attributes: of the model. takes: arguments of its call. says: entries of `config`.
    """
    missing = [name for name in attributes if not hasattr(model, name)]
    missing += [
        f"{name} in its denoiser's config" for name in says if getattr(config, name, None) is None
    ]
    if not callable(model):
        return [*missing, "a call that draws"]
    parameters = signature(type(model).__call__).parameters
    kinds = {p.kind for p in parameters.values()}
    # A call that hands all its arguments on. Keywords alone are no sign: PixArt drops those.
    if kinds >= {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
        return missing
    return missing + [f"{name} in its call" for name in takes if name not in parameters]
