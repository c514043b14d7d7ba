"""What an attacker knows of where a concept was: exact zeros, a guess, noise drawn again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.defence.obfuscation import standard_normal
from conceptrevive.defence.precision import precision
from conceptrevive.errors import ConceptReviveError, expect_number, expect_seed
from conceptrevive.models.selection import Layers, chosen_of
from conceptrevive.unlearning.fit import check_matrices
from conceptrevive.unlearning.masks import MaskSet


def zero_masks(
    weights: Mapping[str, Float[Tensor, "rows columns"]], layers: Layers = None
) -> MaskSet:
    """The map an attacker reads off a pruned checkpoint: where its weights are exactly 0.

    Args:
        layers: which of the weights are looked at, see `Selection.of`; None takes all.
    """
    check_matrices(weights)
    where = chosen_of(weights, layers)
    return MaskSet({n: weights[n] == 0 for n in where}, concept="exact zeros")


def guess_everywhere(
    weights: Mapping[str, Float[Tensor, "rows columns"]], fraction: float, layers: Layers = None
) -> MaskSet:
    """As `guess_masks`, but the smallest |w| of all layers together, wherever they are.

    Args:
        fraction: which share of all entries.
        layers: see `zero_masks`.

    Raises:
        ConceptReviveError: a share out of [0, 1].
    """
    check_matrices(weights)
    weights = {n: weights[n] for n in chosen_of(weights, layers)}
    _check_share(fraction, "fraction")
    sizes = torch.cat([w.detach().float().abs().flatten().cpu() for w in weights.values()])
    chosen = torch.zeros(len(sizes), dtype=torch.bool)
    chosen[sizes.topk(round(fraction * len(sizes)), largest=False).indices] = True
    parts = torch.split(chosen, [w.numel() for w in weights.values()])
    return MaskSet(
        {
            n: part.view(w.shape).to(w.device)
            for (n, w), part in zip(weights.items(), parts, strict=True)
        },
        concept="guess: smallest magnitudes of all",
    )


def guess_masks(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    fraction: float | Mapping[str, float],
    layers: Layers = None,
) -> MaskSet:
    """What an attacker who finds no zeros may try: per row, the entries with the smallest |w|.

    Args:
        fraction: which share of a row; the pruning rate the attacker knows or assumes, one for all
            or one per layer.
        layers: see `zero_masks`.

    Raises:
        ConceptReviveError: a share out of [0, 1], or missing for a layer.
    """
    check_matrices(weights)
    out = {}
    for name in chosen_of(weights, layers):
        w = weights[name]
        if isinstance(fraction, Mapping) and name not in fraction:
            raise ConceptReviveError(
                f"{name}: fraction has no share for this layer: give one for each, or one for all"
            )
        share = fraction[name] if isinstance(fraction, Mapping) else fraction
        _check_share(share, f"{name}: fraction")
        count = round(share * w.shape[1])
        mask = torch.zeros_like(w, dtype=torch.bool)
        if count:
            mask.scatter_(1, w.float().abs().topk(count, dim=1, largest=False).indices, True)
        out[name] = mask
    return MaskSet(out, concept="guess: smallest magnitudes")


def _check_share(share: float, name: str) -> None:
    expect_number(share, name)
    if not 0 <= share <= 1:
        raise ConceptReviveError(f"{name} is {share}; it is a share of the entries, in [0, 1]")


def redrawn_positions(
    weights: Mapping[str, Float[Tensor, "rows columns"]], seed: int, tolerance: float = 1e-3
) -> MaskSet:
    """Where `obfuscate` with a known `seed` put noise: the attack that makes the seed a secret.

    The noise is drawn again; at filled positions weight / noise is one number, the layer's σ_M,
    which is found where the quotients crowd.

    Args:
        weights: every layer that was filled, in the order in which it was.
        tolerance: relative distance from σ_M that counts, above the rounding of the weights'
            precision.

    Returns: masks; with any other seed they hold a few positions by chance.
    """
    check_matrices(weights)
    expect_seed(seed)
    expect_number(tolerance, "tolerance")
    if not 0 < tolerance < 1:
        raise ConceptReviveError(f"tolerance is {tolerance}: it is a relative distance, in (0, 1)")
    draw, out = standard_normal(seed), {}
    for name, w in weights.items():
        quotient = (w.detach().cpu().double() / draw(w.shape)).log()  # NaN where the signs differ
        width = max(tolerance, 2 * torch.finfo(precision(w)).eps)
        known = quotient[torch.isfinite(quotient)]
        bins = (known / width).round()
        values, counts = torch.unique(bins, return_counts=True)
        level = float(values[counts.argmax()]) * width if len(known) else 0.0
        out[name] = ((quotient - level).abs() <= width).to(w.device)
    return MaskSet(out, concept="noise drawn again")
