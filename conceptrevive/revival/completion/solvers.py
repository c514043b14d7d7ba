"""Fill in the pruned entries of one matrix, or of many, from the surviving ones (paper §3.2): checks, dispatch, result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.completion.conditional import conditional_mean
from conceptrevive.revival.completion.joint import joint_mean
from conceptrevive.revival.completion.prior import mean_field
from conceptrevive.revival.completion.softimpute import nuclear_norm, soft_impute

Solver = Literal["conditional", "paper", "nuclear", "prior", "joint"]

SOLVERS = get_args(Solver)

#: Solved in float64 whatever the weights' precision, as released.
EXACT = ("paper", "nuclear")

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

#: Entries solved at a time where several layers have one shape.
STACK_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Completion:
    """A completed matrix.

    Attributes:
        weight: (rows, columns), surviving entries bitwise as given, pruned ones estimated; dtype and device kept.
        mask: bool (rows, columns), True = pruned.
        solver: which solver filled it.
        iterations: sweeps (`paper`, `prior`), rounds (`nuclear`) or conjugate-gradient steps (`conditional`, `joint`);
            of `conditional` and `prior` the most of the layers solved together.
        converged: whether every column met the solver's own stopping rule.
    """

    weight: torch.Tensor
    mask: torch.Tensor
    solver: str
    iterations: int
    converged: bool


def complete(
    weight: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    solver: Solver = "conditional",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    ridge: float | None = None,
    side: torch.Tensor | None = None,
    name: str = "weight",
) -> Completion:
    """Estimate the pruned entries of `weight` from the others.

    Args:
        weight: (rows, columns), any float dtype. Values at pruned positions are never read.
        mask: bool, True = pruned; None takes the exact zeros.
        solver: "conditional", the closed-form Gaussian conditional mean; "prior", the same given that pruned entries are
            large; "joint", rows and columns modelled together; "paper", SoftImpute as released; "nuclear", the
            minimum that `paper` heads for.
        max_iterations: default 500 (`paper`, `nuclear`), 100 (`prior`), else 200.
        tolerance: relative change (`paper`, default 1e-5; `nuclear`, 1e-6; `prior`, 1e-2), else relative residual
            (`conditional`, default 1e-8, 1e-4 in float32; `joint`, 1e-6).
        ridge: added to the row covariance's diagonal, relative to its mean; None takes the one that best
            predicts the surviving entries, each left out in turn.
        side: (any rows, columns), intact values that belong to the same columns (`conditional` and `prior`; see
            `read_side`).
        name: what messages call the matrix.

    Rows without a surviving entry stay 0, with a warning; columns without one are filled with 0. Weights on Apple's GPU,
    which has no float64, are completed on the CPU, and a warning says so once.

    Raises:
        ConceptReviveError: not a float matrix, mask of another shape or dtype, NaN or Inf, unknown solver.
    """
    options = dict(solver=solver, max_iterations=max_iterations, tolerance=tolerance, ridge=ridge)
    sides = None if side is None else {name: side}
    return complete_all(
        {name: weight}, None if mask is None else {name: mask}, side=sides, **options
    )[name]


def complete_all(
    weights: Mapping[str, torch.Tensor],
    masks: Mapping[str, torch.Tensor] | None = None,
    *,
    solver: Solver = "conditional",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    ridge: float | None = None,
    side: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Completion]:
    """`complete` for many layers, those of one shape together; options as there, `side` keyed by module name.

    `prior` chooses how far thresholds are to be trusted once for the layers solved together, so that one of them solved
    alone may differ where the choice does.
    """
    if solver not in SOLVERS:
        raise ConceptReviveError(
            f"solver {solver!r} is unknown: choose one of {', '.join(SOLVERS)}"
        )
    if side and solver not in ("conditional", "prior"):
        raise ConceptReviveError(
            f"solver {solver!r} takes no side information: choose 'conditional' or 'prior'"
        )
    if max_iterations is not None and max_iterations < 1:
        raise ConceptReviveError(f"max_iterations is {max_iterations}: it must be at least 1")
    names = list(weights if masks is None else masks)
    if absent := [n for n in names if n not in weights]:
        raise ConceptReviveError(
            f"no weights for {absent[0]}: masks and weights must name the same layers"
        )
    out: dict[str, Completion] = {}
    options = dict(solver=solver, limit=max_iterations, tolerance=tolerance, ridge=ridge)
    for part in _stacks(weights, names):
        groups: dict[tuple, list[_Problem]] = {}
        for n in part:
            p = _prepare(
                n,
                weights[n],
                None if masks is None else masks[n],
                (side or {}).get(n),
                solver in EXACT,
            )
            if p.gaps.any():
                groups.setdefault(
                    (p.z.shape, p.z.dtype, p.z.device, p.side is None or p.side.shape), []
                ).append(p)
            else:
                out[n] = Completion(p.weight.masked_fill(p.mask, 0), p.mask, solver, 0, True)
        for problems in groups.values():
            for p, (x, iterations, converged) in zip(
                problems, _solve(problems, **options), strict=True
            ):
                out[p.name] = Completion(p.put(x), p.mask, solver, iterations, converged)
    return {n: out[n] for n in names}


def _stacks(weights: Mapping[str, torch.Tensor], names: list[str]) -> list[list[str]]:
    """Names of equal shape in parts of about STACK_ENTRIES entries."""
    shapes: dict[tuple, list[str]] = {}
    for n in names:
        shapes.setdefault(tuple(getattr(weights[n], "shape", ())), []).append(n)
    parts = []
    for same in shapes.values():
        size = max(1, STACK_ENTRIES // max(1, getattr(weights[same[0]], "nbytes", 4) // 4))
        parts += [same[i : i + size] for i in range(0, len(same), size)]
    return parts


@dataclass(frozen=True)
class _Problem:
    """A checked matrix without its fully pruned rows and columns, in units of `scale`, and its side information."""

    name: str
    weight: torch.Tensor
    mask: torch.Tensor
    z: torch.Tensor
    gaps: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    scale: torch.Tensor
    side: torch.Tensor | None

    def put(self, filled: torch.Tensor) -> torch.Tensor:
        """The whole matrix with the estimates in place."""
        rows, columns = self.rows.nonzero(), self.columns.nonzero().T
        estimate = torch.zeros(self.weight.shape, dtype=filled.dtype, device=filled.device)
        estimate[rows, columns] = filled * self.scale
        estimate = estimate.to(self.weight.device, self.weight.dtype)
        if not torch.isfinite(estimate[self.mask]).all():
            raise ConceptReviveError(
                f"{self.name}: completed entries are not finite in {str(self.weight.dtype).removeprefix('torch.')}: "
                "complete the weights in float32"
            )
        return torch.where(self.mask, estimate, self.weight)


def _prepare(name: str, weight, mask, side: torch.Tensor | None, exact: bool) -> _Problem:
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        shape = tuple(weight.shape) if isinstance(weight, torch.Tensor) else type(weight).__name__
        raise ConceptReviveError(
            f"{name}: completion needs a float matrix, not {shape}: pass one layer's 2-D weight"
        )
    if weight.dtype not in DTYPES:
        raise ConceptReviveError(
            f"{name}: {weight.dtype} cannot be computed with: convert the weight to torch.float32"
        )
    mask = weight == 0 if mask is None else mask
    if not isinstance(mask, torch.Tensor):
        raise ConceptReviveError(
            f"{name}: mask is a {type(mask).__name__}; it must be a torch.bool tensor"
        )
    if mask.shape != weight.shape or mask.dtype != torch.bool:
        raise ConceptReviveError(
            f"{name}: mask is {mask.dtype} {tuple(mask.shape)}; it must be torch.bool of the weight's shape {tuple(weight.shape)}"
        )
    weight, mask = weight.detach(), mask.to(weight.device)
    device = working_device(weight.device)
    dtype = torch.float64 if exact or weight.dtype == torch.float64 else torch.float32
    z, gaps = weight.masked_fill(mask, 0).to(device, dtype), mask.to(device)
    if not torch.isfinite(z).all():
        raise ConceptReviveError(
            f"{name}: surviving entries hold NaN or Inf: the checkpoint is damaged, load it again"
        )
    dead = gaps.all(1)
    if dead.any() and gaps.shape[1]:
        warnings.warn(
            f"{name}: {int(dead.sum())} fully pruned rows have nothing to go by and stay 0",
            stacklevel=4,
        )
    # A fully pruned column starts at 0 and every solver leaves it there; without it tall matrices keep full rank.
    rows, columns = ~dead, ~gaps.all(0)
    if not (rows.all() and columns.all()):
        z, gaps = z[rows][:, columns], gaps[rows][:, columns]
    # A power of two changes no digit, and keeps squares within range whatever the weights' size.
    scale = (
        torch.ldexp(z.new_ones(()), torch.frexp(z.abs().amax()).exponent)
        if z.numel()
        else z.new_ones(())
    )
    if side is not None:
        if side.ndim != 2 or side.shape[1] != len(columns) or not torch.isfinite(side).all():
            raise ConceptReviveError(
                f"{name}: side information {tuple(side.shape)} must be finite, a row of {len(columns)} for whatever "
                "belongs to the weight's columns: see `read_side`"
            )
        side = side.detach().to(device, dtype)[:, columns]
    return _Problem(name, weight, mask, z / scale, gaps, rows, columns, scale, side)


def _solve(problems: list[_Problem], *, solver: Solver, limit, tolerance, ridge) -> list[tuple]:
    options = dict(tolerance=tolerance) | ({} if limit is None else {"limit": limit})
    if solver in EXACT:
        run = soft_impute if solver == "paper" else nuclear_norm
        return [run(p.z, p.gaps, **options) for p in problems]
    if solver == "joint":
        return [joint_mean(p.z, p.gaps, ridge=ridge, name=p.name, **options) for p in problems]
    run = conditional_mean if solver == "conditional" else mean_field
    z, gaps = torch.stack([p.z for p in problems]), torch.stack([p.gaps for p in problems])
    side = None if problems[0].side is None else torch.stack([p.side for p in problems])
    filled, n, ok, *_ = run(z, gaps, side=side, ridge=ridge, name=problems[0].name, **options)
    return [(x, n, bool(done)) for x, done in zip(filled, ok, strict=True)]


def working_device(device: torch.device) -> torch.device:
    """Where a matrix on `device` is completed: there, or on the CPU for Apple's GPU, which has no float64."""
    if device.type != "mps":
        return device
    _say_once("completion runs on the CPU: Apple's GPU has no float64")
    return torch.device("cpu")


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=5)
