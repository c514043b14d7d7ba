"""Feed-forward blocks as diffusers and transformers write them: which layer is what.

A block widens its input by its first linear layer (or two, of which one is the gate) and contracts
it by its second, whose columns are the neurons that ConceptPrune looks at (paper §1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FeedForward:
    """A way of writing a block.

    Attributes:
        block: pattern of how the block's name ends; empty where it has none of its own.
        second: the contracting layer within it. first: the widening ones.
        value: the widening layer whose outputs, times a gate or through an activation, are the
            second's inputs one by one; one that makes gates too makes them in its second half.
        joined: the second layer's input begins with other things, as wide as its output.
        used_by: classes of models.
    """

    block: str
    second: str
    first: tuple[str, ...]
    value: str
    used_by: tuple[str, ...]
    joined: bool = False

    def stem_of(self, name: str, ends: Sequence[str]) -> str | None:
        """What stands before one of `ends` in the name of a layer of such a block."""
        for end in ends:
            if name.endswith(end) and re.search(rf"(^|\.){self.block}$", name.removesuffix(end)):
                return name.removesuffix(end)
        return None


#: Of denoisers.
DENOISING = (
    FeedForward(
        r"[^.]*ff(_context)?\.",
        "net.2",
        ("net.0.proj",),
        "net.0.proj",
        (
            "UNet2DConditionModel",
            "SD3Transformer2DModel",
            "PixArtTransformer2DModel",
            "HunyuanDiT2DModel",
            "DiTTransformer2DModel",
            "FluxTransformer2DModel",
            "ChromaTransformer2DModel",
        ),
    ),
    FeedForward(
        r"single_transformer_blocks\.\d+\.",
        "proj_out",
        ("proj_mlp",),
        "proj_mlp",
        ("FluxTransformer2DModel", "ChromaTransformer2DModel"),
        joined=True,
    ),
    FeedForward(
        r"ff\.", "conv_point", ("conv_inverted",), "conv_inverted", ("SanaTransformer2DModel",)
    ),
    FeedForward(
        r"feed_forward\.",
        "linear_2",
        ("linear_1", "linear_3"),
        "linear_3",
        ("Lumina2Transformer2DModel",),
    ),
    FeedForward(
        r"ff(_context)?\.",
        "out_projection",
        ("linear_1", "linear_2"),
        "linear_2",
        ("AuraFlowTransformer2DModel",),
    ),
)

#: Of text encoders.
ENCODING = (
    FeedForward(r"mlp\.", "fc2", ("fc1",), "fc1", ("CLIPTextModel",)),
    FeedForward(r"DenseReluDense\.", "wo", ("wi_0", "wi_1"), "wi_1", ("T5EncoderModel",)),
    FeedForward(r"DenseReluDense\.", "wo", ("wi",), "wi", ("T5EncoderModel",)),
    FeedForward(
        r"mlp\.", "down_proj", ("gate_proj", "up_proj"), "up_proj", ("Gemma2Model", "LlamaModel")
    ),
    FeedForward(
        r"layer\.\d+\.",
        "output.dense",
        ("intermediate.dense",),
        "intermediate.dense",
        ("BertModel",),
    ),
)


def second_of(name: str, forms: Sequence[FeedForward]) -> FeedForward | None:
    """The form of whose blocks `name` is the second layer."""
    return next((f for f in forms if f.stem_of(name, [f.second]) is not None), None)


def first_of(name: str, forms: Sequence[FeedForward]) -> FeedForward | None:
    """The form of whose blocks `name` is a first layer."""
    return next((f for f in forms if f.stem_of(name, f.first) is not None), None)


def value_layers(name: str) -> list[str]:
    """What the layer may be called whose outputs `name`, a second layer, takes one by one."""
    found = []
    for form in (*DENOISING, *ENCODING):
        stem = form.stem_of(name, [form.second])
        if stem is not None:
            found.append(stem + form.value)
    return found
