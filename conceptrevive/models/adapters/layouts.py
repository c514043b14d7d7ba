"""Guidance layouts: which parts of guidance a denoiser is handed, in how many calls a step."""

from __future__ import annotations

from typing import Literal, TypeAlias

#: What a sample is told: the prompt, none, or (InstructPix2Pix) the picture alone.
Part: TypeAlias = Literal["prompt", "none", "image"]

#: The calls of one prediction, in order; of each call the parts that make up its batch, in order,
#: each of them one sample for every picture.
Layout: TypeAlias = tuple[tuple[Part, ...], ...]

#: No guidance; also where its scale is an input of the network, into which it was distilled.
UNGUIDED: Layout = (("prompt",),)

#: Classifier-free guidance in one batch of two halves.
JOINT_HALVES: Layout = (("none", "prompt"),)

#: The same, the prompt's half first.
PROMPT_FIRST: Layout = (("prompt", "none"),)

#: Classifier-free guidance in two calls.
TWO_PASSES: Layout = (("prompt",), ("none",))

#: Guidance by prompt and by picture.
THREE_PARTS: Layout = (("prompt", "image", "none"),)


def samples(layout: Layout) -> int:
    """Samples that the denoiser is handed for each picture and prediction."""
    return sum(len(call) for call in layout)
