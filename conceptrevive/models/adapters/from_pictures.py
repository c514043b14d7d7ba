"""Pipelines that start from a picture, asked to draw from prompts alone.

They get an empty one: all of it to be painted, changed as far as it can be, or without edges to
follow. One's own is given as an argument of the call, see `Adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.layouts import THREE_PARTS, UNGUIDED, Layout
from conceptrevive.models.protocol import WITHOUT_LATENTS

GREY, WHITE, BLACK = (128,) * 3, (255,) * 3, (0,) * 3


@dataclass(frozen=True, kw_only=True)
class FromPicture(Adapter):
    """Pipelines that start from a picture."""

    def channels(self, model: Any) -> int:
        """The denoiser is shown the picture in further channels."""
        return int(model.vae.config.latent_channels)

    def blank(self, model: Any, colour: tuple[int, ...]) -> Image.Image:
        """A picture of one colour, as large as those that are drawn."""
        height, width = self.pixels(model)
        return Image.new("RGB", (width, height), colour)


class Inpaint(FromPicture):
    """Inpainting: the whole of a grey picture is to be painted."""

    def extra(self, model: Any) -> dict[str, Any]:
        """A grey picture, all of it masked."""
        height, width = self.pixels(model)
        said = {"image": self.blank(model, GREY), "mask_image": self.blank(model, WHITE)}
        return said | {"height": height, "width": width, "strength": 1.0}


class ImageToImage(FromPicture):
    """Image to image: from noise of the strength that leaves least of a grey picture."""

    takes = WITHOUT_LATENTS
    takes_latents = False

    def sized(self, model: Any) -> dict[str, Any]:
        """The picture says how large it is."""
        return {}

    def extra(self, model: Any) -> dict[str, Any]:
        """A grey picture, of which full strength leaves nothing."""
        return {"image": self.blank(model, GREY), "strength": 1.0}


class ControlNet(FromPicture):
    """ControlNet: a black picture, without an edge or a depth to follow."""

    def extra(self, model: Any) -> dict[str, Any]:
        """A black picture."""
        return {"image": self.blank(model, BLACK)}


class InstructPix2Pix(FromPicture):
    """InstructPix2Pix: a grey picture, and guidance of three parts."""

    def sized(self, model: Any) -> dict[str, Any]:
        """The picture says how large it is."""
        return {}

    def extra(self, model: Any) -> dict[str, Any]:
        """A grey picture."""
        return {"image": self.blank(model, GREY)}

    def layout(self, model: Any, guidance: float) -> Layout:
        """Prompt, picture, none."""
        return THREE_PARTS if model.do_classifier_free_guidance else UNGUIDED
