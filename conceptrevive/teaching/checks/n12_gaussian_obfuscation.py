"""Checks of `notebooks/12_gaussian_obfuscation.py`."""

from __future__ import annotations

from math import atan, pi, tan
from typing import Any

import torch

from conceptrevive.defence.obfuscation import obfuscate
from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise(
    "gaussian_obfuscation.1",
    mistaken=(
        0.73,
        lambda most: 0.25,
        lambda most: tan(pi * most / 2),
        lambda most: 2 / pi * atan(1 / most),
        lambda most: 1 / tan(most / 2),
    ),
)
def least_ratio(answer: Any) -> Verdict:
    """AUC = 2/π · arctan(1/s) solved for s."""
    given = as_function(answer)
    for most in (0.5, 0.6, 0.84, 0.99):
        truth = 1 / tan(pi * most / 2)
        found = as_number(given(most), 0)
        if abs(found * truth - 1) < 1e-4 and abs(truth - 1) > 1e-4:
            return wrong("that is the ratio the other way round: σ_M is the smaller one.")
        if abs(found - truth) > 1e-4:
            return wrong(f"it is another for an AUC of {most:g}; it should be 1 for a coin's ½.")
    return right("an AUC near a coin's needs noise nearly as large as the weights.")


@exercise(
    "gaussian_obfuscation.2",
    mistaken=(
        0.11,
        lambda alpha, most: alpha,
        lambda alpha, most: alpha / (1 - alpha) * (1 - most) / most,
        lambda alpha, most: alpha / most if most > alpha else None,
        lambda alpha, most: alpha / (1 - alpha) if most > alpha else None,
    ),
)
def bounded_odds(answer: Any) -> Verdict:
    """odds(p(0)) = odds(α) / s, at most odds(most)."""
    given = as_function(answer)
    for alpha, most in ((0.1, 0.5), (0.1, 0.2), (0.02, 0.3), (0.3, 0.9)):
        truth = alpha / (1 - alpha) * (1 - most) / most
        if abs(as_number(given(alpha, most), 0) - truth) > 1e-4:
            return wrong(f"it is another for alpha {alpha:g} and {most:g}: compare odds.")
    if given(0.1, 0.05) is not None:
        return wrong("no size gives less than a blind guess knows: return None there.")
    return right("so even coin's odds for the smallest weights leave sizes much to tell.")


@exercise(
    "gaussian_obfuscation.3",
    mistaken=(
        1.8,
        lambda w, m: 1.0,
        lambda w, m: (w[m].std() / w.std()).item(),
        lambda w, m: (w[m].abs().mean() / w[~m].std()).item(),
        lambda w, m: (w[m].square().mean() / w[~m].var()).item(),
        lambda w, m: w[m].square().mean().sqrt().item(),
    ),
)
def doubled_change(answer: Any) -> Verdict:
    """The pruned weights' root mean square over the survivors' standard deviation."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(12)
    for scale in (0.04, 3.0):
        w = torch.randn(24, 200, generator=generator) * scale
        m = (w > 0.8 * scale) & (torch.rand(w.shape, generator=generator) < 0.6)
        truth = (w[m].square().mean().sqrt() / w[~m].std(correction=0)).item()
        found = as_number(given(w, m), 0)
        if abs(found - truth**2) < 1e-3 * truth:
            return wrong("that is the ratio of energies; σ_M is a standard deviation.")
        if abs(found - truth) > 1e-3 * truth:
            return wrong("it is another ratio: root mean square of the pruned, spread of the rest?")
    return right("below it, pruning itself is the larger disturbance.")


@exercise(
    "gaussian_obfuscation.4",
    mistaken=(0, lambda w: 0, lambda w: 7, lambda w: int(w.abs().argmin()) % 20),
)
def seed_of_the_noise(answer: Any) -> Verdict:
    """Every seed is tried on matrices that were filled with a known one."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(1300)  # none of those that are tried
    for seed in (3, 17):
        w = torch.randn(48, 160, generator=generator)
        m = torch.rand(w.shape, generator=generator) < 0.1
        filled = obfuscate({"layer": w}, {"layer": m}, sigma=0.25, seed=seed)["layer"]
        if as_number(given(filled), 0, 19) != seed:
            return wrong("it is another seed: for which one do most weights fit its noise?")
    return right("a seed that can be tried is as good as the map.")
