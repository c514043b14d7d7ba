"""Checks of `notebooks/16_stable_diffusion_gpu.py`."""

from __future__ import annotations

from typing import Any

from conceptrevive.experiments.operations import shapes
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)

#: Of the interval: 95 %.
Z = 1.959964


def _masked_share(skill_ratio: float) -> float:
    """The most that one denoising step's mask takes of all the UNet's weights."""
    unet = shapes()[0]
    layers = [m.weight for n, m in unet.named_modules() if n.endswith("ff.net.2")]
    taken = sum(rows * int(skill_ratio * columns) for rows, columns in (w.shape for w in layers))
    return float(taken / sum(p.numel() for p in unet.parameters()))


@exercise("stable_diffusion_gpu.1", mistaken=(0.02, 0.0577, 0.115, 0.0009, 0.0012, 0.00231))
def share_of_a_mask(answer: Any) -> Verdict:
    """⌊k · columns⌋ weights of each row of sixteen layers, of all of the UNet's."""
    given, truth = as_number(answer, 0, 1), _masked_share(0.02)
    if abs(given / (100 * truth) - 1) < 0.01:
        return wrong("that is per cent; give the share itself.")
    if abs(given / truth - 1) > 0.01:
        return wrong("it is another share: rows times kept columns, of all the UNet's weights.")
    return right("the paper says about 0.12 %, after ten steps are united.")


@exercise(
    "stable_diffusion_gpu.2",
    mistaken=(
        537e6,
        lambda pictures, heads, tokens: pictures * heads * tokens**2 * 2,
        lambda pictures, heads, tokens: 2 * pictures * heads * tokens**2,
        lambda pictures, heads, tokens: 2 * pictures * heads * tokens * 77 * 2,
        lambda pictures, heads, tokens: 2 * pictures * tokens**2 * 2,
        lambda pictures, heads, tokens: 2 * pictures * heads * tokens**2 * 4,
    ),
)
def bytes_of_a_map(answer: Any) -> Verdict:
    """Two halves, each head, each pair of tokens, two bytes."""
    given = as_function(answer)
    for pictures, heads, tokens in ((1, 8, 4096), (2, 8, 4096), (3, 5, 64)):
        truth = 2 * pictures * heads * tokens**2 * 2
        found = as_number(given(pictures, heads, tokens), 0)
        if abs(found * 2 / truth - 1) < 1e-6:
            return wrong("a factor of two is missing: guidance, or bytes?")
        if abs(found / 2 / truth - 1) < 1e-6:
            return wrong("a factor of two is too many: float16 is two bytes, and halves are two.")
        if abs(found / truth - 1) > 1e-6:
            return wrong("it is another number: one value for each pair of tokens.")
    return right("a fused kernel needs none of it, in any layer.")


@exercise(
    "stable_diffusion_gpu.3",
    mistaken=(
        2401,
        lambda share: 0.25 * Z**2 / share**2,
        lambda share: 0.25 * Z / (share - 0.5) ** 2,
        lambda share: 0.5 * Z / (share - 0.5),
        lambda share: 0.25 / (share - 0.5) ** 2,
    ),
)
def needed_signs(answer: Any) -> Verdict:
    """n at which |p − ½| is Z · √(¼/n), which is where Wilson's interval ends at ½."""
    given = as_function(answer)
    for share in (0.51, 0.55, 0.7):
        truth = 0.25 * Z**2 / (share - 0.5) ** 2
        if abs(as_number(given(share), 0) - truth) > max(2.5, 0.03 * truth):
            return wrong(
                f"it is another number for a share of {share:g}: how far is that from ½, and how "
                "many of a coin's standard errors must it be?"
            )
    return right("a coin is told from 0.51 only by many signs, from 0.7 by two dozen.")
