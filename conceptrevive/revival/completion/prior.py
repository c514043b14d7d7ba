"""Pruned entries are the large ones: completion and sign probabilities that know it.

Given the rest of its column an entry is Gaussian, N(μ, s²) with s² = 1/K_ii. That it was pruned
says |w| > t as well. The two together give its sign's log odds and E[w], which exceeds μ; and E[w]
in turn moves μ of the other pruned entries of the column. `mean_field` repeats this to its fixed
point. Without the threshold the fixed point is the conditional mean. No original value is used: how
far t is to be trusted, and how far the odds, is fitted on hidden surviving entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.revival.completion.conditional import System, conjugate_gradients, systems
from conceptrevive.revival.completion.covariance import column_model
from conceptrevive.revival.completion.holdout import hide_largest, thresholds

#: Shares of the thresholds read off the survivors that are tried; 0 is the Gaussian alone.
TRUSTS = (0.0, 0.5, 0.75, 1.0, 1.25)

TRUST_LAYERS = 4


def expected_value(
    mean: Float[Tensor, "*n"], deviation: Float[Tensor, "*n"], threshold: Float[Tensor, "*n"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """E[w | |w| > threshold] for w ~ N(mean, deviation²), and the log odds of w > 0."""
    above, below = (mean - threshold) / deviation, (-mean - threshold) / deviation
    log_above, log_below = torch.special.log_ndtr(above), torch.special.log_ndtr(below)
    logit = log_above - log_below
    up, down = (
        mean + deviation * _tail(above, log_above),
        mean - deviation * _tail(below, log_below),
    )
    return torch.lerp(down, up, torch.sigmoid(logit)), logit


def _tail(a: Float[Tensor, "*n"], log_probability: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """E[u | u > −a] of a standard normal u, φ(a) / Φ(a), with log Φ(a) at hand.

    Far out its asymptote, for float32.
    """
    density = torch.exp(-0.5 * a * a - 0.5 * math.log(2 * math.pi) - log_probability)
    return torch.where(a < -30, -a - 1 / a.clamp_max(-1), density)


def mean_field(
    z: Float[Tensor, "layers rows columns"],
    missing: Bool[Tensor, "layers rows columns"],
    *,
    side: Float[Tensor, "layers any_rows columns"] | None = None,
    ridge: float | None = None,
    trust: float | None = None,
    limit: int = 100,
    tolerance: float | None = None,
    name: str = "weight",
) -> tuple[
    Float[Tensor, "layers rows columns"],
    int,
    Bool[Tensor, " layers"],
    Float[Tensor, "layers rows columns"],
]:
    """Fill the missing entries of a stack with E[w | survivors, pruned].

    Args:
        z, missing, side, ridge, limit, name: as in `conditional_mean`; `limit` counts mean-field
            sweeps.
        trust: share of the thresholds believed; None takes `choose_trust`'s.
        tolerance: relative change of every column in a sweep, None: 1e-2.

    Returns: the filled stack in z's dtype, sweeps, bool (layers,) whether all columns settled, and
        the log odds of w > 0 (0 where observed).
    """
    trust = choose_trust(z, missing, side, ridge, name) if trust is None else trust
    k, offset = column_model(z, side, ridge, name)
    x = z.to(k.dtype, copy=True, memory_format=torch.contiguous_format)
    t, logit = trust * thresholds(x, missing), torch.zeros_like(x)
    steps, converged = 0, torch.ones(len(z), dtype=torch.bool, device=z.device)
    for system in systems(k, x, missing, offset):
        columns = system.columns
        found, odds, n, ok = _settle(system, columns.gather(t), limit, tolerance or 1e-2)
        columns.write(found, x)
        columns.write(odds, logit)
        steps = max(steps, n)
        converged[columns.layer[~ok]] = False
    return x.to(z.dtype), steps, converged, logit.to(z.dtype)


def _settle(
    system: System, t: Float[Tensor, "c m"], limit: int, tolerance: float
) -> tuple[Float[Tensor, "c m"], Float[Tensor, "c m"], int, Bool[Tensor, " c"]]:
    """Damped sweeps from the conditional mean.

    A column's step is halved when it moves more than the time before.
    """
    x, _, _ = conjugate_gradients(system.apply, system.right, system.diagonal, 50, 1e-4)
    deviation, before, n = system.diagonal.rsqrt(), torch.full_like(t[:, :1], math.inf), 0
    damping = torch.ones_like(before)
    while True:
        mean = x + (system.right - system.apply(x)) / system.diagonal + system.offset
        value, logit = expected_value(mean, deviation, t)
        move = (value - system.offset - x) * system.columns.valid
        change = torch.linalg.vector_norm(move, dim=1, keepdim=True)
        unsettled = change > tolerance * torch.linalg.vector_norm(x, dim=1, keepdim=True)
        if n == limit or not unsettled.any():
            return x + system.offset, logit, n, ~unsettled.squeeze(1)
        damping = torch.where(change > before, damping / 2, damping).clamp_min(1 / 32)
        x, before, n = x + damping * unsettled * move, change, n + 1


def choose_trust(
    z: Float[Tensor, "layers rows columns"],
    missing: Bool[Tensor, "layers rows columns"],
    side: Float[Tensor, "layers any_rows columns"] | None = None,
    ridge: float | None = None,
    name: str = "weight",
) -> float:
    """The trust with the likeliest signs of hidden surviving entries.

    One for the stack, chosen on up to TRUST_LAYERS.
    """
    some = slice(None, None, -(-len(z) // TRUST_LAYERS))
    z, missing, side = z[some], missing[some], None if side is None else side[some]
    return min(TRUSTS, key=lambda trust: _hidden_odds(z, missing, side, trust, ridge, name).loss)


@dataclass(frozen=True)
class HiddenOdds:
    """Log odds that the predicted sign of a hidden entry is right, against whether it is.

    Attributes:
        margin: (hidden,), the log odds of the true sign.
    """

    margin: Float[Tensor, " hidden"]

    @property
    def temperature(self) -> float:
        """The factor on the log odds that makes the true signs likeliest, by bisection in [0, 16].

        Two more signs of average margin, one right and one wrong, each a quarter of an entry, keep
        it finite where all of a few are right.
        """
        low, high = 0.0, 16.0
        average = self.margin.abs().mean(0, keepdim=True) if len(self.margin) else self.margin
        margin = torch.cat([self.margin, average, -average])
        weight = torch.ones_like(margin)
        weight[len(self.margin) :] = 0.25
        for _ in range(40):
            middle = (low + high) / 2
            slope = (weight * margin * torch.sigmoid(-middle * margin)).sum()
            low, high = (middle, high) if slope > 0 else (low, middle)
        return (low + high) / 2

    @property
    def loss(self) -> float:
        """Mean −log P(true sign) at the best temperature, in nats; log 2 = 0.693 is a coin's."""
        if not len(self.margin):
            return math.log(2)
        return float(torch.nn.functional.softplus(-self.temperature * self.margin).mean())


def _hidden_odds(
    z: Float[Tensor, "layers rows columns"],
    missing: Bool[Tensor, "layers rows columns"],
    side: Float[Tensor, "layers any_rows columns"] | None,
    trust: float,
    ridge: float | None,
    name: str,
) -> HiddenOdds:
    hidden = hide_largest(z, missing)
    *_, logit = mean_field(
        z.masked_fill(hidden, 0),
        missing | hidden,
        side=side,
        ridge=ridge,
        trust=trust,
        limit=20,
        name=name,
    )
    return HiddenOdds((logit * z.sign())[hidden].cpu().double())


@dataclass(frozen=True)
class SignProbability:
    """How sure each sign of a pruned entry is.

    Attributes:
        probability: (rows, columns), that the likelier sign is right, in [½, 1]; ½ where the weight
            survived.
        sign: (rows, columns) in {−1, 0, 1}, the likelier one; 0 where the weight survived.
        trust, temperature: what was fitted on hidden surviving entries. hidden: how many.
    """

    probability: Float[Tensor, "rows columns"]
    sign: Float[Tensor, "rows columns"]
    trust: float
    temperature: float
    hidden: int


def sign_probability(
    z: Float[Tensor, "rows columns"],
    missing: Bool[Tensor, "rows columns"],
    *,
    side: Float[Tensor, "any_rows columns"] | None = None,
    ridge: float | None = None,
    name: str = "weight",
) -> SignProbability:
    """Calibrated sign probabilities of one matrix, from its surviving entries alone.

    Args:
        z: (rows, columns) float32 or float64, 0 where missing; no row wholly missing. missing:
            bool.
        side: (any rows, columns), see `column_model`.
    """
    z, missing, side = z[None], missing[None], None if side is None else side[None]
    trust = choose_trust(z, missing, side, ridge, name)
    odds = _hidden_odds(z, missing, side, trust, ridge, name)
    *_, logit = mean_field(z, missing, side=side, ridge=ridge, trust=trust, name=name)
    probability = torch.sigmoid(odds.temperature * logit[0].abs())
    return SignProbability(probability, logit[0].sign(), trust, odds.temperature, len(odds.margin))
