"""What layers are called in files and by modules: prefixes, kinds, layouts of other code."""

from __future__ import annotations

from collections.abc import Collection, Iterable

#: How the name of a module's weight ends.
WEIGHT = ".weight"

#: How tensors begin that are not named as diffusers does → (by which code, what to do).
LAYOUTS = {
    "model.diffusion_model.": ("the original Stable Diffusion (LDM)", "StableDiffusionPipeline"),
    "diffusion_model.": ("ComfyUI", "UNet2DConditionModel"),
    "double_blocks.": ("the original Flux", "FluxTransformer2DModel"),
    "joint_blocks.": ("the original Stable Diffusion 3", "SD3Transformer2DModel"),
}

ADAPTER = "lora_"


def match_names(names: Iterable[str], there: Collection[str]) -> dict[str, str]:
    """{name: which of `there` it means}: itself, or what all are with one prefix more, or less."""
    wanted = list(dict.fromkeys(names))
    same = {n: n for n in wanted if n in there}
    if len(same) == len(wanted):
        return same
    first = next(n for n in wanted if n not in same)
    more = {t.removesuffix(first) for t in there if t.endswith(f".{first}")}
    less = {first.removesuffix(t) for t in there if first.endswith(f".{t}")}
    found = [{n: f"{p}{n}" for n in wanted} for p in more]
    found += [{n: n.removeprefix(p) for n in wanted if n.startswith(p)} for p in less]
    fits = [m for m in found if len(m) == len(wanted) and all(t in there for t in m.values())]
    return fits[0] if len(fits) == 1 else same


def components_of(names: Iterable[str]) -> set[str]:
    """Components, beside the denoiser, that layers are of: "text_encoder" of "text_encoder/…"."""
    return {name.rpartition("/")[0] for name in names if "/" in name}


def layer_kind(name: str) -> str:
    """What a layer is within its block: the end of its name, after the last number of a block.

    `down_blocks.0.attentions.1.transformer_blocks.0.ff.net.2` and all others that end so are
    `ff.net.2`.
    """
    parts = name.rpartition("/")[2].split(".")
    inner = [i for i, part in enumerate(parts[:-2]) if part.isdigit()]
    return ".".join(parts[inner[-1] + 1 :]) if inner else ".".join(parts)


def layout_remedy(names: Collection[str]) -> str:
    """What to do about a file whose tensors are not named as diffusers does; "" for others."""
    for start, (code, loader) in LAYOUTS.items():
        if any(name.startswith(start) for name in names):
            return (
                f"its tensors are named as by {code} ({start}…), so convert it with diffusers: "
                f"{loader}.from_single_file(FILE).save_pretrained(FOLDER), and give the folder"
            )
    if any(ADAPTER in name for name in names):
        return "it is a LoRA, which adds to a model: fuse it into one, and give that"
    return ""
