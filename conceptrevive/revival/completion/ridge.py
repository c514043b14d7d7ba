"""The ridge that best predicts the surviving entries, each left out in turn, in closed form.

A pruned matrix is all that an attacker has, and it is enough to choose by: what survived is known.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

#: Ridges tried, from 1 down or up, and the columns on which they are.
RIDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)

LEFT_OUT_COLUMNS = 256

#: A change of the log error per e-fold of the ridge too small to move for: the next ridge would
#: lower the error by less than one per cent.
SLIGHT = 0.01


def leave_one_out_ridge(
    z: Float[Tensor, "layers rows columns"], c: Float[Tensor, "layers rows rows"] | None = None
) -> Float[Tensor, " layers"]:
    """The ridge that best predicts each surviving entry from the rest of its column.

    It is relative to the mean diagonal.

    Entry i of column z_j is predicted with both left out: j from the covariance, i from the column.
    With g = K z_j and h = z_jᵀ g the error is closed (Sherman and Morrison): (g_i n / (n − h)) /
    (K_ii + g_i² / (n − h)). Its mean square over the surviving entries of at most LEFT_OUT_COLUMNS
    columns is followed downhill along RIDGES.

    Args:
        z: (layers, rows, columns), 0 where missing. c: ZZᵀ/n, if it is there already.

    Returns: (layers,).
    """
    return search_ridge(z, z @ z.mT / z.shape[-1] if c is None else c)[0]


def search_ridge(
    z: Float[Tensor, "layers rows columns"], c: Float[Tensor, "layers rows rows"]
) -> tuple[Float[Tensor, " layers"], list[Float[Tensor, "rows rows"] | None]]:
    """`leave_one_out_ridge`, and each layer's inverse of C with that ridge.

    None where C with it is not positive definite. The slope of the error says where to look next:
    downhill, and nowhere where it is slight. The error is taken to have one valley.
    """
    known, best = _Errors(z, c), [RIDGES.index(1.0)] * len(z)
    known.look(best[0], list(range(len(z))))
    for step in (-1, 1):
        moving = list(range(len(z)))
        while moving := [j for j in moving if known.falls(j, best[j], step)]:
            there = {j: min(max(best[j] + step, 0), len(RIDGES) - 1) for j in moving}
            for i in sorted(set(there.values())):
                known.look(i, [j for j in moving if there[j] == i])
            # Errors equal but for rounding must not choose: the order of rows and columns would.
            errors = known.errors
            moving = [j for j in moving if errors[j][there[j]] < errors[j][best[j]] * (1 - 1e-6)]
            best = [there[j] if j in moving else i for j, i in enumerate(best)]
            known.keep(best)
    ridges = torch.tensor([RIDGES[i] for i in best], dtype=z.dtype, device=z.device)
    return ridges, [known.inverse(j, i) for j, i in enumerate(best)]


class _Errors:
    """Errors of the layers at the ridges looked at, and what was found there."""

    def __init__(
        self, z: Float[Tensor, "layers rows columns"], c: Float[Tensor, "layers rows rows"]
    ) -> None:
        self.c, self.columns = c, z.shape[-1]
        self.some = z[..., :: max(1, z.shape[-1] // LEFT_OUT_COLUMNS)].contiguous()
        self.seen = self.some != 0
        self.level = c.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)
        self.errors: list[dict[int, float]] = [{} for _ in z]
        self.slopes: list[dict[int, float]] = [{} for _ in z]
        #: K, and K times the columns.
        self.found: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in z]

    def look(self, i: int, layers: list[int]) -> None:
        """Learn the errors of `layers` at ridge `i`, those that are not known."""
        layers = [j for j in layers if i not in self.errors[j]]
        if not layers:
            return
        every = len(layers) == len(self.c)
        x, seen = (t if every else t[layers] for t in (self.some, self.seen))
        shifted = self.c[layers]
        shifted.diagonal(dim1=-2, dim2=-1).add_((RIDGES[i] * self.level[layers])[:, None])
        factor, failed = torch.linalg.cholesky_ex(shifted)
        k = torch.cholesky_inverse(factor).mT  # symmetric, and contiguous so
        g = k @ x
        e = self.columns * g / self._below(k, x, g) * seen
        mean = (e * e).sum((-2, -1)) / seen.sum((-2, -1)).clamp_min(1)
        sound = ((failed == 0) & torch.isfinite(mean)).tolist()
        for at, (j, error) in enumerate(zip(layers, mean.tolist(), strict=True)):
            self.errors[j][i] = error if sound[at] else math.inf
            if sound[at]:
                self.found[j][i] = k[at], g[at]

    def falls(self, j: int, i: int, step: int) -> bool:
        """Whether the layer's error falls from ridge `i` in the direction of `step`, or might."""
        return i not in self.found[j] or self.slope(j, i) * step < -SLIGHT

    def slope(self, j: int, i: int) -> float:
        """Change of the layer's log error per e-fold of the ridge, where there is an error.

        With the shift dK = −K², so g = Kx has g' = −Kg, h' = −gᵀg and K_ii' = −Σ_j K_ij².
        """
        if i not in self.slopes[j]:
            (k, g), x = self.found[j][i], self.some[j]
            below, change = self._below(k, x, g), -k @ g
            e = self.columns * g / below * self.seen[j]
            below_change = k.diagonal()[:, None] * (g * g).sum(0) + 2 * g * change
            below_change -= (k * k).sum(1)[:, None] * self._rest(x, g)
            moves = (e * (self.columns * change - e * below_change) / below).sum()
            total = (e * e).sum().clamp_min(torch.finfo(e.dtype).tiny)
            self.slopes[j][i] = float(2 * RIDGES[i] * self.level[j] * moves / total)
        return self.slopes[j][i]

    def keep(self, best: list[int]) -> None:
        """Forget what was found at other ridges, but not their errors."""
        for j, known in enumerate(self.found):
            self.found[j] = {i: k for i, k in known.items() if i == best[j]}

    def inverse(self, j: int, i: int) -> Float[Tensor, "rows rows"] | None:
        """K of a layer at the ridge kept; None if there is none."""
        return self.found[j][i][0] if i in self.found[j] else None

    def _rest(self, x: Tensor, g: Tensor) -> Tensor:
        """n − h of every column."""
        return (self.columns - (x * g).sum(-2, keepdim=True)).clamp_min(1e-3)

    def _below(self, k: Tensor, x: Tensor, g: Tensor) -> Tensor:
        """K_ii (n − h) + g_i², by which n g_i is divided."""
        return k.diagonal(dim1=-2, dim2=-1)[..., None] * self._rest(x, g) + g * g
