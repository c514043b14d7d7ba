"""Weights rounded to few levels and back, in the ways quantisation does it: clean, though full of
exact zeros.

The arithmetic of each format's public definition and nothing else: no search for the best scale, no
error feedback, as neither changes which grid the values lie on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Groups = Float[Tensor, "groups size"]
RoundTrip = Callable[[Tensor], Tensor]

#: Magnitudes of four-bit floats (E2M1, as MXFP4 and NVFP4 use them).
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])

#: The sixteen levels of GGUF's IQ4_NL, over 127.
IQ4_NL = torch.tensor([-127.0, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])

FLOAT8 = {
    "E4M3": torch.float8_e4m3fn,
    "E5M2": torch.float8_e5m2,
    "E4M3 fnuz": torch.float8_e4m3fnuz,
    "E5M2 fnuz": torch.float8_e5m2fnuz,
}


def largest(groups: Groups) -> Float[Tensor, "groups 1"]:
    """Each row's largest magnitude, not 0."""
    return groups.abs().amax(1, keepdim=True).clamp_min(1e-12)


def rounded(groups: Groups, levels: int) -> Groups:
    """Every row rounded to ± `levels` steps of its own and back."""
    step = largest(groups) / levels
    return (groups / step).round().clamp(-levels - 1, levels) * step


def ternary(groups: Groups) -> Groups:
    """Every row to -1, 0 and 1 times its mean magnitude (BitNet b1.58; Ma et al. 2024)."""
    scale = groups.abs().mean(1, keepdim=True).clamp_min(1e-12)
    return (groups / scale).round().clamp(-1, 1) * scale


def with_zero_point(groups: Groups, bits: int) -> Groups:
    """Every row rounded to 2^bits steps between its least and largest entry, 0 among them (GPTQ,
    AWQ).
    """
    low, high = groups.amin(1, keepdim=True).clamp_max(0), groups.amax(1, keepdim=True).clamp_min(0)
    step = ((high - low) / (2**bits - 1)).clamp_min(1e-12)
    zero = (-low / step).round()
    return ((groups / step + zero).round().clamp(0, 2**bits - 1) - zero) * step


def with_minimum(groups: Groups, bits: int) -> Groups:
    """Every row rounded to 2^bits steps up from its least entry, both in half precision (GGUF Q4_1,
    Q5_1).
    """
    low = groups.amin(1, keepdim=True)
    step = ((groups.amax(1, keepdim=True) - low) / (2**bits - 1)).clamp_min(1e-12)
    q = ((groups - low) / step).round()
    return q * half(step) + half(low)


def half(x: Tensor) -> Tensor:
    """Rounded to float16 and back, but not to 0."""
    return x.half().float() + (x.half() == 0) * x.sign() * 2.0**-24


def nearest(x: Tensor, levels: Float[Tensor, " levels"]) -> Tensor:
    """The nearest level of each entry."""
    levels = levels.sort().values
    return levels[torch.bucketize(x.contiguous(), (levels[1:] + levels[:-1]) / 2)]


def in_table(groups: Groups, levels: Float[Tensor, " levels"]) -> Groups:
    """Every row rounded to a table of levels, scaled so that the largest of both meet."""
    scale = largest(groups) / levels.abs().max()
    return nearest(groups / scale, levels) * scale


def normal_float(groups: Groups) -> Groups:
    """Every row rounded to 16 quantiles of a Gaussian, 0 among them (NF4; Dettmers et al. 2023)."""
    q = torch.special.ndtri
    level = torch.cat([q(torch.linspace(0.0323, 0.5, 8)), -q(torch.linspace(0.0323, 0.5, 9)[:8])])
    return in_table(groups, level)


def exponents(groups: Groups, top: int) -> Float[Tensor, "groups 1"]:
    """A power of two per row, as shared E8M0 scales are: that of its largest entry, less the
    format's own `top`.
    """
    return torch.exp2(largest(groups).log2().floor() - top)


def mxfp4(groups: Groups) -> Groups:
    """E2M1 under one power of two per row of 32 (OCP microscaling formats)."""
    scale = exponents(groups, 2)
    return nearest(groups / scale, torch.cat([-E2M1, E2M1[1:]])) * scale


def nvfp4(groups: Groups) -> Groups:
    """E2M1 under one E4M3 scale per row of 16 and one float32 scale for all."""
    scale = groups.abs().max().clamp_min(1e-12) / (6 * 448)
    own = (largest(groups) / 6 / scale).to(torch.float8_e4m3fn).float().clamp_min(2.0**-9) * scale
    return nearest(groups / own, torch.cat([-E2M1, E2M1[1:]])) * own


def float8(groups: Groups, dtype: torch.dtype, scale: Tensor | float | None = None) -> Groups:
    """Every row in an eight-bit float, scaled to its range unless a scale is given."""
    most = torch.finfo(dtype).max
    scale = largest(groups) / most if scale is None else scale
    return (groups / scale).clamp(-most, most).to(dtype).float() * scale


def mxfp8(groups: Groups, dtype: torch.dtype) -> Groups:
    """An eight-bit float under one power of two per row of 32."""
    top = int(torch.tensor(torch.finfo(dtype).max).log2().floor())
    return float8(groups, dtype, exponents(groups, top))


def super_blocks(groups: Groups, sub: int, bits: int, scale_bits: int, minimum: bool) -> Groups:
    """GGUF's K-quants: rows of 256 with a scale (and a minimum) per `sub` entries, themselves in
    few bits.
    """
    x = groups.reshape(len(groups), -1, sub if groups.shape[1] % sub == 0 else groups.shape[1])
    most = 2**scale_bits - 1
    if minimum:
        low = -x.amin(2).clamp_max(0)
        step = (x.amax(2) + low) / (2**bits - 1)
        low = (low / (unit := half(largest(low) / most))).round() * unit
    else:
        low = torch.zeros(x.shape[:2])
        step = x.abs().amax(2) / 2 ** (bits - 1)
    unit = half(largest(step) / most)
    step = ((step / unit).round() * unit)[..., None]
    lowest, highest = (0, 2**bits - 1) if minimum else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    q = ((x + low[..., None]) / step.clamp_min(1e-12)).round().clamp(lowest, highest)
    return (q * step - low[..., None]).reshape(groups.shape)


def blocks(size: int, to: Callable[[Groups], Groups]) -> RoundTrip:
    """`to` on blocks of `size` entries, rows first; on whole rows where they do not fit."""

    def trip(w: Tensor) -> Tensor:
        flat = w.reshape(-1, size) if w.numel() % size == 0 else w.flatten(1)
        return to(flat).reshape(w.shape)

    return trip


def rows(to: Callable[[Groups], Groups]) -> RoundTrip:
    """`to` on whole rows."""
    return lambda w: to(w.flatten(1)).reshape(w.shape)


def columns(to: Callable[[Groups], Groups]) -> RoundTrip:
    """`to` on whole columns."""
    return lambda w: to(w.flatten(1).T).T.reshape(w.shape)


def tensor(to: Callable[[Groups], Groups]) -> RoundTrip:
    """`to` on all entries at once."""
    return lambda w: to(w.reshape(1, -1)).reshape(w.shape)


def shuffled(trip: RoundTrip) -> RoundTrip:
    """The same with columns in another order meanwhile, as GPTQ's act-order takes them."""

    def inner(w: Tensor) -> Tensor:
        flat = w.flatten(1)
        order = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
        return trip(flat[:, order])[:, order.argsort()].reshape(w.shape)

    return inner


def tiles(size: int, dtype: torch.dtype) -> RoundTrip:
    """Eight-bit floats with one scale per square tile; whole rows where tiles do not fit."""

    def trip(w: Tensor) -> Tensor:
        flat = w.flatten(1)
        if flat.shape[0] % size or flat.shape[1] % size:
            return float8(flat, dtype).reshape(w.shape)
        x = flat.unflatten(0, (-1, size)).unflatten(2, (-1, size)).transpose(1, 2)
        return (
            float8(x.flatten(2).flatten(0, 1), dtype)
            .reshape(x.shape)
            .transpose(1, 2)
            .reshape(w.shape)
        )

    return trip


def averaged(trip: RoundTrip, share: float = 0.5) -> RoundTrip:
    """Two quantised copies interpolated: of the weights and of a sibling that was trained a little
    further.
    """

    def inner(w: Tensor) -> Tensor:
        noise = torch.randn(w.shape, generator=torch.Generator().manual_seed(1))
        sibling = w + 0.1 * w.std() * noise
        return share * trip(w) + (1 - share) * trip(sibling)

    return inner


INTEGERS: dict[str, RoundTrip] = {
    "int8 per tensor": tensor(lambda x: rounded(x, 127)),
    "int8 per row": rows(lambda x: rounded(x, 127)),
    "int4 per row": rows(lambda x: rounded(x, 7)),
    "int8 per column": columns(lambda x: rounded(x, 127)),
    "int8 per block": blocks(32, lambda x: rounded(x, 127)),
    "int8 per row, zero point": rows(lambda x: with_zero_point(x, 8)),
    "int4 per 128, zero point": blocks(128, lambda x: with_zero_point(x, 4)),
    "int4 per 128, act-order": shuffled(blocks(128, lambda x: with_zero_point(x, 4))),
    "int3 per 64, zero point": blocks(64, lambda x: with_zero_point(x, 3)),
    "ternary per row": rows(ternary),
}
FLOATS: dict[str, RoundTrip] = {
    "NF4": blocks(64, normal_float),
    "MXFP4": blocks(32, mxfp4),
    "NVFP4": blocks(16, nvfp4),
    "FP8 E4M3 unscaled": lambda w: float8(w, torch.float8_e4m3fn, 1.0),
    "FP8 E4M3 per tile": tiles(128, torch.float8_e4m3fn),
    **{f"FP8 {n} per row": rows(lambda x, d=d: float8(x, d)) for n, d in FLOAT8.items()},
    **{f"FP8 {n} per tensor": tensor(lambda x, d=d: float8(x, d)) for n, d in FLOAT8.items()},
    "MXFP8 E4M3": blocks(32, lambda x: mxfp8(x, torch.float8_e4m3fn)),
    "MXFP8 E5M2": blocks(32, lambda x: mxfp8(x, torch.float8_e5m2)),
}
GGUF: dict[str, RoundTrip] = {
    "Q4_0": blocks(32, lambda x: rounded(x, 8)),
    "Q4_1": blocks(32, lambda x: with_minimum(x, 4)),
    "Q5_0": blocks(32, lambda x: rounded(x, 16)),
    "Q5_1": blocks(32, lambda x: with_minimum(x, 5)),
    "Q8_0": blocks(32, lambda x: rounded(x, 127)),
    "Q2_K": blocks(256, lambda x: super_blocks(x, 16, 2, 4, True)),
    "Q3_K": blocks(256, lambda x: super_blocks(x, 16, 3, 6, False)),
    "Q4_K": blocks(256, lambda x: super_blocks(x, 32, 4, 6, True)),
    "Q5_K": blocks(256, lambda x: super_blocks(x, 32, 5, 6, True)),
    "Q6_K": blocks(256, lambda x: super_blocks(x, 16, 6, 7, False)),
    "IQ4_NL": blocks(32, lambda x: in_table(x, IQ4_NL)),
}
AVERAGES: dict[str, RoundTrip] = {
    f"average of {n}": averaged(trip)
    for n, trip in {**INTEGERS, **FLOATS, **GGUF}.items()
    if n in ("int8 per row", "int4 per row", "NF4", "NVFP4", "FP8 E4M3 per row", "Q4_K", "Q8_0")
} | {"0.3 of one NF4 copy": averaged(FLOATS["NF4"], 0.3)}

ROUND_TRIPS = INTEGERS | FLOATS | GGUF | AVERAGES
