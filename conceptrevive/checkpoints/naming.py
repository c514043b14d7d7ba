"""What layers are called in files and by modules: prefixes, kinds, layouts of other code."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from conceptrevive.models.addresses import DENOISERS, split_component

#: What stands before the denoiser's names in a file of a whole model.
LDM = "model.diffusion_model."

#: How tensors begin, behind `LDM` or without it, that are not named as diffusers does → (by which
#: code, what converts it).
LAYOUTS = {
    "distilled_guidance_layer.": ("the original Chroma", "ChromaTransformer2DModel"),
    "double_blocks.": ("the original Flux", "FluxTransformer2DModel"),
    "joint_blocks.": ("the original Stable Diffusion 3", "SD3Transformer2DModel"),
    "double_layers.": ("the original AuraFlow", "AuraFlowTransformer2DModel"),
    "cap_embedder.": ("the original Lumina-Image 2", "Lumina2Transformer2DModel"),
    "attention_y_norm.": ("the original Sana", "SanaTransformer2DModel"),
    "conditioner.": ("the original Stable Diffusion XL", "StableDiffusionXLPipeline"),
    "input_blocks.": ("the original Stable Diffusion (LDM)", "StableDiffusionPipeline"),
}

#: How names begin in parts of such files, which diffusers does not convert.
BARE = ("diffusion_model.", "input_blocks.")

ADAPTER = "lora_"

#: How names begin as diffusers gives them.
DIFFUSERS = ("down_blocks.", "transformer_blocks.", "joint_transformer_blocks.")

#: Lists within a layer's own name: the number after them is not a block's.
_WITHIN = ("net", "to_out")


def components_of(names: Iterable[str]) -> set[str]:
    """Components, beside the denoiser, that layers are of: "text_encoder" of "text_encoder/…"."""
    return {split_component(name)[0] for name in names} - {"", *DENOISERS}


def layer_kind(name: str) -> str:
    """What a layer is in its list of blocks: that list's name, and its own after the number.

    `down_blocks.0.attentions.1.transformer_blocks.0.ff.net.2` and all others that end so are
    `transformer_blocks.ff.net.2`.
    """
    parts = name.rpartition("/")[2].split(".")
    blocks = [
        i for i in range(1, len(parts) - 1) if parts[i].isdigit() and parts[i - 1] not in _WITHIN
    ]
    if not blocks:
        return ".".join(parts)
    return ".".join([parts[blocks[-1] - 1], *parts[blocks[-1] + 1 :]])


def layout_remedy(names: Collection[str]) -> str:
    """What to do about a file whose tensors are not named as diffusers does; "" for others."""
    if any(ADAPTER in name for name in names):
        return "it is a LoRA, which adds to a model: fuse it into one, and give that"
    if any(name.startswith(DIFFUSERS) for name in names):
        return ""  # named as diffusers does, or brought to it; what stays as it was is no obstacle
    if bare := next((n for n in names if n.startswith(BARE)), ""):
        start = next(start for start in BARE if bare.startswith(start))
        return (
            f"its tensors are named as in parts of the original Stable Diffusion or of ComfyUI "
            f"({start}…), which diffusers does not convert: give the file of the whole model, "
            f"whose names begin with {LDM}"
        )
    for start, (code, loader) in LAYOUTS.items():
        if any(name.startswith((start, LDM + start)) for name in names):
            return f"its tensors are named as by {code} ({start}…), so {converting(loader)}"
    return ""


def converting(loader: str) -> str:
    """How to make a folder of diffusers' layout from a file of another."""
    return (
        f"convert it with diffusers: {loader}.from_single_file(FILE).save_pretrained(FOLDER), and "
        "give the folder"
    )
