"""The families of pipelines that draw in other ways than Stable Diffusion: what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.models.adapters.adapter import Adapter, cleans_captions, config_of
from conceptrevive.models.adapters.from_pictures import (
    ControlNet,
    ImageToImage,
    Inpaint,
    InstructPix2Pix,
)
from conceptrevive.models.adapters.layouts import JOINT_HALVES, TWO_PASSES, UNGUIDED, Layout
from conceptrevive.models.adapters.unprocessed import DeepFloyd, DiT, Kandinsky22
from conceptrevive.models.layers import denoiser


class StableDiffusion3(Adapter):
    """Text tokens of CLIP, then of T5, or zeros where T5 was left out."""

    text = ("text_encoder", "text_encoder_3")

    def text_mask(
        self, model: Any, masks: Sequence[Bool[Tensor, "samples tokens"]], tokens: int | None
    ) -> Bool[Tensor, "samples tokens"]:
        """CLIP's and T5's; zeros that stand for T5 are padding."""
        mask = super().text_mask(model, masks, tokens)
        if tokens is None or model.text_encoder_3 is not None:
            return mask
        return torch.cat([mask, mask.new_zeros(len(mask), tokens - mask.shape[1])], dim=1)


class PixArt(Adapter):
    """PixArt-α and Σ: no property that tells of guidance, and sizes as they are asked for."""

    def extra(self, model: Any) -> dict[str, Any]:
        """No other size than the one asked for."""
        return {"use_resolution_binning": False, "clean_caption": cleans_captions()}

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two halves from a scale above 1 on."""
        return JOINT_HALVES if guidance > 1 else UNGUIDED


class PixArtAlpha(PixArt):
    """One step is another method's, of distilled models alone."""

    least_steps = 2


class HunyuanDiT(Adapter):
    """Text tokens of BERT, then of T5; sizes as they are asked for."""

    text = ("text_encoder", "text_encoder_2")

    def extra(self, model: Any) -> dict[str, Any]:
        """No other size than the one asked for."""
        return {"use_resolution_binning": False}


class Sana(Adapter):
    """The call's own size is 1024, whatever the model was made for."""

    def extra(self, model: Any) -> dict[str, Any]:
        """The model's own size, or the one asked for."""
        height, width = self.pixels(model)
        return {"use_resolution_binning": False, "height": height, "width": width}

    def text_mask(
        self, model: Any, masks: Sequence[Bool[Tensor, "samples tokens"]], tokens: int | None
    ) -> Bool[Tensor, "samples tokens"]:
        """Of a prompt behind an instruction the first token is kept, and the last ones."""
        (mask,) = masks
        if tokens is None or mask.shape[1] == tokens:
            return mask
        return mask[:, [0, *range(1 - tokens, 0)]]


class AuraFlow(Adapter):
    """The call's own size is 1024, as far as the model's positions reach."""

    def own_size(self, model: Any) -> tuple[int, int]:
        """1024 pixels, as far as the positions reach."""
        config = config_of(model)
        reach = math.isqrt(config.pos_embed_max_size) * config.patch_size
        side = min(1024 // self.scale(model), reach)
        return side, side

    def sized(self, model: Any) -> dict[str, Any]:
        """The size always, as the call's own may be out of reach."""
        height, width = self.pixels(model)
        return {"height": height, "width": width}

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two halves from a scale above 1 on."""
        return JOINT_HALVES if guidance > 1 else UNGUIDED

    def text_mask(
        self, model: Any, masks: Sequence[Bool[Tensor, "samples tokens"]], tokens: int | None
    ) -> Bool[Tensor, "samples tokens"]:
        """The network's own register tokens come first; they are no padding."""
        (mask,) = masks
        registers = getattr(denoiser(model), "register_tokens", torch.empty(1, 0)).shape[1]
        return torch.cat([mask.new_ones(len(mask), registers), mask], dim=1)


@dataclass(frozen=True, kw_only=True)
class OfDefaultSize(Adapter):
    """Pipelines that know their size themselves."""

    says: ClassVar[tuple[str, ...]] = ("in_channels",)

    def own_size(self, model: Any) -> tuple[int, int]:
        """What the pipeline says."""
        return model.default_sample_size, model.default_sample_size


class Flux(OfDefaultSize):
    """Latents in packs of four; the guidance scale is an input of the network, or not used."""

    text = ("text_encoder_2",)

    def grain(self, model: Any) -> int:
        """Two latents along a side are packed."""
        return 2 * self.scale(model)

    def channels(self, model: Any) -> int:
        """Of the latents before they are packed."""
        return super().channels(model) // 4

    def latents(self, model: Any, noise: Float[Tensor, "pictures channels height width"]) -> Tensor:
        """Noise in packs of two by two."""
        packed: Tensor = model._pack_latents(noise, *noise.shape)
        return packed

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two calls where a second prompt is to be kept away from, else none."""
        said = self.arguments
        twice = said.get("true_cfg_scale", 1) > 1 and said.get("negative_prompt") is not None
        return TWO_PASSES if twice else UNGUIDED

    def decode(self, model: Any, latents: Tensor) -> Float[Tensor, "pictures 3 height width"]:
        """Unpacked first."""
        whole = model._unpack_latents(latents, *self.pixels(model), model.vae_scale_factor)
        return super().decode(model, whole)


class Chroma(Flux):
    """As Flux, guided in two passes, and with one text encoder."""

    text = ("text_encoder",)

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two calls where it guides."""
        return TWO_PASSES if model.do_classifier_free_guidance else UNGUIDED


class Lumina2(OfDefaultSize):
    """Guided in two passes; text without its padding, then the picture, then padding."""

    text_layers = r"^context_refiner\."
    joint_layers = r"^layers\."

    def layout(self, model: Any, guidance: float) -> Layout:
        """Two calls where it guides."""
        return TWO_PASSES if model.do_classifier_free_guidance else UNGUIDED

    def joint_mask(
        self, text: Bool[Tensor, "samples text"], tokens: int
    ) -> Bool[Tensor, "samples tokens"]:
        """The text's own tokens, the picture's, and then the padding of the longest text."""
        lengths = text.sum(1)
        picture = tokens - int(lengths.max())
        return torch.arange(tokens, device=text.device) < (lengths + picture)[:, None]


#: {class of a pipeline: its adapter}; subclasses of these pipelines are drawn with in the same way.
SHIPPED: dict[str, type[Adapter]] = {
    "StableDiffusionInpaintPipeline": Inpaint,
    "StableDiffusionXLInpaintPipeline": Inpaint,
    "StableDiffusionImg2ImgPipeline": ImageToImage,
    "StableDiffusionControlNetPipeline": ControlNet,
    "StableDiffusionXLControlNetPipeline": ControlNet,
    "StableDiffusionInstructPix2PixPipeline": InstructPix2Pix,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "PixArtAlphaPipeline": PixArtAlpha,
    "PixArtSigmaPipeline": PixArt,
    "FluxPipeline": Flux,
    "ChromaPipeline": Chroma,
    "SanaPipeline": Sana,
    "Lumina2Pipeline": Lumina2,
    "AuraFlowPipeline": AuraFlow,
    "HunyuanDiTPipeline": HunyuanDiT,
    "KandinskyV22CombinedPipeline": Kandinsky22,
    "IFPipeline": DeepFloyd,
    "DiTPipeline": DiT,
}
