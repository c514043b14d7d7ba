"""How a pipeline is called to draw: Stable Diffusion's way, of which others override a little.

A family of pipelines is a subclass of `Adapter`, see `families`; one's own is handed to `generate`,
`locate`, `evaluate` or `load_pipeline`, or registered as an entry point, see `choosing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.adapters.layouts import JOINT_HALVES, UNGUIDED, Layout
from conceptrevive.models.layers import denoiser
from conceptrevive.models.protocol import ARGUMENTS, ATTRIBUTES, lacking

#: Text tokens alone, or followed by those of the picture.
Stream: TypeAlias = Literal["text", "joint"]


def config_of(model: Any) -> Any:
    """The config of a model's denoiser; None if it has none."""
    return getattr(denoiser(model), "config", None)


def cleans_captions() -> bool:
    """Whether what pipelines clean prompts with is installed; without it they say so every time."""
    return all(map(find_spec, ("bs4", "ftfy")))


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Stable Diffusion's way, and that of pipelines like it (1, 2, XL, 3, LCM).

    Attributes:
        size: height and width of the pictures in pixels; None takes the model's own.
        arguments: of the pipeline's call, instead of or besides those below. A picture is handed
            over once for each prompt.
    """

    size: tuple[int, int] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    #: What the pipeline must have, its call must take, and its denoiser's config must say.
    attributes: ClassVar[tuple[str, ...]] = ATTRIBUTES
    takes: ClassVar[tuple[str, ...]] = ARGUMENTS
    says: ClassVar[tuple[str, ...]] = ("in_channels", "sample_size")

    #: Whether the call takes initial latents; if not, the pipeline draws them from the generators.
    takes_latents: ClassVar[bool] = True

    #: Denoising steps of which the shortest call can consist.
    least_steps: ClassVar[int] = 1

    #: Text encoders whose tokens the denoiser reads, one after the other.
    text: ClassVar[tuple[str, ...]] = ("text_encoder",)

    #: Layers through which text tokens go alone; and text tokens followed by those of the picture.
    text_layers: ClassVar[str] = r"(^|\.)(attn2\.to_[kv]|add_[qkv]_proj|to_add_out|ff_context\..+)$"
    joint_layers: ClassVar[str] = r"(^|\.)single_transformer_blocks\..+"

    def missing(self, model: Any) -> list[str]:
        """What `model` lacks to be drawn with; empty if nothing."""
        return lacking(model, config_of(model), self.attributes, self.takes, self.says)

    # Size

    def scale(self, model: Any) -> int:
        """Pixels along a side of a latent."""
        return int(getattr(model, "vae_scale_factor", 8))

    def grain(self, model: Any) -> int:
        """Pixels of which a picture's sides are multiples."""
        return self.scale(model) * int(getattr(config_of(model), "patch_size", None) or 1)

    def own_size(self, model: Any) -> tuple[int, int]:
        """Height and width, in latents, of what the model draws unless told otherwise."""
        size = config_of(model).sample_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def latent_size(self, model: Any) -> tuple[int, int]:
        """Height and width of a picture's latents. Raises ConceptReviveError for a bad `size`."""
        if self.size is None:
            return self.own_size(model)
        grain, (height, width) = self.grain(model), self.size
        if any(side < grain or side % grain for side in (height, width)):
            raise ConceptReviveError(
                f"size is {height} × {width}: {type(model).__name__} draws pictures whose sides "
                f"are multiples of {grain} pixels"
            )
        return height // self.scale(model), width // self.scale(model)

    def pixels(self, model: Any) -> tuple[int, int]:
        """Height and width of a picture."""
        height, width = self.latent_size(model)
        return height * self.scale(model), width * self.scale(model)

    # The call

    def channels(self, model: Any) -> int:
        """Channels of the latents."""
        return int(config_of(model).in_channels)

    def latents(self, model: Any, noise: Float[Tensor, "pictures channels height width"]) -> Tensor:
        """`noise` as the pipeline takes its initial latents."""
        return noise

    def prompts(self, model: Any, prompts: Sequence[str]) -> dict[str, Any]:
        """The argument that says what to draw."""
        return {"prompt": list(prompts)}

    def extra(self, model: Any) -> dict[str, Any]:
        """Further arguments, such as a picture to start from."""
        return {}

    def sized(self, model: Any) -> dict[str, Any]:
        """The arguments that say how large a picture is."""
        return {} if self.size is None else {"height": self.size[0], "width": self.size[1]}

    def call(
        self,
        model: Any,
        prompts: Sequence[str],
        generators: list[torch.Generator],
        latents: Tensor | None,
        *,
        steps: int,
        guidance: float,
    ) -> dict[str, Any]:
        """All arguments of the pipeline's call."""
        given = {
            **self.prompts(model, prompts),
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "generator": generators,
            **({} if latents is None else {"latents": self.latents(model, latents)}),
            **self.sized(model),
            **self.extra(model),
            **self.arguments,
        }
        return {
            name: [value] * len(prompts) if isinstance(value, Image.Image) else value
            for name, value in given.items()
        }

    def layout(self, model: Any, guidance: float) -> Layout:
        """How guidance reaches the denoiser; asked while the pipeline runs."""
        guided = getattr(model, "do_classifier_free_guidance", False)
        return JOINT_HALVES if guided else UNGUIDED

    @contextmanager
    def steps(self, model: Any, hear: Callable[[Tensor], object]) -> Iterator[None]:
        """Within the block `hear(latents)` is called after each step of the model's scheduler."""
        scheduler = getattr(model, "scheduler", None)
        step = getattr(scheduler, "step", None)
        if scheduler is None or step is None:
            raise ConceptReviveError(
                f"{type(model).__name__} has no scheduler whose steps could be followed: give an "
                "Adapter with a `steps` of its own"
            )
        own = vars(scheduler).get("step")

        # Pipelines look at its signature to know what it takes.
        @wraps(step)
        def heard(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            hear(result[0])
            return result

        scheduler.step = heard
        try:
            yield
        finally:
            if own is None:
                del scheduler.step
            else:
                scheduler.step = own

    # Pictures

    def pictures(self, model: Any, result: Any, finite: list[bool]) -> list[Image.Image]:
        """The pictures of what the pipeline returned.

        Args:
            finite: what was seen of them on the way, see `watched`; for what was not, to be added.
        """
        return list(getattr(result, "images", []))

    def decode(self, model: Any, latents: Tensor) -> Float[Tensor, "pictures 3 height width"]:
        """Pixels of the latents at some step, as the pipeline decodes those of the last."""
        config = model.vae.config
        scaled = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
        pixels: Tensor = model.vae.decode(scaled.to(model.vae.dtype), return_dict=False)[0]
        return pixels

    def drawn(self, model: Any, pixels: Tensor) -> list[Image.Image]:
        """`decode`'s pixels as pictures."""
        images: list[Image.Image] = model.image_processor.postprocess(pixels, output_type="pil")
        return images

    # Text

    def stream(self, name: str) -> Stream | None:
        """Whether text tokens go through the layer `name`: alone, or before the picture's."""
        if re.search(self.text_layers, name):
            return "text"
        return "joint" if re.search(self.joint_layers, name) else None

    def text_mask(
        self, model: Any, masks: Sequence[Bool[Tensor, "samples tokens"]], tokens: int | None
    ) -> Bool[Tensor, "samples tokens"]:
        """Which of the denoiser's text tokens are no padding.

        Args:
            masks: the same of each text encoder in `text`.
            tokens: how many there are, in a layer through which they go alone.
        """
        return torch.cat(list(masks), dim=1)

    def joint_mask(
        self, text: Bool[Tensor, "samples text"], tokens: int
    ) -> Bool[Tensor, "samples tokens"]:
        """The same of text and picture: the picture's tokens follow."""
        return torch.cat([text, text.new_ones(len(text), tokens - text.shape[1])], dim=1)
