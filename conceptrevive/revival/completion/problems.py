"""What a solver is given, a checked matrix in working precision, and what becomes of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.completion.occupancy import places_of, wholly

HALF = (torch.float16, torch.bfloat16)

DTYPES = (*HALF, torch.float32, torch.float64)


@dataclass(frozen=True)
class Completion:
    """A completed matrix.

    Attributes:
        weight: surviving entries bitwise as given, pruned ones estimated; dtype and device kept.
        mask: True = pruned.
        solver: which solver filled it.
        iterations: sweeps (`paper`, `prior`) or conjugate-gradient steps (`conditional`); of
            `conditional` and `prior` the most of the layers solved together.
        converged: whether every column met the solver's own stopping rule.
        estimate: the estimates before they were rounded to the weight's dtype, where that is half
            precision; 0 where the weight survived.
    """

    weight: Float[Tensor, "rows columns"]
    mask: Bool[Tensor, "rows columns"]
    solver: str
    iterations: int
    converged: bool
    estimate: Float[Tensor, "rows columns"] | None = None

    @property
    def unrounded(self) -> Float[Tensor, "rows columns"]:
        """What pruned entries are ranked by and have their signs from.

        In bfloat16 hundreds of estimates round to one value, and their order would be lost.
        """
        return self.weight if self.estimate is None else self.estimate


@dataclass(frozen=True)
class Problem:
    """A checked matrix without its fully pruned rows and columns, and its side information.

    Attributes:
        name, weight, mask: as given.
        places: of the pruned entries in the flattened weight.
        z: what survived, 0 elsewhere, in units of `scale` and in the precision that is solved in;
            a solver may fill it in place.
        gaps: True where `z` is to be filled.
        rows, columns: which of the weight's rows and columns `z` has.
        side: intact values of the same columns, or None.
    """

    name: str
    weight: Float[Tensor, "rows columns"]
    mask: Bool[Tensor, "rows columns"]
    places: Int[Tensor, " pruned"]
    z: Float[Tensor, "some_rows some_columns"]
    gaps: Bool[Tensor, "some_rows some_columns"]
    rows: Bool[Tensor, " rows"]
    columns: Bool[Tensor, " columns"]
    scale: Float[Tensor, ""]
    side: Float[Tensor, "any_rows some_columns"] | None

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for problems that can be stacked."""
        return self.z.shape, self.z.dtype, self.z.device, self.side is None or self.side.shape

    @property
    def dead(self) -> int:
        """How many rows have nothing to go by, since they were pruned as a whole."""
        return int((~self.rows).sum()) if len(self.columns) else 0

    def untouched(self, solver: str) -> Completion:
        """The result where there is nothing to solve: fully pruned rows and columns are 0."""
        return Completion(self.weight.masked_fill(self.mask, 0), self.mask, solver, 0, True)

    def solved(
        self,
        filled: Float[Tensor, "some_rows some_columns"],
        iterations: int,
        converged: bool,
        solver: str,
    ) -> Completion:
        """The whole matrix with the estimates in place."""
        if filled.shape != self.weight.shape:
            rows, columns = self.rows.nonzero(), self.columns.nonzero().T
            whole = torch.zeros(self.weight.shape, dtype=filled.dtype, device=filled.device)
            whole[rows, columns] = filled
            filled = whole
        there = self.places.to(filled.device)
        estimate = (filled.flatten()[there] * self.scale).to(self.weight.device)
        rounded = estimate.to(self.weight.dtype)
        if not torch.isfinite(largest(rounded)):  # what survived is finite: `prepare` has looked
            dtype = str(self.weight.dtype).removeprefix("torch.")
            raise ConceptReviveError(
                f"{self.name}: completed entries are not finite in {dtype}: "
                "complete the weights in float32"
            )
        weight = self.weight.clone(memory_format=torch.contiguous_format)
        weight.view(-1)[self.places] = rounded
        kept = None
        if self.weight.dtype in HALF:
            kept = torch.zeros(weight.shape, device=weight.device)
            kept.view(-1)[self.places] = estimate.float()
        return Completion(weight, self.mask, solver, iterations, converged, kept)


def prepare(
    name: str,
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"] | None,
    side: Float[Tensor, "any_rows columns"] | None,
    exact: bool,
) -> Problem:
    """Check one layer and bring it into working form.

    Args:
        mask: of the weight's shape; None is the exact zeros.
        exact: solve in float64 whatever the weight's precision.

    Raises:
        ConceptReviveError: not a float matrix, NaN or Inf, side information that does not fit.
    """
    _check_weight(name, weight)
    mask = weight == 0 if mask is None else mask
    weight, mask = weight.detach(), mask.to(weight.device)
    device = working_device(weight.device)
    dtype = torch.float64 if exact or weight.dtype == torch.float64 else torch.float32
    places = places_of(mask)
    z = weight.clone(memory_format=torch.contiguous_format)
    z.view(-1)[places] = 0
    z, gaps = z.to(device, dtype), mask.to(device)
    most = largest(z)
    if not torch.isfinite(most):
        raise ConceptReviveError(
            f"{name}: surviving entries hold NaN or Inf: the checkpoint is damaged, load it again"
        )
    dead = wholly(gaps, 1)
    # A fully pruned column starts at 0 and every solver leaves it there; without it tall matrices
    # keep full rank.
    rows, columns = ~dead, ~wholly(gaps, 0)
    if not (rows.all() and columns.all()):
        z, gaps = z[rows][:, columns], gaps[rows][:, columns]
    # A power of two changes no digit, and keeps squares within range whatever the weights' size.
    scale = torch.ldexp(z.new_ones(()), torch.frexp(most).exponent)
    if side is not None:
        _check_side(name, side, len(columns))
        side = side.detach().to(device, dtype)[:, columns]
    return Problem(name, weight, mask, places, z.div_(scale), gaps, rows, columns, scale, side)


def largest(x: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The largest |x|, NaN or Inf where there are such, in one reading; 0 of nothing."""
    if not x.numel():
        return x.new_zeros(())
    low, high = x.aminmax()
    return torch.maximum(-low, high)


def _check_weight(name: str, weight: object) -> None:
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ConceptReviveError(
            f"{name}: completion needs a float matrix, not {shape}: pass one layer's 2-D weight"
        )
    if weight.dtype not in DTYPES:
        raise ConceptReviveError(
            f"{name}: {weight.dtype} cannot be computed with: convert the weight to torch.float32"
        )


def _check_side(name: str, side: Tensor, columns: int) -> None:
    if side.ndim != 2 or side.shape[1] != columns or not torch.isfinite(side).all():
        raise ConceptReviveError(
            f"{name}: side information {tuple(side.shape)} must be finite, a row of {columns} for "
            "whatever belongs to the weight's columns: see `read_side`"
        )


def working_device(device: torch.device) -> torch.device:
    """Where a matrix on `device` is completed: on the CPU for Apple's GPU, else there."""
    if device.type != "mps":
        return device
    _say_once("completion runs on the CPU: Apple's GPU has no float64")
    return torch.device("cpu")


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=7)
